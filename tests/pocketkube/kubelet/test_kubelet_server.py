"""The kubelet's own HTTP server over fakes: logs, exec and attach as clients of the real one know them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from kubelet_fakes import Lab, new_pod, run_lab

from lab_helpers.pocketkube.kubelet.runtime import ExitStatus, Process
from lab_helpers.pocketkube.kubelet.server import KubeletServer
from lab_helpers.pocketkube.kubelet.streams.channels import CLOSE, ERROR, RESIZE, STDERR, STDIN, STDOUT

Story = Callable[[Lab, aiohttp.ClientSession], Awaitable[None]]
EXEC = "http://kubelet/exec/default/web/app"


def run_server(folder: Path, story: Story) -> None:
    async def with_server(lab: Lab) -> None:
        socket = folder / "kubelet.sock"
        connector = aiohttp.UnixConnector(str(socket))
        async with (
            KubeletServer(socket, [lab.kubelet], lab.runtime, lab.clock),
            aiohttp.ClientSession(connector=connector) as session,
        ):
            assert socket.stat().st_mode & 0o777 == 0o600
            await lab.run_pod(new_pod())
            await story(lab, session)

    run_lab(folder, with_server)


class Echo:
    """A process that answers every input in capitals until its input ends, then exits with 7."""

    pid = 1

    def __init__(self, *, tty: bool = False) -> None:
        self.stdout = asyncio.StreamReader()
        self.stderr = None if tty else asyncio.StreamReader()
        self.stdin = _Input(self)
        self.sizes: list[tuple[int, int]] = []
        self.signals: list[int] = []
        self.ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()

    def take(self, data: bytes) -> None:
        self.stdout.feed_data(data.upper())
        if self.stderr is not None:
            self.stderr.feed_data(b"!")

    def end(self) -> None:
        self.stdout.feed_eof()
        if self.stderr is not None:
            self.stderr.feed_eof()
        self.ended.set_result(ExitStatus(7))

    def resize(self, width: int, height: int) -> None:
        self.sizes.append((width, height))

    def kill(self, signal: int) -> None:
        self.signals.append(signal)
        if not self.ended.done():
            self.end()

    async def wait(self) -> ExitStatus:
        return await asyncio.shield(self.ended)


class _Input:
    def __init__(self, process: Echo) -> None:
        self._process = process

    def write(self, data: bytes) -> None:
        self._process.take(data)

    async def drain(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        self._process.end()


def offer(lab: Lab, *, tty: bool = False) -> list[Echo]:
    """Makes the runtime's exec and attach give Echo processes; returns the list of those started."""
    started: list[Echo] = []

    async def give(container_id: str, *_: object, **__: object) -> Process:
        started.append(Echo(tty=tty))
        return started[-1]  # type: ignore[return-value]

    lab.runtime.exec = lab.runtime.attach = give  # type: ignore[method-assign,assignment]
    return started


async def channels(socket: aiohttp.ClientWebSocketResponse) -> dict[int, bytes]:
    """All that is still to come, by channel."""
    found: dict[int, bytes] = {}
    async for message in socket:
        found[message.data[0]] = found.get(message.data[0], b"") + message.data[1:]
    return found


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
def test_exec_carries_all_streams_and_the_exit_code(tmp_path: Path, protocol: str) -> None:
    async def story(lab: Lab, session: aiohttp.ClientSession) -> None:
        started = offer(lab)
        url = f"{EXEC}?command=sh&input=1&output=1&error=1"
        async with session.ws_connect(url, protocols=[protocol]) as socket:
            assert socket.protocol == protocol
            await socket.send_bytes(bytes([STDIN]) + b"hello")
            assert (await socket.receive_bytes())[1:] == b"HELLO"
            if protocol.startswith("v5"):
                await socket.send_bytes(bytes([CLOSE, STDIN]))
            else:
                started[0].end()
            found = await channels(socket)
        assert STDOUT not in found and found[STDERR] == b"!"
        status = json.loads(found[ERROR])
        assert (status["status"], status["reason"]) == ("Failure", "NonZeroExitCode")
        assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]

    run_server(tmp_path, story)


def test_a_terminal_is_resized_and_hung_up_when_the_client_leaves(tmp_path: Path) -> None:
    async def story(lab: Lab, session: aiohttp.ClientSession) -> None:
        started = offer(lab, tty=True)
        async with session.ws_connect(
            f"{EXEC}?command=sh&input=1&output=1&tty=1", protocols=["v5.channel.k8s.io"]
        ) as ws:
            await ws.send_bytes(bytes([RESIZE]) + b'{"Width": 120, "Height": 40}')
            await ws.send_bytes(bytes([RESIZE]) + b"nonsense")
            await ws.send_bytes(bytes([STDIN]) + b"x")
            assert await ws.receive_bytes() == bytes([STDOUT]) + b"X"
        await asyncio.wait_for(started[0].wait(), 5)
        assert started[0].sizes == [(120, 40)] and started[0].signals == [1]

    run_server(tmp_path, story)


