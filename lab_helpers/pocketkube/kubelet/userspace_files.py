"""The private folders of containers where there are no mounts: what `rootfs` prepares for namespaces, in small.

A container has a folder of its own, under which the files of its image and what it writes lie at their own paths;
`interception.files` lays it over the machine's files. Nothing that a container writes reaches the machine.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..interception.programs import Programs
from ..interception.view import VISIBLE, View
from .rootfs import EMPTY_FOLDERS, OPEN_FOLDERS, python_folders
from .runtime import Layer, Mount

Produce = Callable[[str], bytes | None]


class PrivateFiles:
    """Makes and removes the folders, each under its own id."""

    def __init__(self, files: Path, *, hidden: Sequence[Path], commands: Path) -> None:
        """`hidden` are folders of the machine that must not be seen; `commands` are seen by all, first on PATH."""
        self._roots = files / "roots"
        self._programs = files / "programs"
        for folder in (self._roots, self._programs):
            folder.mkdir(parents=True)
        self._hidden = [os.path.realpath(path) for path in (Path.home(), *hidden) if path != Path("/")]
        self._shown = [str(path) for path in python_folders()]
        self._commands = Layer(commands, "/usr/local/sbin")

    def prepare(
        self,
        identity: str,
        *,
        hosts: str = "",
        resolv_conf: str = "",
        files: Mapping[str, bytes] | None = None,
        layers: Sequence[Layer] = (),
        mounts: Sequence[Mount] = (),
        produced: Produce = lambda path: None,
    ) -> View:
        """Makes a new folder with these files in it. Raises OSError."""
        root = self._roots / identity
        self._make_folders(root)
        for layer in layers:
            if not layer.source.exists():
                raise FileNotFoundError(f"the image's files are gone: {layer.source}")
        names = {"/etc/hosts": hosts or plain_hosts(""), "/etc/resolv.conf": resolv_conf}
        named = {path: text.encode() for path, text in names.items()} | dict(files or {})
        for path, content in named.items():
            place = root / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            place.chmod(0o755 if content.startswith(b"#!") else 0o644)
        view = View(root, mounts, [*layers, self._commands], self._shown, self._hidden, produced)
        for mount in mounts:
            _make_place(root / view.clean(mount.path).lstrip("/"), mount.source)
        return view

    def _make_folders(self, root: Path) -> None:
        for name in (*EMPTY_FOLDERS, *OPEN_FOLDERS):
            (root / name).mkdir(parents=True, exist_ok=True)
        for name in OPEN_FOLDERS:
            (root / name).chmod(0o1777)
        for name in VISIBLE:
            machines = Path("/", name)
            if machines.is_symlink():
                (root / name).symlink_to(machines.readlink())
            elif machines.is_dir():
                (root / name).mkdir(exist_ok=True)
        for folder in self._shown:
            (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def programs(self, identity: str) -> Programs:
        """The folder in which the kernel finds a container's own programs."""
        return Programs(self._programs / identity)

    def remove(self, identity: str) -> None:
        """Removes a container's folders; the processes in it have ended."""
        for folder in (self._roots, self._programs):
            shutil.rmtree(folder / identity, ignore_errors=True)


def _make_place(place: Path, source: Path) -> None:
    """Something that a mount lies over, so that it is seen in the list of its folder."""
    if source.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()


def plain_hosts(hostname: str) -> str:
    """/etc/hosts of something that knows nobody but itself."""
    return f"127.0.0.1\tlocalhost {hostname}".rstrip() + "\n::1\tlocalhost ip6-localhost ip6-loopback\n"
