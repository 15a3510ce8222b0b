"""gRPC probes, against answers recorded from a server written with grpc-go."""

from __future__ import annotations

import asyncio

import pytest

from lab_helpers.pocketkube.kubelet.grpc_health import HealthAnswer, check_health, decode_headers

SERVING = (
    "0000060400000000000005000040000000000401000000000000040800000000000000000500000806000000000002041010090e070700"
    "000e010400000001885f8b1d75d0620d263d4c4d65640000070000000000010000000002080100001801050000000140889acac8b21234"
    "da8f013040899acac8b5254207317f00"
)
UNKNOWN_SERVICE = (
    "0000060400000000000005000040000000000401000000000000040800000000000000000d00000806000000000002041010090e070700"
    "0031010500000001885f8b1d75d0620d263d4c4d656440889acac8b21234da8f013540899acac8b5254207317f8bb6aeb51fc54a20b677"
    "310b"
)


def ask(answer: bytes) -> tuple[HealthAnswer, bytes]:
    """Asks a server that answers what was recorded; returns what was made of it, and what the server was sent."""

    async def scenario() -> tuple[HealthAnswer, bytes]:
        asked = bytearray()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.extend(await reader.read(4096))
            writer.write(answer)
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1")
        async with server, asyncio.timeout(5):
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                return await check_health(reader, writer, "10.244.0.7:5000", "db", "kube-probe/1.36"), bytes(asked)
            finally:
                writer.close()

    return asyncio.run(scenario())


def test_a_serving_server_is_serving() -> None:
    answer, asked = ask(bytes.fromhex(SERVING))
    assert answer == HealthAnswer("OK", status="SERVING")
    assert b"/grpc.health.v1.Health/Check" in asked and asked.endswith(b"\0\0\0\0\4\x0a\2db")


def test_a_server_that_is_not_serving_says_so() -> None:
    answer, _ = ask(bytes.fromhex(SERVING.replace("00000000020801", "00000000020802")))
    assert answer == HealthAnswer("OK", status="NOT_SERVING")


def test_an_error_has_its_code_and_its_words() -> None:
    answer, _ = ask(bytes.fromhex(UNKNOWN_SERVICE))
    assert answer == HealthAnswer("NotFound", "unknown service")


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", bytes.fromhex("000008070000000000") + bytes(8)]
)
def test_what_is_no_grpc_server_is_told_apart(answer: bytes) -> None:
    async def scenario() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(answer)
        reader.feed_eof()
        server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1")
        async with server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            with pytest.raises(ConnectionError):
                await check_health(reader, writer, "x:1", "", "kube-probe/1.36")
            writer.close()

    asyncio.run(scenario())


def test_huffman_coded_headers_are_read() -> None:
    """RFC 7541, C.4.3: `custom-key: custom-value`, written out with a new name."""
    assert decode_headers(bytes.fromhex("408825a849e95ba97d7f8925a849e95bb8e8b4bf")) == {"custom-key": "custom-value"}
