"""Custom kinds as OpenAPI describes them: their definitions' schemas, with what every object has.

Models apiextensions-apiserver pkg/controller/openapi/builder (v1.36).
"""

from __future__ import annotations

from typing import Any

from ..objects import Obj
from .definition import CustomResource

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized "
    "schemas to the latest internal value, and may reject unrecognized values. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
)
_KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from the "
    "endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)
_METADATA = (
    "Standard object's metadata. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
_LIST_METADATA = (
    "Standard list metadata. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)


def definition_name(group: str, version: str, kind: str) -> str:
    """`com.example.stable.v1.CronTab`."""
    return ".".join([*reversed(group.split(".")), version, kind])


def custom_schemas(resource: CustomResource) -> dict[str, Obj]:
    """The schemas of a custom kind and of its lists, by name."""
    name = definition_name(resource.group, resource.version, resource.kind)
    list_name = definition_name(resource.group, resource.version, resource.list_kind)
    return {name: _object(resource), list_name: _list(resource, name)}


def _object(resource: CustomResource) -> Obj:
    schema = _plain(resource.schema)
    entry: Obj = {"type": "object", **schema}
    entry["properties"] = {
        **(schema.get("properties") or {}),
        "apiVersion": {"description": _API_VERSION, "type": "string"},
        "kind": {"description": _KIND, "type": "string"},
        "metadata": _reference(f"{_META}.ObjectMeta", _METADATA),
    }
    return {**entry, "x-kubernetes-group-version-kind": [_gvk(resource, resource.kind)]}


def _list(resource: CustomResource, name: str) -> Obj:
    described = f"List of {resource.plural}. More info: {_KIND.rpartition(' ')[2].replace('#types-kinds', '')}"
    items = {"description": described, "type": "array", "items": {"allOf": [{"$ref": f"#/components/schemas/{name}"}]}}
    return {
        "description": f"{resource.list_kind} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"description": _API_VERSION, "type": "string"},
            "items": items,
            "kind": {"description": _KIND, "type": "string"},
            "metadata": _reference(f"{_META}.ListMeta", _LIST_METADATA),
        },
        "x-kubernetes-group-version-kind": [_gvk(resource, resource.list_kind)],
    }


def _gvk(resource: CustomResource, kind: str) -> Obj:
    return {"group": resource.group, "version": resource.version, "kind": kind}


def _reference(name: str, description: str) -> Obj:
    return {"description": description, "allOf": [{"$ref": f"#/components/schemas/{name}"}]}


def _plain(schema: Any) -> Any:
    """The schema as OpenAPI documents have it: an embedded object shows what every object has."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _plain(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-embedded-resource") is True:
        plain["properties"] = {
            **plain.get("properties", {}),
            "apiVersion": {"description": _API_VERSION, "type": "string"},
            "kind": {"description": _KIND, "type": "string"},
            "metadata": _reference(f"{_META}.ObjectMeta", _METADATA),
        }
    return plain
