"""HTTP probes against a real server: what counts as well, and how far a redirect is followed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from lab_helpers.pocketkube.clock import Clock
from lab_helpers.pocketkube.kubelet.handlers import HandlerFailed, Target

ANSWERS = {
    "/good": "200 OK\r\n\r\nfine",
    "/bad": "503 Service Unavailable\r\n\r\n",
    "/to-good": "302 Found\r\nLocation: /good\r\n\r\n",
    "/to-bad": "301 Moved Permanently\r\nlocation: /bad\r\n\r\n",
    "/away": "302 Found\r\nLocation: http://203.0.113.1/\r\n\r\nelsewhere",
    "/round": "302 Found\r\nLocation: /round\r\n\r\n",
}


@dataclass
class Loopback:
    """A runtime whose Pods are this machine."""

    async def dial(self, _sandbox: str, port: int, *, host: str) -> Any:
        return await asyncio.open_connection(host, port)


def probe(path: str) -> str:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        writer.write(f"HTTP/1.1 {ANSWERS[asked]}".encode())
        await writer.drain()
        writer.close()

    async def scenario() -> str:
        server = await asyncio.start_server(serve, "127.0.0.1")
        async with server:
            runtime: Any = Loopback()
            target = Target(runtime, "sandbox", "container", {}, "127.0.0.1", Clock())
            port = server.sockets[0].getsockname()[1]
            return await target({"httpGet": {"path": path, "port": port}}, 5)

    return asyncio.run(scenario())


def test_a_redirect_is_followed_on_the_same_host() -> None:
    assert probe("/good") == probe("/to-good") == ""
    with pytest.raises(HandlerFailed, match="HTTP probe failed with statuscode: 503"):
        probe("/to-bad")


def test_a_redirect_to_another_host_is_well_and_odd() -> None:
    assert probe("/away") == "Probe terminated redirects, Response body: elsewhere"


def test_a_redirect_that_never_ends_is_a_failure() -> None:
    with pytest.raises(HandlerFailed, match="stopped after 10 redirects"):
        probe("/round")
