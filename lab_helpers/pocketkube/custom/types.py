"""Structural schemas as types that `schema.fields` serves, so that custom objects are owned and merged as others are.

A type is named after its content, so that a name never means something else. Models structured-merge-diff types made
from OpenAPI (apimachinery pkg/util/managedfields, kube-openapi pkg/schemaconv, v1.36).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, cast

from .. import schema
from ..objects import Obj
from ..schema import ANY, Field, Shape, TypeName

_HEAD = {"apiVersion": "string", "kind": "string", "metadata": "meta.v1.ObjectMeta"}
_SCALARS = {"boolean": "bool", "integer": "int64", "number": "double", "string": "string"}


def type_for(props: Obj) -> TypeName:
    """The type of objects with that schema at their root."""
    return _struct(props, is_object=True)


def _struct(props: Obj, *, is_object: bool = False) -> TypeName:
    """The name of a struct type, which is made if it is new."""
    known = props.get("properties") or {}
    is_open = bool(props.get("x-kubernetes-preserve-unknown-fields")) or (is_object and not props)
    is_atomic = props.get("x-kubernetes-map-type") == "atomic"
    is_object = is_object or bool(props.get("x-kubernetes-embedded-resource"))
    text = json.dumps([known, is_open, is_atomic, is_object], sort_keys=True)
    name = f"custom.{hashlib.sha256(text.encode()).hexdigest()[:24]}.Object"
    if schema.is_registered(name):
        return name
    fields = {field: _field(field, entry) for field, entry in known.items()}
    if is_object:
        fields |= {field: Field(field, type_name, "one") for field, type_name in _HEAD.items()}
    schema.register(name, fields, is_open=is_open, is_atomic=is_atomic)
    return name


def _field(name: str, props: Obj) -> Field:
    """A property, by its shape."""
    kind, type_name = _shape(props)
    if kind == "list":
        list_type = cast(Any, props.get("x-kubernetes-list-type") or "atomic")
        keys = tuple(props.get("x-kubernetes-list-map-keys") or ())
        return Field(name, type_name, kind, list_type=list_type, list_map_keys=keys)
    default = props.get("default")
    scalar = default if isinstance(default, (str, int, bool)) else None
    map_type = cast(Any, props.get("x-kubernetes-map-type")) if kind == "map" else None
    return Field(name, type_name, kind, map_type=map_type, default=scalar)


def _shape(props: Obj) -> tuple[Shape, TypeName]:
    if props.get("x-kubernetes-int-or-string"):
        return "one", "JSON"
    match props.get("type"):
        case "array":
            return "list", _item(props.get("items") or {})
        case "object":
            values = props.get("additionalProperties")
            if isinstance(values, dict) and not props.get("properties"):
                return "map", _item(values)
            if not props.get("properties") and not props.get("x-kubernetes-embedded-resource"):
                return ("one", ANY) if props.get("x-kubernetes-preserve-unknown-fields") else ("one", _struct(props))
            return "one", _struct(props)
        case str() as scalar:
            return "one", _SCALARS.get(scalar, "JSON")
        case _:
            return "one", ANY


def _item(props: Obj) -> TypeName:
    """What a list or a map holds; what holds lists or maps of its own goes by what is there."""
    kind, type_name = _shape(props)
    return type_name if kind == "one" else ANY


HEAD_TYPE: TypeName = "custom.head.Object"
"""What every object has, whatever else is in it."""
schema.register(
    HEAD_TYPE,
    {name: Field(name, type_name, "one") for name, type_name in _HEAD.items()},
    is_open=False,
    is_atomic=False,
)
