"""Port-forwarding: TCP connections into a Pod, carried in one connection of a client.

kubectl speaks SPDY, today inside a WebSocket, and opens a pair of streams for each connection; the Python client uses
numbered channels of a WebSocket, a pair for each port. Where connections are made to is left to the caller (`Dial`).
Models kubelet pkg/cri/streaming/portforward (httpstream.go, websocket.go; v1.36).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from aiohttp import web

from ...upgrade import Upgraded
from .channels import V4, V5
from .link import Link, WebSocketLink, asks_for_spdy, upgrade_to_spdy
from .spdy import (
    LARGEST_DATA,
    Goodbye,
    Pinged,
    ProtocolError,
    SpdyCodec,
    StreamData,
    StreamOpened,
    StreamReset,
    data_frame,
    ping_frame,
    refuse_frame,
)

PROTOCOL = "portforward.k8s.io"
TUNNEL = f"SPDY/3.1+{PROTOCOL}"

Dial = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""Connects to a port of the Pod. Raises OSError."""

_WAITING_CHUNKS = 32


async def serve_port_forward(request: web.Request, ports: Sequence[int], dial: Dial) -> web.StreamResponse:
    """Carries connections until the client leaves."""
    if asks_for_spdy(request):
        link, _ = upgrade_to_spdy(request, (PROTOCOL,))
        await _serve(link, _Tunnel(link, dial))
        return Upgraded()
    socket = web.WebSocketResponse(protocols=(TUNNEL, V5, V4), max_msg_size=0, compress=False)
    await socket.prepare(request)
    carrier = WebSocketLink(socket)
    tunnels = socket.ws_protocol == TUNNEL  # A client that names no protocol, such as kr8s, means channels.
    try:
        await _serve(carrier, _Tunnel(carrier, dial) if tunnels else _Channels(carrier, ports, dial))
    except ProtocolError:
        await socket.close(code=1002)
    return socket


async def _serve(link: Link, forwarding: _Forwarding) -> None:
    try:
        while data := await link.receive():
            await forwarding.receive(data)
    finally:
        await forwarding.close()


