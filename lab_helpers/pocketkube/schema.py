"""The types of the Kubernetes API as a table: what fields a kind has, and how each is merged, owned and encoded.

    kind_type("apps", "v1", "Deployment")     -> "apps.v1.Deployment"
    fields("apps.v1.Deployment")["spec"].type -> "apps.v1.DeploymentSpec"

The table is `schema_data/schema.json`, written by `tests/tools/generate_schema.py`; a type is parsed when first
asked for. Patching, applying, validating and protobuf are functions over it (`api/`, `protobuf.py`); which kinds are
served, and under which names, is in `resources/table.py`.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast

TypeName = str
"""`core.v1.Pod` for a struct, else one of SCALARS."""

SCALARS = frozenset(
    {
        "bool", "int32", "int64", "double", "string", "bytes", "IntOrString", "Quantity", "Time", "MicroTime",
        "FieldsV1", "RawExtension", "StringList", "JSON", "SchemaOrArray", "SchemaOrBool", "SchemaOrStrings",
    }
)  # fmt: skip
"""Types without fields of their own. `StringList` is a map's value that is a list of strings; `JSON` and the unions of
a CustomResourceDefinition's schema (`SchemaOr...`) are any value."""

ZERO: Mapping[str, Any] = MappingProxyType({"string": "", "bool": False, "int32": 0, "int64": 0, "double": 0})
"""What stands where nothing was said, by type."""

_META_KINDS = {"DeleteOptions": "meta.v1.DeleteOptions", "WatchEvent": "meta.v1.WatchEvent"}

ANY: TypeName = "Any"
"""The type of a value of which the schema says nothing: a map of such values, or a leaf, as is found."""

_MODULES = {
    "apiextensions": "apiextensions-apiserver.pkg.apis.",
    "apiregistration": "kube-aggregator.pkg.apis.",
    "meta": "apimachinery.pkg.apis.",
}
"""Where upstream keeps the groups that are not in its module of types, as OpenAPI's names tell."""

