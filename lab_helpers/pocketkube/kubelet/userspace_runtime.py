"""The container runtime without namespaces: containers are ordinary processes of the user, in folders of their own.

Their system calls are answered by `interception`, so that they find themselves on the simulated network and see their
container's files. What differs from namespaces: every process of the user is visible, process ids are the machine's
own, and a program that wants to get out can.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..descendants import descendants
from ..interception.files import Files
from ..interception.interceptor import Interceptor
from ..interception.sockets import SocketBook, Sockets
from ..network.machines import Machine
from ..network.simulated_commands import answers
from ..network.userspace import UserspaceEngine
from .container_runtime import DEFAULT_TERMINAL, Container, ContainerRuntime, PodSandbox
from .runtime import ContainerSpec, SandboxSpec
from .spawn import SpawnRequest
from .template import Child, Template
from .userspace_files import PrivateFiles


class Interceptors:
    """Starts programs on the machines of a simulated network."""

    def __init__(self, engine: UserspaceEngine, template: Template) -> None:
        self._engine = engine
        self._template = template
        self._book = SocketBook()

    async def spawn(
        self, request: SpawnRequest, machine: Machine, hostname: str, files: Files, streams: Mapping[str, int]
    ) -> Child:
        """Starts a program. Raises SpawnError."""
        sockets = Sockets(machine, self._engine.connections, self._book, files)

        def intercept(listener: int) -> None:
            Interceptor(listener, hostname, sockets, files)

        return await self._template.spawn(replace(request, intercepted=str(files.programs.folder)), streams, intercept)


class UserspaceRuntime(ContainerRuntime):
    """Pods on the simulated network."""

    def __init__(
        self, engine: UserspaceEngine, template: Template, files: PrivateFiles, interceptors: Interceptors
    ) -> None:
        super().__init__(template, engine)
        self._engine = engine
        self._files = files
        self._interceptors = interceptors
        self._seen: dict[str, Files] = {}

    def _open(self, identity: str, spec: SandboxSpec) -> PodSandbox:
        if spec.host_network:
            machine = self._engine.machine(spec.node)
            return PodSandbox(identity, spec, machine.ip, None, {})
        own = self._engine.attach(spec.node, spec.hostname)
        return PodSandbox(identity, spec, own.ip, own, {})

    def _close(self, pod: PodSandbox) -> None:
        if isinstance(pod.own, Machine):
            self._engine.detach(pod.own)

    async def _spawn_first(
        self, identity: str, pod: PodSandbox, spec: ContainerSpec, streams: Mapping[str, int]
    ) -> Child:
        view = self._files.prepare(
            identity, hosts=pod.spec.hosts, resolv_conf=pod.spec.resolv_conf, files=spec.files, layers=spec.layers,
            mounts=spec.mounts, produced=answers(self._engine, self._machine(pod)),
        )  # fmt: skip
        files = self._seen[identity] = Files(view, self._files.programs(identity))
        request = SpawnRequest(
            list(spec.argv), dict(spec.env), builtin=spec.builtin, working_dir=spec.working_dir or "/",
            terminal=DEFAULT_TERMINAL if spec.tty else None,
        )  # fmt: skip
        return await self._interceptors.spawn(request, self._machine(pod), self._hostname(pod), files, streams)

    async def _spawn_into(self, container: Container, request: SpawnRequest, streams: Mapping[str, int]) -> Child:
        pod = container.pod
        return await self._interceptors.spawn(
            request, self._machine(pod), self._hostname(pod), self._seen[container.id], streams
        )

    async def _connect(self, pod: PodSandbox, host: str, port: int) -> socket.socket:
        return await self._engine.dial_from(self._machine(pod), host, port)

    def _end_rest(self, container: Container) -> None:
        end_all_in(self._seen[container.id].programs.folder)

    def _remove_files(self, identity: str) -> None:
        self._seen.pop(identity, None)
        self._files.remove(identity)

    def _machine(self, pod: PodSandbox) -> Machine:
        return pod.own if isinstance(pod.own, Machine) else self._engine.machine(pod.spec.node)

    def _hostname(self, pod: PodSandbox) -> str:
        return pod.spec.hostname


def end_all_in(folder: Path) -> None:
    """Kills all processes of a container, wherever they have gone: for the kernel each is in the container's folder."""
    while alive := [pid for pid in descendants(os.getpid()) if _is_in(pid, folder)]:
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _is_in(pid: int, folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cwd").readlink() == folder
    return False
