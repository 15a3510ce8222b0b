"""The root folder of a container, a node or the outside machine: the host's programs, and a writable layer of its own.

There are no image files to unpack. `/usr`, `/etc` and the like are overlays over the host's folders; everything else
is new and empty, so the user's home, the cluster's state and the host's devices can't be seen. All of it lives on the
sandbox's tmpfs: nothing that is written reaches the host.

`RootBuilder` prepares the layer in the node process; `root_entry` mounts it in the process that will live there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .. import linux
from ..interception.view import VISIBLE
from .hosts_files import plain_hosts
from .root_entry import DEVICES, RootPlan
from .runtime import Layer, Mount

EMPTY_FOLDERS = ("proc", "sys", "dev", "dev/pts", "root", "home", "srv", "mnt", "media", "run", "run/lock", "var",
                 "var/cache", "var/lib", "var/log", "var/spool")  # fmt: skip
OPEN_FOLDERS = ("tmp", "var/tmp", "dev/shm")
"""Folders that everybody may write to (mode 1777)."""

DEVICE_LINKS = {
    "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}  # fmt: skip

HIDDEN_ETC = ("shadow", "shadow-", "gshadow", "gshadow-", "sudoers")
"""Files of /etc that are empty inside, even if the cluster's user may read them."""

NOT_FROM_IMAGES = ("dev", "proc", "sys")
"""Folders that are the kernel's, whatever an image has there."""

_SKELETON_DEPTH = 2
_HOST = ".host"
_LARGEST_COPIED = 64 * 1024


class RootBuilder:
    """Prepares and removes the writable layers, each under its own id."""

    def __init__(self, files: Path, *, all_users: bool, hidden: Sequence[Path] = (), overlays: bool = True) -> None:
        """`files` is the sandbox's tmpfs; `hidden` are folders of the host that must not be seen."""
        self._files = files
        self._all_users = all_users
        self._hidden = [Path(os.path.realpath(path)) for path in (Path.home(), *hidden)]
        self._folders = files / "roots"
        self._skeleton = files / "skeleton"
        self._nothing = files / "nothing"
        for folder in (self._folders, self._skeleton, self._nothing):
            folder.mkdir()
        self._links = {name: str(Path("/", name).readlink()) for name in VISIBLE if Path("/", name).is_symlink()}
        self._tops = [name for name in VISIBLE if name not in self._links and Path("/", name).is_dir()]
        self._overlaid: list[str] = []
        if overlays:
            self._overlaid = [name for name in self._tops if self._can_overlay(name)]
        self._python = python_folders()

    def prepare(
        self,
        identity: str,
        *,
        hostname: str,
        hosts: str = "",
        resolv_conf: str = "",
        files: Mapping[str, bytes] | None = None,
        layers: Sequence[Layer] = (),
        mounts: Sequence[Mount] = (),
        read_only: bool = False,
        network_settings: bool = False,
    ) -> RootPlan:
        """Makes a new layer with these files in it. Raises OSError."""
        folder = self._folders / identity
        root = folder / "root"
        layer = _Layer(self, folder)
        folder.mkdir()
        _make_empty_folders(root)
        for name, target in self._links.items():
            (root / name).symlink_to(target.lstrip("/"))
        for name in self._tops:
            layer.add_top(name, [under.source / name for under in layers if under.path == "/"])
        for under in layers:
            layer.lay(under.source, under.path)
        layer.write("/etc/hostname", f"{hostname}\n".encode())
        layer.write("/etc/hosts", (hosts or plain_hosts(hostname)).encode())
        layer.write("/etc/resolv.conf", resolv_conf.encode())
        for path, content in (files or {}).items():
            layer.write(path, content, executable=content.startswith(b"#!"))
        for source in self._python:
            layer.bind(str(source), str(source), read_only=True)
        for hidden in self._hidden:
            if hidden.parts[1] in self._tops and hidden.is_dir():
                layer.bind(str(self._nothing), str(hidden), read_only=True)
        own = len(layer.binds)
        for wanted in mounts:
            layer.bind(str(wanted.source), wanted.path, read_only=wanted.read_only)
        binds, volumes = layer.binds[:own], layer.binds[own:]
        return RootPlan(str(root), layer.overlays, binds, volumes, read_only, self._all_users, network_settings)

    @property
    def all_users(self) -> bool:
        """True if every user id exists in the sandbox."""
        return self._all_users

    def remove(self, identity: str) -> None:
        """Removes a layer; its processes have ended."""
        shutil.rmtree(self._folders / identity, ignore_errors=True)

    def _can_overlay(self, name: str) -> bool:
        """Tries an overlay over a folder; the kernel refuses some, for example those with mounts below."""
        self._make_skeleton(name)
        trial = self._files / "trial"
        for part in ("upper", "work", "merged"):
            (trial / part).mkdir(parents=True, exist_ok=True)
        merged = str(trial / "merged")
        try:
            linux.mount(
                "overlay", merged, "overlay", options=self.overlay_options(name, trial / "upper", trial / "work")
            )
            linux.unmount(merged)
        except OSError:
            return False
        finally:
            shutil.rmtree(trial, ignore_errors=True)
        return True

    def overlay_options(self, name: str, upper: Path, work: Path, trees: Sequence[Path] = ()) -> str:
        """Mount options of the overlay over /`name`."""
        return _overlay([*trees, self._skeleton / name, Path("/", name)], upper, work)

    def _make_skeleton(self, name: str) -> None:
        """The upper folders of /`name` again, owned by the sandbox's root.

        The host's folders belong to a user who does not exist inside, so nothing could be made in them otherwise.
        """
        skeleton = self._skeleton / name
        for path in _folders(Path("/", name), _SKELETON_DEPTH):
            (skeleton / path.relative_to(f"/{name}")).mkdir(exist_ok=True)
        if name == "etc":
            for entry in os.scandir("/etc"):
                if entry.name not in HIDDEN_ETC and entry.is_file(follow_symlinks=False):
                    _copy_small(Path(entry.path), skeleton / entry.name)
            for hidden in HIDDEN_ETC:
                (skeleton / hidden).touch(mode=0o600)

    @property
    def overlaid(self) -> Sequence[str]:
        """The folders of the root that are overlays here; the others can be written to in places only."""
        return self._overlaid

    def is_top(self, name: str) -> bool:
        """True if a folder of the root shows the host's."""
        return name in self._tops

    def is_linked(self, name: str) -> bool:
        """True if a name in the root is a symbolic link on the host."""
        return name in self._links


