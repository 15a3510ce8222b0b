"""exec, attach, port-forward, logs and proxy: finds the kubelet's own path for them and joins the client to it.

Nothing of the streams' protocols (WebSocket, SPDY) is known here: after the upgrade bytes are carried both ways, and
the kubelet's server speaks them. Models apiserver pkg/registry/core/pod (v1.36): strategy.go and rest/subresources.go.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp import web

from ..objects import Obj, name_of, namespace_of
from ..upgrade import Connection, Upgraded, splice
from .log_options import log_options
from .proxy import serve_proxy
from .proxy_target import ProxyTarget
from .routes import Route
from .status import StatusError

_BINARY, _BASE64 = "binary.k8s.io", "base64.binary.k8s.io"
_LONGEST_HEAD = 64 * 1024
_HOP_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "authorization", "keep-alive"})
_STREAM_FLAGS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
Query = list[tuple[str, str]]


class KubeletProxy:
    """Reaches the kubelets over the Unix socket of the node process."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._tasks: set[asyncio.Task[Any]] = set()

    async def serve(self, request: web.BaseRequest, route: Route, pod: Obj, query: Query) -> web.StreamResponse:
        """Answers a request to one of a Pod's stream subresources."""
        with self._cut_on_stop():
            return await _SERVERS[route.subresource](self, request, pod, query)

    async def proxy(self, request: web.BaseRequest, target: ProxyTarget) -> web.StreamResponse:
        """Answers with what a Pod, or a kubelet itself, answers."""
        with self._cut_on_stop():
            return await serve_proxy(request, target, self._socket)

    @contextlib.contextmanager
    def _cut_on_stop(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)

    def stop(self) -> None:
        """Cuts all streams."""
        for task in self._tasks:
            task.cancel("the API server stops")

    async def log(self, request: web.BaseRequest, pod: Obj, query: Query) -> web.StreamResponse:
        """The output of a container as plain text, followed if asked for."""
        options = log_options(name_of(pod), query)
        container = _container(pod, _first(query, "container"))
        if not pod["spec"].get("nodeName"):
            return web.Response(status=204)
        path = _path("containerLogs", pod, container)
        connector = aiohttp.UnixConnector(str(self._socket))
        timeout = aiohttp.ClientTimeout(total=None)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.get(f"http://kubelet{path}", params=options) as answer,
            ):
                return await _relay_text(request, answer)
        except aiohttp.ClientConnectorError as error:
            raise _unreachable(error) from error

    async def exec(self, request: web.BaseRequest, pod: Obj, query: Query) -> web.StreamResponse:
        """A further process in a container."""
        container = self._running_container(pod, query)
        options = [("command", value) for key, value in query if key == "command"] + _stream_options(query)
        return await self._splice(request, _path("exec", pod, container), options)

    async def attach(self, request: web.BaseRequest, pod: Obj, query: Query) -> web.StreamResponse:
        """The first process of a container."""
        container = self._running_container(pod, query)
        return await self._splice(request, _path("attach", pod, container), _stream_options(query))

    async def port_forward(self, request: web.BaseRequest, pod: Obj, query: Query) -> web.StreamResponse:
        """Connections into the Pod."""
        _require_node(pod)
        ports = [value for key, value in query if key == "ports"]
        options = [("port", ",".join(ports))] if ports else []
        return await self._splice(request, _path("portForward", pod), options)

    @staticmethod
    def _running_container(pod: Obj, query: Query) -> str:
        container = _container(pod, _first(query, "container"))
        _require_node(pod)
        return container

    async def _splice(self, request: web.BaseRequest, path: str, options: Query) -> web.StreamResponse:
        """Sends the request on as it is and, if the kubelet upgrades, joins the two connections."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._socket), limit=_LONGEST_HEAD)
        except OSError as error:
            raise _unreachable(error) from error
        try:
            writer.write(_request_head(request, f"{path}?{urlencode(options)}" if options else path))
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            if int(head.split(b" ", 2)[1]) != 101:
                return await _refused(head, reader)
            await splice(Connection(request, head), reader, writer)
            return Upgraded()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as error:
            raise _unreachable(error) from error
        finally:
            writer.close()


_SERVERS: dict[str, Callable[[KubeletProxy, web.BaseRequest, Obj, Query], Coroutine[Any, Any, web.StreamResponse]]] = {
    "attach": KubeletProxy.attach,
    "exec": KubeletProxy.exec,
    "log": KubeletProxy.log,
    "portforward": KubeletProxy.port_forward,
}
STREAMS = frozenset(_SERVERS)
"""The subresources that are answered by a kubelet."""


def _request_head(request: web.BaseRequest, target: str) -> bytes:
    lines = [f"{request.method} {target} HTTP/1.1", "Host: kubelet"]
    lines += [f"{name}: {value}" for name, value in request.headers.items() if name.lower() not in _HOP_HEADERS]
    return "\r\n".join([*lines, "", ""]).encode()


async def _refused(head: bytes, reader: asyncio.StreamReader) -> web.StreamResponse:
    """Passes on the kubelet's answer when it does not upgrade."""
    status_line, *lines = head.decode("latin-1").rstrip().split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length") or 0)
    body = await reader.readexactly(length)
    content_type = headers.get("content-type", "text/plain")
    return web.Response(status=int(status_line.split(" ")[1]), body=body, headers={"Content-Type": content_type})


