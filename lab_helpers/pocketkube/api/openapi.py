"""The types of the API as OpenAPI v3: an index, and one document a group and version, made from the schema.

As much as kubectl needs: `apply` the merge keys, `explain` the fields, validation the types. A document is a tenth of
upstream's, because it leaves out descriptions; `explain` gets those with documents of its own (`descriptions.py`).
Models kube-openapi pkg/handler3 and pkg/builder3 (v1.36).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from .. import schema
from ..client import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from ..objects import Obj
from ..resources.table import Resource
from ..schema import Field, TypeName
from .discovery import Document
from .negotiate import encode
from .routes import group_versions

Describe = Callable[[TypeName, str], str]
"""The description of a type (field "") or of one of its fields."""

_UTIL = "io.k8s.apimachinery.pkg"
_META = f"{_UTIL}.apis.meta.v1"
_NAMED: dict[str, tuple[str, Obj]] = {
    "IntOrString": (
        f"{_UTIL}.util.intstr.IntOrString",
        {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    ),
    "Quantity": (f"{_UTIL}.api.resource.Quantity", {"oneOf": [{"type": "string"}, {"type": "number"}]}),
    "Time": (f"{_META}.Time", {"type": "string", "format": "date-time"}),
    "MicroTime": (f"{_META}.MicroTime", {"type": "string", "format": "date-time"}),
    "FieldsV1": (f"{_META}.FieldsV1", {"type": "object"}),
    "RawExtension": (f"{_UTIL}.runtime.RawExtension", {"type": "object"}),
}
"""Scalars that have a schema of their own."""

_INLINE: dict[str, Obj] = {
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "double": {"type": "number", "format": "double"},
    "string": {"type": "string"},
    "bytes": {"type": "string", "format": "byte"},
    "StringList": {"type": "array", "items": {"type": "string"}},
}
_PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH)


def _say_nothing(_type: TypeName, _field: str) -> str:
    return ""


@cache
def index(*, described: bool = False) -> Document:
    """`/openapi/v3`: the address of every document, with the hash of what is there."""
    more = "&described=true" if described else ""
    paths = {
        path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={_hash(path)}{more}"}
        for path in (_path_of(group, version) for group, version in group_versions())
    }
    return Document(encode({"paths": paths}))


@cache
def document(path: str) -> Document | None:
    """`/openapi/v3/<path>` without descriptions; None if nothing is there."""
    found = _served().get(path)
    return None if found is None else Document(encode(build(*found)))


def build(group: str, version: str, describe: Describe = _say_nothing) -> Obj:
    """The document of a group and version."""
    resources = list(group_versions()[group, version].values())
    schemas: dict[str, Obj] = {}
    for resource in resources:
        root = schema.kind_type(group, version, resource.kind)
        _collect(root, schemas, describe)
        schemas[schema.openapi_name(root)]["x-kubernetes-group-version-kind"] = [_kind_entry(resource)]
    schemas[f"{_META}.Patch"] = {"type": "object"}
    paths = {path: item for resource in resources for path, item in _paths(resource)}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": schema.release()},
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def group_version_of(path: str) -> tuple[str, str]:
    """(group, version) of a served path; KeyError for another."""
    return _served()[path]


@cache
def _served() -> dict[str, tuple[str, str]]:
    return {_path_of(group, version): (group, version) for group, version in group_versions()}


def _path_of(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _hash(path: str) -> str:
    """Changes whenever the document may: with the schema's release, or the resources served."""
    names = [resource.name for resource in group_versions()[_served()[path]].values()]
    said = f"{schema.release()} {path} {names}"
    return hashlib.sha256(said.encode()).hexdigest().upper()


# --- schemas ---


def _collect(name: TypeName, schemas: dict[str, Obj], describe: Describe) -> None:
    """Adds the schema of a type, and of all that it is made of."""
    full_name = schema.openapi_name(name)
    if full_name in schemas:
        return
    fields = schema.fields(name)
    entry = schemas[full_name] = {"type": "object", **_said(describe(name, ""))}
    properties = {field.name: _property(field, name, describe) for field in fields.values()}
    if properties:
        entry["properties"] = properties
    required = [field.name for field in fields.values() if field.required]
    if required:
        entry["required"] = required
    if schema.is_atomic(name):
        entry["x-kubernetes-map-type"] = "atomic"
    for field in fields.values():
        if field.is_struct:
            _collect(field.type, schemas, describe)
        elif field.type in _NAMED:
            scalar_name, scalar = _NAMED[field.type]
            schemas.setdefault(scalar_name, scalar)


def _property(field: Field, owner: TypeName, describe: Describe) -> Obj:
    value = _value(field)
    if field.kind == "list":
        entry: Obj = {"type": "array", "items": value}
    elif field.kind == "map":
        entry = {"type": "object", "additionalProperties": value}
    else:
        entry = value
    return {**_said(describe(owner, field.name)), **entry, **_extensions(field)}


def _value(field: Field) -> Obj:
    if field.type in _INLINE:
        return dict(_INLINE[field.type])
    name = _NAMED[field.type][0] if field.type in _NAMED else schema.openapi_name(field.type)
    reference = {"$ref": f"#/components/schemas/{name}"}
    return {"allOf": [reference], **({"default": {}} if field.is_struct else {})}


def _extensions(field: Field) -> Obj:
    named = {
        "x-kubernetes-patch-strategy": ",".join(field.patch_strategy),
        "x-kubernetes-patch-merge-key": field.merge_key,
        "x-kubernetes-list-type": field.list_type,
        "x-kubernetes-list-map-keys": list(field.list_map_keys),
        "x-kubernetes-map-type": field.map_type,
    }
    return {key: value for key, value in named.items() if value}


def _said(text: str) -> Obj:
    return {"description": text} if text else {}


# --- paths ---


def _paths(resource: Resource) -> Iterator[tuple[str, Obj]]:
    """The collection and the object of a resource, with the operations that clients look at."""
    where = "{namespace}" if resource.namespaced else None
    kind = {"x-kubernetes-group-version-kind": _kind_entry(resource)}
    schema_name = schema.openapi_name(schema.kind_type(resource.group, resource.version, resource.kind))
    answers = {"200": {"description": "OK", "content": _content(schema_name, ("application/json",))}}
    listing: Obj = {"get": {"x-kubernetes-action": "list", **kind, "responses": {"200": {"description": "OK"}}}}
    creation = {"content": _content(schema_name, ("*/*",))}
    listing["post"] = {**_operation("post", kind, answers), "requestBody": creation}
    yield resource.path(where), listing
    patch = {"content": _content(f"{_META}.Patch", _PATCH_TYPES)}
    yield (
        resource.path(where, "{name}"),
        {
            "get": {"x-kubernetes-action": "get", **kind, "responses": answers},
            "put": {**_operation("put", kind, answers), "requestBody": creation},
            "patch": {**_operation("patch", kind, answers), "requestBody": patch},
        },
    )


def _operation(action: str, kind: Obj, answers: Obj) -> Obj:
    names = ("dryRun", "fieldManager", "fieldValidation", *(("force",) if action == "patch" else ()))
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "boolean" if name == "force" else "string"}} for name in names
    ]
    return {"x-kubernetes-action": action, **kind, "parameters": parameters, "responses": answers}


def _content(schema_name: str, media_types: tuple[str, ...]) -> Obj:
    reference: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{schema_name}"}}
    return dict.fromkeys(media_types, reference)


def _kind_entry(resource: Resource) -> Obj:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}
