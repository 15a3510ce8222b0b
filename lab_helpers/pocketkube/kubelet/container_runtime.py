"""The container runtime: Pod sandboxes and containers out of the template's children.

Where they live, in namespaces or on a simulated network, is left to `kernel_runtime` and `userspace_runtime`; which
containers a Pod has, and when they start again, to the kubelet. Models containerd's CRI plugin (v2.1) and
opencontainers/runc (v1.3).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..linux import ADMIN_PATH
from ..network.engine import Engine
from ..network.host_ports import HostPorts
from .container_io import ContainerLog, OutputPump, pump, reader_of, set_terminal_size, writer_of
from .memory_watch import MemoryWatch
from .runtime import ContainerExited, ContainerSpec, ExitStatus, Process, Sandbox, SandboxSpec
from .spawn import SpawnRequest
from .template import Child, SpawnError, Template

LAST_OUTPUT_SECONDS = 2.0
"""How long a container's end waits for what is left in its pipes."""

DEFAULT_TERMINAL = (80, 24)
_START_FAILED = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
    "runc create failed: unable to start container process: {}"
)
_EXEC_FAILED = (
    'failed to exec in container: failed to start exec "{}": OCI runtime exec failed: '
    "exec failed: unable to start container process: {}"
)


@dataclass
class PodSandbox:
    """A sandbox and its containers."""

    id: str
    spec: SandboxSpec
    ip: str
    own: object
    """What the engine gave to it; None if the Pod uses its node's network."""
    descriptors: dict[str, int]
    containers: dict[str, Container] = field(default_factory=dict)


@dataclass
class Container:
    """A container whose first process was started."""

    id: str
    pod: PodSandbox
    spec: ContainerSpec
    child: Child
    log: ContainerLog
    pumps: dict[str, OutputPump]
    stdin: asyncio.StreamWriter | None
    terminal: int = -1
    ended: asyncio.Future[ExitStatus] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class _StartedProcess:
    """A process of `exec`, with its own streams."""

    def __init__(
        self,
        child: Child,
        *,
        stdin: asyncio.StreamWriter | None,
        stdout: asyncio.StreamReader | None,
        stderr: asyncio.StreamReader | None,
        terminal: int = -1,
    ) -> None:
        self._child = child
        self._terminal = terminal
        self.pid = child.pid
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        if terminal >= 0:
            child.ended.add_done_callback(lambda _: os.close(terminal))

    def resize(self, width: int, height: int) -> None:
        """Sets the terminal's size; nothing if there is none any more."""
        if self._terminal >= 0 and not self._child.ended.done():
            set_terminal_size(self._terminal, width, height)

    def kill(self, signal: int) -> None:
        """Sends a signal; nothing if it has ended."""
        self._child.kill(signal)

    async def wait(self) -> ExitStatus:
        """Waits until it has ended."""
        return await self._child.wait()


class _AttachedProcess:
    """A container's first process, seen by one of possibly several that are attached."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self.pid = container.child.pid
        self.stdin = container.stdin
        pumps = container.pumps
        self.stdout = pumps["stdout"].attach()
        self.stderr = pumps["stderr"].attach() if "stderr" in pumps else None

    def resize(self, width: int, height: int) -> None:
        """Sets the terminal's size; nothing if there is none any more."""
        if self._container.terminal >= 0 and not self._container.child.ended.done():
            set_terminal_size(self._container.terminal, width, height)

    def kill(self, signal: int) -> None:
        """Sends a signal; nothing if it has ended."""
        self._container.child.kill(signal)

    async def wait(self) -> ExitStatus:
        """Waits until the container has ended and its last output was read."""
        return await asyncio.shield(self._container.ended)


