"""The DNS server as a program: over UDP and TCP, with its probes, from start to SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from dnslib import RCODE, DNSRecord

from lab_helpers.pocketkube.dns.program import API_SOCKET_VARIABLE, main
from lab_helpers.pocketkube.dns.server import DnsServer, serve_pages

_SERVE = "import sys; from lab_helpers.pocketkube.dns import main; sys.exit(main(['/coredns']))"
_ASK = """
import sys
from dnslib import DNSRecord
reply = DNSRecord.parse(DNSRecord.question(sys.argv[1]).send("127.0.0.1", 53, tcp=sys.argv[2] == "tcp", timeout=5))
print(*[record.rdata for record in reply.rr])
"""


def test_both_protocols_share_a_port_and_are_counted() -> None:
    async def scenario() -> None:
        server = DnsServer(lambda query: query.reply())
        port = await server.start("127.0.0.1", 0)
        query = DNSRecord.question("web.default.svc.cluster.local")
        for tcp in (False, True):
            wire = await asyncio.to_thread(query.send, "127.0.0.1", port, tcp=tcp, timeout=5)
            assert DNSRecord.parse(wire).header.id == query.header.id
        assert server.requests == {("udp", "A"): 1, ("tcp", "A"): 1}
        server.close()

    asyncio.run(scenario())


def test_a_tcp_client_may_ask_more_than_once_and_rubbish_ends_it() -> None:
    async def scenario() -> None:
        server = DnsServer(lambda query: query.reply())
        port = await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for name in ("a.cluster.local", "b.cluster.local"):
            wire = DNSRecord.question(name).pack()
            writer.write(len(wire).to_bytes(2, "big") + wire)
            length = int.from_bytes(await reader.readexactly(2), "big")
            assert str(DNSRecord.parse(await reader.readexactly(length)).q.qname) == name + "."
        bad = b"\x12\x34\x01\x00\x00\x01" + b"\xff" * 8
        writer.write(len(bad).to_bytes(2, "big") + bad)
        length = int.from_bytes(await reader.readexactly(2), "big")
        reply = DNSRecord.parse(await reader.readexactly(length))
        assert (reply.header.id, RCODE[reply.header.rcode]) == (0x1234, "FORMERR")
        writer.write(b"\x00\x01x")
        assert await reader.read() == b""
        server.close()

    asyncio.run(scenario())


def test_pages() -> None:
    async def scenario() -> None:
        server = await serve_pages("127.0.0.1", 0, {"/health": lambda: (200, "OK")})
        port = server.sockets[0].getsockname()[1]
        for path, status in (("/health?x", b"200"), ("/nosuch", b"404")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert (await reader.read()).split()[1] == status
            writer.close()
        server.close()

    asyncio.run(scenario())


def test_without_an_api_there_is_nothing_to_serve(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(API_SOCKET_VARIABLE, raising=False)
    assert main(["/coredns"]) == 1
    assert API_SOCKET_VARIABLE in capsys.readouterr().err


@asynccontextmanager
async def api(folder: Path) -> AsyncIterator[Path]:
    """An API server that has one namespace and one Service, and never any news."""
    items = {
        "namespaces": [{"metadata": {"name": "default", "uid": "1", "resourceVersion": "1"}}],
        "services": [
            {
                "metadata": {"name": "web", "namespace": "default", "uid": "2", "resourceVersion": "1"},
                "spec": {"clusterIP": "10.96.0.20", "ports": [{"port": 80}]},
            }
        ],
        "endpointslices": [],
    }

    async def serve(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            response = web.StreamResponse()
            await response.prepare(request)
            await asyncio.Event().wait()
        resource = request.path.rpartition("/")[2]
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items[resource]})

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    socket = folder / "api.sock"
    await web.UnixSite(runner, str(socket)).start()
    yield socket
    await runner.cleanup()


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@pytest.mark.kernel
def test_it_serves_on_the_usual_ports_until_sigterm(folder: Path) -> None:
    async def scenario() -> None:
        async with api(folder) as socket:
            process = await asyncio.create_subprocess_exec(
                *("unshare", "-Urn", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", sys.executable, "-c", _SERVE),
                env={**os.environ, API_SOCKET_VARIABLE: str(socket)},
                stdout=subprocess.PIPE,
            )
            assert process.stdout is not None
            enter = ("nsenter", "-t", str(process.pid), "-U", "-n", "--preserve-credentials")
            try:
                async with asyncio.timeout(20):
                    while (await process.stdout.readline()).strip() != b".:53":
                        pass
                for protocol in ("udp", "tcp"):
                    name = "web.default.svc.cluster.local"
                    assert await run(*enter, sys.executable, "-c", _ASK, name, protocol) == "10.96.0.20\n"
                for page, said in (("8080/health", "OK"), ("8181/ready", "OK"), ("9153/metrics", 'proto="tcp"')):
                    fetch = f"from urllib.request import urlopen; print(urlopen('http://127.0.0.1:{page}').read())"
                    assert said in await run(*enter, sys.executable, "-c", fetch)
                started = time.monotonic()
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
                assert time.monotonic() - started < 2
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    asyncio.run(scenario())


async def run(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()
