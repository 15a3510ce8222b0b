"""What SPDY's frames travel in: the messages of a WebSocket, or a connection that was upgraded to SPDY itself.

Also the choice of a stream protocol in an upgrade request. Models apimachinery pkg/util/httpstream (v1.36).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aiohttp import WSMsgType, web

from ...upgrade import CHUNK, Connection, switching_protocols

SPDY = "SPDY/3.1"
PROTOCOL_HEADER = "X-Stream-Protocol-Version"


class Link(Protocol):
    """Bytes to and from a client."""

    async def receive(self) -> bytes:
        """The next bytes; none at the end."""
        ...

    async def send(self, data: bytes) -> None:
        """Sends, unless the client has left."""
        ...

    async def close(self) -> None:
        """Hangs up."""
        ...


class WebSocketLink:
    """The binary messages of a WebSocket."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> bytes:
        """The next message with anything in it; none at the end."""
        async for message in self._socket:
            if message.type == WSMsgType.BINARY and message.data:
                return bytes(message.data)
        return b""

    async def send(self, data: bytes) -> None:
        """Sends one message."""
        if not self._socket.closed:
            await self._socket.send_bytes(data)

    async def close(self) -> None:
        """Closes the WebSocket."""
        await self._socket.close()


class RawLink:
    """A connection that was upgraded to SPDY."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def receive(self) -> bytes:
        """The next bytes; none at the end."""
        return await self._connection.reader.read(CHUNK)

    async def send(self, data: bytes) -> None:
        """Sends, at the pace of the client."""
        self._connection.write(data)
        await self._connection.drain()

    async def close(self) -> None:
        """Hangs up."""
        self._connection.close()


def asks_for_spdy(request: web.BaseRequest) -> bool:
    """True if the client wants SPDY without a WebSocket around it."""
    return request.headers.get("Upgrade", "").lower() == SPDY.lower()


def upgrade_to_spdy(request: web.BaseRequest, served: Sequence[str]) -> tuple[RawLink, str]:
    """Agrees to SPDY and to the first protocol of the client's that is served; 403 if there is none.

    A client that names no protocol speaks the last one of those served.
    """
    asked = [name.strip() for value in request.headers.getall(PROTOCOL_HEADER, []) for name in value.split(",")]
    chosen = next((name for name in asked if name in served), "" if asked else served[-1])
    if not chosen:
        why = f"client supports [{' '.join(asked)}], server accepts [{' '.join(served)}]"
        raise web.HTTPForbidden(text=f"unable to upgrade: unable to negotiate protocol: {why}")
    head = switching_protocols(SPDY, {PROTOCOL_HEADER: chosen})
    return RawLink(Connection(request, head)), chosen
