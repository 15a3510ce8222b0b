"""What a container sees under a path: its own folder and its mounts, laid over the machine's own files.

Pure look-ups; which system calls ask is left to `files`. A path that has nothing of its own is the machine's, to be
read; what is written to such a place goes to the container's own folder.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..kubelet.runtime import Layer, Mount

KERNELS = ("/dev", "/proc", "/sys")
"""Folders that are the kernel's: they are the machine's own, in every way."""

VISIBLE = ("usr", "etc", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt", "nix", "gnu")
"""Folders of the machine that hold programs and their settings. Of all others a container has its own."""

_MOST_LINKS = 40
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
    layers: Sequence[Layer] = ()
    """Files of the image; what is written to them goes to the own folder."""
    shown: Sequence[str] = ()
    """Folders of the machine that are seen although they are below a hidden one."""
    hidden: Sequence[str] = ()
    """Folders of the machine that are not seen."""
    produced: Callable[[str], bytes | None] = lambda path: None
    """The content of files that exist only while they are read."""
    _links: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._root = str(self.root)
        for entry in os.scandir("/"):
            if entry.is_symlink():
                self._links[f"/{entry.name}"] = os.path.normpath("/" + os.readlink(entry.path))
        mounts = [(self.clean(mount.path), mount) for mount in self.mounts]
        self._mounts = sorted(mounts, key=lambda entry: -len(entry[0]))

    def find(self, path: str, *, writing: bool = False, follow: bool = True) -> Place | None:
        """Where an absolute path is in reality; None if it is the machine's own.

        With `writing` the place is one that may be written to. Without `follow` a symbolic link itself is meant.
        """
        path = self._resolve(self.clean(path), follow)
        if _below(path, self._root):
            return Place(path)
        for place, mount in self._mounts:
            if _below(path, place):
                return Place(str(mount.source) + path[len(place.rstrip("/")) :], mount.read_only)
        if any(_below(path, folder) for folder in (*KERNELS, *self.shown)):
            return None
        own = self._root + path
        private = self._is_own(path)
        if os.path.lexists(own) and (private or not (os.path.isdir(own) and os.path.isdir(path))):
            return Place(own)
        image = self._in_image(path)
        if image and not writing:
            return Place(image)
        if not (image or private or writing):
            return None
        if image or not private:
            _copy_up(image or path, own)
        return Place(own)

    def _is_own(self, path: str) -> bool:
        """True where nothing of the machine is seen."""
        if path.split("/", 2)[1] not in VISIBLE or path in HIDDEN_FILES:
            return True
        return any(_below(path, folder) for folder in self.hidden)

    def is_kernels(self, path: str) -> bool:
        """True for what the kernel makes up, such as devices: a container's are those of the machine."""
        return any(_below(self.clean(path), folder) for folder in KERNELS)

    def outside_in(self, real: str) -> str:
        """The path under which a real place is seen here."""
        if _below(real, self._root):
            return real[len(self._root) :] or "/"
        for place, mount in self._mounts:
            if _below(real, str(mount.source)):
                return place + real[len(str(mount.source)) :]
        return real

    def _resolve(self, path: str, follow: bool) -> str:
        """Follows the container's own symbolic links, which the kernel would follow to files of the machine."""
        for _ in range(_MOST_LINKS):
            step = self._first_link(path, follow)
            if step is None:
                return path
            path = self.clean(step)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def _first_link(self, path: str, follow: bool) -> str | None:
        """The path with its first symbolic link replaced; None if there is none."""
        position = 0
        while position < len(path):
            position = path.find("/", position + 1)
            if position < 0:
                if not follow:
                    return None
                position = len(path)
            try:
                target = os.readlink(self._root + path[:position])
            except OSError as error:
                if error.errno != errno.EINVAL:
                    return None  # Nothing below is the container's own.
                continue
            return os.path.join(os.path.dirname(path[:position]), target) + path[position:]
        return None

    def clean(self, path: str) -> str:
        """A path without detours, and without the symbolic links that every container has."""
        path = os.path.normpath(path)
        if path.startswith("//"):
            path = path[1:]
        first = "/" + path.split("/", 2)[1]
        if first in self._links:
            path = self._links[first] + path[len(first) :]
        if path.startswith("/var/run/"):
            path = path[4:]
        return path

    def _in_image(self, path: str) -> str:
        """Where the container's image has something at a path; empty for nothing, or a folder of the machine's."""
        for layer in self.layers:
            if not _below(path, layer.path):
                continue
            found = str(layer.source) + path[len(layer.path.rstrip("/")) :]
            if os.path.lexists(found) and not (os.path.isdir(found) and os.path.isdir(path)):
                return found
        return ""


def _copy_up(source: str, own: str) -> None:
    """Readies the own folder for a change of something that is the machine's, or the image's."""
    os.makedirs(os.path.dirname(own), exist_ok=True)
    try:
        mode = os.lstat(source).st_mode
    except OSError:
        return
    if stat.S_ISREG(mode):
        shutil.copy(source, own)
        os.chmod(own, stat.S_IMODE(mode) | stat.S_IWUSR)
    elif stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), own)


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
