"""What a client may take of the server before it has shown who it is: size, time, connections.

Every user of the machine can reach the port, so a client that sends much, slowly or nothing must cost little. Who may
do what is left to `auth`, what a body means to `decoding`. The times are those of upstream's http.Server (v1.36).
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import sslproto
from collections.abc import Hashable

from aiohttp import web
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge

from .status import StatusError

BODY_LIMIT = 3 * 1024 * 1024
"""As upstream: a larger body is answered with 413."""

LONGEST_LINE = 1024 * 1024
"""A command of `kubectl exec` travels in the URL."""

HEADER_SECONDS = 32
BODY_SECONDS = 60.0

_TLS_BUFFER = 32 * 1024

malformed = logging.getLogger(f"{__name__}.malformed")
"""What the HTTP parser has to say about requests that are none: anybody can send those, so it stays off the log."""
malformed.setLevel(logging.CRITICAL)


def spare_tls_buffers() -> None:
    """Makes connections cheap: asyncio reserves 256 KB for reading from each, whether it reads or not."""
    sslproto.SSLProtocol.max_size = _TLS_BUFFER


async def read_body(request: web.BaseRequest) -> bytes:
    """The body, or StatusError 413, 408 or 400."""
    if (request.content_length or 0) > BODY_LIMIT:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise StatusError(408, "Timeout", f"the body did not arrive within {BODY_SECONDS:g} seconds") from None
    except HTTPRequestEntityTooLarge:
        raise _too_large() from None
    except web.RequestPayloadError:
        raise StatusError.bad_request("the body can't be read: it ends early, or its encoding is broken") from None


def _too_large() -> StatusError:
    return StatusError.request_too_large(f"Request entity too large: limit is {BODY_LIMIT}")


class Doorkeeper:
    """Closes connections whose first request does not arrive in time."""

    def __init__(self) -> None:
        self._timers: dict[Hashable, asyncio.TimerHandle] = {}

    def admit(self, connection: web.RequestHandler) -> web.RequestHandler:
        """Starts the time of a new connection."""
        loop = asyncio.get_running_loop()
        self._timers[connection] = loop.call_later(HEADER_SECONDS, self._show_out, connection)
        return connection

    def greet(self, connection: Hashable) -> None:
        """A request has arrived: from now on its connection ends by the rules for idle ones."""
        timer = self._timers.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Forgets all connections."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _show_out(self, connection: web.RequestHandler) -> None:
        del self._timers[connection]
        connection.force_close()