class _Layer:
    """One writable layer while it is being prepared."""

    def __init__(self, builder: RootBuilder, folder: Path) -> None:
        self._builder = builder
        self._folder = folder
        self._root = folder / "root"
        self._opened: set[Path] = set()
        self._covers = 0
        self.overlays: list[tuple[str, str]] = []
        self.binds: list[tuple[str, str, bool]] = []

    def add_top(self, name: str, trees: Sequence[Path] = ()) -> None:
        """Shows /`name` of the host, below that of an image's trees: as an overlay, or read-only."""
        target = self._root / name
        if name in self._builder.overlaid:
            target.mkdir()
            upper, work = self._own_folders(name)
            over = [tree for tree in trees if tree.is_dir() and not tree.is_symlink()]
            self.overlays.append((str(target), self._builder.overlay_options(name, upper, work, over)))
            return
        shown = self._root / _HOST / name
        shown.mkdir(parents=True)
        self.binds.append((f"/{name}", str(shown), True))
        target.symlink_to(f"{_HOST}/{name}")

    def write(self, path: str, content: bytes, *, executable: bool = False) -> None:
        """Writes a file of the layer."""
        place = self._place(path)
        if place.is_symlink():
            place.unlink()
        place.write_bytes(content)
        place.chmod(0o755 if executable else 0o644)

    def bind(self, source: str, path: str, *, read_only: bool) -> None:
        """Shows a file or a folder at `path`."""
        place = self._place(path)
        if place.is_symlink():
            place.unlink()
        if Path(source).is_dir():
            place.mkdir(exist_ok=True)
        else:
            place.touch()
        self.binds.append((source, str(self._root / self._resolved(path)), read_only))

    def lay(self, source: Path, path: str) -> None:
        """Shows a file or a tree of an image at `path`; a tree at `/` is laid over what is there."""
        if not source.exists():
            raise FileNotFoundError(f"the image's files are gone: {source}")
        if path != "/":
            self._cover(source, path)
            return
        for entry in sorted(source.iterdir()):
            name = entry.name
            is_tree = entry.is_dir() and not entry.is_symlink()
            if name in NOT_FROM_IMAGES or (is_tree and name in self._builder.overlaid):
                continue  # The overlay of that folder has it already.
            if is_tree and self._can_overlay and (self._root / name).is_dir() and not self._builder.is_linked(name):
                upper, work = self._own_folders(name)
                self.overlays.append((str(self._root / name), _overlay([self._root / name, entry], upper, work)))
            else:
                self._merge(entry, f"/{name}")

    @property
    def _can_overlay(self) -> bool:
        return bool(self._builder.overlaid)

    def _own_folders(self, name: str) -> tuple[Path, Path]:
        """The upper and the work folder of an overlay."""
        upper, work = self._folder / "upper" / name, self._folder / "work" / name
        upper.mkdir(parents=True)
        work.mkdir(parents=True)
        return upper, work

    def _cover(self, source: Path, path: str) -> None:
        """Shows a file or a tree in place of what is there."""
        if source.is_dir() and self._can_overlay:
            place = self._place(path)
            place.mkdir(exist_ok=True)
            self._covers += 1
            upper, work = self._own_folders(f".{self._covers}")
            self.overlays.append((str(self._root / self._resolved(path)), _overlay([source], upper, work)))
        elif source.is_file() and source.stat().st_size <= _LARGEST_COPIED:
            # A copy may be written, moved and removed, as any file of an image; a mount may not.
            self._copy(source, path)
        else:
            self.bind(str(source), path, read_only=True)

    def _copy(self, source: Path, path: str) -> None:
        place = self._place(path)
        place.unlink(missing_ok=True)
        shutil.copy(source, place)

    def _merge(self, source: Path, path: str) -> None:
        """Shows a tree among what is there, entry by entry."""
        if source.is_dir() and not source.is_symlink() and self._is_folder(path):
            for entry in sorted(source.iterdir()):
                self._merge(entry, f"{path}/{entry.name}")
        elif not source.is_symlink():
            self._cover(source, path)
        elif not self._is_folder(path) and not os.path.lexists(place := self._place(path)):
            place.symlink_to(source.readlink())

    def _is_folder(self, path: str) -> bool:
        """True if the root has a folder at `path` without the image."""
        relative = self._resolved(path)
        shows_hosts = self._builder.is_top(relative.parts[0]) or self._builder.is_linked(relative.parts[0])
        return (Path("/") if shows_hosts else self._root).joinpath(relative).is_dir()

    def _resolved(self, path: str) -> Path:
        """`path` relative to the root, with the host's symbolic links followed up to the last name."""
        clean = Path(os.path.normpath("/" + path.lstrip("/")))
        if len(clean.parts) < 2:
            raise OSError(f"{path} can't be replaced")
        first = clean.parts[1]
        if self._builder.is_top(first) or self._builder.is_linked(first):
            clean = Path(os.path.realpath(clean.parent)) / clean.name
        elif clean.parts[1:3] == ("var", "run"):
            clean = Path("/run", *clean.parts[3:])
        return clean.relative_to("/")

    def _place(self, path: str) -> Path:
        """Where in the layer the thing at `path` is made; its folder is there afterwards."""
        relative = self._resolved(path)
        top = relative.parts[0]
        if top in self._builder.overlaid:
            place = self._folder / "upper" / relative
        else:
            place = self._root / relative
            if self._builder.is_top(top):
                self._open_up(relative.parent)
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def _open_up(self, relative: Path) -> None:
        """Makes a folder that shows the host's read-only into one of links to the host's entries."""
        for folder in (*reversed(relative.parents[:-1]), relative):
            if folder in self._opened:
                continue
            self._opened.add(folder)
            here, there = self._root / folder, Path("/", folder)
            if here.is_symlink():
                here.unlink()
            here.mkdir(exist_ok=True)
            if not there.is_dir():
                continue
            for entry in os.scandir(there):
                shown = Path(entry).readlink() if entry.is_symlink() else Path("/", _HOST, folder, entry.name)
                if entry.name not in HIDDEN_ETC:
                    (here / entry.name).symlink_to(shown)


