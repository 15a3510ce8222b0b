"""The types of the API as OpenAPI v3: an index, and one document a group and version, made from the schema.

As much as kubectl needs: `apply` the merge keys, `explain` the fields, validation the types. A document is a tenth of
upstream's, because it leaves out descriptions; `explain` gets those with documents of its own (`descriptions.py`).
Models kube-openapi pkg/handler3 and pkg/builder3 (v1.36).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache

from .. import schema
from ..config import KUBERNETES_VERSION
from ..custom.catalogue import STATIC, Served
from ..custom.definition import CustomResource
from ..custom.openapi import custom_schemas
from ..objects import Obj
from ..resources.table import Resource
from ..schema import Field, TypeName
from .discovery import Document
from .negotiate import encode
from .openapi_paths import META, discovery_path, resource_paths, review_paths
from .reviews import REVIEWS, Review
from .routes import SUBRESOURCES, group_versions

TITLE_VERSION = KUBERNETES_VERSION.removeprefix("v").rpartition(".")[0]
"""The release as documents name it: `1.36`."""
SECURITY = {
    "BearerToken": {
        "description": "Bearer Token authentication",
        "in": "header",
        "name": "authorization",
        "type": "apiKey",
    }
}
Describe = Callable[[TypeName, str], str]
"""The description of a type (field "") or of one of its fields."""

_UTIL = "io.k8s.apimachinery.pkg"
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"
_NAMED: dict[str, tuple[str, Obj]] = {
    "IntOrString": (
        f"{_UTIL}.util.intstr.IntOrString",
        {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    ),
    "Quantity": (f"{_UTIL}.api.resource.Quantity", {"oneOf": [{"type": "string"}, {"type": "number"}]}),
    "Time": (f"{META}.Time", {"type": "string", "format": "date-time"}),
    "MicroTime": (f"{META}.MicroTime", {"type": "string", "format": "date-time"}),
    "FieldsV1": (f"{META}.FieldsV1", {"type": "object"}),
    "RawExtension": (f"{_UTIL}.runtime.RawExtension", {"type": "object"}),
    "JSON": (f"{_EXTENSIONS}.JSON", {}),
    "SchemaOrArray": (f"{_EXTENSIONS}.JSONSchemaPropsOrArray", {}),
    "SchemaOrBool": (f"{_EXTENSIONS}.JSONSchemaPropsOrBool", {}),
    "SchemaOrStrings": (f"{_EXTENSIONS}.JSONSchemaPropsOrStringArray", {}),
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


_CUSTOM_NEEDS = ("meta.v1.ObjectMeta", "meta.v1.ListMeta", "meta.v1.DeleteOptions", "meta.v1.Status")
"""The types that documents of custom kinds refer to."""


def say_nothing(_type: TypeName, _field: str) -> str:
    """Describes nothing, which most clients have no use for."""
    return ""


@lru_cache(maxsize=8)
def index(served: Served = STATIC, *, described: bool = False) -> Document:
    """`/openapi/v3`: the address of every document, with the hash of what is there."""
    more = "&described=true" if described else ""
    paths = {
        _path_of(*key): {"serverRelativeURL": f"/openapi/v3/{_path_of(*key)}?hash={_hash(*key, served)}{more}"}
        for key in group_versions(served)
    }
    return Document(encode({"paths": paths}))


def document(path: str, served: Served = STATIC) -> Document | None:
    """`/openapi/v3/<path>` without descriptions; None if nothing is there."""
    found = next((key for key in group_versions(served) if _path_of(*key) == path), None)
    return None if found is None else _document(*found, served.part(*found))


@lru_cache(maxsize=128)
def _document(group: str, version: str, served: Served) -> Document:
    return Document(encode(build(group, version, served=served)))


def build(group: str, version: str, describe: Describe = say_nothing, served: Served = STATIC) -> Obj:
    """The document of a group and version."""
    resources = list(group_versions(served).get((group, version), {}).values())
    reviews = [review for review in REVIEWS.values() if (review.group, review.version) == (group, version)]
    paths = dict([discovery_path(group, version)])
    for resource in resources:
        paths |= dict(resource_paths(resource))
    for review in reviews:
        paths |= dict(review_paths(review))
    schemas: dict[str, Obj] = {f"{META}.Patch": {"type": "object", **_said(describe("meta.v1.Patch", ""))}}
    custom = [resource for resource in resources if isinstance(resource, CustomResource)]
    static = [resource for resource in resources if not isinstance(resource, CustomResource)]
    for name in _types_named(static, reviews):
        _collect(name, schemas, describe)
    for name in _CUSTOM_NEEDS if custom else ():
        _collect(name, schemas, describe)
    _name_kinds(schemas, group, version)
    for resource in custom:
        schemas |= custom_schemas(resource)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": TITLE_VERSION},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(schemas.items())), "securitySchemes": SECURITY},
    }


def group_version_of(path: str) -> tuple[str, str]:
    """(group, version) of a path of the static table; KeyError for another."""
    return {_path_of(*key): key for key in group_versions()}[path]


def _path_of(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _hash(group: str, version: str, served: Served) -> str:
    """Changes whenever the document may: with the schema's release, the resources served, a custom kind's schema."""
    resources = group_versions(served)[group, version].values()
    if any(isinstance(resource, CustomResource) for resource in resources):
        return hashlib.sha256(_document(group, version, served).body).hexdigest().upper()
    said = f"{schema.release()} {_path_of(group, version)} {[resource.name for resource in resources]}"
    return hashlib.sha256(said.encode()).hexdigest().upper()


# --- schemas ---


def _types_named(resources: list[Resource], reviews: list[Review]) -> Iterator[TypeName]:
    """The types that operations speak of."""
    yield "meta.v1.APIResourceList"
    for resource in resources:
        group, version = resource.group, resource.version
        yield schema.kind_type(group, version, resource.kind)
        yield schema.kind_type(group, version, f"{resource.kind}List")
        yield from ("meta.v1.DeleteOptions", "meta.v1.Status", "meta.v1.WatchEvent")
        for name in resource.subresources:
            with suppress(LookupError):  # the options of a connection are no body
                yield schema.kind_type(*SUBRESOURCES[name].kind_for(resource))
    for review in reviews:
        yield schema.kind_type(*review.gvk)


def _name_kinds(schemas: dict[str, Obj], group: str, version: str) -> None:
    """Says of each schema of a kind which kinds it is; kinds that every group has are named for that group, too."""
    for (kind_group, kind_version, kind), name in schema.kinds().items():
        if entry := schemas.get(schema.openapi_name(name)):
            named = entry.setdefault("x-kubernetes-group-version-kind", [])
            named.append({"group": kind_group, "version": kind_version, "kind": kind})
    for kind in ("DeleteOptions", "WatchEvent"):
        if entry := schemas.get(f"{META}.{kind}"):
            entry["x-kubernetes-group-version-kind"] = [
                {"group": of_group, "version": of_version, "kind": kind}
                for of_group, of_version in sorted({("", "v1"), (group, version)})
            ]


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
    if unions := schema.unions(name):
        entry["x-kubernetes-unions"] = unions
    for field in fields.values():
        if field.is_struct:
            _collect(field.type, schemas, describe)
        elif field.type in _NAMED:
            scalar_name, scalar = _NAMED[field.type]
            schemas.setdefault(scalar_name, scalar)


def _property(field: Field, owner: TypeName, describe: Describe) -> Obj:
    if field.kind == "list":
        entry: Obj = {"type": "array", "items": _item(field)}
    elif field.kind == "map":
        entry = {"type": "object", "additionalProperties": _item(field)}
    elif field.type in _INLINE:
        entry = _scalar(field)
    else:
        entry = {"allOf": [_reference(field.type)], **({"default": {}} if field.by_value and field.is_struct else {})}
    if field.default is not None:
        entry["default"] = field.default
    return {**_said(describe(owner, field.name)), **entry, **_extensions(field)}


def _item(field: Field) -> Obj:
    """What a list or a map holds."""
    if field.type in _INLINE:
        zero = schema.ZERO.get(field.type)
        return {**_scalar(field), **({} if zero is None else {"default": zero})}
    return {"allOf": [_reference(field.type)], "default": {}} if field.is_struct else _reference(field.type)


def _scalar(field: Field) -> Obj:
    return {**_INLINE[field.type], **({"enum": list(field.enum)} if field.enum else {})}


def _reference(name: TypeName) -> Obj:
    return {"$ref": f"#/components/schemas/{_NAMED[name][0] if name in _NAMED else schema.openapi_name(name)}"}


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
