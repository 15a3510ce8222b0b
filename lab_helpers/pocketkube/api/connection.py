"""Connections to the API's port: where TLS begins, and what is said to who speaks no HTTP, or none that is right.

Who may stay how long is left to `intake`, what a request means to `server`.
Models Go's net/http server and crypto/tls RecordHeaderError, as the API server of v1.36 uses them.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from asyncio import sslproto

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong

from .answers import answer_error
from .status import StatusError

_RECORD_HEADER = 5
_PLAIN_HTTP = (b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO", b"PATCH", b"DELET")
_NO_TLS = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"

log = logging.getLogger(__name__)


class TlsDoor(asyncio.Protocol):
    """The first bytes of a connection: a TLS greeting is handed on, plain HTTP is told where it is."""

    def __init__(self, inside: asyncio.Protocol, tls: ssl.SSLContext, seconds: int) -> None:
        """`inside` is who speaks over TLS; a client has some seconds to begin, and again to finish the handshake."""
        self._inside = inside
        self._tls = tls
        self._seconds = seconds
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Waits for the client."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._timer = asyncio.get_running_loop().call_later(self._seconds, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone before it said anything."""
        self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Decides as soon as there is enough to decide by."""
        self._head += data
        if len(self._head) < _RECORD_HEADER:
            return
        self._timer.cancel()
        if self._head.startswith(_PLAIN_HTTP):
            self._transport.write(_NO_TLS)
            self._transport.close()
            return
        self._begin_tls()

    def _begin_tls(self) -> None:
        """As asyncio itself begins it, but for the bytes that have been read already."""
        loop = asyncio.get_running_loop()
        shaken = loop.create_future()
        shaken.add_done_callback(_overlook)
        protocol = sslproto.SSLProtocol(
            loop, self._inside, self._tls, shaken, server_side=True, ssl_handshake_timeout=self._seconds
        )
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        waiting = memoryview(self._head)
        while waiting:
            buffer = protocol.get_buffer(len(waiting))
            size = min(len(buffer), len(waiting))
            buffer[:size] = waiting[:size]
            protocol.buffer_updated(size)
            waiting = waiting[size:]


def _overlook(shaken: asyncio.Future[None]) -> None:
    """A handshake that fails is the client's affair: the connection is closed, and nobody waits for it."""
    if not shaken.cancelled():
        shaken.exception()


class HttpConnection(web.RequestHandler):
    """Answers a request that can't be read with a Status."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer, after which the connection is closed."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        if isinstance(exc, BadHttpMethod):
            error = StatusError.method_not_allowed()
        elif isinstance(exc, LineTooLong):
            error = StatusError.bad_request("the request's line or one of its headers is too long")
        elif status < 500:
            error = StatusError.bad_request("the request is not valid HTTP/1.1")
        else:
            log.error("%s %s failed", request.method, request.path_qs, exc_info=exc)
            error = StatusError.internal("the request could not be answered")
        response = answer_error(error, "")
        response.force_close()
        return response


class HttpServer(web.Server):
    """Makes such connections."""

    def __call__(self) -> HttpConnection:
        """A new one."""
        return HttpConnection(self, loop=self._loop, **self._kwargs)
