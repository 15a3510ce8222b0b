"""The proxy subresources: what a Pod is asked, what the client sees of its answers, and what is said without any."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from lab_helpers.pocketkube.api.proxy import serve_proxy
from lab_helpers.pocketkube.api.proxy_target import ProxyTarget
from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.upgrade import Connection, Upgraded, splice, switching_protocols

PREFIX = "/api/v1/namespaces/default/pods/web/proxy"
BIG = b"0123456789" * 300_000


async def pod(request: web.Request) -> web.StreamResponse:
    """What runs in the Pod."""
    match request.path:
        case "/page":
            text = '<a href="/next">n</a> <img src=\'x.png\'> <a href="https://elsewhere/">e</a> <p title="/no">'
            return web.Response(text=text, content_type="text/html")
        case "/moved":
            return web.Response(status=302, headers={"Location": request.query["to"]})
        case "/big":
            return web.Response(body=BIG)
        case "/stream":
            response = web.StreamResponse()
            response.enable_chunked_encoding()
            await response.prepare(request)
            for part in (b"one ", b"two ", b"three"):
                await response.write(part)
            return response
        case "/ws":
            socket = web.WebSocketResponse(protocols=["chat"])
            await socket.prepare(request)
            async for message in socket:
                await socket.send_str(message.data.upper())
            return socket
        case "/empty":
            return web.Response(status=204)
    body = await request.content.read()
    seen = {"method": request.method, "target": request.path_qs, "headers": dict(request.headers), "size": len(body)}
    return web.json_response(seen, headers={"X-Pod": "web"})


@dataclass
class Front:
    """The API server's side, and a client of it."""

    session: aiohttp.ClientSession
    url: str
    pod_port: int
    dialled: list[str]


@asynccontextmanager
async def a_front() -> AsyncIterator[Front]:
    runner = web.ServerRunner(web.Server(pod))  # type: ignore[arg-type]
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pod_port = runner.addresses[0][1]
    dialled: list[str] = []

    async def kubelet(request: web.BaseRequest) -> web.StreamResponse:
        dialled.append(request.path)
        if request.path.endswith("/81"):
            return web.Response(status=502, text="connect: connection refused")
        if not request.path.startswith("/dial/"):
            return web.Response(text=f"kubelet {request.path_qs}")
        reader, writer = await asyncio.open_connection("127.0.0.1", pod_port)
        await splice(Connection(request, switching_protocols("tcp", {})), reader, writer)
        writer.close()
        return Upgraded()

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        node, closed = "nodes/" in request.path, "closed" in request.path
        target = ProxyTarget("" if node else f"/dial/default/web/{81 if closed else 80}", "10.244.0.9:80")
        try:
            return await serve_proxy(request, target, path)
        except StatusError as error:
            return web.json_response(error.status, status=error.code)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kubelet.sock"
        loop = asyncio.get_running_loop()
        inner = await loop.create_unix_server(web.Server(kubelet), str(path))
        front = web.Server(serve, handler_cancellation=True)
        outer = await loop.create_server(front, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{outer.sockets[0].getsockname()[1]}"
        async with aiohttp.ClientSession() as session:
            yield Front(session, url, pod_port, dialled)
        outer.close()
        inner.close()
        await front.shutdown(1)
        await runner.cleanup()


def run(story: Callable[[Front], Awaitable[None]]) -> None:
    async def inner() -> None:
        async with asyncio.timeout(20), a_front() as front:
            await story(front)

    asyncio.run(inner())


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_request_arrives_as_it_was_sent(method: str) -> None:
    async def story(front: Front) -> None:
        headers = {"Authorization": "Bearer secret", "X-Mine": "1"}
        data = None if method in ("GET", "OPTIONS") else BIG
        url = f"{front.url}{PREFIX}/a%2Fb/c?x=1&y=%20"
        async with front.session.request(method, url, data=data, headers=headers) as answer:
            seen = json.loads(await answer.read())
            assert (answer.status, answer.headers["X-Pod"]) == (200, "web")
        assert (seen["method"], seen["target"]) == (method, "/a%2Fb/c?x=1&y=%20")
        assert seen["size"] == len(data or b"")
        assert "Authorization" not in seen["headers"] and seen["headers"]["X-Mine"] == "1"
        assert seen["headers"]["X-Forwarded-Uri"] == f"{PREFIX}/a%2Fb/c"
        assert front.dialled == ["/dial/default/web/80"]

    run(story)


def test_a_body_of_unknown_length_arrives_whole() -> None:
    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(BIG), 100_000):
            yield BIG[start : start + 100_000]

    async def story(front: Front) -> None:
        async with front.session.post(f"{front.url}{PREFIX}/", data=parts()) as answer:
            assert (await answer.json())["size"] == len(BIG)

    run(story)


@pytest.mark.parametrize(("path", "body"), [("big", BIG), ("stream", b"one two three"), ("empty", b"")])
def test_answers_of_every_length_arrive_whole(path: str, body: bytes) -> None:
    async def story(front: Front) -> None:
        async with front.session.get(f"{front.url}{PREFIX}/{path}") as answer:
            assert await answer.read() == body
        async with front.session.head(f"{front.url}{PREFIX}/{path}") as answer:
            assert answer.status in (200, 204) and await answer.read() == b""

    run(story)


def test_links_lead_through_the_proxy_again() -> None:
    async def story(front: Front) -> None:
        async with front.session.get(f"{front.url}{PREFIX}/page") as answer:
            assert await answer.text() == (
                f'<a href="{PREFIX}/next">n</a> <img src=\'x.png\'> <a href="https://elsewhere/">e</a> <p title="/no">'
            )
        for given, seen in (
            ("/login?a=b", f"{PREFIX}/login?a=b"),
            ("http://10.244.0.9:80/in/", f"{PREFIX}/in/"),
            ("there", "there"),
            ("https://elsewhere/x", "https://elsewhere/x"),
        ):
            url = f"{front.url}{PREFIX}/moved"
            async with front.session.get(url, params={"to": given}, allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (302, seen)

    run(story)


def test_the_root_ends_in_a_slash() -> None:
    async def story(front: Front) -> None:
        async with front.session.get(f"{front.url}{PREFIX}?a=b", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (301, f"{PREFIX}/?a=b")
        async with front.session.post(f"{front.url}{PREFIX}", data=b"x") as answer:
            assert (await answer.json())["target"] == "/"

    run(story)


def test_websockets_pass() -> None:
    async def story(front: Front) -> None:
        async with front.session.ws_connect(f"{front.url}{PREFIX}/ws", protocols=["chat"]) as socket:
            assert socket.protocol == "chat"
            await socket.send_str("hello")
            assert await socket.receive_str() == "HELLO"

    run(story)


def test_a_node_is_its_kubelet() -> None:
    async def story(front: Front) -> None:
        async with front.session.get(f"{front.url}/api/v1/nodes/lab/proxy/pods?x=1") as answer:
            assert await answer.text() == "kubelet /pods?x=1"

    run(story)


def test_without_a_connection_the_reason_is_told() -> None:
    async def story(front: Front) -> None:
        async with front.session.get(f"{front.url}/api/v1/namespaces/default/pods/closed/proxy/") as answer:
            status = await answer.json()
        assert (status["code"], status["reason"]) == (503, "ServiceUnavailable")
        why = "error trying to reach service: dial tcp 10.244.0.9:80: connect: connection refused"
        assert status["message"] == why

    run(story)
