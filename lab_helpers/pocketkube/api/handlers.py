"""HTTP requests on resources: from method, route and query to a verb of the operations, and back to an answer.

Driven by the resource table: no kind is known here. Streams into Pods are `kubelet_proxy`'s, watches `watch_stream`'s,
connections and identities the server's. Models apiserver pkg/endpoints/installer.go and handlers/ (v1.36).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from aiohttp import web

from ..client import APPLY_PATCH
from ..custom.definition import CustomResource
from ..objects import Obj
from .answers import Answer, add_warnings, answer_list, answer_object
from .auth import Attributes, User, authorize
from .authentication import Authenticator
from .decoding import decode_object, decode_patch, decode_plain, decoding
from .intake import read_body
from .kubelet_proxy import STREAMS, KubeletProxy
from .negotiate import negotiate, patch_type
from .operations import Operations
from .proxy_target import find_target
from .query import asks_dry_run, delete_options, flag, list_options, refuse_dry_run, watch_options, write_context
from .rbac import Roles
from .request import PatchDocument, RequestContext, Written
from .routes import SUBRESOURCES, Route
from .status import StatusError
from .watch_stream import WatchStreams


@dataclass(frozen=True)
class Call:
    """One request on a resource, with what has been found out about it."""

    request: web.BaseRequest
    route: Route
    query: Mapping[str, str]
    user: User
    warnings: list[str] = field(default_factory=list)
    """What the client is told beside the answer, also beside an error."""

    @property
    def accept(self) -> str:
        """The Accept header."""
        return self.request.headers.get("Accept", "")

    @property
    def custom(self) -> CustomResource | None:
        """The custom kind that the request is about."""
        return self.route.resource if isinstance(self.route.resource, CustomResource) else None

    @property
    def content_type(self) -> str:
        """The Content-Type header."""
        return self.request.headers.get("Content-Type", "")

    def context(self, options_kind: str, *, applies: bool = False) -> RequestContext:
        """What a write carries beside its object."""
        agent = self.request.headers.get("User-Agent", "")
        context = write_context(self.query, self.user, agent, options_kind, applies=applies)
        context.warnings = self.warnings
        return context


_DELETE_OPTIONS = ("", "v1", "DeleteOptions")

Handler = Callable[[Call], Awaitable[web.StreamResponse]]


class Handlers:
    """Answers requests on resources."""

    def __init__(
        self, operations: Operations, watches: WatchStreams, kubelets: KubeletProxy, authenticator: Authenticator
    ) -> None:
        self._operations = operations
        self._roles = Roles(operations.store)
        self._watches = watches
        self._kubelets = kubelets
        self._authenticator = authenticator
        self._random = Random()
        self._handlers: dict[str, Handler] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }

    async def handle(self, call: Call) -> web.StreamResponse:
        """Answers, or raises StatusError."""
        verb = verb_of(call)
        route = call.route
        authorize(call.user, attributes_of(call, verb), self._roles.allow)
        if route.subresource == "proxy":
            return await self._kubelets.proxy(call.request, find_target(self._operations, route, self._random))
        if verb not in allowed_verbs(route) or call.request.method == "HEAD":
            raise StatusError.method_not_allowed()
        if route.subresource in STREAMS:
            return await self._stream(call)
        call.warnings.extend(self._operations.deprecations(route.resource))
        try:
            response = await self._handlers[verb](call)
        except StatusError as error:
            error.warnings = tuple(call.warnings)
            raise
        if not response.prepared:
            add_warnings(response, call.warnings)
        return response

    async def _get(self, call: Call) -> web.StreamResponse:
        representation = negotiate(call.accept)
        route = call.route
        if flag(call.query, "export"):
            raise StatusError.bad_request("the export parameter, deprecated since v1.14, is no longer supported")
        revision = call.query.get("resourceVersion", "")
        found = self._operations.get(
            route.resource, route.namespace, route.name, subresource=route.subresource, resource_version=revision
        )
        return answer_object(call, Answer(found), representation)

    async def _list(self, call: Call) -> web.StreamResponse:
        representation = negotiate(call.accept, is_list=True)
        options = list_options(call.query)
        found = self._operations.list(call.route.resource, call.route.namespace, options)
        return answer_list(call, found, representation)

    async def _watch(self, call: Call) -> web.StreamResponse:
        representation = negotiate(call.accept, is_watch=True)
        options = watch_options(call.query, call.route.name)
        events = self._operations.watch(call.route.resource, call.route.namespace, options)
        return await self._watches.serve(call, events, options, representation, call.warnings)

    async def _create(self, call: Call) -> web.StreamResponse:
        representation = negotiate(call.accept)
        route = call.route
        ctx = call.context("CreateOptions")
        body = await self._body(call, ctx)
        if route.subresource == "token":
            written = self._create_token(route, body)
        elif route.subresource:
            name = route.name or (body.get("metadata") or {}).get("name")
            if not name:
                raise StatusError.bad_request("Name parameter required.")
            written = self._operations.create_subresource(
                ctx, route.resource, route.namespace, name, route.subresource, body
            )
        else:
            written = self._operations.create(ctx, route.resource, route.namespace, body)
        return answer_object(call, Answer(*written), representation)

    def _create_token(self, route: Route, body: Obj) -> Written:
        account = self._operations.get(route.resource, route.namespace, route.name)
        return Written(self._authenticator.request_token(account, body), 201)

    async def _update(self, call: Call) -> web.StreamResponse:
        representation = negotiate(call.accept)
        route = call.route
        ctx = call.context("UpdateOptions")
        body = await self._body(call, ctx)
        written = self._operations.update(
            ctx, route.resource, route.namespace, route.name, body, subresource=route.subresource
        )
        return answer_object(call, Answer(*written), representation)

    async def _patch(self, call: Call) -> web.StreamResponse:
        representation = negotiate(call.accept)
        route = call.route
        kind = patch_type(call.content_type)
        ctx = call.context("PatchOptions", applies=kind == APPLY_PATCH)
        document = await self._patch_document(call, kind)
        written = self._operations.patch(
            ctx, route.resource, route.namespace, route.name, kind, document, subresource=route.subresource
        )
        return answer_object(call, Answer(*written), representation)

    async def _body(self, call: Call, ctx: RequestContext) -> Obj:
        body = await read_body(call.request)
        route = call.route
        return await decoding(
            body, lambda: decode_object(ctx, body, call.content_type, route.resource, route.subresource)
        )

    async def _patch_document(self, call: Call, kind: str) -> PatchDocument:
        body = await read_body(call.request)
        try:
            return await decoding(body, lambda: decode_patch(body, kind))
        except StatusError:
            if kind != APPLY_PATCH:  # upstream looks for the object before it looks at the patch
                self._operations.get(call.route.resource, call.route.namespace, call.route.name)
            raise

    async def _delete(self, call: Call) -> web.StreamResponse:
        representation = negotiate(call.accept)
        route = call.route
        ctx, body = await self._deletion(call)
        options = delete_options(call.query, body)
        written = self._operations.delete(ctx, route.resource, route.namespace, route.name, options)
        return answer_object(call, Answer(*written), representation)

    async def _delete_collection(self, call: Call) -> web.StreamResponse:
        representation = negotiate(call.accept, is_list=True)
        ctx, body = await self._deletion(call)
        options = delete_options(call.query, body)
        deleted = self._operations.delete_collection(
            ctx, call.route.resource, call.route.namespace, list_options(call.query), options
        )
        return answer_list(call, deleted, representation)

    async def _deletion(self, call: Call) -> tuple[RequestContext, Obj]:
        raw = await read_body(call.request)
        body = decode_plain(raw, call.content_type, _DELETE_OPTIONS)
        ctx = call.context("DeleteOptions")
        refuse_dry_run(body.get("dryRun") or [], "DeleteOptions")
        if raw:  # options in a body are all there are: upstream does not read those in the query then
            ctx.dry_run = asks_dry_run(body)
        return ctx, body

    async def _stream(self, call: Call) -> web.StreamResponse:
        route = call.route
        pod = self._operations.get(route.resource, route.namespace, route.name)
        node = pod["spec"].get("nodeName")
        if node and self._operations.store.get("nodes", "", node) is None:
            raise StatusError.not_found(route.resource.name, node)  # upstream names the kind that was asked for
        query = list(call.request.rel_url.query.items())
        return await self._kubelets.serve(call.request, route, pod, query)


def verb_of(call: Call) -> str:
    """The verb of authorization for a method. Models apiserver pkg/endpoints/request/requestinfo.go (v1.36)."""
    method, name = call.request.method, call.route.name
    if method in ("GET", "HEAD"):
        if call.route.watch:
            return "watch"
        if name or call.route.subresource:
            return "get"
        return "watch" if flag(call.query, "watch") else "list"
    verbs = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete" if name else "deletecollection"}
    return verbs.get(method, "")


def attributes_of(call: Call, verb: str) -> Attributes:
    """What the request is to authorization."""
    route = call.route
    plural = route.resource.plural
    asked = f"{plural}/{route.subresource}" if route.subresource else plural
    # A namespace is in itself, so that a Role of its own may allow to read it.
    namespace = route.name if route.resource.name == "namespaces" else route.namespace
    return Attributes(verb, call.request.path, route.resource.group, asked, namespace, route.name)


def allowed_verbs(route: Route) -> tuple[str, ...]:
    """What can be done at the end of a route."""
    if route.watch:
        return ("watch",)
    if route.subresource:
        return SUBRESOURCES[route.subresource].verbs
    verbs = route.resource.verbs
    on_object = ("get", "update", "patch", "delete")
    if route.name:
        return tuple(verb for verb in verbs if verb in on_object)
    # A namespaced resource is created in a namespace; over all of them it can be listed, watched and removed.
    whole = ("list", "watch") if route.resource.namespaced and not route.namespace else (
        "list", "watch", "create", "deletecollection",
    )  # fmt: skip
    return tuple(verb for verb in verbs if verb in whole)
