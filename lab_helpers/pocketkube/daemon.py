"""The supervisor of one embedded cluster: the process that `servicelab up` leaves in the background.

It holds the cluster's locks and the API's port, imports once what both of its children need (so that they share
the memory), forks the control plane and the node process, which import the rest side by side, and starts either again
when it dies. Everything ends with it. What the children do is left to `control_plane` and `node`.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from ..errors import ClusterAlreadyUp, LabError, StartFailed, StateUnusable
from .config import ClusterConfig
from .report import Report
from .state import Lock, StateDir, sign

SHARED_IMPORTS = (
    "aiohttp.web",
    "lab_helpers.pocketkube.http_client",
    "lab_helpers.pocketkube.informer",
    "lab_helpers.pocketkube.controllers.events",
)
"""Imported before the forks: the children and every Pod share these pages. The rest each child imports itself."""

GRACE = 8.0
"""Seconds the children have to end before they are killed."""

RESTART_PAUSES = (0.1, 0.5, 1.0, 5.0, 10.0)
"""Seconds before a child that died is started again, by how often it died within the last minute."""

_NEEDED = 1024 * 1024
"""Bytes that a cluster needs for its files from its start on, at the least."""

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

log = logging.getLogger("supervisor")


@dataclass
class Child:
    """One supervised process and when it died before."""

    name: str
    run: Callable[[], None]
    pid: int = 0
    deaths: list[float] = field(default_factory=list)

    def pause(self, now: float) -> float:
        """How long to wait before the next start, after a death at `now` (monotonic seconds)."""
        self.deaths = [death for death in self.deaths if now - death < 60] + [now]
        return RESTART_PAUSES[min(len(self.deaths), len(RESTART_PAUSES)) - 1]


class Supervisor:
    """Starts the children, keeps them alive, and ends them on SIGTERM."""

    WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)

    def __init__(self, config: ClusterConfig, report: Report, *, lock: int, api_port: int) -> None:
        """`lock` is the supervisor's lock, taken by who started it and held from now on."""
        self.config = config
        self.lock = lock
        self.report = report
        self.api_port = api_port
        self.state = StateDir(config.state_dir)
        self.children: list[Child] = []
        self.restarts: dict[str, float] = {}

    def run(self) -> None:
        """Runs until SIGTERM. Raises LabError if the cluster can't be started."""
        self._take_locks()
        signal.pthread_sigmask(signal.SIG_BLOCK, self.WATCHED)
        self._check_host()
        self.state.forget_info()
        self.config.log_dir.mkdir(mode=0o700, exist_ok=True)
        listeners = self._listen()
        for module in SHARED_IMPORTS:
            importlib.import_module(module)
        gc.freeze()
        self.children = [
            Child("node", lambda: _run_node(self.config, self.report)),
            Child("control-plane", lambda: _run_control_plane(self.config, listeners, self.report)),
        ]
        self.report.step("processes started")
        for child in self.children:
            self._start(child)
        self._supervise()
        self._end_children()

    def _take_locks(self) -> None:
        sign(self.lock)
        try:
            self.state.take(Lock.PROCESSES)
        except BlockingIOError:
            raise ClusterAlreadyUp(
                f"Processes of an earlier cluster {self.config.name!r} are still ending.",
                hint="Wait a moment, then try again.",
            ) from None

    def _check_host(self) -> None:
        from .host_probe import require_kernel_engine, require_userspace_engine

        if self.config.engine == "kernel":
            require_kernel_engine()
        else:
            require_userspace_engine()

    def _listen(self) -> tuple[socket.socket, socket.socket]:
        """The API's TCP socket, on the port it had before if it was up before, and its Unix socket."""
        remembered = self.state.folder / "api-port"
        port = self.api_port
        if not port:
            with contextlib.suppress(FileNotFoundError, ValueError):
                port = int(remembered.read_text())
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tcp.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            wanted = f"Port {port} of 127.0.0.1 can't be used" if port else "No free port on 127.0.0.1"
            raise StartFailed(
                f"{wanted} for the API server: {getattr(error, 'strerror', error)}.",
                hint="Choose another with: servicelab up --api-port PORT",
            ) from error
        remembered.write_text(str(tcp.getsockname()[1]))
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.config.api_socket.unlink(missing_ok=True)
        unix.bind(str(self.config.api_socket))
        self.config.api_socket.chmod(0o600)
        for listener in (tcp, unix):
            listener.listen(512)
        return tcp, unix

    def _start(self, child: Child) -> None:
        pid = os.fork()
        if pid == 0:
            os.close(self.lock)  # held by the supervisor alone: its death must free it
            _become_child(child, self.config.log_dir, self.WATCHED, self.report)
        child.pid = pid

    def _supervise(self) -> None:
        """Waits for signals; returns when asked to end."""
        while True:
            pause = self._next_restart()
            received = signal.sigwaitinfo(self.WATCHED) if pause is None else signal.sigtimedwait(self.WATCHED, pause)
            if received is not None and received.si_signo != signal.SIGCHLD:
                return
            self._reap()
            self._restart_due()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = next((child for child in self.children if child.pid == pid), None)
            if child is not None:
                self._note_death(child, os.waitstatus_to_exitcode(status))

    def _note_death(self, child: Child, code: int) -> None:
        child.pid = 0
        log.warning("the %s process ended with %s", child.name, code)
        if not self.report.is_ready():
            _require_space(self.config.state_dir)
            raise StartFailed(
                f"The {child.name} process ended while the cluster was starting.", hint=self._last_words(child)
            )
        now = time.monotonic()
        self.restarts[child.name] = now + child.pause(now)

    def _last_words(self, child: Child) -> str:
        lines = (self.config.log_dir / f"{child.name}.log").read_text(errors="replace").strip().splitlines()
        return f"Its last words: {lines[-1]}" if lines else "Try: servicelab doctor"

    def _next_restart(self) -> float | None:
        if not self.restarts:
            return None
        return max(0.0, min(self.restarts.values()) - time.monotonic())

    def _restart_due(self) -> None:
        now = time.monotonic()
        for child in self.children:
            if self.restarts.get(child.name, now + 1) <= now:
                del self.restarts[child.name]
                self._start(child)

    def _end_children(self) -> None:
        """SIGTERM to the node process first: Pods end while the API server still takes their last words."""
        deadline = time.monotonic() + GRACE
        for child in self.children:
            if not child.pid:
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGTERM)
            self._await_end(child, deadline)

    def _await_end(self, child: Child, deadline: float) -> None:
        while True:
            ended, _status = os.waitpid(child.pid, os.WNOHANG)
            if ended:
                return
            left = deadline - time.monotonic()
            if left <= 0:
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
                return
            signal.sigtimedwait((signal.SIGCHLD,), left)