def _make_empty_folders(root: Path) -> None:
    root.mkdir()
    for name in EMPTY_FOLDERS:
        (root / name).mkdir()
    for name in OPEN_FOLDERS:
        (root / name).mkdir()
        (root / name).chmod(0o1777)
    (root / "root").chmod(0o711)  # Python may lie below it, and all users of a container may need that.
    (root / "var/run").symlink_to("../run")
    (root / "var/lock").symlink_to("../run/lock")
    for name in DEVICES:
        (root / "dev" / name).touch()
    for name, target in DEVICE_LINKS.items():
        (root / "dev" / name).symlink_to(target)


def python_folders() -> list[Path]:
    """Where this Python and this package are, if the folders of programs don't show them already.

    Programs of the image catalogue may import, and the image `python` runs this interpreter.
    """
    package = Path(__file__).resolve().parents[2]
    wanted = [Path(os.path.realpath(path)) for path in (sys.base_prefix, sys.prefix, package)]
    shown = [Path("/usr")]
    for path in wanted:
        if not any(path.is_relative_to(other) for other in shown):
            shown.append(path)
    return shown[1:]


def _overlay(lowers: Sequence[Path], upper: Path, work: Path) -> str:
    """Mount options of an overlay; the first of the lower folders lies on top."""
    shown = ":".join(_escaped(str(lower)) for lower in lowers)
    return f"userxattr,lowerdir={shown},upperdir={upper},workdir={work}"


def _escaped(path: str) -> str:
    for special in ("\\", ":", ","):
        path = path.replace(special, f"\\{special}")
    return path


def _folders(top: Path, depth: int) -> Iterator[Path]:
    """A folder and those below it, parents first, without following links; unreadable ones are left out."""
    yield top
    if depth == 0:
        return
    with contextlib.suppress(PermissionError), os.scandir(top) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _folders(Path(entry.path), depth - 1)


def _copy_small(source: Path, target: Path) -> None:
    with contextlib.suppress(PermissionError):
        if source.stat().st_size <= _LARGEST_COPIED:
            shutil.copy(source, target)
