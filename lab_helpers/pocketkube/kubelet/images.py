"""Images: their names taken apart, what is in one, and what it runs.

Which images there are is left to `image_catalogue.py`; when one is pulled, and what is said about it, to
`image_manager.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .runtime import Layer

_NAME = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


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
    layers: Sequence[Layer] = ()
    """Files from the machine's disk: those of an image that was added, and other programs for well-known names."""
    user: str = ""
    """`USER` or `USER:GROUP`, names or numbers, that it runs as unless the Pod says otherwise; root if empty."""
    digest: str = ""
    """Of the files of an image that was added; those of the catalogue have a made-up one."""
    size_on_disk: int = 0
    needs_api: bool = False
    """True for a program of the cluster itself, which watches the API over its Unix socket."""

    @property
    def id(self) -> str:
        """`docker.io/library/httpd@sha256:...`: the same for the same name and tag on every machine."""
        made_up = hashlib.sha256(f"{self.repository}:{self.reference.tag}".encode()).hexdigest()
        return f"{self.reference.repository}@{self.reference.digest or self.digest or f'sha256:{made_up}'}"

    @property
    def size(self) -> int:
        """Bytes of its own files."""
        return self.size_on_disk + sum(map(len, self.files.values()))

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