class ContainerRuntime(ABC):
    """Implements `runtime.Runtime`, all but what depends on where Pods live."""

    def __init__(self, template: Template, engine: Engine) -> None:
        self._template = template
        self._host_ports = HostPorts(engine)
        self._pods: dict[str, PodSandbox] = {}
        self._containers: dict[str, Container] = {}
        self._listeners: list[asyncio.Queue[ContainerExited]] = []
        self._watchers: set[asyncio.Task[None]] = set()
        self._memory = MemoryWatch()

    async def run_sandbox(self, spec: SandboxSpec) -> Sandbox:
        """Makes the Pod's namespaces and its network. Raises RuntimeError with a sentence for the user."""
        identity = secrets.token_hex(32)
        try:
            pod = self._open(identity, spec)
            if pod.own is not None:
                await self._open_ports(pod)
        except Exception as error:
            raise RuntimeError(f"failed to setup network for sandbox {identity!r}: {error}") from error
        self._pods[identity] = pod
        return Sandbox(identity, pod.ip)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """Ends every process of the Pod and gives its address back. Stopping twice does nothing."""
        pod = self._pods.pop(sandbox_id, None)
        if pod is None:
            return
        for container in pod.containers.values():
            container.child.kill(signal.SIGKILL)
        for container in pod.containers.values():
            await asyncio.shield(container.ended)
            del self._containers[container.id]
        await self._host_ports.close(sandbox_id)
        self._close(pod)

    async def _open_ports(self, pod: PodSandbox) -> None:
        try:
            await self._host_ports.open(pod.id, pod.spec.node, pod.ip, pod.spec.ports)
        except BaseException:
            self._close(pod)
            raise

    async def start_container(self, sandbox_id: str, spec: ContainerSpec) -> str:
        """Starts a container and returns its id. Raises RuntimeError with a sentence for the user."""
        pod = self._pods.get(sandbox_id)
        if pod is None:
            raise RuntimeError(f'sandbox container "{sandbox_id}" is not running')
        identity = secrets.token_hex(32)
        try:
            container = await self._start(identity, pod, spec)
        except (OSError, SpawnError) as error:
            self._remove_files(identity)
            raise RuntimeError(_START_FAILED.format(error)) from error
        if sandbox_id not in self._pods:
            container.child.kill(signal.SIGKILL)  # Stopped meanwhile.
        pod.containers[identity] = self._containers[identity] = container
        watcher = asyncio.create_task(self._watch(container))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        return identity

    async def stop_container(self, container_id: str, grace_seconds: float) -> ExitStatus:
        """SIGTERM, then SIGKILL after the grace period; returns how it ended."""
        container = self._container(container_id)
        container.child.kill(signal.SIGTERM)
        try:
            return await asyncio.wait_for(asyncio.shield(container.ended), grace_seconds)
        except TimeoutError:
            container.child.kill(signal.SIGKILL)
        return await asyncio.shield(container.ended)

    def kill_container(self, container_id: str, signal: int) -> None:
        """Sends a signal to a container's first process."""
        self._container(container_id).child.kill(signal)

    async def exec(self, container_id: str, argv: Sequence[str], *, tty: bool = False, stdin: bool = False) -> Process:
        """Starts a further process in a container. Raises RuntimeError with a sentence for the user."""
        container = self._container(container_id)
        if container.child.ended.done():
            raise RuntimeError(f"container {container_id} is not running")
        request = SpawnRequest(
            list(argv),
            {"PATH": ADMIN_PATH, **container.spec.env, **({"TERM": "xterm"} if tty else {})},
            working_dir=container.spec.working_dir or "/",
            rights=container.spec.rights,
            identity=container.spec.identity,
            terminal=DEFAULT_TERMINAL if tty else None,
        )
        with _Streams(stdin=stdin, tty=tty) as streams:
            try:
                child = await self._spawn_into(container, request, streams.theirs)
            except SpawnError as error:
                raise RuntimeError(_EXEC_FAILED.format(secrets.token_hex(32), error)) from error
            if tty:
                return _StartedProcess(
                    child, stdin=await writer_of(os.dup(child.handed)) if stdin else None,
                    stdout=await reader_of(os.dup(child.handed)), stderr=None, terminal=child.handed,
                )  # fmt: skip
            return _StartedProcess(
                child,
                stdin=await writer_of(streams.take("stdin")) if stdin else None,
                stdout=await reader_of(streams.take("stdout")),
                stderr=await reader_of(streams.take("stderr")),
            )

    async def attach(self, container_id: str) -> Process:
        """The container's first process with its streams: new output from now on."""
        container = self._container(container_id)
        if container.child.ended.done():
            raise RuntimeError(f"container {container_id} is not running")
        return _AttachedProcess(container)

    async def dial(
        self, sandbox_id: str, port: int, *, host: str = "127.0.0.1"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TCP connection made inside the Pod's network. Raises OSError."""
        end = await self._connect(self._pods[sandbox_id], host, port)
        try:
            return await asyncio.open_connection(sock=end)
        except BaseException:
            end.close()
            raise

    def exits(self) -> AsyncIterator[ContainerExited]:
        """Every container's end, in order, from the time of the call."""
        queue: asyncio.Queue[ContainerExited] = asyncio.Queue()
        self._listeners.append(queue)
        return self._follow(queue)

    async def _follow(self, queue: asyncio.Queue[ContainerExited]) -> AsyncIterator[ContainerExited]:
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.remove(queue)

    def _container(self, container_id: str) -> Container:
        container = self._containers.get(container_id)
        if container is None:
            raise RuntimeError(f'container "{container_id}" not found')
        return container

    async def _start(self, identity: str, pod: PodSandbox, spec: ContainerSpec) -> Container:
        with _Streams(stdin=spec.stdin, tty=spec.tty) as streams:
            child = await self._spawn_first(identity, pod, spec, streams.theirs)
            log = ContainerLog(spec.log_path)
            if spec.tty:
                terminal = child.handed
                pumps = {"stdout": await pump(os.dup(terminal), "stdout", log)}
                stdin = await writer_of(os.dup(terminal)) if spec.stdin else None
                return Container(identity, pod, spec, child, log, pumps, stdin, terminal)
            pumps = {name: await pump(streams.take(name), name, log) for name in ("stdout", "stderr")}
            stdin = await writer_of(streams.take("stdin")) if spec.stdin else None
        return Container(identity, pod, spec, child, log, pumps, stdin)

    async def _watch(self, container: Container) -> None:
        """Sees to a container's end: its last output, its layer, and those who want to know."""
        self._memory.add(container.child, container.spec.memory_limit)
        status = await container.child.wait()
        if self._memory.remove(container.child):
            status = replace(status, out_of_memory=True)
        self._end_rest(container)
        await asyncio.wait([pump.ended for pump in container.pumps.values()], timeout=LAST_OUTPUT_SECONDS)
        if container.stdin is not None:
            container.stdin.close()
        if container.terminal >= 0:
            os.close(container.terminal)
        self._remove_files(container.id)
        container.log.close()
        container.ended.set_result(status)
        event = ContainerExited(container.pod.id, container.id, status)
        for queue in self._listeners:
            queue.put_nowait(event)

    # What depends on where Pods live.

    @abstractmethod
    def _open(self, identity: str, spec: SandboxSpec) -> PodSandbox:
        """A new sandbox on the network."""

    @abstractmethod
    def _close(self, pod: PodSandbox) -> None:
        """Takes a sandbox off the network; its processes have ended."""

    @abstractmethod
    async def _spawn_first(
        self, identity: str, pod: PodSandbox, spec: ContainerSpec, streams: Mapping[str, int]
    ) -> Child:
        """Starts a container's first process in files of its own."""

    @abstractmethod
    async def _spawn_into(self, container: Container, request: SpawnRequest, streams: Mapping[str, int]) -> Child:
        """Starts a further process in a container."""

    @abstractmethod
    async def _connect(self, pod: PodSandbox, host: str, port: int) -> socket.socket:
        """A TCP connection made inside the Pod's network. Raises OSError."""

    @abstractmethod
    def _end_rest(self, container: Container) -> None:
        """Ends what a container's first process has left behind."""

    @abstractmethod
    def _remove_files(self, identity: str) -> None:
        """Removes a container's own files."""


class _Streams:
    """Pipes for a process that is about to start: their ends go with the request, ours are taken when it runs."""

    def __init__(self, *, stdin: bool, tty: bool) -> None:
        self.theirs: dict[str, int] = {}
        self._ours: dict[str, int] = {}
        if tty:
            return
        if stdin:
            self.theirs["stdin"], self._ours["stdin"] = os.pipe()
        else:
            self.theirs["stdin"] = os.open(os.devnull, os.O_RDONLY)
        for name in ("stdout", "stderr"):
            self._ours[name], self.theirs[name] = os.pipe()

    def take(self, name: str) -> int:
        """Our end of a stream, now the caller's."""
        return self._ours.pop(name)

    def __enter__(self) -> _Streams:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in (*self.theirs.values(), *self._ours.values()):
            with contextlib.suppress(OSError):
                os.close(descriptor)
