"""The template: a warm process that makes every other process of the sandbox by forking.

It is forked from the node process before that has an event loop, imports what Pods will need, and then waits. A
request arrives as a packet with descriptors; the child it forks takes the way that `spawn` describes. Exits are
reported as they happen. What is run, and where, is decided by `container_runtime`, `network.kernel` and
`shell_server`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from .. import linux, packets
from ..descendants import end_descendants
from ..linux import Namespace
from .runtime import ExitStatus
from .spawn import SpawnRequest, become, read_request


class SpawnError(RuntimeError):
    """A process could not be started, in the container runtime's words."""


@dataclass
class Child:
    """A process that the template started."""

    pid: int
    pidfd: int
    ended: asyncio.Future[ExitStatus]
    handed: int = -1
    """A descriptor that it handed over before its program ran: its terminal's other side. Whoever uses it closes it."""

    async def wait(self) -> ExitStatus:
        """Waits until it has ended; may be awaited by several tasks."""
        return await asyncio.shield(self.ended)

    def kill(self, signum: int) -> None:
        """Sends a signal; nothing if it has ended."""
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signum)

    def kill_group(self, signum: int) -> None:
        """Sends a signal to it and to all that it started in its process group."""
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signum)


@dataclass(frozen=True)
class Finished:
    """A command that has ended, and what it wrote."""

    status: ExitStatus
    stdout: str
    stderr: str


class Template:
    """The node process's side: sends requests, keeps account of what runs."""

    def __init__(self, end: socket.socket, pid: int, files: Path, one_user: bool) -> None:
        self.pid = pid
        self.files = files
        """The sandbox's tmpfs."""
        self.on_death: Callable[[], None] = _end_too
        """Called when the template has died; nothing can be started any more."""
        self._end = end
        self._one_user = one_user
        self._requests = 0
        self._answers: dict[int, asyncio.Future[Child]] = {}
        self._children: dict[int, Child] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def start(cls, files: Path, preload: Sequence[str] = (), *, one_user: bool = False) -> Template:
        """Forks the template. To be called before this process has threads or an event loop.

        `one_user`: only uid 0 exists in this sandbox.
        """
        ours, theirs = packets.pair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _serve(theirs, preload)
        theirs.close()
        ours.setblocking(False)
        return cls(ours, pid, files, one_user)

    async def spawn(
        self,
        request: SpawnRequest,
        descriptors: Mapping[str, int],
        on_intercepted: Callable[[int], None] | None = None,
    ) -> Child:
        """Starts a process; returns when its program runs. Raises SpawnError. The descriptors stay the caller's.

        An intercepted process goes on once `on_intercepted` has taken the descriptor of its questions.
        """
        ours, theirs = packets.pair()
        ours.setblocking(False)
        try:
            named = {"status": theirs.fileno(), **descriptors}
            wanted = replace(request, descriptors=list(named), one_user=self._one_user)
            child = await self._ask({"spawn": wanted.as_dict()}, list(named.values()))
            theirs.close()
            try:
                await self._started(ours, child, on_intercepted)
            except asyncio.CancelledError:
                child.kill(signal.SIGKILL)
                raise
            return child
        finally:
            ours.close()
            theirs.close()

    async def hold(self, root: Mapping[str, Any], descriptors: Mapping[str, int]) -> int:
        """Mounts a root and returns a descriptor of its mount namespace, which keeps it."""
        request = SpawnRequest([], {}, root=dict(root), hold=True)
        child = await self.spawn(request, descriptors)
        await child.wait()
        return child.handed

    async def command(
        self, argv: Sequence[str], environment: Mapping[str, str], *, network: int, input: str = ""
    ) -> Finished:
        """Runs a host program to its end with full rights in the sandbox's own root and a given network."""
        program = argv[0] if "/" in argv[0] else shutil.which(argv[0], path=environment["PATH"])
        if program is None:
            raise SpawnError(f'exec: "{argv[0]}": executable file not found in $PATH')
        streams = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
        try:
            os.write(streams[0], input.encode())
            os.lseek(streams[0], 0, os.SEEK_SET)
            wanted = {"program": program, "argv": list(argv), "environment": dict(environment)}
            child = await self._ask({"command": wanted}, [*streams, network])
            status = await child.wait()
            return Finished(status, _contents(streams[1]), _contents(streams[2]))
        finally:
            for stream in streams:
                os.close(stream)

    async def _started(self, status: socket.socket, child: Child, on_intercepted: Callable[[int], None] | None) -> None:
        """Waits for the status socket to close; a word before that is an error or a descriptor."""
        while (packet := await receive_packet(status)) is not None:
            message, received = packet
            if "error" in message:
                raise SpawnError(message["error"])
            if "intercepted" in message and on_intercepted is not None:
                on_intercepted(received[0])
            else:
                child.handed = received[0]

    async def _ask(self, message: packets.Message, descriptors: list[int]) -> Child:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._end, self._on_packet)
        self._requests += 1
        number = self._requests
        answer: asyncio.Future[Child] = self._loop.create_future()
        self._answers[number] = answer
        while True:
            try:
                packets.send(self._end, message | {"id": number}, descriptors)
                break
            except BlockingIOError:
                await asyncio.sleep(0.001)  # The template has a full queue: it is forking as fast as it can.
        return await answer

    def _on_packet(self) -> None:
        packet = packets.receive(self._end)
        if packet is None:
            assert self._loop is not None
            self._loop.remove_reader(self._end)
            self.on_death()
            return
        message, descriptors = packet
        if "exit" in message:
            self._on_exit(message)
        else:
            self._on_answer(message, descriptors)

    def _on_answer(self, message: packets.Message, descriptors: list[int]) -> None:
        assert self._loop is not None
        answer = self._answers.pop(message["id"])
        if "error" in message:
            if not answer.done():
                answer.set_exception(SpawnError(message["error"]))
            return
        child = Child(message["pid"], descriptors[0], self._loop.create_future())
        self._children[child.pid] = child
        if answer.done():
            child.kill(signal.SIGKILL)  # Nobody waits for it any more.
        else:
            answer.set_result(child)

    def _on_exit(self, message: packets.Message) -> None:
        child = self._children.pop(message["exit"], None)
        if child is None:
            return
        code = os.waitstatus_to_exitcode(message["status"])
        status = ExitStatus(code if code >= 0 else 128 - code, max(0, -code), message["at"])
        child.ended.set_result(status)
        os.close(child.pidfd)


