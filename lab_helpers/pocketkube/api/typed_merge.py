"""Two typed operations of server-side apply: merging a configuration into an object, and removing fields from one.

Pure functions; the outcome may share parts with the arguments. Who owns what is left to `apply.py`.
Models sigs.k8s.io/structured-merge-diff v6 (typed/merge.go, remove.go), as used by v1.36.
"""

from __future__ import annotations

from typing import Any

from .. import schema
from ..objects import Obj
from ..schema import TypeName
from . import scalars
from .fieldset import (
    ABSENT,
    FieldSet,
    Keyless,
    Path,
    Slot,
    child_slot,
    element_of,
    elements,
    path_text,
    settled,
    struct_slot,
)

_SCALAR_NAMES = {
    "string": "string", "bytes": "string", "bool": "boolean", "int32": "numeric (int or float)",
    "int64": "numeric (int or float)", "double": "numeric (int or float)", "Time": "string", "MicroTime": "string",
}  # fmt: skip
_SCALAR_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str, "boolean": bool, "numeric (int or float)": (int, float),
}  # fmt: skip


def merge(live: Obj, config: Obj, type_name: TypeName) -> Obj:
    """The object with everything the configuration says; keyed lists are merged item by item."""
    merged: Obj = _merge(live, config, struct_slot(type_name))
    return merged


def _merge(live: Any, config: Any, slot: Slot) -> Any:
    if config is ABSENT:
        return live
    slot = settled(slot, live, config)
    if live is ABSENT or slot.is_leaf or not live:
        return config
    if not config:
        return live
    if slot.kind == "list":
        return _merge_list(live, config, slot)
    merged = dict(live)
    for name, value in config.items():
        child = child_slot(slot, name)
        merged[name] = _merge(live.get(name, ABSENT), value, child) if child else value
    return merged


def _merge_list(live: list[Any], config: list[Any], slot: Slot) -> list[Any]:
    """The configuration's items in its order; items of the live list that it does not name stay where they were."""
    applied = {element: items[0] for element, items in elements(config, slot).items()}
    stored = elements(live, slot)
    queue = [element for element in applied]
    shared = [element for element in queue if element in stored]
    merged: list[Any] = []
    item_slot = struct_slot(slot.type)
    for element, items in stored.items():
        if element not in applied:
            merged.extend(items)
            continue
        if element not in queue or element != shared[0]:
            continue
        upto = queue.index(element) + 1
        merged.extend(_merge(stored.get(name, [ABSENT])[0], applied[name], item_slot) for name in queue[:upto])
        queue = queue[upto:]
        shared = [name for name in shared if name in queue]
    merged.extend(_merge(stored.get(name, [ABSENT])[0], applied[name], item_slot) for name in queue)
    return merged


def remove(obj: Obj, gone: FieldSet, type_name: TypeName) -> Obj:
    """The object without these fields. A container that loses all it had becomes null."""
    prefixes = {path[:depth] for path in gone for depth in range(1, len(path))}
    kept: Obj = _remove(obj, gone, prefixes, struct_slot(type_name), ())
    return kept


def _remove(value: Any, gone: FieldSet, prefixes: FieldSet, slot: Slot, path: Path) -> Any:
    slot = settled(slot, value)
    if slot.is_leaf or not value:
        return value
    if slot.kind == "list":
        item_slot = struct_slot(slot.type)
        places = [(item, (*path, element)) for element, items in elements(value, slot).items() for item in items]
        kept = [
            _remove(item, gone, prefixes, item_slot, here) if here in prefixes else item
            for item, here in places
            if here not in gone
        ]
        return kept or None
    left: Obj = {}
    for name, inner in value.items():
        here = (*path, f"f:{name}")
        if here in gone:
            continue
        child = child_slot(slot, name)
        left[name] = _remove(inner, gone, prefixes, child, here) if child and here in prefixes else inner
    return left or None


def problems_of(config: Obj, type_name: TypeName) -> list[str]:
    """Why a configuration does not fit its type: `.spec.bogus: field not declared in schema`."""
    problems: list[str] = []
    _check(config, struct_slot(type_name), (), problems)
    return problems


def _check(value: Any, slot: Slot, path: Path, problems: list[str]) -> None:
    if value is None:
        return
    slot = settled(slot, value)
    if slot.type == schema.ANY and slot.is_leaf:
        return
    if slot.kind == "list":
        if _is(value, list, "list", path, problems):
            _check_items(value, slot, path, problems)
    elif slot.kind == "map" or slot.type not in schema.SCALARS:
        if _is(value, dict, "map", path, problems):
            _check_entries(value, slot, path, problems)
    elif wanted := _SCALAR_NAMES.get(slot.type):
        _is(value, _SCALAR_TYPES[wanted], wanted, path, problems)


def _is(value: Any, wanted: type | tuple[type, ...], name: str, path: Path, problems: list[str]) -> bool:
    if isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool)):
        return True
    problems.append(f"{path_text(path)}: expected {name}, got {_go_value(value, name)}")
    return False


def _go_value(value: Any, expected: str) -> str:
    """A value of the wrong type as upstream shows it, which differs with what was expected."""
    if expected == "string":
        return f"&value.valueUnstructured{{Value:{scalars.go_syntax(value)}}}"
    if expected.startswith("numeric"):
        return scalars.go_interface(value)
    return f"&{{{scalars.go_map(value)}}}"


def _check_entries(value: Obj, slot: Slot, path: Path, problems: list[str]) -> None:
    for name, inner in value.items():
        here = (*path, f"f:{name}")
        child = child_slot(slot, name)
        if child is None:
            problems.append(f"{path_text(here)}: field not declared in schema")
        else:
            _check(inner, child, here, problems)


def _check_items(value: list[Any], slot: Slot, path: Path, problems: list[str]) -> None:
    item_slot = struct_slot(slot.type)
    seen: set[str] = set()
    for index, item in enumerate(value):
        if slot.atomic:
            _check(item, item_slot, (*path, f"i:{index}"), problems)
            continue
        try:
            element = element_of(item, slot)
        except Keyless as error:
            problems.append(f"{path_text(path)}: element {index}: {error}")
            continue
        if element in seen:
            problems.append(f"{path_text(path)}: duplicate entries for key {path_text((element,))}")
        seen.add(element)
        _check(item, item_slot, (*path, element), problems)
