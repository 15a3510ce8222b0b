"""Streams into Pods: what reaches the kubelet, and that bytes pass both ways untouched."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from lab_helpers.pocketkube.api.kubelet_proxy import KubeletProxy
from lab_helpers.pocketkube.api.routes import Route
from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.resources.table import RESOURCES

POD: Obj = {
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"nodeName": "lab", "containers": [{"name": "c"}]},
}
TWO: Obj = {
    "metadata": {"name": "two", "namespace": "default"},
    "spec": {"nodeName": "lab", "containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]},
}
PENDING: Obj = {"metadata": {"name": "late", "namespace": "default"}, "spec": {"containers": [{"name": "c"}]}}
PODS = {pod["metadata"]["name"]: pod for pod in (POD, TWO, PENDING)}


class Kubelet:
    """Answers as the kubelet's server would, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path_qs}")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._echo_websocket(request)
        if "Upgrade" in request.headers:
            return await self._echo_raw(request)
        if request.path.endswith("/gone"):
            return web.Response(status=400, text="container gone is waiting to start")
        response = web.StreamResponse()
        await response.prepare(request)
        for line in (b"one\n", b"two\n"):
            await response.write(line)
        return response

    async def _echo_websocket(self, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=["v5.channel.k8s.io"])
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data)
        return socket

    async def _echo_raw(self, request: web.BaseRequest) -> web.StreamResponse:
        if "refuse" in request.query_string:
            return web.Response(status=403, text="not here")
        reader = asyncio.StreamReader()
        transport = request.transport
        assert transport is not None

        class Inlet:
            def feed_data(self, data: bytes) -> tuple[bool, bytes]:
                reader.feed_data(data)
                return False, b""

            def feed_eof(self) -> None:
                reader.feed_eof()

        request.protocol.set_parser(Inlet())  # type: ignore[arg-type]
        transport.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
        while data := await reader.read(65536):
            transport.write(data)
        return web.Response()


