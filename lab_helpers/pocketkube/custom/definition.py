"""A CustomResourceDefinition as resources of the API: one for each version that it serves.

Models apiextensions-apiserver pkg/apiserver/customresource_handler.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..objects import Obj, condition_of
from ..resources.table import Resource
from ..schema import TypeName
from .types import type_for

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


@dataclass(frozen=True, eq=False)
class CustomResource(Resource):
    """One version of a custom kind. Compared by identity: a changed definition makes new ones."""

    list_kind: str = ""
    schema: Obj = field(default_factory=dict)
    """Its structural schema, as the definition writes it."""
    type_name: TypeName = ""
    """Under which name `schema.fields` knows its fields."""
    is_storage: bool = True
    """Objects are stored in this version."""
    columns: tuple[Obj, ...] = ()
    deprecation: str = ""
    """What every request on it is told."""
    selectable: tuple[str, ...] = ()
    """JSON paths that field selectors may name."""
    is_leaving: bool = False
    """The definition is being deleted: nothing new is created."""

    @property
    def has_status(self) -> bool:
        """The status is written by itself."""
        return "status" in self.subresources


def is_established(definition: Obj) -> bool:
    """True once the kind is served."""
    return (condition_of(definition, "Established") or {}).get("status") == "True"


def resources_of(definition: Obj) -> Iterator[CustomResource]:
    """The resources of an established definition."""
    spec = definition["spec"]
    names = definition["status"].get("acceptedNames") or spec["names"]
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        api_version = f"{spec['group']}/{version['name']}"
        deprecation = version.get("deprecationWarning") or f"{api_version} {names['kind']} is deprecated"
        yield CustomResource(
            names["plural"],
            names["kind"],
            group=spec["group"],
            version=version["name"],
            namespaced=spec["scope"] == "Namespaced",
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            subresources=("status",) if (version.get("subresources") or {}).get("status") is not None else (),
            singular=names.get("singular") or "",
            list_kind=names.get("listKind") or f"{names['kind']}List",
            schema=schema,
            type_name=type_for(schema),
            is_storage=bool(version.get("storage")),
            columns=tuple(version.get("additionalPrinterColumns") or ()),
            deprecation=deprecation if version.get("deprecated") else "",
            selectable=tuple(entry["jsonPath"] for entry in version.get("selectableFields") or ()),
            is_leaving=bool(definition["metadata"].get("deletionTimestamp")),
        )
