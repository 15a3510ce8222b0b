"""Sets of fields: which paths an object has, which of them changed, and how `managedFields` writes them.

A path is a tuple of elements as FieldsV1 spells them: `f:spec`, `k:{"port":80,"protocol":"TCP"}` (an item of a keyed
list), `v:"a"` (an item of a set). A set of fields is a Python set of paths. An inner path is a member only where its
existence is owned on its own: map entries and list items; a struct's fields are owned one by one.
Models sigs.k8s.io/structured-merge-diff v6 (fieldpath, typed), as used by v1.36.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .. import schema
from ..objects import Obj
from ..schema import Field, TypeName

Path = tuple[str, ...]
FieldSet = set[Path]

ABSENT: Any = object()
"""Stands for a value that isn't there, which differs from null."""


class Slot(NamedTuple):
    """What may stand at a path."""

    type: TypeName
    kind: schema.Shape
    atomic: bool
    keys: tuple[str, ...] = ()

    @property
    def is_leaf(self) -> bool:
        """Owned as a whole."""
        return self.atomic or (self.kind == "one" and self.type in schema.SCALARS)

    @property
    def is_struct(self) -> bool:
        """Has named fields."""
        return self.kind == "one" and not self.is_leaf


@functools.cache
def struct_slot(type_name: TypeName) -> Slot:
    """The slot of an object, a list's item or a map's value of that type."""
    return Slot(type_name, "one", type_name in schema.SCALARS or schema.is_atomic(type_name))


@functools.cache
def field_slot(field: Field) -> Slot:
    """The slot of a struct's field."""
    return Slot(field.type, field.kind, field.is_atomic, field.list_map_keys)


def child_slot(slot: Slot, name: str) -> Slot | None:
    """The slot of a struct's field or a map's entry; None for a field the struct does not have."""
    if slot.kind == "map":
        return struct_slot(slot.type)
    field = schema.fields(slot.type).get(name)
    if field is None:
        return _UNKNOWN if schema.is_open(slot.type) else None
    return field_slot(field)


_UNKNOWN = Slot(schema.ANY, "one", False)


def settled(slot: Slot, *values: Any) -> Slot:
    """The slot, where the schema says nothing by what is there: maps are granular, everything else is a leaf."""
    if slot.type != schema.ANY or slot.kind != "one":
        return slot
    if any(isinstance(value, dict) for value in values) and all(
        isinstance(value, dict) or value is None or value is ABSENT for value in values
    ):
        return Slot(schema.ANY, "map", False)
    return slot._replace(atomic=True)


class Keyless(ValueError):
    """An item of a keyed list lacks its key."""


def element_of(item: Any, slot: Slot) -> str:
    """The path element of an item of an associative list."""
    if not slot.keys:
        return f"v:{_compact(item)}"
    if not isinstance(item, dict):
        raise Keyless("associative list with keys may not have non-map elements")
    known = schema.fields(slot.type)
    key: Obj = {}
    for name in slot.keys:
        value = item.get(name)
        if value is None:
            value = known[name].default
        # A key that isn't there and has no default is left out: that makes another item.
        if value is not None:
            key[name] = value
    if not key:
        names = " ".join(f'"{name}"' for name in slot.keys)
        raise Keyless(
            f"associative list with keys has an element that omits all key fields [{names}] "
            "(and doesn't have default values for any key fields)"
        )
    return f"k:{_compact(key)}"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def elements(items: Any, slot: Slot) -> dict[str, list[Any]]:
    """The items of an associative list by path element. Stored lists may hold a key twice."""
    found: dict[str, list[Any]] = {}
    for index, item in enumerate(items or ()):
        try:
            found.setdefault(element_of(item, slot), []).append(item)
        except Keyless:
            found.setdefault(f"i:{index}", []).append(item)
    return found


# --- what an object has ---


def fields_of(obj: Obj, type_name: TypeName) -> FieldSet:
    """Every field that an applied configuration claims."""
    found: FieldSet = set()
    _collect(obj, struct_slot(type_name), (), found)
    return found


def _collect(value: Any, slot: Slot, path: Path, found: FieldSet) -> None:
    slot = settled(slot, value)
    if slot.is_leaf:
        found.add(path)
    elif slot.kind == "list":
        for element, items in elements(value, slot).items():
            _collect(items[0], struct_slot(slot.type), (*path, element), found)
            found.add((*path, element))
    else:
        for name, inner in (value or {}).items():
            here = (*path, f"f:{name}")
            child = child_slot(slot, name)
            if child is None or inner is None or inner == {} or slot.kind == "map":
                found.add(here)
            if child is not None:
                _collect(inner, child, here, found)