def _become_child(child: Child, log_dir: Path, blocked: tuple[signal.Signals, ...], report: Report) -> NoReturn:
    """In the forked child: dies with its parent, writes to its own log, runs, and never returns."""
    code = 1
    try:
        from .linux import die_with_parent

        die_with_parent()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
        _redirect_output(log_dir / f"{child.name}.log")
        _set_up_logging()
        child.run()
        code = 0
    except LabError as error:
        log.error("%s", error)
        report.error(error)
    except OSError as error:
        log.exception("the %s process failed", child.name)
        if error.errno in _NO_SPACE:
            report.error(_unwritable(log_dir.parent, error))
    except BaseException:
        logging.getLogger(child.name).exception("the %s process failed", child.name)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _redirect_output(path: Path) -> None:
    output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def _set_up_logging() -> None:
    logging.basicConfig(
        level=os.environ.get("SERVICELAB_LOG", "WARNING"),
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
        stream=sys.stderr,
        force=True,
    )


def _run_node(config: ClusterConfig, report: Report) -> None:
    from . import node

    os.umask(0o022)  # what the image of a Pod's root expects
    node.run(config, report)


def _run_control_plane(config: ClusterConfig, listeners: tuple[socket.socket, socket.socket], report: Report) -> None:
    from . import control_plane

    control_plane.run(config, *listeners, report)


def main(argv: list[str]) -> int:
    """Runs a supervisor from the request of `clusters.lifecycle`: a JSON object as the only argument."""
    os.umask(0o077)
    request: dict[str, Any] = json.loads(argv[0])
    settings = request["config"] | {"state_dir": Path(request["config"]["state_dir"])}
    config = ClusterConfig(**settings)
    report = Report(request["report_fd"])
    _set_up_logging()
    supervisor = Supervisor(config, report, lock=request["lock_fd"], api_port=request["api_port"])
    try:
        supervisor.run()
    except (LabError, OSError) as error:
        supervisor._end_children()
        failure = error if isinstance(error, LabError) else _unwritable(config.state_dir, error)
        report.error(failure)
        return failure.exit_code
    return 0


def _require_space(folder: Path) -> None:
    """Raises StateUnusable if the disk is full: what a child that died of it could write down says something else."""
    probe = folder / ".probe"
    try:
        with probe.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, _NEEDED)
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise _unwritable(folder, error) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _unwritable(folder: Path, error: OSError) -> StateUnusable:
    why = f"The cluster's files in {folder} can't be written: {error.strerror}."
    return StateUnusable(why, hint="Free some space, or set SERVICELAB_HOME to another folder.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
