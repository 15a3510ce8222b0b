"""The three patches that change an object by a document: JSON patch, JSON merge patch, strategic merge patch.

Pure functions of (object, patch); neither is changed, and the outcome may share parts with both. Whether the outcome
fits its kind is decided afterwards (`fields.decode_patched`); server-side apply is in `apply.py`.
Models apiserver pkg/endpoints/handlers/patch.go (v1.36).
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import jsonpatch
from jsonpointer import JsonPointer, JsonPointerException

from ..client import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from ..custom.definition import CustomResource
from ..objects import Obj
from ..resources.table import Resource
from . import fields, scalars
from .body import check_limits
from .request import PatchDocument
from .status import StatusError
from .strategic import strategic_merge

MAX_OPERATIONS = 10_000
MAX_COPIED = 3 * 1024 * 1024
_OPERATIONS = {
    "add": (), "remove": (), "replace": (), "move": ("from",), "copy": ("from",), "test": (),
}  # fmt: skip
_MEMBERS = ("op", "path", "from", "value")


def apply_patch(patch_type: str, current: Obj, patch: Any, resource: Resource, subresource: str = "") -> Obj:
    """The object after the patch. StatusError 400 for a malformed patch, 422 for one that does not fit the object."""
    if patch_type == JSON_PATCH:
        patched = json_patch(current, patch)
    elif patch_type == MERGE_PATCH:
        if patch is None:
            raise StatusError.bad_request("Invalid JSON Patch")
        patched = _fits(merge_patch(current, _as_map(patch, "error decoding patch: ")))
    elif patch_type == STRATEGIC_MERGE_PATCH and isinstance(resource, CustomResource):
        accepted = ", ".join((JSON_PATCH, MERGE_PATCH, APPLY_PATCH))
        raise StatusError.unsupported_media_type(
            f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        )
    elif patch_type == STRATEGIC_MERGE_PATCH:
        patched = _fits(strategic_merge(current, _as_map(patch), fields.type_of(resource, subresource)))
    else:
        raise StatusError.unsupported_patch()
    return patched


def merge_patch(current: Any, patch: Any) -> Any:
    """RFC 7386: objects are merged, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(current) if isinstance(current, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def json_patch(current: Obj, operations: Any) -> Obj:
    """RFC 6902, with upstream's bounds on the number of operations and on what `copy` may pile up."""
    if operations is None:
        return current
    if not isinstance(operations, list):
        what = scalars.json_kind(operations)
        why = f"json: cannot unmarshal {what} into Go value of type []handlers.jsonPatchOp"
        raise StatusError.bad_request(f"error decoding patch: {why}")
    if len(operations) > MAX_OPERATIONS:
        raise StatusError.request_too_large(
            "Request entity too large: "
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        )
    patched: Any = copy.deepcopy(current)
    copied = 0
    for operation in operations:
        if operation is not None and not isinstance(operation, dict):
            why = f"json: cannot unmarshal {scalars.json_kind(operation)} into Go value of type handlers.jsonPatchOp"
            raise StatusError.bad_request(f"error decoding patch: {why}")
        _check_members(operation or {})
    for operation in operations:
        if not _is_operation(operation):
            raise StatusError.rejected()
        try:
            if operation["op"] == "copy" and not _is_missing(operation["from"], patched):
                copied += len(json.dumps(JsonPointer(operation["from"]).resolve(patched)))
                if copied > MAX_COPIED:
                    raise StatusError.rejected()
            if operation["op"] == "test" and operation.get("value") is None:
                _test_nothing(operation["path"], patched)
                continue
            patched = jsonpatch.JsonPatch([_lenient(operation, patched)]).apply(patched, in_place=True)
        except (jsonpatch.JsonPatchException, JsonPointerException, TypeError, RecursionError):
            # TypeError is what the library answers to a path that runs through a number or a text.
            raise StatusError.rejected() from None
    if not isinstance(patched, dict):
        raise StatusError.rejected()
    return _fits(patched)


def strict_problems(patch_type: str, document: PatchDocument) -> list[str]:
    """What a strict decoder says of a patch itself: keys given twice, and what no operation of a JSON patch has."""
    if patch_type != JSON_PATCH:
        return list(document.strict)
    unknown = [
        f'unknown field "[{index}].{name}"'
        for index, operation in enumerate(document.value or ())
        for name in operation or ()
        if name not in _MEMBERS
    ]
    return [f"json patch {problem}" for problem in (*document.strict, *unknown)]


def _lenient(operation: Obj, patched: Any) -> Obj:
    """Upstream's `replace` sets a member that isn't there, its `copy` copies one as a null; no value is a null too."""
    operation = copy.deepcopy(operation)
    operation.setdefault("value", None)
    for name in ("path", "from"):
        if name in operation:
            operation[name] = _pointer(operation[name])
    if operation["op"] == "copy" and _is_missing(operation["from"], patched):
        operation = {"op": "add", "path": operation["path"], "value": None}
    if operation["op"] == "replace" and operation["path"]:
        parent, _, _ = operation["path"].rpartition("/")
        if isinstance(JsonPointer(parent).resolve(patched), dict):
            operation["op"] = "add"
    return operation


def _pointer(path: str) -> str:
    """A path as upstream takes it: whatever is before the first slash, and a tilde that escapes nothing."""
    _, slash, rest = path.partition("/")
    if path and not slash:
        raise StatusError.rejected()
    return re.sub("~(?![01])", "~0", slash + rest)


def _is_missing(path: str, patched: Any) -> bool:
    """True if an object is there, but has no such member."""
    parent, _, name = path.rpartition("/")
    held = JsonPointer(parent).resolve(patched)
    return isinstance(held, dict) and JsonPointer(f"/{name}").parts[0] not in held


def _test_nothing(path: str, patched: Any) -> None:
    """A test without a value: nothing is there, but where it could be is."""
    parent, _, name = _pointer(path).rpartition("/")
    held = JsonPointer(parent).resolve(patched)
    if isinstance(held, dict) and held.get(JsonPointer(f"/{name}").parts[0]) is not None:
        raise StatusError.rejected()


def _check_members(operation: Obj) -> None:
    """StatusError 400 for an operation whose own members are not texts."""
    for name, value in operation.items():
        if name in ("op", "path", "from") and value is not None and not isinstance(value, str):
            why = f"json: cannot unmarshal {scalars.json_kind(value)} into Go struct field jsonPatchOp.{name} of type"
            raise StatusError.bad_request(f"error decoding patch: {why} string")


def _is_operation(operation: Any) -> bool:
    if not isinstance(operation, dict) or operation.get("op") not in _OPERATIONS:
        return False
    needed = _OPERATIONS[operation["op"]]
    return all(isinstance(operation.get(name), str) for name in ("path", *needed))


def _as_map(patch: Any, start: str = "") -> Obj:
    if patch is None:
        return {}
    if not isinstance(patch, dict):
        why = f"json: cannot unmarshal {scalars.json_kind(patch)} into Go value of type map[string]interface {{}}"
        raise StatusError.bad_request(start + why)
    return patch


def _fits(patched: Obj) -> Obj:
    """The object, unless patches have piled it up beyond what a request body may be."""
    try:
        check_limits(patched)
    except ValueError:
        raise StatusError.rejected() from None
    return patched
