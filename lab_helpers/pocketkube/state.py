"""The folder of one cluster: who holds it, and what its supervisor wrote down about it.

Locks rather than pid files decide whether a cluster is alive: the kernel drops them when a process dies,
however it dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

_ATTEMPTS, _PAUSE = 5, 0.01


class Lock(StrEnum):
    """The lock files of a cluster's folder."""

    SUPERVISOR = "supervisor.lock"
    PROCESSES = "processes.lock"


class StateDir:
    """The folder of one cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, lock: Lock) -> Path:
        """Path of a lock file."""
        return self.folder / lock

    def is_held(self, lock: Lock) -> bool:
        """True if some process holds that lock."""
        try:
            with self.path(lock).open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def take(self, lock: Lock) -> int:
        """Takes a lock for as long as the returned descriptor (or a copy of it) is open.

        Raises BlockingIOError if another process holds it, FileNotFoundError if there is no folder (any more).
        """
        descriptor = os.open(self.path(lock), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
            if os.fstat(descriptor).st_ino != self.path(lock).stat().st_ino:
                raise FileNotFoundError(self.folder)  # The folder was removed, and made again, meanwhile.
        except OSError:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        return descriptor

    def supervisor_pid(self) -> int | None:
        """The process that signed the supervisor's lock; None while a cluster is only just being started."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(self.path(Lock.SUPERVISOR).read_text())
        return None

    def write_info(self, info: dict[str, Any]) -> None:
        """Writes what `servicelab status` shows; there only once the cluster was ready."""
        draft = self.folder / "info.json.new"
        draft.write_text(json.dumps(info))
        draft.chmod(0o600)
        draft.replace(self.folder / "info.json")

    def write_choices(self, choices: Mapping[str, Any]) -> None:
        """Writes down what was chosen for the cluster (`config.CHOICES`), for all commands that come later."""
        draft = self.folder / "choices.json.new"
        draft.write_text(json.dumps(dict(choices)))
        draft.chmod(0o600)
        draft.replace(self.folder / "choices.json")

    def choices(self) -> dict[str, Any]:
        """What `write_choices` wrote; nothing for a cluster that is not there."""
        with contextlib.suppress(OSError, ValueError):
            choices: dict[str, Any] = json.loads((self.folder / "choices.json").read_text())
            return choices
        return {}

    def forget_info(self) -> None:
        """Removes it: the cluster is not ready (any more)."""
        (self.folder / "info.json").unlink(missing_ok=True)

    def info(self) -> dict[str, Any] | None:
        """What `write_info` wrote."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            info: dict[str, Any] = json.loads((self.folder / "info.json").read_text())
            return info
        return None


def sign(lock: int) -> None:
    """Writes the calling process down as the one to signal."""
    os.pwrite(lock, str(os.getpid()).encode(), 0)


def _lock(descriptor: int) -> None:
    """Locks a file; a process that only looks whether it is locked (`is_held`) is waited for."""
    for _attempt in range(_ATTEMPTS):
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(_PAUSE)
    raise BlockingIOError