def test_a_command_that_cannot_be_started_is_told_over_the_error_channel(tmp_path: Path) -> None:
    async def refuse(*_: object, **__: object) -> Process:
        raise RuntimeError('exec: "nosuch": executable file not found in $PATH')

    async def story(lab: Lab, session: aiohttp.ClientSession) -> None:
        lab.runtime.exec = refuse  # type: ignore[method-assign,assignment]
        async with session.ws_connect(f"{EXEC}?command=nosuch&output=1", protocols=["v5.channel.k8s.io"]) as socket:
            status = json.loads((await channels(socket))[ERROR])
        assert status["code"] == 500 and "executable file not found in $PATH" in status["message"]

    run_server(tmp_path, story)


def test_an_attached_client_leaves_the_container_alone(tmp_path: Path) -> None:
    async def story(lab: Lab, session: aiohttp.ClientSession) -> None:
        started = offer(lab)
        url = "http://kubelet/attach/default/web/app?input=1&output=1&error=1"
        async with session.ws_connect(url, protocols=["v5.channel.k8s.io"]) as socket:
            await socket.send_bytes(bytes([STDIN]) + b"hello")
            assert (await socket.receive_bytes())[1:] == b"HELLO"
            await socket.send_bytes(bytes([CLOSE, STDIN]))
        await lab.settle()
        assert not started[0].ended.done() and started[0].signals == []

    run_server(tmp_path, story)


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("exec/default/nosuch/app?command=x&output=1", 404, 'pod "nosuch_default" not found'),
        ("exec/default/web/nosuch?command=x&output=1", 404, 'container "nosuch" not found in pod "web_default"'),
        ("exec/default/web/app?command=x", 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("exec/default/web/app?command=x&output=1", 400, "Upgrade request required"),
        ("containerLogs/default/web/app?tailLines=x", 400, "unable to decode query"),
        (
            "containerLogs/default/web/app?previous=true",
            400,
            'previous terminated container "app" in pod "web" not found',
        ),
    ],
)
def test_what_is_wrong_with_a_request_is_said(tmp_path: Path, path: str, code: int, message: str) -> None:
    async def story(lab: Lab, session: aiohttp.ClientSession) -> None:
        async with session.get(f"http://kubelet/{path}") as response:
            assert response.status == code and message in await response.text()

    run_server(tmp_path, story)


def test_logs_are_those_of_the_run_that_is_meant(tmp_path: Path) -> None:
    async def logs(session: aiohttp.ClientSession, options: str = "") -> str:
        async with session.get(f"http://kubelet/containerLogs/default/web/app{options}") as response:
            return await response.text()

    async def story(lab: Lab, session: aiohttp.ClientSession) -> None:
        write_log(lab, "first")
        assert await logs(session) == "first\n"
        await lab.end("app", 1)
        write_log(lab, "second")
        assert await logs(session) == "second\n"
        assert await logs(session, "?previous=true") == "first\n"
        await lab.end("app", 1)  # now it waits in CrashLoopBackOff
        assert await logs(session) == await logs(session, "?previous=true") == "second\n"
        await lab.advance(10)
        write_log(lab, "third")
        assert await logs(session, "?previous=true") == "second\n"
        assert await logs(session, "?timestamps=true") == "2026-01-01T00:00:00.000000000Z third\n"

    run_server(tmp_path, story)


def test_a_container_that_waits_for_its_image_has_no_logs(tmp_path: Path) -> None:
    async def story(lab: Lab, session: aiohttp.ClientSession) -> None:
        await lab.run_pod(new_pod("bad", container={"image": "nosuch"}))
        async with session.get("http://kubelet/containerLogs/default/bad/app") as response:
            text = await response.text()
        assert text == 'container "app" in pod "bad" is waiting to start: image can\'t be pulled'

    run_server(tmp_path, story)


def test_logs_are_followed_until_the_container_ends(tmp_path: Path) -> None:
    async def story(lab: Lab, session: aiohttp.ClientSession) -> None:
        started = offer(lab)
        write_log(lab, "first")
        async with session.get("http://kubelet/containerLogs/default/web/app?follow=true") as response:
            assert await response.content.readline() == b"first\n"
            write_log(lab, "second")
            started[0].take(b"x")
            assert await response.content.readline() == b"second\n"
            started[0].end()
            assert await response.content.read() == b""

    run_server(tmp_path, story)


def test_health_and_pods_are_shown(tmp_path: Path) -> None:
    async def story(lab: Lab, session: aiohttp.ClientSession) -> None:
        async with session.get("http://kubelet/healthz") as response:
            assert await response.text() == "ok"
        async with session.get("http://kubelet/pods") as response:
            assert [pod["metadata"]["name"] for pod in (await response.json())["items"]] == ["web"]

    run_server(tmp_path, story)


def write_log(lab: Lab, text: str) -> None:
    path = lab.runtime.spec_of("app").log_path
    assert path is not None
    with path.open("a") as file:
        file.write(f"2026-01-01T00:00:00.000000000Z stdout F {text}\n")
