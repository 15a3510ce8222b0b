"""Putting files into a volume: all of them change in one step, and belong to whom the Pod says.

The folder shows links to `..data/...`, and `..data` is a link to a folder with a time in its name. A new version is a
new folder, and one rename makes it the one that all links lead to. A reader sees the old files or the new, never both.
Models pkg/volume/util/atomic_writer.go and pkg/volume/volume_linux.go (v1.36).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DATA = "..data"
_FRESH = "..data_tmp"

_READ = 0o440
_READ_WRITE = 0o660
_ENTER = 0o110


@dataclass(frozen=True)
class VolumeFile:
    """One file of a volume."""

    content: bytes
    mode: int
    user: int | None = None


def write_files(folder: Path, files: Mapping[str, VolumeFile], group: int | None) -> None:
    """Makes the folder show exactly these files, by path. Nothing is touched if they are there already."""
    folder.mkdir(parents=True, exist_ok=True)
    old = _data(folder)
    if old is not None and _holds(old, files, group):
        return
    fresh = Path(tempfile.mkdtemp(prefix=time.strftime("..%Y_%m_%d_%H_%M_%S.", time.gmtime()), dir=folder))
    fresh.chmod(0o755)
    for path, file in files.items():
        _write(fresh / path, file)
    if group is not None:
        own(fresh, group, read_only=True)
    link = folder / _FRESH
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.rename(folder / DATA)
    _show(folder, {path.partition("/")[0] for path in files})
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def own(folder: Path, group: int, *, read_only: bool) -> None:
    """Gives a volume to a group, as `fsGroup` asks for. Where that group does not exist, only modes change."""
    _own(folder, group, read_only)
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            _own(Path(parent, name), group, read_only)


def _own(path: Path, group: int, read_only: bool) -> None:
    state = path.lstat()
    if stat.S_ISLNK(state.st_mode):
        return
    mask = _READ if read_only else _READ_WRITE
    if stat.S_ISDIR(state.st_mode):
        mask |= stat.S_ISGID | _ENTER
    with contextlib.suppress(OSError):
        os.chown(path, -1, group)
    path.chmod(stat.S_IMODE(state.st_mode) | mask)


def _write(path: Path, file: VolumeFile) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.content)
    path.chmod(file.mode)
    if file.user is not None:
        with contextlib.suppress(OSError):
            os.chown(path, file.user, -1)


def _data(folder: Path) -> Path | None:
    """The folder with the files that are seen now."""
    try:
        return folder / (folder / DATA).readlink()
    except OSError:
        return None


def _holds(folder: Path, files: Mapping[str, VolumeFile], group: int | None) -> bool:
    there = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    if there.keys() != files.keys():
        return False
    more = 0 if group is None else _READ
    return all(
        path.read_bytes() == files[name].content and stat.S_IMODE(path.stat().st_mode) | more == files[name].mode | more
        for name, path in there.items()
    )


def _show(folder: Path, names: set[str]) -> None:
    """Links to what is there now, and none to what is not."""
    for name in names:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{name}")
    for entry in list(folder.iterdir()):
        if entry.is_symlink() and entry.name not in names and not entry.name.startswith(".."):
            entry.unlink()
