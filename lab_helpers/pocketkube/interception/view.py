"""What a container sees under a path: its own folder and its mounts, laid over the machine's own files.

Pure look-ups; which system calls ask is left to `files`. A path that has nothing of its own is the machine's, to be
read; what is written to such a place goes to the container's own folder.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..kubelet.runtime import Mount

OWN = ("/tmp", "/var/tmp", "/root", "/home", "/srv", "/mnt", "/media", "/var/log", "/run/lock")
"""Folders of which a container has its own, empty at first."""

KERNELS = ("/dev", "/proc", "/sys")
"""Folders that are the kernel's: they are the machine's own, in every way."""

REAL_PATH = "/.servicelab/real"
"""Reading a file under this folder tells where the path behind it is in reality."""

HIDDEN_FILES = ("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers")


@dataclass(frozen=True)
class Place:
    """Where a path is in reality."""

    path: str
    read_only: bool = False


@dataclass
class View:
    """The files of one container, a node, or the machine outside."""

    root: Path
    """Its own folder."""
    mounts: Sequence[Mount] = ()
    shown: Sequence[str] = ()
    """Folders of the machine that are seen although they are below a hidden one."""
    hidden: Sequence[str] = ()
    """Folders of the machine that are not seen."""
    produced: Callable[[str], bytes | None] = lambda path: None
    """The content of files that exist only while they are read."""
    _links: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._root = str(self.root)
        self._own = (*OWN, *self.hidden)
        self._mounts = sorted(self.mounts, key=lambda mount: -len(mount.path))
        for entry in os.scandir("/"):
            if entry.is_symlink():
                self._links[f"/{entry.name}"] = os.path.normpath("/" + os.readlink(entry.path))

    def find(self, path: str, *, writing: bool = False) -> Place | None:
        """Where an absolute path is in reality; None if it is the machine's own.

        With `writing` the place is one that may be written to. Raises PermissionError where none may be.
        """
        path = self._clean(path)
        if _below(path, self._root):
            return Place(path)
        for mount in self._mounts:
            if _below(path, mount.path):
                return Place(str(mount.source) + path[len(mount.path.rstrip("/")) :], mount.read_only)
        if any(_below(path, folder) for folder in (*KERNELS, *self.shown)):
            return None
        own = self._root + path
        if any(_below(path, folder) for folder in self._own) or path in HIDDEN_FILES:
            return Place(own)
        if os.path.lexists(own) and not (os.path.isdir(own) and os.path.isdir(path)):
            return Place(own)
        if not writing:
            return None
        self._copy_up(path, own)
        return Place(own)

    def is_kernels(self, path: str) -> bool:
        """True for what the kernel makes up, such as devices: a container's are those of the machine."""
        return any(_below(self._clean(path), folder) for folder in KERNELS)

    def outside_in(self, real: str) -> str:
        """The path under which a real place is seen here."""
        if _below(real, self._root):
            return real[len(self._root) :] or "/"
        for mount in self._mounts:
            if _below(real, str(mount.source)):
                return mount.path + real[len(str(mount.source)) :]
        return real

    def _clean(self, path: str) -> str:
        path = os.path.normpath(path)
        if path.startswith("//"):
            path = path[1:]
        first = "/" + path.split("/", 2)[1]
        if first in self._links:
            path = self._links[first] + path[len(first) :]
        if path.startswith("/var/run/"):
            path = path[4:]
        return path

    def _copy_up(self, path: str, own: str) -> None:
        """Readies the own folder for a change of something that is the machine's."""
        os.makedirs(os.path.dirname(own), exist_ok=True)
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            return
        if stat.S_ISREG(mode):
            shutil.copy(path, own)
            os.chmod(own, stat.S_IMODE(mode) | stat.S_IWUSR)
        elif stat.S_ISLNK(mode):
            os.symlink(os.readlink(path), own)


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
