"""Custom objects as the API server decodes them: checked metadata, nothing that their schema does not know, defaults.

Models apiextensions-apiserver pkg/apiserver/customresource_handler.go, schemaCoercingDecoder (v1.36).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from ..objects import Obj
from .definition import CustomResource
from .structural import default, embedded_places, prune
from .types import HEAD_TYPE

DecodeTyped = Callable[[Any, str], tuple[Obj, list[str], str]]
"""Decodes a value by a type: its stored form, what is unknown, the first wrong type."""


def decode_custom(obj: Any, resource: CustomResource, decode: DecodeTyped) -> tuple[Obj, list[str], str]:
    """(stored form, unknown fields, the first wrong type in the metadata or "")."""
    if not isinstance(obj, dict):
        return {}, [], "the object is no map"
    decoded = deepcopy({name: value for name, value in obj.items() if name != "metadata"})
    head, unknown, error = decode({"metadata": obj.get("metadata") or {}}, HEAD_TYPE)
    decoded["metadata"] = head.get("metadata") or {}
    schema = resource.schema
    pruned = prune(decoded, schema)
    for inner, path in embedded_places(decoded, schema):
        if not isinstance(inner.get("metadata"), dict):
            continue
        embedded, inner_unknown, inner_error = decode({"metadata": inner["metadata"]}, HEAD_TYPE)
        inner["metadata"] = {name: value for name, value in embedded["metadata"].items() if value is not None}
        unknown += [problem.replace('"', f'"{path}.', 1) for problem in inner_unknown]
        error = error or inner_error
    default(decoded, schema)
    return decoded, sorted([*(f'unknown field "{path}"' for path in pruned), *unknown]), error
