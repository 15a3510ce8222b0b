"""SPDY's streams as channels: how they are opened, cut and ended, without a network."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections.abc import Coroutine
from typing import Any

import pytest

from lab_helpers.pocketkube.kubelet.streams.channels import CLOSE, RESIZE, STDIN, STDOUT, SpdyChannels, StreamOptions
from lab_helpers.pocketkube.kubelet.streams.spdy import DICTIONARY, SpdyCodec, StreamData, data_frame

FAILURE = {"status": "Failure", "message": "it failed"}
GOODBYE = struct.pack(">IIII", 0x80030007, 8, 0, 0)


class Client:
    """Sends what it was given, piece by piece, and keeps what is sent to it."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = [*pieces]
        self.sent = b""
        self.closed = False

    async def receive(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    async def send(self, data: bytes) -> None:
        self.sent += data

    async def close(self) -> None:
        self.closed = True

    def streams(self) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for frame in SpdyCodec().feed(self.sent):
            if isinstance(frame, StreamData):
                found[frame.stream_id] = found.get(frame.stream_id, b"") + frame.data + (b"|" if frame.last else b"")
        return found


def opened(*kinds: str) -> bytes:
    """Streams 1, 3, 5 ... of these types."""
    deflater, frames = zlib.compressobj(zdict=DICTIONARY), b""
    for index, kind in enumerate(kinds):
        texts = b"".join(struct.pack(">I", len(text)) + text.encode() for text in ("streamtype", kind))
        block = deflater.compress(struct.pack(">I", 1) + texts) + deflater.flush(zlib.Z_SYNC_FLUSH)
        body = struct.pack(">IIH", 2 * index + 1, 0, 0) + block
        frames += struct.pack(">II", 0x80030001, len(body)) + body
    return frames


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 10))


def test_messages_are_those_of_the_streams_however_they_are_cut() -> None:
    async def story() -> None:
        sizes = b'{"Width":80,"Height":24}\n{"Width":100,'
        client = Client(
            opened("error", "stdin", "stdout", "resize") + data_frame(3, b"early"),
            data_frame(7, sizes) + data_frame(7, b'"Height":40}\n'),
            data_frame(3, b"", last=True) + GOODBYE,
        )
        channels = SpdyChannels(client, "v4.channel.k8s.io")
        await channels.open(StreamOptions(stdin=True, stdout=True, tty=True))
        assert [message async for message in channels.messages()] == [
            (STDIN, b"early"),
            (RESIZE, b'{"Width":80,"Height":24}'),
            (RESIZE, b'{"Width":100,"Height":40}'),
            (CLOSE, bytes([STDIN])),
        ]

    run(story())


@pytest.mark.parametrize(
    ("protocol", "ending"), [("v4.channel.k8s.io", json.dumps(FAILURE).encode()), ("v2.channel.k8s.io", b"it failed")]
)
def test_the_end_is_told_on_the_error_stream_and_every_stream_ends(protocol: str, ending: bytes) -> None:
    async def story() -> None:
        client = Client(opened("error", "stdout"))
        channels = SpdyChannels(client, protocol)
        await channels.open(StreamOptions(stdout=True))
        await channels.send(STDOUT, b"x" * 100_000)
        await channels.finish(FAILURE)
        assert client.streams() == {1: ending + b"|", 3: b"x" * 100_000 + b"|"}
        assert client.closed

    run(story())


@pytest.mark.parametrize("sent", [b"", opened("error"), b"GET / HTTP/1.1\r\n\r\n"])
def test_a_client_that_does_not_open_its_streams_is_left(sent: bytes) -> None:
    async def story() -> None:
        client = Client(sent)
        with pytest.raises(ConnectionResetError):
            await SpdyChannels(client, "v4.channel.k8s.io").open(StreamOptions(stdout=True))
        assert client.closed

    run(story())
