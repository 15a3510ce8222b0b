"""Whether a file or a folder of a user's can become an image: what is wrong with it, said before any Pod needs it.

Reads, and changes nothing. Putting it away is left to `image_store.py`.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import InvalidInput
from ..linux import ADMIN_PATH

# https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html (e_machine)
_MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64", 21: "ppc64le", 22: "s390x"}
_GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "i386": "386", "armv7l": "arm"}
_FOREIGN = {
    b"MZ": "Windows", b"\xcf\xfa\xed\xfe": "macOS", b"\xce\xfa\xed\xfe": "macOS", b"\xca\xfe\xba\xbe": "macOS",
}  # fmt: skip
_LOADER = 3
"""PT_INTERP: the program header that names the dynamic loader."""


@dataclass(frozen=True)
class Binary:
    """What an ELF file says of itself."""

    machine: str
    loader: str
    """The dynamic loader that it needs; empty for a static program."""


def check_source(source: Path) -> None:
    """Raises InvalidInput if there is no such file or folder, or it can't be read."""
    if not source.exists():
        what = "is a link to nothing" if source.is_symlink() else "does not exist"
        raise InvalidInput(
            f"{source} {what}.", hint="--from takes a program, or a folder whose files become the image."
        )
    if not source.is_dir() and not source.is_file():
        raise InvalidInput(f"{source} is neither a file nor a folder.", hint="--from takes a program or a folder.")
    if not os.access(source, os.R_OK | (os.X_OK if source.is_dir() else 0)):
        raise InvalidInput(f"{source} can't be read.", hint=f"Make it readable: chmod -R u+rX {source}")
    if source.is_dir() and not any(source.iterdir()):
        raise InvalidInput(f"The folder {source} is empty.", hint="An image needs at least one file.")


def check_program(program: Path, tree: Path | None = None) -> None:
    """Raises InvalidInput if a file can't be run on this machine. `tree` is the folder that becomes its root."""
    if not os.access(program, os.X_OK):
        raise InvalidInput(f"{program} is not executable.", hint=f"Make it so: chmod +x {program}")
    with program.open("rb") as file:
        head = file.read(4)
    if head.startswith(b"#!"):
        return
    for magic, system in _FOREIGN.items():
        if head.startswith(magic):
            raise InvalidInput(f"{program} is a program for {system}; Pods run Linux programs.", hint=_build_hint())
    binary = read_elf(program) if head == b"\x7fELF" else None
    if binary is None:
        raise InvalidInput(
            f"{program} is no program: neither a Linux binary nor a script that begins with '#!'.",
            hint="For files that are no program, put them into a folder and give that as --from.",
        )
    if binary.machine != os.uname().machine and not _runs_too(binary.machine):
        raise InvalidInput(
            f"{program} is built for {binary.machine}; this machine is {os.uname().machine}.", hint=_build_hint()
        )
    if binary.loader and not Path(binary.loader).exists() and not _in_tree(binary.loader, tree):
        raise InvalidInput(
            f"{program} needs the dynamic loader {binary.loader}, which this machine lacks.",
            hint="Build it statically (Go: CGO_ENABLED=0), or add a folder that holds its loader and libraries.",
        )


def check_command(words: Sequence[str], tree: Path | None, inside: str) -> None:
    """Raises InvalidInput if an image would have nothing to run under the name of its entrypoint.

    `tree` is the folder that appears at `inside`.
    """
    if not words:
        return
    name = words[0]
    if "/" in name:
        own = _in_tree(name, tree, inside)
        if own is not None:
            check_program(own, tree)
        if own is not None or Path(name).exists():
            return
    else:
        folders = ADMIN_PATH.split(":")
        if shutil.which(name, path=ADMIN_PATH) or any(_in_tree(f"{f}/{name}", tree, inside) for f in folders):
            return
    raise InvalidInput(
        f"The entrypoint {name!r} is neither in the image nor a program of this machine.",
        hint="Give the path inside the container, as it follows from --path.",
    )


def read_elf(path: Path) -> Binary | None:
    """What an ELF file says of itself; None if it is none, or a damaged one."""
    with path.open("rb") as file:
        data = file.read(64 * 1024)
    try:
        if data[:4] != b"\x7fELF":
            return None
        order = "<" if data[5] == 1 else ">"
        wide = data[4] == 2
        (machine,) = struct.unpack_from(f"{order}H", data, 18)
        (table,) = struct.unpack_from(f"{order}{'Q' if wide else 'I'}", data, 32 if wide else 28)
        size, count = struct.unpack_from(f"{order}HH", data, 54 if wide else 42)
        loader = ""
        for start in range(table, table + size * count, size):
            if struct.unpack_from(f"{order}I", data, start)[0] != _LOADER:
                continue
            at = struct.unpack_from(f"{order}{'Q' if wide else 'I'}", data, start + (8 if wide else 4))[0]
            length = struct.unpack_from(f"{order}{'Q' if wide else 'I'}", data, start + (32 if wide else 16))[0]
            loader = data[at : at + length].rstrip(b"\0").decode()
    except (struct.error, IndexError, UnicodeDecodeError):
        return None
    return Binary(_MACHINES.get(machine, f"another processor (ELF machine {machine})"), loader)


def _in_tree(path: str, tree: Path | None, inside: str = "/") -> Path | None:
    """The file of a folder that is seen at `path` when the folder is seen at `inside`."""
    if tree is None:
        return None
    try:
        relative = Path(path).relative_to(inside)
    except ValueError:
        return None
    found = tree / relative
    return found if found.is_file() else None


def _runs_too(machine: str) -> bool:
    return machine == "i386" and os.uname().machine == "x86_64"


def _build_hint() -> str:
    machine = os.uname().machine
    return f"Build it for this machine (Go: CGO_ENABLED=0 GOOS=linux GOARCH={_GO_NAMES.get(machine, machine)})."
