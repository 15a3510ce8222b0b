"""A connection that has left HTTP: takes over the bytes of an upgraded request from aiohttp.

What is spoken after the upgrade, and what the 101 answer says, is left to the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from aiohttp import web

CHUNK = 64 * 1024


class Upgraded(web.StreamResponse):
    """Tells aiohttp that the answer has been given and the connection is over."""

    @property
    def keep_alive(self) -> bool | None:
        """Never: the connection does not speak HTTP any more."""
        return False

    async def prepare(self, request: web.BaseRequest) -> None:
        """Sends nothing."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Sends nothing."""
        return None


class _Inlet:
    """What aiohttp hands a connection's bytes to after an upgrade."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._reader.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self._reader.feed_eof()


class Connection:
    """The client's end after the upgrade."""

    def __init__(self, request: web.BaseRequest, head: bytes) -> None:
        """Answers with `head`, the 101 with its headers. Raises ConnectionResetError if the client has gone."""
        client = request.transport
        if client is None:
            raise ConnectionResetError("the client has gone")
        self._transport = client
        self._request = request
        self.reader = asyncio.StreamReader(limit=CHUNK)
        # With the transport the reader pauses a client that sends faster than we read.
        self.reader.set_transport(client)
        request.protocol.set_parser(_Inlet(self.reader))  # type: ignore[arg-type]
        client.write(head)

    def write(self, data: bytes) -> None:
        """Sends, soon."""
        if not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Waits for a client that reads slowly."""
        await self._request.writer.drain()

    def close(self) -> None:
        """Hangs up, after what was written."""
        self._transport.close()


def switching_protocols(protocol: str, headers: Mapping[str, str]) -> bytes:
    """The head of an answer that agrees to an upgrade."""
    lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", f"Upgrade: {protocol}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


async def splice(client: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carries bytes both ways until either side ends."""
    copies = [
        asyncio.create_task(_copy(client.reader, writer.write, writer.drain)),
        asyncio.create_task(_copy(reader, client.write, client.drain)),
    ]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)


async def _copy(
    reader: asyncio.StreamReader, write: Callable[[bytes], None], drain: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    while data := await reader.read(CHUNK):
        write(data)
        await drain()
