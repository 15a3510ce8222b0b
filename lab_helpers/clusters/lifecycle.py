"""Starting pocketkube's supervisor, finding it again, and ending it with all that it made.

Two locks in the cluster's folder tell the truth after any crash: `supervisor.lock` is held by the supervisor,
`processes.lock` by it and every process under it. What runs inside is left to `pocketkube.daemon`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import errors
from ..pocketkube.config import ClusterConfig
from ..pocketkube.state import Lock, StateDir
from .inspection import processes_below

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
"""Held back while a start is begun or undone; the supervisor inherits that, and takes both when it is ready to."""

SIGN_DEADLINE = 5.0
"""Seconds a supervisor has from its start to the moment that it can be told to end."""

END_DEADLINE = 15.0
"""Seconds the supervisor has to end everything before it is killed."""


def is_running(config: ClusterConfig) -> bool:
    """True while the supervisor is alive and once was ready."""
    state = StateDir(config.state_dir)
    return state.is_held(Lock.SUPERVISOR) and state.info() is not None


def is_stale(config: ClusterConfig) -> bool:
    """True if the folder is there but no supervisor holds it."""
    return config.state_dir.is_dir() and not StateDir(config.state_dir).is_held(Lock.SUPERVISOR)


def start(
    config: ClusterConfig, *, resume: bool, on_progress: Callable[[str], None], api_port: int = 0
) -> dict[str, float]:
    """Runs the supervisor in the background and waits until it reports that all is ready.

    Returns seconds from the start to each step. An interrupt, like any failure, ends what was begun.
    """
    # An interrupt between the folder and the supervisor would leave the one behind, and lose sight of the other.
    unheld = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        lock = _claim(config)
        try:
            _refuse_if_stale(config, resume)
            StateDir(config.state_dir).write_choices(config.choices)
            return _start(config, lock, on_progress, unheld, resume=resume, api_port=api_port)
        finally:
            os.close(lock)  # The supervisor has a copy, if it lives.
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unheld)


def _start(
    config: ClusterConfig,
    lock: int,
    on_progress: Callable[[str], None],
    unheld: set[int | signal.Signals],
    *,
    resume: bool,
    api_port: int,
) -> dict[str, float]:
    """Called, and left, with interrupts held back; `unheld` is the mask under which to wait."""
    reader, writer = os.pipe()
    with os.fdopen(reader, encoding="utf-8") as reports:
        supervisor = _spawn(config, lock, writer, api_port)
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, unheld)
            os.close(writer)
            return _follow(reports, on_progress)
        except BaseException:
            signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
            _end(supervisor.pid)
            supervisor.wait()
            if not resume:
                _wait_until_released(StateDir(config.state_dir))
                _remove(config.state_dir)
            raise


def delete(config: ClusterConfig) -> bool:
    """Ends every process of the cluster and removes its folder; False if there was nothing."""
    folder = config.state_dir
    if not folder.is_dir():
        return False
    state = StateDir(folder)
    deadline = time.monotonic() + SIGN_DEADLINE
    while True:
        if pid := _supervisor_of(state):
            _end(pid)
        _wait_until_released(state)
        try:
            lock = state.take(Lock.SUPERVISOR)
        except FileNotFoundError:
            return True  # Whoever started it has cleaned up.
        except BlockingIOError:
            if time.monotonic() < deadline:
                continue  # Somebody has begun to start it in this moment.
            raise _taken(config) from None
        _remove(folder)
        os.close(lock)
        return True


def _supervisor_of(state: StateDir) -> int | None:
    """The live supervisor's process id; one that is just being started is waited for."""
    deadline = time.monotonic() + SIGN_DEADLINE
    while state.is_held(Lock.SUPERVISOR) and time.monotonic() < deadline:
        if pid := state.supervisor_pid():
            return pid
        time.sleep(0.02)
    return None


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise errors.ClusterError(
            f"The folder {folder} can't be removed.", hint="Look at who owns the files in it, then remove it by hand."
        )
    with contextlib.suppress(OSError):
        folder.parent.rmdir()


