"""Custom objects brought into their stored form by a structural schema: pruned and defaulted.

Pure functions. Models apiextensions-apiserver pkg/apiserver/schema/{pruning,defaulting,objectmeta} (v1.36).
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from ..objects import Obj

_HEAD = ("apiVersion", "kind", "metadata")


def as_of(stored: Obj, schema: Obj) -> Obj:
    """A stored object as the schema has it today, which may have changed since; itself if nothing differs."""
    shown: Obj = deepcopy(dict(stored))
    prune(shown, schema)
    default(shown, schema)
    return stored if shown == stored else shown


def prune(obj: Obj, schema: Obj) -> list[str]:
    """Removes what the schema does not know; the paths of what was removed."""
    unknown: list[str] = []
    if schema:
        _prune(obj, schema, "", unknown, is_resource=True)
    return unknown


def _prune(value: Any, schema: Obj, path: str, unknown: list[str], *, is_resource: bool = False) -> None:
    if isinstance(value, list):
        items = schema.get("items")
        for index, item in enumerate(value):
            _prune(item, items if isinstance(items, dict) else {}, f"{path}[{index}]", unknown)
        return
    if not isinstance(value, dict):
        return
    is_resource = is_resource or bool(schema.get("x-kubernetes-embedded-resource"))
    preserves = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    properties = schema.get("properties") or {}
    values = schema.get("additionalProperties")
    for name in list(value):
        here = f"{path}.{name}" if path else name
        if is_resource and name in _HEAD:
            continue
        if name in properties:
            _prune(value[name], properties[name], here, unknown)
        elif isinstance(values, dict):
            _prune(value[name], values, here, unknown)
        elif values is not True and not preserves:
            del value[name]
            unknown.append(here)


def embedded_places(value: Any, schema: Obj, path: str = "") -> list[tuple[Obj, str]]:
    """The embedded objects inside of a value, each with its path."""
    found: list[tuple[Obj, str]] = []
    if isinstance(value, list):
        items = schema.get("items")
        if isinstance(items, dict):
            for index, item in enumerate(value):
                found += embedded_places(item, items, f"{path}[{index}]")
    elif isinstance(value, dict):
        if schema.get("x-kubernetes-embedded-resource"):
            found.append((value, path))
        for name, inner in value.items():
            child = (schema.get("properties") or {}).get(name, schema.get("additionalProperties"))
            if isinstance(child, dict):
                found += embedded_places(inner, child, f"{path}.{name}" if path else name)
    return found


def default(value: Any, schema: Obj) -> None:
    """Fills in defaults, at every depth; a null that may not be one gives way to the default."""
    if isinstance(value, list):
        items = schema.get("items")
        for item in value if isinstance(items, dict) else ():
            default(item, items)  # type: ignore[arg-type]
        return
    if not isinstance(value, dict):
        return
    properties = schema.get("properties") or {}
    for name, child in properties.items():
        if "default" not in child:
            continue
        if name not in value or (value[name] is None and not child.get("nullable")):
            value[name] = deepcopy(child["default"])
    for name in list(value):
        child = properties.get(name, schema.get("additionalProperties"))
        if isinstance(child, dict):
            if value[name] is None and not child.get("nullable") and name in properties and "default" in child:
                value[name] = deepcopy(child["default"])
            default(value[name], child)
