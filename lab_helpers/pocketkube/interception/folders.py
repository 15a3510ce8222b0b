"""The working folders of intercepted processes.

The kernel could not enter a folder that only a container has, so it enters none: for it all processes stay in one
folder of ours, and where each believes to be is remembered here. A process begins where the one that forked it was.
"""

from __future__ import annotations

import contextlib
import os

_MOST_REMEMBERED = 4096
_MOST_ANCESTORS = 16


class WorkingFolders:
    """Of all processes of one container."""

    def __init__(self) -> None:
        self._folders: dict[int, str] = {}

    def enter(self, process: int, folder: str) -> None:
        """A process has changed its folder."""
        if len(self._folders) > _MOST_REMEMBERED:
            self._folders = {known: path for known, path in self._folders.items() if os.path.exists(f"/proc/{known}")}
        self._folders[process] = os.path.normpath(folder)

    def of(self, process: int) -> str:
        """Where a process is."""
        ancestor = process
        for _ in range(_MOST_ANCESTORS):
            if ancestor in self._folders:
                if ancestor != process:
                    self.enter(process, self._folders[ancestor])
                return self._folders[ancestor]
            ancestor = _parent_of(ancestor)
        return "/"


def process_of(thread: int) -> int:
    """The process that a thread belongs to."""
    with contextlib.suppress(OSError), open(f"/proc/{thread}/status") as file:
        for line in file:
            if line.startswith("Tgid:"):
                return int(line.split()[1])
    return thread


def _parent_of(process: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{process}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])
    return 0