Shape = Literal["one", "list", "map"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a type, as JSON knows it."""

    name: str
    type: TypeName
    """Type of the field, or of the list's items, or of the map's values."""
    kind: Shape
    wire: tuple[int, ...] = ()
    """Protobuf field number; several if the field sits in embedded messages; empty if not in protobuf."""
    required: bool = False
    written: bool = False
    """Written also when it is empty (no `omitempty`): true of every required field."""
    nullable: bool = False
    """A pointer in Go: its zero value differs from its absence."""
    by_value: bool = False
    """A struct by value in Go: written even when nobody set it, as `resources: {}` of a container."""
    patch_strategy: tuple[str, ...] = ()
    """Of `merge`, `replace`, `retainKeys` (strategic merge patch)."""
    merge_key: str | None = None
    list_type: Literal["atomic", "set", "map"] | None = None
    list_map_keys: tuple[str, ...] = ()
    map_type: Literal["atomic", "granular"] | None = None
    default: str | int | bool | None = None
    """What the API server fills in: also where the field is a key of an associative list."""
    enum: tuple[str, ...] = ()
    """The values allowed, if the API names them."""

    @property
    def is_atomic(self) -> bool:
        """Owned and replaced as a whole by server-side apply."""
        if self.kind == "list":
            return self.list_type in (None, "atomic")
        return self.map_type == "atomic" or (self.kind == "one" and is_atomic(self.type))

    @property
    def is_struct(self) -> bool:
        """The type has fields of its own."""
        return self.type not in SCALARS


_registered: dict[TypeName, tuple[Mapping[str, Field], bool, bool]] = {}
"""Types of custom kinds: fields, whether others may stand beside them, whether values are owned as a whole."""


def register(type_name: TypeName, known: Mapping[str, Field], *, is_open: bool, is_atomic: bool) -> None:
    """Adds a type of a custom kind. Its name must tell its content, for a name never changes its meaning."""
    _registered[type_name] = (MappingProxyType(dict(known)), is_open, is_atomic)


def is_registered(type_name: TypeName) -> bool:
    """True if a custom kind's type of that name is there."""
    return type_name in _registered


def is_open(type_name: TypeName) -> bool:
    """True of a struct in which fields may stand that its type does not know."""
    return type_name == ANY or (type_name in _registered and _registered[type_name][1])


@functools.cache
def _table() -> dict[str, Any]:
    path = Path(__file__).with_name("schema_data") / "schema.json"
    return cast(dict[str, Any], json.loads(path.read_bytes()))


@functools.cache
def _atomic_types() -> frozenset[str]:
    return frozenset(_table()["atomic"])


def is_atomic(type_name: TypeName) -> bool:
    """True if values of that struct are owned as a whole, wherever they are (`x-kubernetes-map-type: atomic`)."""
    if type_name in _registered:
        return _registered[type_name][2]
    return type_name in _atomic_types()


def unions(type_name: TypeName) -> list[Any]:
    """The unions in a struct, as OpenAPI gives them (`x-kubernetes-unions`)."""
    return cast(list[Any], _table()["unions"].get(type_name, []))


def release() -> str:
    """The Kubernetes release that the table describes."""
    return str(_table()["release"])


def kind_type(group: str, version: str, kind: str) -> TypeName:
    """The type of a kind; LookupError if the table has none."""
    name = "/".join(part for part in (group, version, kind) if part)
    found = _table()["kinds"].get(name) or _META_KINDS.get(kind)
    if found is None:
        raise LookupError(f'no kind "{kind}" is known for version "{group + "/" if group else ""}{version}"')
    return str(found)


def kinds() -> Mapping[tuple[str, str, str], TypeName]:
    """Every kind of the table: (group, version, kind) -> type."""
    return {_split_kind(name): kind_name for name, kind_name in _table()["kinds"].items()}


def _split_kind(name: str) -> tuple[str, str, str]:
    group_version, _, kind = name.rpartition("/")
    group, _, version = group_version.rpartition("/")
    return group, version, kind


def openapi_name(type_name: TypeName) -> str:
    """The name upstream's OpenAPI documents give a type: `io.k8s.api.core.v1.Pod`."""
    module = _MODULES.get(type_name.partition(".")[0], "api.")
    return f"io.k8s.{module}{type_name}"


@functools.cache
def fields(type_name: TypeName) -> Mapping[str, Field]:
    """The fields of a type, by JSON name; LookupError for an unknown type."""
    if type_name in SCALARS or type_name == ANY:
        return MappingProxyType({})
    if type_name in _registered:
        return _registered[type_name][0]
    lines = _table()["types"].get(type_name)
    if lines is None:
        raise LookupError(f'no type "{type_name}" in the schema')
    return MappingProxyType({name: _parse_field(name, line) for name, line in lines.items()})


def _parse_field(name: str, line: str) -> Field:
    """Reads a field as the generator wrote it: `[]core.v1.ServicePort 1 strategy=merge key=port ...`."""
    shaped, number, *words = line.split(" ")
    kind: Shape = "list" if shaped.startswith("[]") else "map" if shaped.startswith("{}") else "one"
    flags = {word for word in words if "=" not in word}
    named = dict(word.split("=", 1) for word in words if "=" in word)
    return Field(
        name,
        shaped.removeprefix("[]").removeprefix("{}"),
        kind,
        wire=() if number == "-" else tuple(int(part) for part in number.split(".")),
        required="required" in flags,
        written=bool(flags & {"required", "written"}),
        nullable="pointer" in flags,
        by_value="value" in flags,
        patch_strategy=_words(named.get("strategy")),
        merge_key=named.get("key"),
        list_type=cast(Any, named.get("list")),
        list_map_keys=_words(named.get("keys")),
        map_type=cast(Any, named.get("map")),
        default=_default(named.get("default"), shaped, flags),
        enum=_words(named.get("enum")),
    )


def _default(text: str | None, shaped: str, flags: set[str]) -> Any:
    """A default as the table gives it; else a field that is always written has its type's zero."""
    if text is not None:
        return json.loads(text)
    return ZERO.get(shaped) if flags & {"required", "written"} and "pointer" not in flags else None


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def describe(type_name: TypeName, field: str = "") -> str:
    """What upstream says of a type or field, as the official client's models carry it; "" if they say nothing.

    They say nothing of a field that is a struct; what is said of that struct's type is all there is.
    The client is large, so it is imported here, when a description is really wanted.
    """
    import kubernetes.client.models as models

    group, version, kind = type_name.split(".")
    plain, qualified = f"{version.capitalize()}{kind}", f"{group.capitalize()}{version.capitalize()}{kind}"
    model = getattr(models, qualified, None) or getattr(models, plain, None)
    if model is None:
        return ""
    if field:
        return _described_field(model, field)
    said = inspect.cleandoc(model.__doc__ or "").partition("Attributes:")[0].partition("NOTE:")[0].strip()
    return _with_lists(said)


def _described_field(model: Any, field: str) -> str:
    """A field's description: of a pydantic model in newer clients, else out of a property's docstring."""
    attribute = next((name for name, json_name in model.attribute_map.items() if json_name == field), "")
    declared = getattr(model, "model_fields", {})
    # A word that Python keeps for itself has another name: `var_continue`.
    if found := declared.get(attribute) or declared.get(f"var_{attribute.strip('_')}"):
        return _with_lists(found.description or "")
    lines = inspect.cleandoc(getattr(model, attribute, None).__doc__ or "").splitlines()
    said = [line for line in lines[1:] if line and not line.startswith(":")]
    return " ".join(said).partition("# noqa")[0].strip()


def _with_lists(text: str) -> str:
    """A description with its paragraphs' and lists' line ends, which became blanks in the client."""
    text = re.sub(r"(?<=\S) {3}(?=\* )", "\n  ", text)
    return re.sub(r"(?<=\S) {2}(?=\* |Populated by |Possible enum |Must be a DNS_)", "\n\n", text)