class Comparison(NamedTuple):
    """What changed from one object to another."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet

    @property
    def touched(self) -> FieldSet:
        """What the newer object set."""
        return self.added | self.modified


def compare(old: Obj, new: Obj, type_name: TypeName) -> Comparison:
    """The fields that differ."""
    changes = Comparison(set(), set(), set())
    _compare(old, new, struct_slot(type_name), (), changes)
    return changes


def _compare(old: Any, new: Any, slot: Slot, path: Path, changes: Comparison) -> None:
    if old is not ABSENT and old == new:
        return
    slot = settled(slot, old, new)
    # Two empty containers are told apart as leaves are: null is not {}.
    if slot.is_leaf or (not _filled(old) and not _filled(new)):
        target = changes.added if old is ABSENT else changes.removed if new is ABSENT else changes.modified
        target.add(path)
        return
    for element, before, after, child in _children(old, new, slot):
        _compare(before, after, child, (*path, element), changes)
    if old is ABSENT:
        changes.added.add(path)
    elif new is ABSENT:
        changes.removed.add(path)


def _filled(value: Any) -> bool:
    return isinstance(value, (dict, list)) and bool(value)


def _children(old: Any, new: Any, slot: Slot) -> Iterator[tuple[str, Any, Any, Slot]]:
    """(path element, before, after, slot) of everything inside of two containers."""
    if slot.kind == "list":
        before = elements(old if _filled(old) else (), slot)
        after = elements(new if _filled(new) else (), slot)
        for element in {**before, **after}:
            left, right = before.get(element, [ABSENT]), after.get(element, [ABSENT])
            if len(left) == len(right) == 1:
                yield element, left[0], right[0], struct_slot(slot.type)
            else:
                whole = struct_slot(slot.type)._replace(atomic=True)
                yield element, left if left != [ABSENT] else ABSENT, right if right != [ABSENT] else ABSENT, whole
        return
    lefts, rights = (value if _filled(value) else {} for value in (old, new))
    for name in {**lefts, **rights}:
        child = child_slot(slot, name) or Slot("string", "one", True)
        yield f"f:{name}", lefts.get(name, ABSENT), rights.get(name, ABSENT), child


def with_named_parents(paths: Iterable[Path], type_name: TypeName) -> FieldSet:
    """The set, and the structs' fields its paths run through, which sets usually leave out."""
    closed: FieldSet = set()
    for path in paths:
        slot = struct_slot(type_name)
        for depth, element in enumerate(path):
            is_named = slot.is_struct
            child = child_slot(slot, element[2:]) if slot.kind != "list" else struct_slot(slot.type)
            if is_named and child is not None:
                closed.add(path[: depth + 1])
            if child is None or child.is_leaf:
                break
            slot = child
        closed.add(path)
    return closed


# --- how sets are written ---


def to_fields_v1(paths: FieldSet) -> Obj:
    """The set as FieldsV1: nested by element, `.` where an inner path is a member itself."""
    root: Obj = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
    for path in paths:
        node = root
        for element in path:
            node = node[element]
        if node:
            node["."] = {}
    return _sorted(root)


def _sorted(node: Obj) -> Obj:
    return {element: _sorted(node[element]) for element in sorted(node)}


def from_fields_v1(tree: Any) -> FieldSet:
    """The inverse; ValueError if it isn't FieldsV1."""
    paths: FieldSet = set()
    _read_node(tree, (), paths)
    return paths


def _read_node(node: Any, path: Path, paths: FieldSet) -> None:
    if not isinstance(node, dict):
        raise ValueError("FieldsV1 is made of objects")
    if path and (not node or "." in node):
        paths.add(path)
    for element, inner in node.items():
        if element == ".":
            continue
        if element[:2] not in ("f:", "k:", "v:", "i:"):
            raise ValueError(f"FieldsV1 has no path element {element!r}")
        _read_node(inner, (*path, element), paths)


def order_of(path: Path) -> list[tuple[bool, str]]:
    """A sort key: at every level what ends there comes first, then what goes deeper."""
    return [(depth < len(path) - 1, element) for depth, element in enumerate(path)]


def path_text(path: Path) -> str:
    """A path as conflicts name it: `.spec.ports[port=80,protocol="TCP"].targetPort`."""
    return "".join(_element_text(element) for element in path)


def _element_text(element: str) -> str:
    kind, value = element[0], element[2:]
    if kind == "f":
        return f".{value}"
    if kind == "k":
        pairs = json.loads(value)
        return f"[{','.join(f'{name}={_compact(pairs[name])}' for name in sorted(pairs))}]"
    return f"[={value}]" if kind == "v" else f"[{value}]"
