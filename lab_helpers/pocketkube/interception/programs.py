"""The programs that only a container has, shown to the kernel, which looks for a program by itself.

For the kernel all processes of a container are in one folder of ours. A program is a symbolic link in it, under the
name by which it was called, so that what a script knows of itself hardly changes: `./run.sh` stays that, `/app/run`
becomes `app/run`.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class Programs:
    """The folder of one container."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._others = 0

    def show(self, real: str, called: str) -> str:
        """Makes a program visible; returns the path by which the kernel finds it, not longer than `called`."""
        name = called.lstrip("/")
        if ".." not in name.split("/") and self._link(name, real):
            return name
        self._others += 1
        name = f".{self._others}"
        if len(name) > len(called) or not self._link(name, real):
            raise FileNotFoundError(real)
        return name

    def behind(self, name: str) -> str:
        """The program that was shown under a relative path; empty if none was."""
        with contextlib.suppress(OSError):
            return os.readlink(self.folder / name)
        return ""

    def _link(self, name: str, real: str) -> bool:
        """False if the name can't be a link: another program's name is a folder of it, or the other way round."""
        place = self.folder / name
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_symlink():
                if os.readlink(place) == real:
                    return True
                place.unlink()
            place.symlink_to(real)
        except OSError:
            return False
        return True
