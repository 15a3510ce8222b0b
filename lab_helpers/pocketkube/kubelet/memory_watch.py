"""Holds containers to their memory limits without control groups: looks once a second, and ends who has too much.

What counts is what a container's processes have written to and share with nobody. A limit that is passed and kept
again between two looks goes unseen; the kernel's own limits would not allow that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from .template import Child

LOOK_SECONDS = 1.0

_PAGE = os.sysconf("SC_PAGE_SIZE")
_COUNTED = "Private_Dirty:"


class MemoryWatch:
    """The containers of a runtime that have a limit."""

    def __init__(self) -> None:
        self._limits: dict[int, tuple[Child, int]] = {}
        self._exceeded: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, child: Child, limit: int) -> None:
        """Watches a container's processes until its first one ends; 0 is no limit."""
        if limit <= 0:
            return
        self._limits[child.pid] = (child, limit)
        if self._task is None:
            self._task = asyncio.create_task(self._look(), name="memory limits")

    def remove(self, child: Child) -> bool:
        """It has ended; true if that is because it had too much."""
        self._limits.pop(child.pid, None)
        exceeded = child.pid in self._exceeded
        self._exceeded.discard(child.pid)
        return exceeded

    async def _look(self) -> None:
        while self._limits:
            await asyncio.sleep(LOOK_SECONDS)
            for child, limit in list(self._limits.values()):
                if not child.ended.done() and _exceeds(child.pid, limit):
                    self._exceeded.add(child.pid)
                    child.kill(signal.SIGKILL)
        self._task = None


def _exceeds(pid: int, limit: int) -> bool:
    """True if a process and those below it have more; the exact number is asked for only if it may be."""
    tree = list(_tree(pid))
    if sum(map(_resident, tree)) <= limit:
        return False
    return sum(map(_own, tree)) > limit


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError, ValueError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _own(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(_COUNTED))
