"""The folder of added images: putting a program or a tree into it, listing it, and taking images out again.

An image is a TOML file, in the form of `images.toml`, and beside it a copy of its files: later changes of the original
don't reach it. What appears in the folder is there for running clusters at once (`image_catalogue.py`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import InvalidInput, LabError
from .image_catalogue import ImageFile, built_in, image_files, read_image_file
from .image_source import check_command, check_program, check_source
from .images import InvalidImageName, parse_reference
from .rootfs import NOT_FROM_IMAGES

_PART = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_NAME_HINT = "A name has lower-case letters, digits and '-', '_' or '.' between them, as in my-app."
_FILE_HINT = """For example:
    [my-app]
    from = "bin/my-app"
    entrypoint = ["/my-app", "serve"]"""
_SPARE = 16 << 20
"""Bytes that stay free on the disk."""


@dataclass(frozen=True)
class NewImage:
    """An image to be added."""

    name: str
    source: Path | None = None
    path: str = ""
    """Where the files are seen; a program lies at `/NAME-OF-THE-FILE` and a tree at `/` unless it says otherwise."""
    base: str = ""
    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    aliases: Sequence[str] = ()
    working_dir: str = ""
    user: str = ""
    about: str = ""
    versions: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AddedImage:
    """An image that was added, for people."""

    name: str
    entry: Mapping[str, Any]
    hides: Sequence[str] = ()
    """Built-in images whose place it takes."""


class ImageStore:
    """One folder of added images."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def files(self) -> list[ImageFile]:
        """The TOML files of the folder."""
        return image_files(self.folder)

    def add(self, image: NewImage, *, replace: bool = False) -> AddedImage:
        """Checks an image, copies its files and makes it known. Raises InvalidInput or LabError."""
        name, repository = _plain_name(image.name)
        aliases = [_plain_name(alias)[0] for alias in image.aliases]
        entry: dict[str, Any] = {"repository": repository, "about": image.about, "base": image.base}
        _check_environment(image.env)
        _check_base(image.base)
        if image.source is not None:
            source = image.source.expanduser().absolute()
            check_source(source)
            entry["path"] = _inside(image.path, source)
            tree = source if source.is_dir() else None
            if tree is None:
                _check_file(source, image)
            if tree is not None or list(image.entrypoint[:1]) != [entry["path"]]:
                check_command(image.entrypoint, tree or source.parent, _tree_place(tree, entry["path"]))
        else:
            source = None
            check_command(image.entrypoint if not image.base else (), None, "/")
        entry |= {"entrypoint": list(image.entrypoint), "cmd": list(image.cmd), "aliases": aliases}
        entry |= {"working_dir": image.working_dir, "user": image.user, "versions": list(image.versions)}
        entry |= {"env": dict(image.env), "files": dict(image.files)}
        with self._writing():
            self._check_free(name, [name, *aliases], replace=replace)
            if source is not None:
                copy, entry["digest"], entry["size"] = self._copy(source, name)
                entry["from"] = str(copy.relative_to(self.folder))
            self._write(name, {key: value for key, value in entry.items() if value})
            self._forget_copies(name, keep=entry.get("from", ""))
        return AddedImage(name, entry, [taken for taken in (name, *aliases) if taken in _built_in_names()])

    def add_file(self, path: Path, *, replace: bool = False) -> list[AddedImage]:
        """Adds all images of a learner's TOML file. Raises InvalidInput or LabError."""
        read = read_image_file(path.expanduser().absolute())
        if read.problems:
            raise InvalidInput(f"{read.problems[0]}.", hint=_FILE_HINT)
        if not read.entries:
            raise InvalidInput(f"{path} has no images.", hint=_FILE_HINT)
        return [self.add(_from_entry(name, entry, read.path), replace=replace) for name, entry in read.entries.items()]

    def remove(self, name: str) -> bool:
        """Takes an image out; False if there is none of that name. Raises InvalidInput or LabError."""
        plain = _plain_name(name)[0]
        for file in self.files():
            if plain not in file.entries:
                continue
            if file.path.stem != plain:
                raise InvalidInput(
                    f"The image {plain!r} comes from {file.path}, which was written by hand.",
                    hint="Take it out of that file.",
                )
            with self._writing():
                file.path.unlink(missing_ok=True)
                self._forget_copies(plain)
            return True
        return False

    def _check_free(self, name: str, names: Sequence[str], *, replace: bool) -> None:
        for file in self.files():
            for other, entry in file.entries.items():
                clash = sorted({other, *entry.get("aliases", ())} & set(names))
                if not clash or (other == name and replace):
                    continue
                raise InvalidInput(
                    f"There is an image {clash[0]!r} already"
                    + (f" (another name of {other!r})." if clash[0] != other else "."),
                    hint="Put the new one in its place with --replace, or take it away first: "
                    f"servicelab image rm {other}",
                )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Only one command at a time changes the folder; what the disk refuses becomes a sentence."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise LabError(
                    f"The disk is full: there is no room for the image in {self.folder}.",
                    hint="Free some room, or set SERVICELAB_HOME to a folder on a larger disk.",
                ) from error
            raise LabError(
                f"The image can't be written to {self.folder}: {error.strerror}.",
                hint="Set SERVICELAB_HOME to a folder of yours.",
            ) from error

    def _copy(self, source: Path, name: str) -> tuple[Path, str, int]:
        """Copies files; returns where they are, their digest and their size. Nothing stays of a copy that fails."""
        wanted = _size_of(source)
        if wanted + _SPARE > shutil.disk_usage(self.folder).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        draft = self.folder / f".{name}.{os.getpid()}"
        try:
            draft.mkdir()
            copy = draft / ("tree" if source.is_dir() else source.name)
            digest = hashlib.sha256()
            size = _copy_tree(source, copy, digest) if source.is_dir() else _copy_file(source, copy, digest)
            final = self.folder / f"{name}@{digest.hexdigest()[:12]}"
            shutil.rmtree(final, ignore_errors=True)
            draft.rename(final)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return final / copy.name, f"sha256:{digest.hexdigest()}", size

    def _write(self, name: str, entry: Mapping[str, Any]) -> None:
        draft = self.folder / f".{name}.toml.new"
        draft.write_text(to_toml(name, entry))
        draft.replace(self.folder / f"{name}.toml")

    def _forget_copies(self, name: str, keep: str = "") -> None:
        for old in self.folder.glob(f"{name}@*"):
            if old.name != keep.partition("/")[0]:
                shutil.rmtree(old, ignore_errors=True)


