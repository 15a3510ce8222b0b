"""Port-forwarding over a WebSocket, from the client's side, to a server on the loopback address."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from lab_helpers.pocketkube.kubelet.streams.port_forward import TUNNEL, serve_port_forward
from lab_helpers.pocketkube.kubelet.streams.spdy import DICTIONARY, Frame, Pinged, SpdyCodec, StreamData, data_frame

BIG = 3_000_000


class Client:
    """The client's half of SPDY: opens streams and collects what comes back on them."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self._codec = SpdyCodec()
        self._deflater = zlib.compressobj(zdict=DICTIONARY)
        self.received: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.pings: list[int] = []

    async def open(self, stream_id: int, **headers: str) -> None:
        plain = struct.pack(">I", len(headers)) + b"".join(
            struct.pack(">I", len(text)) + text.encode() for pair in headers.items() for text in pair
        )
        block = self._deflater.compress(plain) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
        body = struct.pack(">IIH", stream_id, 0, 0) + block
        await self.send(struct.pack(">II", 0x80030001, len(body)) + body)

    async def connect(self, number: int, port: int) -> int:
        """Opens the two streams of a connection; returns the one for data."""
        common = {"port": str(port), "requestid": str(number)}
        await self.open(4 * number + 1, streamtype="error", **common)
        await self.open(4 * number + 3, streamtype="data", **common)
        return 4 * number + 3

    async def send(self, data: bytes) -> None:
        # Frames need not arrive in one piece.
        middle = len(data) // 2
        await self.socket.send_bytes(data[:middle])
        await self.socket.send_bytes(data[middle:])

    async def until(self, done: Callable[[], bool]) -> None:
        while not done():
            message = await self.socket.receive_bytes()
            for frame in self._codec.feed(message):
                self._take(frame)

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, StreamData):
            self.received[frame.stream_id] = self.received.get(frame.stream_id, b"") + frame.data
            if frame.last:
                self.ended.add(frame.stream_id)
        elif isinstance(frame, Pinged):
            self.pings.append(frame.number)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends everything back, and ends when the other side has ended."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


def run(story: Callable[[aiohttp.ClientSession, str, int], Awaitable[None]]) -> None:
    async def main() -> None:
        async def dial(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection("127.0.0.1", port)

        async def handler(request: web.Request) -> web.StreamResponse:
            ports = [int(port) for port in request.query.getall("port", [])]
            return await serve_port_forward(request, ports, dial)

        application = web.Application()
        application.router.add_get("/", handler)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        async with asyncio.timeout(20), server, aiohttp.ClientSession() as session:
            await story(session, url, port)
        await runner.cleanup()

    asyncio.run(main())


def test_several_connections_travel_at_once_and_arrive_whole() -> None:
    async def story(session: aiohttp.ClientSession, url: str, port: int) -> None:
        async with session.ws_connect(url, protocols=[TUNNEL], max_msg_size=0) as socket:
            client = Client(socket)
            texts = {await client.connect(number, port): bytes([65 + number]) * BIG for number in range(3)}

            async def upload(stream_id: int, text: bytes) -> None:
                for start in range(0, BIG, 50_000):
                    await socket.send_bytes(data_frame(stream_id, text[start : start + 50_000]))
                await socket.send_bytes(data_frame(stream_id, b"", last=True))

            uploads = [asyncio.create_task(upload(*item)) for item in texts.items()]
            await client.until(lambda: client.ended >= texts.keys() | {s - 2 for s in texts})
            await asyncio.gather(*uploads)
            assert {stream: client.received[stream] for stream in texts} == texts
            assert all(client.received[stream - 2] == b"" for stream in texts)

    run(story)


def test_a_refused_connection_is_told_on_the_error_stream() -> None:
    async def story(session: aiohttp.ClientSession, url: str, port: int) -> None:
        async with session.ws_connect(url, protocols=[TUNNEL]) as socket:
            client = Client(socket)
            data = await client.connect(0, 1)
            await client.until(lambda: client.ended == {data, data - 2})
            assert client.received[data - 2].endswith(b"dial tcp4 127.0.0.1:1: connect: connection refused")

    run(story)


def test_pings_are_answered() -> None:
    async def story(session: aiohttp.ClientSession, url: str, port: int) -> None:
        async with session.ws_connect(url, protocols=[TUNNEL]) as socket:
            client = Client(socket)
            await client.send(struct.pack(">III", 0x80030006, 4, 77))
            await client.until(lambda: client.pings == [77])

    run(story)


@pytest.mark.parametrize(
    "nonsense",
    [struct.pack(">II", 0x80020001, 0), struct.pack(">II", 0x80030001, 12) + b"x" * 12],
    ids=["version", "headers"],
)
def test_nonsense_closes_the_connection(nonsense: bytes) -> None:
    async def story(session: aiohttp.ClientSession, url: str, port: int) -> None:
        async with session.ws_connect(url, protocols=[TUNNEL]) as socket:
            await socket.send_bytes(nonsense)
            assert (await socket.receive()).type == aiohttp.WSMsgType.CLOSE

    run(story)


def test_the_python_client_uses_a_pair_of_channels_for_each_port() -> None:
    async def story(session: aiohttp.ClientSession, url: str, port: int) -> None:
        async with session.ws_connect(f"{url}?port={port}&port=1", protocols=["v4.channel.k8s.io"]) as socket:
            found: dict[int, bytes] = {}
            await socket.send_bytes(b"\0hello")
            while found.get(0, b"")[2:] != b"hello" or not found.get(3, b"").endswith(b"refused"):
                message = await socket.receive_bytes()
                found[message[0]] = found.get(message[0], b"") + message[1:]
            assert found[0][:2] == found[1] == struct.pack("<H", port)
            assert found[2] == found[3][:2] == struct.pack("<H", 1)

    run(story)


def test_the_dictionary_is_the_one_of_the_protocol() -> None:
    assert len(DICTIONARY) == 1423 and zlib.adler32(DICTIONARY) == 0xE3C6A7C2