def _claim(config: ClusterConfig) -> int:
    """Makes the folder and takes the supervisor's lock in it: of two who start a cluster, one gets it."""
    while True:
        try:
            config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            return StateDir(config.state_dir).take(Lock.SUPERVISOR)
        except BlockingIOError:
            raise _taken(config) from None
        except FileNotFoundError:
            continue  # Somebody ended a cluster of that name just now, and removed the folder.
        except OSError as error:
            raise errors.StateUnusable(
                f"The folder {config.state_dir} can't be used: {error.strerror}.",
                hint="Set SERVICELAB_HOME to a folder that you can write to.",
            ) from error


def _taken(config: ClusterConfig) -> errors.ClusterAlreadyUp:
    doing = "is already up" if StateDir(config.state_dir).info() else "is being started or ended by someone else"
    return errors.ClusterAlreadyUp(
        f"The cluster {config.name!r} {doing}.",
        hint="Use it as it is (servicelab status), or end it first: servicelab down.",
    )


def _refuse_if_stale(config: ClusterConfig, resume: bool) -> None:
    if config.database.exists() and not resume:
        raise errors.StaleState(
            f"A cluster {config.name!r} was here and did not end cleanly; its objects are still in {config.state_dir}.",
            hint="Bring it back with: servicelab up --resume. Or remove it with: servicelab down.",
        )


def _spawn(config: ClusterConfig, lock: int, report_fd: int, api_port: int) -> subprocess.Popen[bytes]:
    settings = asdict(config) | {"state_dir": str(config.state_dir)}
    request = {"config": settings, "lock_fd": lock, "report_fd": report_fd, "api_port": api_port}
    log = os.open(config.state_dir / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(log, "ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "lab_helpers.pocketkube.daemon", json.dumps(request)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(lock, report_fd),
            start_new_session=True,
            cwd="/",
        )


def _follow(reports: Iterator[str], on_progress: Callable[[str], None]) -> dict[str, float]:
    steps: dict[str, float] = {}
    began = time.monotonic()
    for line in reports:
        report: dict[str, Any] = json.loads(line)
        if "error" in report:
            raise _as_error(report)
        steps[report["step"]] = time.monotonic() - began
        on_progress(report["step"])
        if report.get("ready"):
            return steps
    raise errors.StartFailed(
        "The cluster ended before it was ready.", hint="Try again; if it happens twice, run: servicelab doctor"
    )


def _as_error(report: dict[str, Any]) -> errors.LabError:
    kind = getattr(errors, report.get("kind", ""), errors.StartFailed)
    error: errors.LabError = kind(report["error"], hint=report.get("hint", ""))
    return error


def _end(supervisor: int) -> None:
    """Asks a supervisor to end, insists after a while, and waits for everything that was below it."""
    with contextlib.ExitStack() as stack:
        handles = [stack.enter_context(_Handle(pid)) for pid in processes_below(supervisor)]
        handles[0].signal(signal.SIGTERM)
        if not handles[0].ends_within(END_DEADLINE):
            handles[0].signal(signal.SIGKILL)
        for handle in handles:
            handle.ends_within(END_DEADLINE)


class _Handle:
    """A process that can be signalled and waited for, whoever its parent is, without mistaking another for it."""

    def __init__(self, pid: int) -> None:
        self._pidfd = -1
        with contextlib.suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(pid)

    def __enter__(self) -> _Handle:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)

    def signal(self, signum: int) -> None:
        """Sends a signal; nothing if it has ended."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signum)

    def ends_within(self, seconds: float) -> bool:
        """Waits for its end; False if it goes on."""
        if self._pidfd < 0:
            return True
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(int(seconds * 1000)))


def _wait_until_released(state: StateDir) -> None:
    """Waits for the last process of the cluster: the kernel ends them when their supervisor is gone."""
    with contextlib.suppress(FileNotFoundError), state.path(Lock.PROCESSES).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
