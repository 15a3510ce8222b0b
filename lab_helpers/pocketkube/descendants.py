"""Ending every process that a process has brought forth, where no process namespace does it.

For a process that adopts the orphans among its descendants (`linux.adopt_orphans`): then none gets away.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

PATIENCE = 5.0
"""Seconds for killed processes to be gone; one that the kernel holds up is not waited for."""


def end_descendants() -> None:
    """Kills all descendants of this process, again until there are none; those that are its children are reaped."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and (alive := descendants(os.getpid())):
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)
        for pid in alive:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def descendants(root: int) -> list[int]:
    """All descendants of a process, by /proc, except those that have ended."""
    children: dict[int, list[int]] = {}
    for pid in _processes():
        children.setdefault(_parent(pid), []).append(pid)
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _processes() -> list[int]:
    try:
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return []


def _parent(pid: int) -> int:
    """The parent of a process that runs; 0 for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[1])