class _Inbox:
    """What the client sends on one connection, until somebody takes it. A full one holds the client up."""

    def __init__(self) -> None:
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(_WAITING_CHUNKS)
        self._closed = asyncio.Event()

    async def put(self, data: bytes) -> None:
        """Adds a chunk; an empty one is the end. Forgets it if nobody reads any more."""
        if self._closed.is_set():
            return
        waits = [asyncio.ensure_future(self._chunks.put(data)), asyncio.ensure_future(self._closed.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def get(self) -> bytes:
        """The next chunk."""
        return await self._chunks.get()

    def close(self) -> None:
        """Nobody reads any more."""
        self._closed.set()


class _Forwarding:
    """What both ways of carrying connections share: copying, and tasks that end with the client."""

    def __init__(self, link: Link, dial: Dial) -> None:
        self._link = link
        self._dial = dial
        self._tasks: set[asyncio.Task[None]] = set()

    async def receive(self, data: bytes) -> None:
        """Handles what the client has sent."""
        raise NotImplementedError

    async def close(self) -> None:
        """Cuts all connections."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _send(self, data: bytes) -> None:
        await self._link.send(data)

    async def _connect(self, port: int, inbox: _Inbox, send: Callable[[bytes], Awaitable[None]]) -> str:
        """One connection from beginning to end. Returns what went wrong, if anything."""
        try:
            reader, writer = await self._dial(port)
        except OSError as error:
            why = "connect: connection refused" if isinstance(error, ConnectionRefusedError) else str(error)
            return f"failed to connect to localhost:{port} inside the Pod's network: dial tcp4 127.0.0.1:{port}: {why}"
        upload = asyncio.create_task(_upload(inbox, writer))
        try:
            while data := await reader.read(LARGEST_DATA):
                await send(data)
        except ConnectionError as error:
            return f"failed to copy from port {port}: {error}"
        finally:
            upload.cancel()
            inbox.close()
            writer.close()
        return ""


class _Tunnel(_Forwarding):
    """SPDY: a connection is a stream for data and one for an error, with the same request ID."""

    def __init__(self, link: Link, dial: Dial) -> None:
        super().__init__(link, dial)
        self._codec = SpdyCodec()
        self._halves: dict[str, dict[str, StreamOpened]] = {}
        self._inboxes: dict[int, _Inbox] = {}
        self._connections: dict[int, asyncio.Task[None]] = {}

    async def receive(self, data: bytes) -> None:
        """Handles what the client has sent."""
        for frame in self._codec.feed(data):
            if isinstance(frame, StreamData):
                await self._data(frame.stream_id, frame.data, last=frame.last)
            elif isinstance(frame, StreamOpened):
                await self._opened(frame)
            elif isinstance(frame, StreamReset):
                connection = self._connections.get(frame.stream_id)
                if connection is not None:
                    connection.cancel()
            elif isinstance(frame, Pinged):
                await self._send(ping_frame(frame.number))
            elif isinstance(frame, Goodbye):
                await self._link.close()

    async def _data(self, stream_id: int, data: bytes, *, last: bool) -> None:
        inbox = self._inboxes.get(stream_id)
        if inbox is None:
            return
        if data:
            await inbox.put(data)
        if last:
            await inbox.put(b"")

    async def _opened(self, stream: StreamOpened) -> None:
        kind, port = stream.headers.get("streamtype", ""), stream.headers.get("port", "")
        if kind not in ("data", "error") or not port.isdigit():
            await self._send(refuse_frame(stream.stream_id))
            return
        await self._send(self._codec.accept(stream.stream_id))
        request_id = stream.headers.get("requestid") or str(stream.stream_id - (2 if kind == "data" else 0))
        halves = self._halves.setdefault(request_id, {})
        halves[kind] = stream
        if kind == "data":
            self._inboxes[stream.stream_id] = _Inbox()
        if len(halves) == 2:
            del self._halves[request_id]
            task = self._start(self._carry(int(port), halves["data"].stream_id, halves["error"].stream_id))
            self._connections[halves["data"].stream_id] = task

    async def _carry(self, port: int, data_id: int, error_id: int) -> None:
        async def send(data: bytes) -> None:
            await self._send(data_frame(data_id, data))

        try:
            problem = await self._connect(port, self._inboxes[data_id], send)
            await self._send(data_frame(error_id, problem.encode(), last=True))
            await self._send(data_frame(data_id, b"", last=True))
        finally:
            self._inboxes.pop(data_id).close()
            del self._connections[data_id]


class _Channels(_Forwarding):
    """Numbered channels: 2i carries the data of the i-th port, 2i+1 its error. Each begins with the port's number."""

    def __init__(self, link: Link, ports: Sequence[int], dial: Dial) -> None:
        super().__init__(link, dial)
        self._inboxes = [_Inbox() for _ in ports]
        for index, port in enumerate(ports):
            self._start(self._carry(index, port))

    async def receive(self, data: bytes) -> None:
        """Handles what the client has sent."""
        if len(data) > 1 and data[0] % 2 == 0 and data[0] // 2 < len(self._inboxes):
            await self._inboxes[data[0] // 2].put(data[1:])

    async def _carry(self, index: int, port: int) -> None:
        channel, error_channel = bytes([2 * index]), bytes([2 * index + 1])

        async def send(data: bytes) -> None:
            await self._send(channel + data)

        number = struct.pack("<H", port)
        await self._send(channel + number)
        await self._send(error_channel + number)
        problem = await self._connect(port, self._inboxes[index], send)
        if problem:
            await self._send(error_channel + problem.encode())
        if len(self._tasks) == 1:
            await self._link.close()  # it was the last connection


async def _upload(inbox: _Inbox, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await inbox.get():
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except ConnectionError:
        inbox.close()