async def _relay_text(request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    if answer.status >= 400:
        raise _log_error(answer.status, await answer.text())
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return await _relay_messages(request, answer)
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
    except aiohttp.ClientPayloadError:
        # The node process has gone: what was read so far has been sent, and there is no more.
        response.force_close()
    return response


async def _relay_messages(request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """The same to a client that asks for a WebSocket. Models apimachinery httpstream/wsstream NewReader (v1.36)."""
    socket = web.WebSocketResponse(protocols=(_BINARY, _BASE64), compress=False)
    await socket.prepare(request)
    with contextlib.suppress(aiohttp.ClientPayloadError, ConnectionError):
        async for chunk in answer.content.iter_any():
            if socket.ws_protocol == _BASE64:
                await socket.send_str(base64.b64encode(chunk).decode())
            else:
                await socket.send_bytes(chunk)
    await socket.close()
    return socket


def _log_error(status: int, text: str) -> StatusError:
    """Models apimachinery NewGenericServerResponse, as apiserver pkg/registry/generic/rest uses it (v1.36)."""
    text = text.strip()
    if status == 400:
        return StatusError.bad_request(text)
    if status == 404:
        return StatusError(404, "NotFound", f"the server could not find the requested resource: {text}", {})
    return StatusError.internal(text)


def _container(pod: Obj, asked: str) -> str:
    """The container that is meant. Models pkg/registry/core/pod/strategy.go validateContainer (v1.36)."""
    spec, name = pod["spec"], name_of(pod)
    main = [container["name"] for container in spec.get("containers") or []]
    names = [*_names(spec, "initContainers"), *main, *_names(spec, "ephemeralContainers")]
    if asked:
        if asked not in names:
            raise StatusError.bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(main) == 1:
        return str(main[0])
    choices = f", choose one of: [{' '.join(names)}]" if main else ""
    raise StatusError.bad_request(f"a container name must be specified for pod {name}{choices}")


def _names(spec: Obj, key: str) -> Iterable[str]:
    return (container["name"] for container in spec.get(key) or [])


def _require_node(pod: Obj) -> None:
    if not pod["spec"].get("nodeName"):
        raise StatusError.bad_request(f"pod {name_of(pod)} does not have a host assigned")


def _stream_options(query: Query) -> Query:
    asked = dict(query)
    return [(theirs, "1") for ours, theirs in _STREAM_FLAGS if asked.get(ours, "false").lower() not in ("false", "0")]


def _first(query: Query, key: str) -> str:
    return next((value for name, value in query if name == key), "")


def _path(verb: str, pod: Obj, container: str = "") -> str:
    parts = [verb, namespace_of(pod), name_of(pod), container]
    return "/" + "/".join(quote(part, safe="") for part in parts if part)


def _unreachable(error: BaseException) -> StatusError:
    return StatusError.internal(f"error dialing backend: {error}")
