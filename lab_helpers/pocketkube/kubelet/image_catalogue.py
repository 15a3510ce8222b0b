"""The image catalogue: which images exist. A name is looked up by its last part; there is no registry to ask.

The built-in images are in `images.toml`. Others lie in folders, as TOML files of the same form: those that were added
to one cluster, and those for all. A folder is looked into at each question, so what is added is there at once.
Writing such folders is left to `image_store.py`.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..config import ClusterConfig
from ..linux import ADMIN_PATH
from . import programs
from .images import Image, ImageReference
from .runtime import Layer

FOLDER = "images.d"
"""In the folder of all clusters and in that of one: no cluster can have this name."""

_VERSION = re.compile(r"v?(?P<first>\d+)([._-].*)?")
_TAG_WORDS = {
    *("latest", "stable", "mainline", "edge", "slim", "alpine", "perl", "glibc", "musl", "uclibc", "unstable"),
    *("bullseye", "bookworm", "trixie", "sid", "jammy", "noble", "focal", "rolling"),
}
_NOWHERE = "invalid"
"""A registry with this label in its name has no images (RFC 2606)."""

_TEXTS = ("base", "repository", "about", "working_dir", "user", "from", "path", "digest")
_LISTS = ("aliases", "versions", "entrypoint", "cmd")
_TABLES = ("env", "files")

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class ImageFile:
    """One TOML file of added images: its images by name, and what is wrong with it."""

    path: Path
    entries: Mapping[str, Entry]
    problems: Sequence[str] = ()


class ImageCatalogue:
    """The images of a cluster."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        """`folders` hold added images; an earlier folder hides what a later one has under the same name."""
        self._folders = folders

    @classmethod
    def of(cls, config: ClusterConfig) -> ImageCatalogue:
        """The catalogue of a cluster: images added to it, images added for all, built-in ones."""
        return cls([config.state_dir / FOLDER, config.state_dir.parent / FOLDER])

    def find(self, reference: ImageReference) -> Image | None:
        """The image of that name, or None."""
        if _NOWHERE in reference.domain.split("."):
            return None
        wanted = reference.path.rpartition("/")[2]
        for name, entry, file in self._all():
            if wanted == name or wanted in entry.get("aliases", ()):
                if not _tag_exists(entry, reference.tag, added=file is not None):
                    return None
                return _image(name, _on_base(entry), reference, file)
        return None

    def names(self) -> list[str]:
        """The names of all images, for messages."""
        return sorted({name for name, _, _ in self._all()})

    def problems(self) -> list[str]:
        """What is wrong with the files of added images."""
        return [problem for folder in self._folders for file in image_files(folder) for problem in file.problems]

    def _all(self) -> Iterator[tuple[str, Entry, Path | None]]:
        for folder in self._folders:
            for file in image_files(folder):
                for name, entry in file.entries.items():
                    yield name, entry, file.path
        for name, entry in built_in().items():
            yield name, entry, None


@cache
def built_in() -> dict[str, dict[str, Any]]:
    """The images that every cluster has."""
    return tomllib.loads((Path(__file__).parent / "images.toml").read_text())


def image_files(folder: Path) -> list[ImageFile]:
    """The files of added images in a folder, in the order of their names."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".toml")
    except OSError:
        return []
    return [read_image_file(path) for path in paths]


def read_image_file(path: Path) -> ImageFile:
    """Reads a file of images; one that can't be used is among its problems, and left out."""
    try:
        state = path.stat()
    except OSError as error:
        return ImageFile(path, {}, [f"{path} can't be read: {error.strerror}"])
    return _read(path, state.st_mtime_ns, state.st_size)


@cache
def _read(path: Path, _changed: int, _size: int) -> ImageFile:
    try:
        tables = tomllib.loads(path.read_text())
    except OSError as error:
        return ImageFile(path, {}, [f"{path} can't be read: {error.strerror}"])
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return ImageFile(path, {}, [f"{path} is no TOML: {error}"])
    problems = {name: problem for name, entry in tables.items() if (problem := _problem(name, entry))}
    entries = {name: entry for name, entry in tables.items() if name not in problems}
    return ImageFile(path, entries, [f"{path}: [{name}] {problem}" for name, problem in problems.items()])


