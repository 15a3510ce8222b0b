"""The channels of exec and attach: a process' streams, its ending and its terminal's size, between client and kubelet.

In a WebSocket the first byte of every message says which channel it belongs to; in SPDY each channel is a stream of
its own. What the channels are used for is left to `remote_command.py`.
Models kubelet pkg/cri/streaming/remotecommand, websocket.go and httpstream.go (v1.36).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Protocol

from aiohttp import WSMsgType, web

from ...objects import Obj
from ...upgrade import Upgraded
from .link import Link, asks_for_spdy, upgrade_to_spdy
from .spdy import (
    LARGEST_DATA,
    Goodbye,
    Pinged,
    ProtocolError,
    SpdyCodec,
    StreamData,
    StreamOpened,
    data_frame,
    ping_frame,
    refuse_frame,
)

V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"
PROTOCOLS = (V5, V4, "channel.k8s.io")
SPDY_PROTOCOLS = (V5, V4, "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255

_STREAM_TYPES = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE}
_OPENING_SECONDS = 30.0
_LEAVING_SECONDS = 1.0


@dataclass(frozen=True)
class StreamOptions:
    """Which streams of a process a client wants."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


class Channels(Protocol):
    """A client's end of the streams."""

    @property
    def response(self) -> web.StreamResponse:
        """What the request's handler returns in the end."""
        ...

    def messages(self) -> AsyncIterator[tuple[int, bytes]]:
        """What the client sends, until it leaves. (CLOSE, channel) is the end of a channel."""
        ...

    async def send(self, channel: int, data: bytes) -> None:
        """Sends on a channel, unless the client has left."""
        ...

    async def finish(self, status: Obj) -> None:
        """Tells how it ended, and hangs up."""
        ...


async def open_channels(request: web.Request, options: StreamOptions) -> Channels:
    """Accepts what the client wants to upgrade to; the newest protocol that both know is chosen."""
    if asks_for_spdy(request):
        link, protocol = upgrade_to_spdy(request, SPDY_PROTOCOLS)
        channels = SpdyChannels(link, protocol)
        await channels.open(options)
        return channels
    socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0, compress=False)
    await socket.prepare(request)
    return WebSocketChannels(socket)


class WebSocketChannels:
    """Channels numbered by the first byte of each message."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    @property
    def response(self) -> web.StreamResponse:
        """The WebSocket."""
        return self._socket

    async def messages(self) -> AsyncIterator[tuple[int, bytes]]:
        """What the client sends, until it leaves."""
        async for message in self._socket:
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                continue
            data = message.data.encode() if isinstance(message.data, str) else message.data
            if data:
                yield data[0], data[1:]

    async def send(self, channel: int, data: bytes) -> None:
        """Sends one message."""
        if not self._socket.closed:
            await self._socket.send_bytes(bytes([channel]) + data)

    async def finish(self, status: Obj) -> None:
        """Sends the status, and closes the WebSocket. The protocol without a version says nothing of success."""
        ending = _ending(self._socket.ws_protocol or "", status)
        if ending:
            await self.send(ERROR, ending)
        await self._socket.close()


class SpdyChannels:
    """Channels that are streams of a SPDY connection, which the client opens."""

    def __init__(self, link: Link, protocol: str) -> None:
        self._link = link
        self._protocol = protocol
        self._codec = SpdyCodec()
        self._streams: dict[int, int] = {}
        self._channels: dict[int, int] = {}
        self._early: list[tuple[int, bytes]] = []
        self._sizes = b""
        self._left = False

    @property
    def response(self) -> web.StreamResponse:
        """Nothing more than what was sent."""
        return Upgraded()

    async def open(self, options: StreamOptions) -> None:
        """Waits until the client has opened every stream that its options speak of."""
        expected = {ERROR}
        expected |= {STDIN} if options.stdin else set()
        expected |= {STDOUT} if options.stdout else set()
        expected |= {STDERR} if options.stderr and not options.tty else set()
        expected |= {RESIZE} if options.tty and self._protocol in SPDY_PROTOCOLS[:3] else set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_OPENING_SECONDS):
                while not self._left and not expected <= self._streams.keys():
                    self._early += await self._receive()
        if not expected <= self._streams.keys():
            await self._link.close()
            raise ConnectionResetError("timed out waiting for the client to create streams")

    async def messages(self) -> AsyncIterator[tuple[int, bytes]]:
        """What the client sends, until it leaves."""
        while self._early:
            yield self._early.pop(0)
        while not self._left:
            for message in await self._receive():
                yield message

    async def send(self, channel: int, data: bytes) -> None:
        """Sends on the channel's stream, if the client has opened one."""
        stream_id = self._streams.get(channel)
        if stream_id is None or self._left:
            return
        for start in range(0, len(data), LARGEST_DATA):
            await self._link.send(data_frame(stream_id, data[start : start + LARGEST_DATA]))

    async def finish(self, status: Obj) -> None:
        """Ends all streams, then waits a moment for the client to leave, so that it can read them to their ends."""
        await self.send(ERROR, _ending(self._protocol, status))
        for channel in (STDOUT, STDERR, ERROR):
            if channel in self._streams and not self._left:
                await self._link.send(data_frame(self._streams[channel], b"", last=True))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVING_SECONDS):
                while not self._left:
                    await self._receive()
        await self._link.close()

    async def _receive(self) -> list[tuple[int, bytes]]:
        data = await self._link.receive()
        if not data:
            self._left = True
        messages: list[tuple[int, bytes]] = []
        try:
            for frame in self._codec.feed(data):
                if isinstance(frame, StreamOpened):
                    await self._opened(frame)
                elif isinstance(frame, StreamData):
                    messages += self._data(frame)
                elif isinstance(frame, Pinged):
                    await self._link.send(ping_frame(frame.number))
                elif isinstance(frame, Goodbye):
                    self._left = True
        except ProtocolError:
            self._left = True
        return messages

    async def _opened(self, stream: StreamOpened) -> None:
        channel = _STREAM_TYPES.get(stream.headers.get("streamtype", ""))
        if channel is None or channel in self._streams:
            await self._link.send(refuse_frame(stream.stream_id))
            return
        self._streams[channel] = stream.stream_id
        self._channels[stream.stream_id] = channel
        await self._link.send(self._codec.accept(stream.stream_id))

    def _data(self, frame: StreamData) -> Iterator[tuple[int, bytes]]:
        channel = self._channels.get(frame.stream_id)
        if channel == RESIZE:
            # One JSON object a line, however the stream is cut.
            *lines, self._sizes = (self._sizes + frame.data).split(b"\n")
            yield from ((RESIZE, line) for line in lines if line)
        elif channel == STDIN and frame.data:
            yield STDIN, frame.data
        if channel == STDIN and frame.last:
            yield CLOSE, bytes([STDIN])


def _ending(protocol: str, status: Obj) -> bytes:
    """How it ended; the protocols before v4 know a sentence, and nothing for success."""
    if protocol in (V5, V4):
        return json.dumps(status).encode()
    return str(status.get("message", "")).encode()
