"""Users and groups of a container by number, from its own /etc/passwd and /etc/group.

Read inside the container's root, without the C library's name services: those would load the host's.
Models github.com/moby/sys/user GetExecUser, as container runtimes use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .runtime import Identity

_HIGHEST = (1 << 31) - 1

PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUP = """root:x:0:
daemon:x:1:
bin:x:2:
tty:x:5:
www-data:x:33:
nogroup:x:65534:
"""
"""The users and groups of an image that brings none: who the machine's own users are is nobody's business."""


class UnknownUser(Exception):
    """A container is to run as somebody whom its files don't know; the text has the container runtime's words."""


@dataclass(frozen=True)
class ResolvedIdentity:
    """Whom a process runs as, by number."""

    user: int
    group: int
    groups: list[int]
    home: str


def resolve(identity: Identity, etc: Path = Path("/etc")) -> ResolvedIdentity:
    """Finds the numbers. Raises UnknownUser."""
    if identity == Identity():
        return ResolvedIdentity(0, 0, [0], "/root")
    entry = next((line for line in _lines(etc / "passwd", 7) if identity.user in (line[0], line[2])), None)
    if entry is None and not identity.user.isdigit():
        raise UnknownUser(f"unable to find user {identity.user}: no matching entries in passwd file")
    name, user, own_group, home = (
        (entry[0], int(entry[2]), int(entry[3]), entry[5]) if entry else ("", int(identity.user), 0, "/")
    )
    group = own_group if not identity.group else _group(identity.group, etc)
    groups = [group, *identity.groups]
    if identity.with_image_groups and name:
        groups += [int(line[2]) for line in _lines(etc / "group", 4) if name in line[3].split(",")]
    for number in (user, *groups):
        if number > _HIGHEST:
            raise UnknownUser(f"uids and gids must be in range 0-{_HIGHEST}")
    return ResolvedIdentity(user, group, list(dict.fromkeys(groups)), home or "/")


def _group(wanted: str, etc: Path) -> int:
    for line in _lines(etc / "group", 4):
        if wanted in (line[0], line[2]):
            return int(line[2])
    if wanted.isdigit():
        return int(wanted)
    raise UnknownUser(f"unable to find group {wanted}: no matching entries in group file")


def _lines(file: Path, width: int) -> Iterator[list[str]]:
    """The well-formed lines of a colon-separated file; none if there is no such file."""
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= width and fields[2].isdigit() and (width < 7 or fields[3].isdigit()):
            yield fields
