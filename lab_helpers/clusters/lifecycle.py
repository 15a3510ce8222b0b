"""Starting pocketkube's supervisor, finding it again, and ending it with all that it made.

Two locks in the cluster's folder tell the truth after any crash: `supervisor.lock` is held by the supervisor,
`processes.lock` by it and every process under it. What runs inside is left to `pocketkube.daemon`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
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
    _refuse_if_taken(config, resume)
    _make_folder(config.state_dir)
    reader, writer = os.pipe()
    with os.fdopen(reader, encoding="utf-8") as reports:
        supervisor = _spawn(config, writer, api_port)
        os.close(writer)
        try:
            return _follow(reports, on_progress)
        except BaseException:
            _end(supervisor)
            if not resume:
                delete(config)
            raise


def delete(config: ClusterConfig) -> bool:
    """Ends every process of the cluster and removes its folder; False if there was nothing."""
    folder = config.state_dir
    if not folder.is_dir():
        return False
    state = StateDir(folder)
    if state.is_held(Lock.SUPERVISOR) and (pid := state.supervisor_pid()):
        _signal_and_wait(pid)
    _wait_until_released(state)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise errors.ClusterError(
            f"The folder {folder} can't be removed.", hint="Look at who owns the files in it, then remove it by hand."
        )
    with contextlib.suppress(OSError):
        folder.parent.rmdir()
    return True


def _refuse_if_taken(config: ClusterConfig, resume: bool) -> None:
    folder = config.state_dir
    if not folder.exists():
        return
    state = StateDir(folder)
    if state.is_held(Lock.SUPERVISOR):
        doing = "is already up" if state.info() else "is being started by someone else"
        raise errors.ClusterAlreadyUp(
            f"The cluster {config.name!r} {doing}.",
            hint="Use it as it is (servicelab status), or end it first: servicelab down.",
        )
    if not resume:
        raise errors.StaleState(
            f"A cluster {config.name!r} was here and did not end cleanly; its objects are still in {folder}.",
            hint="Bring it back with: servicelab up --resume. Or remove it with: servicelab down.",
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise errors.StartFailed(
            f"The folder {folder} can't be made: {error.strerror}.",
            hint="Set SERVICELAB_HOME to a folder that you can write to.",
        ) from error


def _spawn(config: ClusterConfig, report_fd: int, api_port: int) -> subprocess.Popen[bytes]:
    settings = asdict(config) | {"state_dir": str(config.state_dir)}
    request = {"config": settings, "report_fd": report_fd, "api_port": api_port}
    log = config.state_dir / "supervisor.log"
    with log.open("ab") as output:
        log.chmod(0o600)
        return subprocess.Popen(
            [sys.executable, "-m", "lab_helpers.pocketkube.daemon", json.dumps(request)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(report_fd,),
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


def _end(supervisor: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        supervisor.send_signal(signal.SIGTERM)
    try:
        supervisor.wait(END_DEADLINE)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()


def _signal_and_wait(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not _ended_within(handle, END_DEADLINE):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            _ended_within(handle, END_DEADLINE)
    finally:
        os.close(handle)


def _ended_within(pidfd: int, seconds: float) -> bool:
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(int(seconds * 1000)))


def _wait_until_released(state: StateDir) -> None:
    """Waits for the last process of the cluster: the kernel ends them when their supervisor is gone."""
    with contextlib.suppress(FileNotFoundError), state.path(Lock.PROCESSES).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
