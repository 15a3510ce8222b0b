"""The private folders of containers where there are no mounts: what `rootfs` prepares for namespaces, in small.

A container has a folder of its own, under which the files of its image and what it writes lie at their own paths;
`interception.files` lays it over the machine's files. Nothing that a container writes reaches the machine.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..interception.view import OWN, REAL_PATH, View
from .rootfs import python_folders
from .runtime import Layer, Mount

_OPEN = ("tmp", "var/tmp")
Produce = Callable[[str], bytes | None]


class PrivateFiles:
    """Makes and removes the folders, each under its own id."""

    def __init__(self, files: Path, *, hidden: Sequence[Path], shown: Sequence[Path] = ()) -> None:
        """`hidden` are folders of the machine that must not be seen, unless they are below one that is `shown`."""
        self._roots = files / "roots"
        self._roots.mkdir(parents=True)
        self._hidden = [os.path.realpath(path) for path in (Path.home(), *hidden) if path != Path("/")]
        self._shown = [str(path) for path in (*python_folders(), *shown)]

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
        for folder in OWN:
            (root / folder.lstrip("/")).mkdir(parents=True)
        for name in _OPEN:
            (root / name).chmod(0o1777)
        for layer in layers:
            _lay(layer, root)
        names = {"/etc/hosts": hosts or plain_hosts(""), "/etc/resolv.conf": resolv_conf}
        named = {path: text.encode() for path, text in names.items()} | dict(files or {})
        for path, content in named.items():
            place = root / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            place.chmod(0o755 if content.startswith(b"#!") else 0o644)
        view: View

        def produce(path: str) -> bytes | None:
            if path.startswith(REAL_PATH + "/"):
                asked = path[len(REAL_PATH) :]
                found = view.find(asked)
                return os.fsencode(found.path if found else asked)
            return produced(path)

        view = View(root, mounts, self._shown, self._hidden, produce)
        return view

    def remove(self, identity: str) -> None:
        """Removes a folder; the processes in it have ended."""
        shutil.rmtree(self._roots / identity, ignore_errors=True)


def plain_hosts(hostname: str) -> str:
    """/etc/hosts of something that knows nobody but itself."""
    return f"127.0.0.1\tlocalhost {hostname}".rstrip() + "\n::1\tlocalhost ip6-localhost ip6-loopback\n"


def _lay(layer: Layer, root: Path) -> None:
    """Copies the files of an image that was added, so that what is written to them stays in the container."""
    target = root / layer.path.lstrip("/")
    if layer.source.is_dir():
        shutil.copytree(layer.source, target, symlinks=True, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(layer.source, target)
