"""The API's types under the names they have in Go, for the texts in which upstream prints its own types.

    go_form("PodSpec", {"nodeName": "a", ...})  -> {"Volumes": None, ..., "NodeName": "a", ...}
    named_type("core.v1.Toleration", "operator") -> "v1.TolerationOperator"
    embedding("core.v1.Volume", "hostPath")      -> "VolumeSource"

The table is `schema_data/go_types.json`, written by `tests/tools/generate_go_types.py`; it is read when the first such
text is printed, and only then. What fields mean and how they are stored is in `schema`.
"""

from __future__ import annotations

import difflib
import functools
import json
from pathlib import Path
from typing import Any, cast

from .objects import Obj

_SCALARS: dict[str, Any] = {"string": "", "bool": False, "int32": 0, "int64": 0, "Quantity": "0", "IntOrString": 0}
_OUTER = "^"
"""Marks a field that the public type has one level further out: a Pod's hostNetwork is in its PodSpec."""


@functools.cache
def _table() -> dict[str, Any]:
    path = Path(__file__).with_name("schema_data") / "go_types.json"
    return cast(dict[str, Any], json.loads(path.read_bytes()))


@functools.cache
def _named() -> dict[str, str]:
    return {place: name for name, places in _table()["named"].items() for place in places.split(" ")}


@functools.cache
def _fields(type_name: str) -> tuple[tuple[str, str, str], ...]:
    """(name in Go, name in JSON, type) of the server's own type; nothing for a type that is printed as it is stored."""
    words = _table()["internal"].get(type_name, "").split()
    return tuple((*word.partition(":")[0].split("="), word.partition(":")[2]) for word in words)


def named_type(struct: str, field: str) -> str | None:
    """The name of a scalar type that is not just a string or a number: `v1.URIScheme`."""
    return _named().get(f"{struct}.{field}")


def embedding(struct: str, field: str) -> str:
    """The embedded struct that a field is in, as Go's decoder names it on the way to the field; "" if in none."""
    name, _, inner = _table()["embedded"].get(struct, "").partition(":")
    return name if field in inner.split(",") else ""


def go_form(type_name: str, value: Obj, outer: Obj | None = None) -> Obj:
    """An object of the API as Go's encoder writes the server's own type: every field, under its name in Go."""
    if not _fields(type_name):
        return value
    form = {}
    for name, key, shape in _fields(type_name):
        given = (outer or {}).get(key[1:]) if key.startswith(_OUTER) else value.get(key)
        form[name] = _value(shape, given, value)
    return form


def _value(shape: str, value: Any, outer: Obj) -> Any:
    if shape.startswith("*"):
        return None if value is None else _value(shape[1:], value, outer)
    if shape.startswith("[]"):
        return None if value is None else [_value(shape[2:], item, outer) for item in value]
    if shape.startswith("{}"):
        return None if value is None else {key: _value(shape[2:], value[key], outer) for key in sorted(value)}
    if shape in _SCALARS:
        return _SCALARS[shape] if value is None else value
    return go_form(shape, value or {}, outer)


def difference(type_name: str, before: Obj, wanted: Obj) -> str:
    """Two objects' unified diff. Models apimachinery pkg/util/diff (v1.36)."""
    old, new = (_lines(go_form(type_name, value)) for value in (before, wanted))
    return "".join(f"{line}\n" for line in list(difflib.unified_diff(old, new, lineterm=""))[2:])  # without file names


def _lines(form: Obj) -> list[str]:
    text = json.dumps(form, indent=1, ensure_ascii=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e").split("\n")