def _problem(name: str, entry: Any) -> str:
    """What is wrong with an image of a learner's own file; empty if nothing is."""
    if not isinstance(entry, dict):
        return f"is a value outside of any table; an image begins with a line [{name}]"
    for key, value in entry.items():
        if key in _TEXTS:
            wanted, good = "a text", isinstance(value, str)
        elif key in _LISTS:
            wanted = "a list of texts"
            good = isinstance(value, list) and all(isinstance(item, str) for item in value)
        elif key in _TABLES:
            wanted = "a table of texts"
            good = isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
        elif key == "size":
            wanted, good = "a number", isinstance(value, int)
        else:
            known = ", ".join(sorted([*_TEXTS, *_LISTS, *_TABLES]))
            return f"has an unknown key {key!r}; it may have {known}"
        if not good:
            return f"{key} must be {wanted}"
    if entry.get("base", "") not in {"", *built_in()}:
        return f"base must be one of {', '.join(sorted(built_in()))}, and is {entry['base']!r}"
    if "path" in entry and not entry["path"].startswith("/"):
        return f"path must begin with '/', and is {entry['path']!r}"
    return ""


def _on_base(entry: Entry) -> Entry:
    """An added image with what it takes over from the built-in image that it names as its base."""
    if "base" not in entry:
        return entry
    base = built_in()[entry["base"]]
    tables = {key: {**base.get(key, {}), **entry.get(key, {})} for key in _TABLES}
    inherited: dict[str, Any] = {
        key: base[key] for key in ("entrypoint", "cmd", "working_dir", "programs", "shells") if key in base
    }
    if "entrypoint" in entry:
        inherited.pop("cmd", None)
    return {**inherited, **entry, **tables}


def _image(name: str, entry: Entry, reference: ImageReference, file: Path | None) -> Image:
    layers = [_layer(entry, file)] if file is not None and "from" in entry else []
    shells = [(Path(program), name) for name, program in entry.get("shells", {}).items()]
    return Image(
        name=name,
        repository=entry.get("repository") or f"docker.io/library/{name}",
        about=entry.get("about", ""),
        reference=reference,
        entrypoint=entry.get("entrypoint") or _program_of(entry, layers),
        cmd=entry.get("cmd", ()),
        env={
            "PATH": ADMIN_PATH,
            **{key: value.replace("{tag}", reference.tag) for key, value in entry.get("env", {}).items()},
        },
        working_dir=entry.get("working_dir", "/"),
        programs=entry.get("programs", {}),
        files={path: _fill_in(text).encode() for path, text in entry.get("files", {}).items()},
        layers=[*layers, *(Layer(program, name) for program, name in shells if program.exists())],
        user=entry.get("user", ""),
        digest=entry.get("digest", "") or _digest(layers),
        size_on_disk=entry.get("size", 0) or sum(_size(layer.source) for layer in layers),
        needs_api=entry.get("needs_api", False),
    )


def _layer(entry: Entry, file: Path) -> Layer:
    """The files of an added image; `from` counts from the folder of its TOML file."""
    source = file.parent / Path(entry["from"]).expanduser()
    return Layer(source, entry.get("path") or ("/" if source.is_dir() else f"/{source.name}"))


def _program_of(entry: Entry, layers: Sequence[Layer]) -> Sequence[str]:
    """An image that is one program runs it, unless it says otherwise."""
    alone = not entry.get("cmd") and "base" not in entry
    return [layer.path for layer in layers if alone and layer.source.is_file()]


def _digest(layers: Sequence[Layer]) -> str:
    """For files that lie in a learner's own folder: another one whenever they are other files."""
    facts = []
    for layer in layers:
        try:
            state = layer.source.stat()
        except OSError:
            continue
        facts.append(f"{layer.source} {state.st_mtime_ns} {state.st_size}")
    return f"sha256:{hashlib.sha256(' '.join(facts).encode()).hexdigest()}" if facts else ""


def _size(source: Path) -> int:
    try:
        return source.stat().st_size if source.is_file() else 0
    except OSError:
        return 0


def _tag_exists(entry: Entry, tag: str, *, added: bool) -> bool:
    if not tag or tag.partition("-")[0] in _TAG_WORDS or (added and "versions" not in entry):
        return True
    version = _VERSION.fullmatch(tag)
    return version is not None and version["first"] in entry.get("versions", [version["first"]])


def run_module(*flags: str) -> str:
    """The command that runs a module of this package inside a container, without its working folder in the way."""
    root = Path(programs.__file__ or "").parents[len(programs.__name__.split("."))]
    return " ".join(["env", f"PYTHONPATH={root}", sys.executable, *flags, "-P", "-m"])


def _fill_in(text: str) -> str:
    # Only the standard library is imported, so `site` may be left out; that also starts faster.
    return (
        text.replace("{program}", run_module("-S"))
        .replace("{python}", sys.executable)
        .replace("{programs}", programs.__name__)
    )