class Lab:
    """A proxy between a kubelet and a client."""

    def __init__(self, kubelet: Kubelet, proxy: KubeletProxy, port: int, session: aiohttp.ClientSession) -> None:
        self.kubelet = kubelet
        self.proxy = proxy
        self.port = port
        self.session = session

    def url(self, pod: str, subresource: str, query: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/{pod}/{subresource}?{query}"


@asynccontextmanager
async def a_lab(*, with_kubelet: bool = True) -> AsyncIterator[Lab]:
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kubelet.sock"
        kubelet, proxy = Kubelet(), KubeletProxy(path)
        listeners: list[asyncio.Server] = []
        if with_kubelet:
            listeners.append(await loop.create_unix_server(web.Server(kubelet, access_log=None), str(path)))

        async def serve(request: web.BaseRequest) -> web.StreamResponse:
            pod, subresource = request.path.strip("/").split("/")
            route = Route(RESOURCES["pods"], "default", pod, subresource)
            try:
                return await proxy.serve(request, route, PODS[pod], list(request.query.items()))
            except StatusError as error:
                return web.json_response(error.status, status=error.code)

        front = web.Server(serve, access_log=None, handler_cancellation=True)
        listeners.append(await loop.create_server(front, "127.0.0.1", 0))
        port = listeners[-1].sockets[0].getsockname()[1]
        async with aiohttp.ClientSession() as session:
            yield Lab(kubelet, proxy, port, session)
        for listener in listeners:
            listener.close()
        await front.shutdown(1)


def run(scenario: Callable[[Lab], Awaitable[None]], **options: Any) -> None:
    async def inner() -> None:
        async with a_lab(**options) as lab, asyncio.timeout(20):
            await scenario(lab)

    asyncio.run(inner())


def test_exec_reaches_the_only_container_with_translated_options() -> None:
    async def scenario(lab: Lab) -> None:
        url = lab.url("web", "exec", "command=sh&command=-c&command=a%20%26b&stdin=true&stdout=true&stderr=false&tty=1")
        async with lab.session.ws_connect(url, protocols=["v5.channel.k8s.io"]) as socket:
            assert socket.protocol == "v5.channel.k8s.io"
            await socket.send_bytes(b"\x00hello")
            assert (await socket.receive()).data == b"\x00hello"
        assert lab.kubelet.asked == [
            "GET /exec/default/web/c?command=sh&command=-c&command=a+%26b&input=1&output=1&tty=1"
        ]

    run(scenario)


def test_large_messages_pass_whole_both_ways() -> None:
    async def scenario(lab: Lab) -> None:
        data = os.urandom(3_000_000)
        async with lab.session.ws_connect(lab.url("web", "attach", "stdin=1"), max_msg_size=0) as socket:
            for start in range(0, len(data), 500_000):
                part = data[start : start + 500_000]
                await socket.send_bytes(part)
                assert (await socket.receive()).data == part
        assert lab.kubelet.asked == ["GET /attach/default/web/c?input=1"]

    run(scenario)


def test_spdy_is_carried_without_being_understood() -> None:
    async def scenario(lab: Lab) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
        writer.write(
            b"POST /web/portforward?ports=80&ports=81 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
            b"Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n"
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        data = b"\x80\x03\x00\x01" + os.urandom(200_000)
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        writer.close()
        assert lab.kubelet.asked == ["POST /portForward/default/web?port=80%2C81"]

    run(scenario)


def test_a_kubelet_that_does_not_upgrade_is_passed_on() -> None:
    async def scenario(lab: Lab) -> None:
        headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
        async with lab.session.post(lab.url("web", "exec", "command=refuse"), headers=headers) as answer:
            assert (answer.status, await answer.text()) == (403, "not here")

    run(scenario)


def test_logs_are_plain_text_with_the_options_the_kubelet_knows() -> None:
    async def scenario(lab: Lab) -> None:
        async with lab.session.get(lab.url("web", "log", "follow=true&tailLines=5&pretty=1")) as answer:
            assert answer.content_type == "text/plain"
            assert await answer.text() == "one\ntwo\n"
        assert lab.kubelet.asked == ["GET /containerLogs/default/web/c?follow=true&tailLines=5"]

    run(scenario)


def test_a_pod_without_a_node_has_no_logs_and_no_processes() -> None:
    async def scenario(lab: Lab) -> None:
        async with lab.session.get(lab.url("late", "log")) as answer:
            assert (answer.status, await answer.read()) == (204, b"")
        async with lab.session.get(lab.url("late", "exec")) as answer:
            assert (await answer.json())["message"] == "pod late does not have a host assigned"

    run(scenario)


@pytest.mark.parametrize("subresource", ["log", "exec", "attach"])
def test_the_container_has_to_be_clear(subresource: str) -> None:
    async def scenario(lab: Lab) -> None:
        async with lab.session.get(lab.url("two", subresource)) as answer:
            assert answer.status == 400
            message = "a container name must be specified for pod two, choose one of: [i a b]"
            assert (await answer.json())["message"] == message
        async with lab.session.get(lab.url("two", subresource, "container=z")) as answer:
            assert (await answer.json())["message"] == "container z is not valid for pod two"

    run(scenario)


def test_what_the_kubelet_says_of_logs_comes_as_a_status() -> None:
    async def scenario(lab: Lab) -> None:
        pod = {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {**POD["spec"], "containers": [{"name": "gone"}]},
        }
        PODS["gone"] = pod
        async with lab.session.get(lab.url("gone", "log")) as answer:
            status = json.loads(await answer.text())
        del PODS["gone"]
        assert (answer.status, status["reason"]) == (400, "BadRequest")
        assert status["message"] == "container gone is waiting to start"

    run(scenario)


@pytest.mark.parametrize("subresource", ["log", "exec"])
def test_without_a_kubelet_the_error_says_so(subresource: str) -> None:
    async def scenario(lab: Lab) -> None:
        async with lab.session.get(lab.url("web", subresource)) as answer:
            assert answer.status == 500
            assert (await answer.json())["message"].startswith("Internal error occurred: error dialing backend: ")

    run(scenario, with_kubelet=False)


def test_stopping_cuts_the_streams() -> None:
    async def scenario(lab: Lab) -> None:
        async with lab.session.ws_connect(lab.url("web", "exec", "command=sh")) as socket:
            await socket.send_bytes(b"x")
            assert (await socket.receive()).data == b"x"
            lab.proxy.stop()
            assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)

    run(scenario)
