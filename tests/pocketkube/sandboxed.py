"""Runs a scenario inside a sandbox, as the node process would, and keeps that alive for the test."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import shutil
import signal
import tempfile
import traceback
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab_helpers.pocketkube import sandbox
from lab_helpers.pocketkube.config import ClusterConfig
from lab_helpers.pocketkube.kubelet.kernel_runtime import KernelRuntime
from lab_helpers.pocketkube.kubelet.rootfs import RootBuilder
from lab_helpers.pocketkube.kubelet.runtime import ContainerSpec, Sandbox, SandboxSpec
from lab_helpers.pocketkube.kubelet.template import Template
from lab_helpers.pocketkube.network.kernel import KernelEngine
from lab_helpers.pocketkube.shell_server import KernelPlaces, ShellServer

PATH = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
HTTP_SERVER = f"{__name__}:serve_hostname"
"""An image's program: answers every request with its host name, on port 80."""


def serve_hostname(argv: list[str]) -> int:
    import socket
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"{socket.gethostname()} to {self.client_address[0]}\n".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            print(format % args)

    server = HTTPServer(("", 80), Handler)
    server.serve_forever()
    return 0


@dataclass
class Lab:
    """What a scenario has at hand, inside the sandbox."""

    config: ClusterConfig
    template: Template
    roots: RootBuilder
    engine: KernelEngine
    runtime: KernelRuntime

    async def sandbox(self, name: str = "web", node: str = "") -> Sandbox:
        return await self.runtime.run_sandbox(SandboxSpec(node or self.config.name, name))

    async def run(self, pod: Sandbox, *argv: str, **settings: Any) -> str:
        return await self.runtime.start_container(pod.id, ContainerSpec("main", argv, PATH, **settings))

    async def serve(self, pod: Sandbox, **settings: Any) -> str:
        """Starts a web server and returns its container when it answers."""
        container = await self.run(pod, "server", builtin=HTTP_SERVER, **settings)
        async with asyncio.timeout(5):
            while True:
                try:
                    _reader, writer = await self.runtime.dial(pod.id, 80)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.005)
                    continue
                writer.close()
                return container

    async def output(self, container: str, *argv: str) -> tuple[int, str, str]:
        """Runs a command in a container to its end."""
        process = await self.runtime.exec(container, argv)
        assert process.stdout and process.stderr
        out, err = await asyncio.gather(process.stdout.read(), process.stderr.read())
        return (await process.wait()).exit_code, out.decode(), err.decode()


@dataclass
class Running:
    """A sandbox whose scenario has returned; its processes go on."""

    result: Any
    pid: int
    config: ClusterConfig


Scenario = Callable[[Lab], Awaitable[Any]]


@contextlib.contextmanager
def running(scenario: Scenario, *, nodes: int = 1, overlays: bool = True) -> Iterator[Running]:
    """Runs a scenario in a new sandbox; raises its error here."""
    state = Path(tempfile.mkdtemp(prefix="sl-"))
    config = ClusterConfig("lab", state, nodes=nodes)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _become_node(config, scenario, overlays, writing)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as pipe:
            error, result = pickle.load(pipe)
        assert not error, error
        yield Running(result, pid, config)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        shutil.rmtree(state)


def run(scenario: Scenario, **settings: Any) -> Any:
    """Runs a scenario in a sandbox of its own and returns its result."""
    with running(scenario, **settings) as finished:
        return finished.result


def _become_node(config: ClusterConfig, scenario: Scenario, overlays: bool, writing: int) -> None:
    try:
        inside = sandbox.enter(config.state_dir / "sandbox")
        template = Template.start(inside.files, one_user=not inside.all_users)
        asyncio.run(_serve(config, scenario, overlays, writing, inside, template))
    except BaseException:
        os.write(writing, pickle.dumps((traceback.format_exc(), None)))
    finally:
        os._exit(1)


async def _serve(
    config: ClusterConfig,
    scenario: Scenario,
    overlays: bool,
    writing: int,
    inside: sandbox.Sandbox,
    template: Template,
) -> None:
    roots = RootBuilder(inside.files, all_users=inside.all_users, hidden=[config.state_dir], overlays=overlays)
    engine = await KernelEngine.create(config, template)
    lab = Lab(config, template, roots, engine, KernelRuntime(engine, template, roots))
    async with ShellServer(config.shell_socket, KernelPlaces(engine, template, roots)):
        async with asyncio.timeout(30):
            result = await scenario(lab)
        os.write(writing, pickle.dumps(("", result)))
        os.close(writing)
        await asyncio.Event().wait()
