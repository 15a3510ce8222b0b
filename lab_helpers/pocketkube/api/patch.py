"""The three patches that change an object by a document: JSON patch, JSON merge patch, strategic merge patch.

Pure functions of (object, patch); neither is changed, and the outcome may share parts with both. Whether the outcome
fits its kind is decided afterwards (`fields.decode_patched`); server-side apply is in `apply.py`.
Models apiserver pkg/endpoints/handlers/patch.go (v1.36).
"""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonpatch
from jsonpointer import JsonPointer, JsonPointerException

from ..client import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH
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
    "add": ("value",), "remove": (), "replace": ("value",), "move": ("from",), "copy": ("from",), "test": ("value",),
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
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        )
    patched: Any = copy.deepcopy(current)
    copied = 0
    for operation in operations:
        if operation is not None and not isinstance(operation, dict):
            why = f"json: cannot unmarshal {scalars.json_kind(operation)} into Go value of type handlers.jsonPatchOp"
            raise StatusError.bad_request(f"error decoding patch: {why}")
    for operation in operations:
        if not _is_operation(operation):
            raise StatusError.rejected()
        try:
            if operation["op"] == "copy":
                copied += len(json.dumps(JsonPointer(operation["from"]).resolve(patched)))
                if copied > MAX_COPIED:
                    raise StatusError.rejected()
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
    """Upstream's `replace` sets a member that isn't there."""
    operation = copy.deepcopy(operation)
    if operation["op"] == "replace" and operation["path"]:
        parent, _, _ = operation["path"].rpartition("/")
        if isinstance(JsonPointer(parent).resolve(patched), dict):
            operation["op"] = "add"
    return operation


def _is_operation(operation: Any) -> bool:
    if not isinstance(operation, dict) or operation.get("op") not in _OPERATIONS:
        return False
    needed = _OPERATIONS[operation["op"]]
    texts = (operation.get(name) for name in ("path", *(name for name in needed if name == "from")))
    return all(isinstance(text, str) for text in texts) and all(name in operation for name in needed)


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
