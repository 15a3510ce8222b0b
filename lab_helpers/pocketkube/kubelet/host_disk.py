"""A node's own disk, as `hostPath` volumes see it: a folder of the sandbox, not the machine.

It begins empty but for /etc/hosts and is gone with the cluster. What one Pod of the node writes there, another one
finds; nothing of the machine that this runs on can be seen or changed.
Models pkg/volume/hostpath/host_path.go (v1.36).
"""

from __future__ import annotations

import stat
from pathlib import Path

_KINDS = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


class HostPathError(Exception):
    """A hostPath volume can't be had; the text is what a user sees."""


class HostDisk:
    """The disk of one node."""

    def __init__(self, root: Path, hosts: str = "") -> None:
        """`hosts` is the node's /etc/hosts."""
        self._root = root
        self._hosts = hosts

    @property
    def hosts(self) -> str:
        """The node's /etc/hosts as it is now."""
        return self._place("/etc/hosts").read_text()

    def path(self, wanted: str, kind: str = "") -> Path:
        """Where a path of the node is; made or checked as its type asks for. Raises HostPathError or OSError."""
        place = self._place(wanted)
        if kind in ("", "DirectoryOrCreate") and not place.exists():
            place.mkdir(parents=True)
        if kind == "FileOrCreate" and not place.exists():
            place.touch(mode=0o644)
        if kind and not self._is(place, kind):
            raise HostPathError(
                f"hostPath type check failed: {wanted} is not {_KINDS[kind][1]} "
                "(a node of the embedded cluster has a disk of its own, which begins empty)"
            )
        return place

    def _is(self, place: Path, kind: str) -> bool:
        try:
            return _KINDS[kind][0](place.stat().st_mode)
        except OSError:
            return False

    def _place(self, wanted: str) -> Path:
        """The path on the disk, with links followed, but never out of it."""
        if not self._root.exists():
            (self._root / "etc").mkdir(parents=True)
            (self._root / "etc/hosts").write_text(self._hosts)
            (self._root / "tmp").mkdir()
            (self._root / "tmp").chmod(0o1777)
        return within(self._root, wanted)


def within(root: Path, path: str) -> Path:
    """A path below a folder that a Pod may have filled with links: they may not lead out. Raises HostPathError."""
    found = (root / path.lstrip("/")).resolve()
    if not found.is_relative_to(root.resolve()):
        raise HostPathError(f"{path} leads out of its volume")
    return found