def to_toml(name: str, entry: Mapping[str, Any]) -> str:
    """An image in the form of `images.toml`."""
    lines = [f"[{name if _BARE_KEY.fullmatch(name) else json.dumps(name)}]"]
    lines += [f"{key} = {_toml(value)}" for key, value in entry.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, str):
        return _toml_text(value)
    if isinstance(value, Sequence):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return json.dumps(value)


def _toml_text(text: str) -> str:
    # JSON's escapes are TOML's, but for characters outside of the basic plane and DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain_name(text: str) -> tuple[str, str]:
    """The name that an image is looked up by, and its repository. Raises InvalidInput."""
    try:
        reference = parse_reference(text)
    except InvalidImageName:
        raise InvalidInput(f"An image can't be named {text!r}.", hint=_NAME_HINT) from None
    name = reference.path.rpartition("/")[2]
    if not _PART.fullmatch(name):
        raise InvalidInput(f"An image can't be named {text!r}.", hint=_NAME_HINT)
    return name, reference.repository


def _inside(path: str, source: Path) -> str:
    """Where the files are seen in the container. Raises InvalidInput."""
    if not path:
        return "/" if source.is_dir() else f"/{source.name}"
    if not path.startswith("/"):
        raise InvalidInput(f"--path must begin with '/', and is {path!r}.", hint="It is the path inside the container.")
    clean = PurePosixPath(os.path.normpath(f"{path}{source.name}" if path.endswith("/") and source.is_file() else path))
    if ".." in PurePosixPath(path).parts or clean.parts[1:2] and clean.parts[1] in NOT_FROM_IMAGES:
        raise InvalidInput(f"An image can't have files at {path!r}.", hint=f"For example: --path /opt/{source.name}")
    return str(clean)


def _tree_place(tree: Path | None, path: str) -> str:
    """Where the folder that holds the files is seen."""
    return path if tree is not None else str(PurePosixPath(path).parent)


def _check_file(source: Path, image: NewImage) -> None:
    """A single file is a program, unless something else runs it."""
    if not image.entrypoint and not image.base:
        check_program(source)


def _check_base(base: str) -> None:
    if base and base not in built_in():
        raise InvalidInput(f"There is no built-in image {base!r}.", hint=f"They are: {', '.join(sorted(built_in()))}.")


def _check_environment(env: Mapping[str, str]) -> None:
    for name in env:
        if not _VARIABLE.fullmatch(name):
            raise InvalidInput(f"{name!r} is no name of a variable.", hint="Give it as NAME=VALUE.")


def _built_in_names() -> set[str]:
    return {alias for name, entry in built_in().items() for alias in (name, *entry.get("aliases", ()))}


def _from_entry(name: str, entry: Mapping[str, Any], file: Path) -> NewImage:
    """An image of a learner's TOML file, to be added with its files."""
    repository = entry.get("repository", "")
    same = [key for key in NewImage.__dataclass_fields__ if key in entry and key not in ("name", "source")]
    return NewImage(
        name=repository if repository.rpartition("/")[2] == name else name,
        source=file.parent / Path(entry["from"]).expanduser() if "from" in entry else None,
        **{key: entry[key] for key in same},
    )


def _size_of(source: Path) -> int:
    if source.is_file():
        return source.stat().st_size
    return sum(path.lstat().st_size for path in source.rglob("*") if not path.is_dir())


def _copy_tree(source: Path, target: Path, digest: Any) -> int:
    """Files, folders and links with their modes, in a fixed order; sockets and devices are left out."""
    target.mkdir()
    size = 0
    for entry in sorted(source.iterdir()):
        copy, mode = target / entry.name, entry.lstat().st_mode
        digest.update(f"{entry.name}\0{mode:o}\0".encode())
        if stat.S_ISLNK(mode):
            copy.symlink_to(entry.readlink())
        elif stat.S_ISDIR(mode):
            size += _copy_tree(entry, copy, digest)
        elif stat.S_ISREG(mode):
            size += _copy_file(entry, copy, digest)
    target.chmod(stat.S_IMODE(source.stat().st_mode) | 0o555)
    return size


def _copy_file(source: Path, target: Path, digest: Any) -> int:
    """A file, readable for every user of a container; executable for all if it is for its owner."""
    with source.open("rb") as reading, target.open("wb") as writing:
        while chunk := reading.read(1 << 20):
            digest.update(chunk)
            writing.write(chunk)
    mode = stat.S_IMODE(source.stat().st_mode)
    target.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))
    return target.stat().st_size
