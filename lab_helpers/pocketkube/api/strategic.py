"""Strategic merge patch: a merge patch that knows which lists are keyed, and takes directives.

    $patch: replace | delete                 on an object, or on an item of a keyed list
    $retainKeys: [names]                     drops every other key of the object
    $deleteFromPrimitiveList/<field>: [...]  takes values out of a list of scalars
    $setElementOrder/<field>: [...]          the order of a merged list

Merge keys and strategies come from the schema. Pure functions; the outcome may share parts with its arguments.
Models apimachinery pkg/util/strategicpatch (v1.36).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import schema
from ..objects import Obj
from ..schema import Field, TypeName
from . import scalars
from .status import StatusError

DIRECTIVE = "$patch"
RETAIN_KEYS = "$retainKeys"
DELETE_FROM = "$deleteFromPrimitiveList/"
SET_ORDER = "$setElementOrder/"

_Key = Callable[[Any], Any]


def strategic_merge(current: Obj, patch: Obj, type_name: TypeName) -> Obj:
    """The object of that type after the patch. StatusError for directives that make no sense."""
    return _merge_map(current, patch, schema.fields(type_name))


def _merge_map(current: Obj, patch: Obj, known: Any) -> Obj:
    """Merges one object; `known` are its fields, empty for a map with free keys."""
    directive = patch.get(DIRECTIVE)
    if directive == "replace":
        return dict(_without_directives({name: value for name, value in patch.items() if name != DIRECTIVE}))
    if directive == "delete":
        return {}
    if DIRECTIVE in patch:
        raise _unknown_directive(patch)

    merged = _retain(current, patch)
    for name, value in patch.items():
        if name in (DIRECTIVE, RETAIN_KEYS) or name.startswith((DELETE_FROM, SET_ORDER)):
            continue
        if value is None:
            merged.pop(name, None)
        elif name not in merged:
            merged[name] = _without_directives(value)
        else:
            merged[name] = _merge_value(merged[name], value, known.get(name))
    for name in list(patch):
        if name.startswith(DELETE_FROM):
            _delete_from(merged, name.removeprefix(DELETE_FROM), patch[name])
    for name, order in patch.items():
        if name.startswith(SET_ORDER):
            field = name.removeprefix(SET_ORDER)
            _reorder(merged, field, order, current.get(field), patch.get(field), known.get(field))
    return merged


def _retain(current: Obj, patch: Obj) -> Obj:
    """A copy of the object, without what `$retainKeys` does not name."""
    if RETAIN_KEYS not in patch:
        return dict(current)
    keep = patch[RETAIN_KEYS]
    named = {name for name, value in patch.items() if value is not None and not name.startswith("$")}
    if not isinstance(keep, list) or not all(isinstance(name, str) for name in keep) or not named <= set(keep):
        raise StatusError.bad_request("invalid patch format of retainKeys")
    return {name: value for name, value in current.items() if name in keep}


def _merge_value(current: Any, value: Any, field: Field | None) -> Any:
    replaces = field is not None and "replace" in field.patch_strategy
    if isinstance(current, dict) and isinstance(value, dict) and not replaces:
        inner = schema.fields(field.type) if field and field.kind == "one" else {}
        return _merge_map(current, value, inner)
    merges = field is not None and "merge" in field.patch_strategy
    if isinstance(current, list) and isinstance(value, list) and merges:
        assert field is not None
        return _merge_list(current, value, field)
    return _without_directives(value)


def _merge_list(current: list[Any], patch: list[Any], field: Field) -> list[Any]:
    """The merged list; what the patch brings anew comes before what was there, as upstream has it."""
    merged = (
        _merge_items(current, patch, field) if field.merge_key else _unique([*current, *_without_directives(patch)])
    )
    key = _ordering_key(field)
    asked = [key(item) for item in patch if not (isinstance(item, dict) and DIRECTIVE in item)]
    return _in_order(merged, asked, current, key)


def _merge_items(current: list[Any], patch: list[Any], field: Field) -> list[Any]:
    assert field.merge_key
    merged = list(current)
    plain: list[Obj] = []
    replaced = False
    for item in patch:
        directive = item.get(DIRECTIVE) if isinstance(item, dict) else None
        if directive == "delete":
            key = _key_of(item, field.merge_key)
            merged = [other for other in merged if not _has_key(other, field.merge_key, key)]
        elif directive == "replace":
            replaced = True
        elif directive == "merge":
            raise StatusError.unclassified("merging lists cannot yet be specified in the patch")
        elif directive is not None:
            raise _unknown_directive(item)
        else:
            plain.append(item)
    if replaced:
        return [_without_directives(item) for item in plain]
    for item in plain:
        _merge_item(merged, item, field)
    return merged


def _unknown_directive(patch: Obj) -> StatusError:
    directive = patch[DIRECTIVE]
    shown = directive if isinstance(directive, str) else f"%!s({scalars.go_interface(directive)}={directive})"
    return StatusError.unclassified(f"unknown patch type: {shown} in map: {scalars.go_map(patch)}")


def _merge_item(merged: list[Any], item: Any, field: Field) -> None:
    """Merges an item into the one with its key, or appends it."""
    assert field.merge_key
    key = _key_of(item, field.merge_key)
    for index, other in enumerate(merged):
        if _has_key(other, field.merge_key, key):
            merged[index] = _merge_map(other, item, schema.fields(field.type))
            return
    merged.append(_without_directives(item))


def _key_of(item: Any, merge_key: str) -> Any:
    if not isinstance(item, dict) or merge_key not in item:
        raise StatusError.unclassified(f"map: {scalars.go_map(item)} does not contain declared merge key: {merge_key}")
    return item[merge_key]


def _has_key(item: Any, merge_key: str, key: Any) -> bool:
    return isinstance(item, dict) and merge_key in item and item[merge_key] == key


def _delete_from(merged: Obj, name: str, values: Any) -> None:
    if not isinstance(values, list):
        raise StatusError.bad_request("invalid patch format of primitive list")
    if isinstance(merged.get(name), list):
        merged[name] = [value for value in merged[name] if value not in values]


def _reorder(merged: Obj, name: str, order: Any, before: Any, patch: Any, field: Field | None) -> None:
    """Puts a merged list in the order that `$setElementOrder` gives; what it does not name keeps its place."""
    if not isinstance(order, list):
        raise StatusError.bad_request("invalid patch format of setElementOrder list")
    if not isinstance(merged.get(name), list):
        return
    key = _ordering_key(field)
    wanted = [key(item) for item in order]
    _check_order(patch, wanted, key, order)
    merged[name] = _in_order(merged[name], wanted, before if isinstance(before, list) else [], key)


def _in_order(merged: list[Any], wanted: list[Any], before: list[Any], key: _Key) -> list[Any]:
    """The items of the wanted keys in that order, among the others as they were."""
    named = [item for item in merged if key(item) in wanted]
    others = [item for item in merged if key(item) not in wanted]
    named.sort(key=lambda item: wanted.index(key(item)))
    return _interleave(others, named, [key(item) for item in before], key)


def _ordering_key(field: Field | None) -> _Key:
    merge_key = field.merge_key if field else None
    if not merge_key:
        return lambda item: item
    return lambda item: item.get(merge_key) if isinstance(item, dict) else None


def _check_order(patch: Any, wanted: list[Any], key: _Key, order: list[Any]) -> None:
    """The patch's own items must be named, in the same order."""
    items = patch if isinstance(patch, list) else []
    asked = [key(item) for item in items if not (isinstance(item, dict) and DIRECTIVE in item)]
    if asked != [value for value in wanted if value in asked]:
        raise StatusError.unclassified(
            f"The order in patch list:\n{scalars.go_map(items)}\n doesn't match {SET_ORDER[:-1]} list:\n"
            f"{scalars.go_map(order)}\n"
        )


def _interleave(others: list[Any], named: list[Any], was: list[Any], key: _Key) -> list[Any]:
    """One list of two: an item comes before a named one only if it did so before."""
    others, named, result = others[::-1], named[::-1], []
    while others and named:
        left, right = key(others[-1]), key(named[-1])
        stays = left in was and right in was and was.index(left) < was.index(right)
        result.append((others if stays else named).pop())
    return result + named[::-1] + others[::-1]


def _without_directives(value: Any) -> Any:
    """A value that meets nothing to merge with: its directives and nulls have done their work."""
    if isinstance(value, list):
        kept = (item for item in value if not (isinstance(item, dict) and item.get(DIRECTIVE) in ("delete", "replace")))
        return [_without_directives(item) for item in kept]
    if not isinstance(value, dict):
        return value
    if DIRECTIVE in value:  # there is nothing to direct, and upstream keeps nothing of it
        return {}
    return {
        name: _without_directives(inner)
        for name, inner in value.items()
        if inner is not None and name != RETAIN_KEYS and not name.startswith((DELETE_FROM, SET_ORDER))
    }


def _unique(values: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if value not in kept:
            kept.append(value)
    return kept
