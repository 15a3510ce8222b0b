"""The image catalogue: which images exist, what is in them and what they run. The data is in `images.toml`.

There is no registry. A name is looked up by the last part of its repository; the tag has to make sense. When an image
is pulled, and what is said about it, is left to `image_manager.py`.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ..linux import ADMIN_PATH
from . import programs

_NAME = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_VERSION = re.compile(r"v?(?P<first>\d+)([._-].*)?")
_TAG_WORDS = {
    *("latest", "stable", "mainline", "edge", "slim", "alpine", "perl", "glibc", "musl", "uclibc", "unstable"),
    *("bullseye", "bookworm", "trixie", "sid", "jammy", "noble", "focal", "rolling"),
}


class InvalidImageName(ValueError):
    """An image reference that no registry could have."""


@dataclass(frozen=True)
class ImageReference:
    """An image's name taken apart: `docker.io/library/httpd:2.4@sha256:...`."""

    domain: str
    path: str
    tag: str
    digest: str = ""

    def __str__(self) -> str:
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def repository(self) -> str:
        """Domain and path."""
        return f"{self.domain}/{self.path}"


@dataclass(frozen=True)
class Image:
    """One image: its files and what it runs by default."""

    name: str
    repository: str
    about: str
    reference: ImageReference
    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = "/"
    programs: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    needs_api: bool = False
    """True for a program of the cluster itself, which watches the API over its Unix socket."""

    @property
    def id(self) -> str:
        """`docker.io/library/httpd@sha256:...`: the same for the same name and tag on every machine."""
        made_up = hashlib.sha256(f"{self.repository}:{self.reference.tag}".encode()).hexdigest()
        return f"{self.reference.repository}@{self.reference.digest or f'sha256:{made_up}'}"

    @property
    def size(self) -> int:
        """Bytes of its own files."""
        return sum(map(len, self.files.values()))

    def argv(self, command: Sequence[str], args: Sequence[str]) -> list[str]:
        """The command line of a container: `command` replaces the entrypoint and with it the default arguments."""
        if command:
            return [*command, *args]
        return [*self.entrypoint, *(args or self.cmd)]

    def builtin(self, argv: Sequence[str]) -> str:
        """`module:function` if the command is a program of this image, else the empty string."""
        return self.programs.get(Path(argv[0]).name, "") if argv else ""


def parse_reference(text: str) -> ImageReference:
    """Takes an image's name apart and fills in what is left out, as container tools do.

    Models github.com/distribution/reference ParseNormalizedNamed.
    """
    rest, _, digest = text.partition("@")
    tag = ""
    if ":" in rest.rpartition("/")[2]:
        rest, _, tag = rest.rpartition(":")
    first, slash, others = rest.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        domain, path = first, others
    else:
        domain, path = "docker.io", rest
    if domain == "docker.io" and "/" not in path:
        path = f"library/{path}"
    valid = _NAME.fullmatch(path) and (not tag or _TAG.fullmatch(tag)) and (not digest or _DIGEST.fullmatch(digest))
    if not valid or (text.endswith((":", "@"))):
        raise InvalidImageName(text)
    return ImageReference(domain, path, tag or ("" if digest else "latest"), digest)


def find_image(reference: ImageReference) -> Image | None:
    """The image of that name, or None."""
    name = reference.path.rpartition("/")[2]
    entry = _entries_by_name().get(name)
    if entry is None or not _tag_exists(entry, reference.tag):
        return None
    return Image(
        name=entry["name"],
        repository=entry["repository"],
        about=entry["about"],
        reference=reference,
        entrypoint=entry.get("entrypoint", ()),
        cmd=entry.get("cmd", ()),
        env={
            "PATH": ADMIN_PATH,
            **{key: value.replace("{tag}", reference.tag) for key, value in entry.get("env", {}).items()},
        },
        working_dir=entry.get("working_dir", "/"),
        programs=entry.get("programs", {}),
        files={path: _fill_in(text).encode() for path, text in entry.get("files", {}).items()},
        needs_api=entry.get("needs_api", False),
    )


def image_names() -> list[str]:
    """The names of all images, for messages."""
    return sorted(_catalogue())


@cache
def _catalogue() -> dict[str, dict[str, Any]]:
    return tomllib.loads((Path(__file__).parent / "images.toml").read_text())


@cache
def _entries_by_name() -> dict[str, dict[str, Any]]:
    entries = {}
    for name, entry in _catalogue().items():
        for alias in (name, *entry.get("aliases", ())):
            entries[alias] = {"name": name, **entry}
    return entries


def _tag_exists(entry: dict[str, Any], tag: str) -> bool:
    if not tag or tag.partition("-")[0] in _TAG_WORDS:
        return True
    version = _VERSION.fullmatch(tag)
    return version is not None and version["first"] in entry.get("versions", [version["first"]])


def _fill_in(text: str) -> str:
    # Only the standard library is imported, so `site` and the working folder may be left out; that also starts faster.
    root = Path(programs.__file__ or "").parents[len(programs.__name__.split("."))]
    run_module = f"env PYTHONPATH={root} {sys.executable} -S -P -m"
    return (
        text.replace("{program}", run_module)
        .replace("{python}", sys.executable)
        .replace("{programs}", programs.__name__)
    )