async def receive_packet(end: socket.socket) -> tuple[packets.Message, list[int]] | None:
    """The next packet of a non-blocking socket; None when the other end is gone."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def on_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(end, on_ready)
    try:
        await ready
        return packets.receive(end)
    finally:
        loop.remove_reader(end)


def _contents(descriptor: int) -> str:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")


def _end_too() -> None:
    """Without its template the node process is of no use; its supervisor starts it anew."""
    sys.stderr.write("the template process died\n")
    sys.stderr.flush()
    end_descendants()
    os._exit(1)


def _serve(end: socket.socket, preload: Sequence[str]) -> NoReturn:
    """The template itself: imports, then serves until the node process closes the socket."""
    code = 1
    try:
        linux.adopt_orphans()
        linux.set_process_name("template")
        for module in preload:
            importlib.import_module(module)
        gc.collect()
        gc.disable()
        gc.freeze()
        _Server(end).run()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        end_descendants()  # In a process namespace the kernel sees to it.
        os._exit(code)


class _Server:
    """The template's loop: fork on request, report exits."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._processes = linux.open_namespace("pid")
        self._network = linux.open_namespace("net")
        self._woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _signum, _frame: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def run(self) -> None:
        """Serves until the other end is closed."""
        poll = select.poll()
        poll.register(self._end, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _event in poll.poll()}
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._reap()
            if self._end.fileno() in ready and not self._answer():
                return

    def _answer(self) -> bool:
        packet = packets.receive(self._end)
        if packet is None:
            return False
        message, descriptors = packet
        pidfd = -1
        try:
            pid = self._spawn(message, descriptors) if "spawn" in message else self._command(message, descriptors)
            pidfd = os.pidfd_open(pid)
            packets.send(self._end, {"id": message["id"], "pid": pid}, [pidfd])
        except ProcessLookupError:
            packets.send(self._end, {"id": message["id"], "error": "the container is not running"})
        except OSError as error:
            packets.send(self._end, {"id": message["id"], "error": str(error)})
        finally:
            for descriptor in (*descriptors, pidfd):
                if descriptor >= 0:
                    os.close(descriptor)
        return True

    def _spawn(self, message: packets.Message, descriptors: list[int]) -> int:
        request = read_request(message["spawn"])
        named = dict(zip(request.descriptors, descriptors, strict=True))
        elsewhere = request.new_processes or "container" in named
        if request.new_processes:
            linux.unshare(Namespace.PID)
        elif elsewhere:
            linux.setns(named["container"], Namespace.PID)
        pid = -1
        try:
            pid = os.fork()
        finally:
            if pid and elsewhere:  # The child can't, and need not.
                linux.setns(self._processes, Namespace.PID)
        if pid == 0:
            signal.set_wakeup_fd(-1)
            self._end.close()
            become(request, named)
        return pid

    def _command(self, message: packets.Message, descriptors: list[int]) -> int:
        """Host programs need no fork of this process: posix_spawn shares its memory until they run."""
        command = message["command"]
        *streams, network = descriptors
        actions = [(os.POSIX_SPAWN_DUP2, stream, number) for number, stream in enumerate(streams)]
        linux.setns(network, Namespace.NET)
        try:
            return os.posix_spawn(
                command["program"], command["argv"], command["environment"], file_actions=actions, setsid=True,
                setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGCHLD],
            )  # fmt: skip
        finally:
            linux.setns(self._network, Namespace.NET)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            packets.send(self._end, {"exit": pid, "status": status, "at": time.time()})
