"""Causes that come in groups: one for every problem of a text, bounds of numbers, paths of files.

What the problems of a text are is in `naming`, how a cause is worded in `api/status`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..api.status import Cause, invalid_value, required
from ..objects import Obj
from .naming import subdomain_problems

NOT_NEGATIVE = "must be greater than or equal to 0"
POSITIVE = "must be greater than zero"

_MOST_MODE = 0o777
_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_MODE_BOUNDS = "must be a number between 0 and 0777 (octal), both inclusive"


def invalid_each(path: str, value: Any, problems: Iterable[str]) -> list[Cause]:
    """A cause for every problem of one value."""
    return [invalid_value(path, value, problem) for problem in problems]


def not_negative(value: int | None, path: str) -> list[Cause]:
    """A number that counts something."""
    return [invalid_value(path, value, NOT_NEGATIVE)] if (value or 0) < 0 else []


def validate_prefixed_path(value: str, path: str) -> list[Cause]:
    """Something that somebody's domain stands for: `acme.io/foo`. Models IsDomainPrefixedPath."""
    if not value:
        return [required(path)]
    host, _, rest = value.partition("/")
    if not host or not rest:
        return [invalid_value(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    causes = invalid_each(path, host, subdomain_problems(host))
    if re.fullmatch(_HTTP_PATH, rest) is None:
        causes.append(invalid_value(path, rest, f"Invalid path (regex used for validation is '{_HTTP_PATH}')"))
    return causes


def descending_path(target: str, path: str) -> list[Cause]:
    """A path below some folder. Models validateLocalDescendingPath."""
    absolute = [invalid_value(path, target, "must be a relative path")] if target.startswith("/") else []
    return absolute + no_backsteps(target, path)


def no_backsteps(target: str, path: str) -> list[Cause]:
    """A path that does not lead upwards. Models validatePathNoBacksteps."""
    return [invalid_value(path, target, "must not contain '..'")] if ".." in target.split("/") else []


def non_reserved_path(target: str, path: str) -> list[Cause]:
    """A path of a file in a volume. Models ValidateLocalNonReservedPath."""
    causes = descending_path(target, path)
    if target.startswith("..") and not target.startswith("../"):
        causes.append(invalid_value(path, target, "must not start with '..'"))
    return causes


def file_mode(source: Obj, field: str, path: str) -> list[Cause]:
    """The mode of a file, where there is one."""
    mode = source.get(field)
    if mode is None or 0 <= mode <= _MOST_MODE:
        return []
    return [invalid_value(f"{path}.{field}", mode, _MODE_BOUNDS)]
