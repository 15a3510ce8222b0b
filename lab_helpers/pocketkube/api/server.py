"""The API server's door: listening sockets, TLS, who is asking, and the way from a path to who answers it.

    /api, /apis, ...          discovery, from the resource table
    /api/v1/..., /apis/g/v/... resources (`handlers`) and reviews
    /openapi/v2, /openapi/v3  the types of everything
    /healthz, /livez, /readyz, /metrics, /version

Verbs on objects are the operations' work. Models apiserver pkg/server (v1.36).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.http import HttpVersion10

from ...errors import LabError
from ..clock import Clock
from ..config import ClusterConfig
from ..custom.definition import CustomResource
from ..http_server import Request
from ..metrics import CONTENT_TYPE as METRICS_TYPE
from ..pki import Pki
from .answers import Answer, answer_error, answer_object, respond
from .auth import Attributes, User, authorize
from .authentication import Authenticator
from .connection import HttpServer, TlsDoor
from .deadline import check_timeout
from .decoding import decode_plain
from .documents import find_document, serve_document
from .handlers import Call, Handlers
from .health import Check, health_report, single_check
from .intake import BODY_LIMIT, HEADER_SECONDS, LONGEST_LINE, Doorkeeper, malformed, read_body, spare_tls_buffers
from .kubelet_proxy import KubeletProxy
from .left_out import refuse_left_out
from .negotiate import negotiate
from .operations import Operations
from .query import write_context
from .rbac import Roles
from .request_metrics import ROUTE, RequestMetrics
from .reviews import REVIEWS, Knowledge, Review
from .routes import Router
from .status import StatusError
from .tokens import TokenAuthority
from .watch_stream import WatchStreams

_GRACE_SECONDS = 1.0
_CLOSING = (401, 403, 408, 413)
"""Answers after which nothing more is expected of a client."""

_VERBS = {"POST": "create", "PUT": "update"}
_HEALTH_CHECKS = ("healthz", "livez", "readyz")

_TOO_OLD = "too-old"

log = logging.getLogger(__name__)


class ApiServer:
    """Serves one cluster's API on any number of sockets."""

    def __init__(self, operations: Operations, config: ClusterConfig, pki: Pki) -> None:
        self._operations = operations
        self._pki = pki
        self._tokens = TokenAuthority(pki.service_account_key, config.issuer)
        self._authenticator = Authenticator(operations, self._tokens)
        self._watches = WatchStreams()
        self._kubelets = KubeletProxy(config.kubelet_socket)
        self._handlers = Handlers(operations, self._watches, self._kubelets, self._authenticator)
        self._roles = Roles(operations.store)
        self._router = Router(operations.catalogue)
        self._metrics = RequestMetrics(operations.store)
        self._listeners: list[asyncio.Server] = []
        self._server: HttpServer | None = None
        self._doorkeeper = Doorkeeper()
        self._address = f"{config.node_ip(0)}:{config.api_port_inside}"
        self.readiness: dict[str, Callable[[], bool]] = {}
        """Named checks that `/readyz` asks beside its own."""

    async def start(self, *listeners: socket.socket) -> None:
        """Serves on listening sockets: TLS on TCP; everything is allowed on a Unix socket."""
        spare_tls_buffers()
        self._server = HttpServer(
            self._serve,
            request_factory=self._make_request,
            handler_cancellation=True,
            access_log=None,
            logger=malformed,
            auto_decompress=False,
            lingering_time=_GRACE_SECONDS,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
        )
        for listener in listeners:
            await self.add_listener(listener)

    async def add_listener(self, listener: socket.socket) -> None:
        """Serves on a further listening socket, which may have been opened in another network namespace."""
        assert self._server is not None, "start the server first"
        protocols, doorkeeper = self._server, self._doorkeeper
        listener.setblocking(False)
        tls = None if listener.family == socket.AF_UNIX else self._pki.server_context()

        def admit() -> asyncio.Protocol:
            inside = doorkeeper.admit(protocols())
            return TlsDoor(inside, tls, HEADER_SECONDS) if tls else inside

        server = await asyncio.get_running_loop().create_server(admit, sock=listener)
        self._listeners.append(server)

    async def stop(self) -> None:
        """Takes no more connections, ends watches and streams, and lets the other requests finish."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self._watches.stop()
        self._kubelets.stop()
        if self._server is not None:
            self._server.pre_shutdown()
            await self._server.shutdown(_GRACE_SECONDS)
            self._server = None
        self._doorkeeper.close()

    def _make_request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        self._doorkeeper.greet(protocol)
        loop = asyncio.get_running_loop()
        refused = message.version < HttpVersion10
        if refused:  # it is answered in a version that has headers
            message = message._replace(version=HttpVersion10)
        request = Request(message, payload, protocol, writer, task, loop, client_max_size=BODY_LIMIT)
        request[_TOO_OLD] = refused
        return request

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        with self._metrics.measure(request) as codes:
            response = await self._answer(request)
            codes.append(response.status)
            return response

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._dispatch(request)
        except StatusError as error:
            response = answer_error(error, request.headers.get("Accept", ""))
            if error.code in _CLOSING:
                response.force_close()
            return response
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return answer_error(StatusError(error.status, error.reason.replace(" ", ""), error.reason), "")
        except ConnectionError:
            raise
        except LabError as error:
            log.error("%s %s failed: %s", request.method, request.path_qs, error)
            return answer_error(StatusError.internal(str(error)), "")
        except Exception as error:
            # The last place that can answer: whatever went wrong is the server's fault, and is in its log.
            log.exception("%s %s failed", request.method, request.path_qs)
            return answer_error(StatusError.internal(f"{type(error).__name__}: {error}"), "")

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        if request[_TOO_OLD]:
            raise StatusError.bad_request("HTTP/0.9 is not spoken here")
        user = self._authenticator.user_of_request(request)
        parts = [part for part in request.path.split("/") if part]
        check_timeout(parts, request.rel_url.query)
        root = parts[0] if parts else ""
        if root in ("api", "apis") and "//" in request.path.partition("/proxy/")[0]:
            authorize(user, Attributes(request.method.lower(), request.path), self._roles.allow)
            raise StatusError.no_such_path()
        if (root == "api" and len(parts) > 2) or (root == "apis" and len(parts) > 3):
            group, version, *rest = parts[1:] if root == "apis" else ["", *parts[1:]]
            return await self._serve_resource(request, user, group, version, rest)
        authorize(user, Attributes(request.method.lower(), request.path), self._roles.allow)
        if request.method not in ("GET", "HEAD"):
            raise StatusError.method_not_allowed()
        if parts == ["metrics"]:
            return respond(request, self._metrics.page(), METRICS_TYPE)
        if root in _HEALTH_CHECKS and len(parts) <= 2:
            return self._health(request, root, parts[1:])
        document = await find_document(request, parts, self._address, self._tokens, self._operations.catalogue.served)
        return _not_found() if document is None else serve_document(request, document)

    async def _serve_resource(
        self, request: web.BaseRequest, user: User, group: str, version: str, parts: list[str]
    ) -> web.StreamResponse:
        review = REVIEWS.get((group, version, parts[-1]))
        if review is not None and len(parts) == (3 if review.namespaced else 1):
            namespace = parts[1] if review.namespaced else ""
            return await self._serve_review(request, user, review, namespace)
        route = self._router.route(group, version, parts)
        if route is not None:
            request[ROUTE] = route
            return await self._handlers.handle(Call(request, route, request.rel_url.query, user))
        plural = parts[2] if parts[0] == "namespaces" and len(parts) > 2 else parts[0]
        verb = _VERBS.get(request.method, request.method.lower())
        authorize(user, Attributes(verb, request.path, group, plural), self._roles.allow)
        if self._router.serves(group, version):
            raise StatusError.no_such_path()
        refuse_left_out(request.method, group)
        return _not_found()

    async def _serve_review(
        self, request: web.BaseRequest, user: User, review: Review, namespace: str
    ) -> web.StreamResponse:
        authorize(user, Attributes("create", request.path, review.group, review.plural), self._roles.allow)
        if request.method != "POST":
            raise StatusError.method_not_allowed()
        form = negotiate(request.headers.get("Accept", ""), transforms=False)
        asked = decode_plain(await read_body(request), request.headers.get("Content-Type", ""), review.gvk)
        agent = request.headers.get("User-Agent", "")
        manager = write_context(request.rel_url.query, user, agent, "CreateOptions").manager
        known = Knowledge(self._authenticator.user_of_token, self._roles, manager, Clock().rfc3339())
        reply = review.reply(user, asked, known, namespace)
        return answer_object(_Plain(request), Answer(reply, 201), form)

    def _health(self, request: web.BaseRequest, root: str, name: list[str]) -> web.StreamResponse:
        """`ok`, or what is not."""
        checks: dict[str, Check] = {"ping": lambda: True, "log": lambda: True, "etcd": self._stores}
        if root == "readyz":
            checks |= {**self.readiness, "shutdown": lambda: self._server is not None}
            store = self._operations.store
            checks |= {"etcd-readiness": lambda: store.trouble or True}
        if name:
            if name[0] not in checks:
                return _not_found()
            healthy, text = single_check(name[0], checks[name[0]])
            return respond(request, text.encode(), "text/plain; charset=utf-8", 200 if healthy else 500)
        query = request.rel_url.query
        healthy, text = health_report(root, checks, verbose="verbose" in query, excluded=query.getall("exclude", []))
        return respond(request, text.encode(), "text/plain; charset=utf-8", 200 if healthy else 500)

    def _stores(self) -> bool:
        return self._operations.store.revision > 0


class _Plain:
    """A request whose answer does not depend on its query."""

    def __init__(self, request: web.BaseRequest) -> None:
        self.request = request
        self.query: dict[str, str] = {}
        self.custom: CustomResource | None = None


def _not_found() -> web.Response:
    """What upstream's multiplexer says where nothing is served at all."""
    return web.Response(status=404, text="404 page not found\n", headers={"X-Content-Type-Options": "nosniff"})
