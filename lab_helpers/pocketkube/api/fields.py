"""An object as the API server decodes it: checked against its kind's fields, pruned, and in its one stored form.

Upstream decodes JSON into Go structs and writes those again, which leaves traces everybody can see: unknown fields are
gone, `""` and `[]` of optional fields too, `resources: {}` appears in every container, `0.5` CPU becomes `500m`.
`canonical` does the same from the schema. What values a field may have is left to the strategies of `resources/`.
Models apimachinery pkg/runtime/serializer/json, and Go's decoder in its errors (v1.36).
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any

from .. import schema
from ..custom.decoding import decode_custom
from ..custom.definition import CustomResource
from ..go_types import embedding, named_type
from ..objects import Obj
from ..resources.table import Resource
from ..schema import Field, TypeName
from . import scalars
from .status import StatusError, go_json, invalid_value

STRICT, WARN = "Strict", "Warn"
MAX_STRICT_ERRORS = 100
_SCHEME = "pkg/api/legacyscheme/scheme.go:30"
_HEAD = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'

_GO_KINDS: dict[type, str] = {
    bool: "bool", str: "string", int: "int64", float: "float64", list: "slice", dict: "map",
}  # fmt: skip
_THROUGH_JSON = "error decoding from json: "
_PLAIN = {"string": "string", "bool": "bool", "int32": "int32", "int64": "int64", "double": "float64"}
"""Types that Go converts values into without a decoder of their own, and what kind each is."""

Gvk = tuple[str, str, str]

_OLD_EVICTION = "policy/v1beta1"
"""Clients from before 1.22 evict in this version, which means the same."""

_SUBRESOURCE_KINDS: dict[str, Gvk] = {
    "scale": ("autoscaling", "v1", "Scale"),
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}


def kind_of(resource: Resource, subresource: str = "") -> Gvk:
    """(group, version, kind) of the bodies that a resource, or its subresource, takes."""
    return _SUBRESOURCE_KINDS.get(subresource, (resource.group, resource.version, resource.kind))


def type_of(resource: Resource, subresource: str = "") -> TypeName:
    """The schema's type of the bodies that a resource, or its subresource, takes."""
    if isinstance(resource, CustomResource):
        return resource.type_name
    return schema.kind_type(*kind_of(resource, subresource))


def decode_body(
    obj: Any,
    strict: Sequence[str],
    resource: Resource,
    field_validation: str,
    warnings: list[str],
    subresource: str = "",
) -> Obj:
    """The object of a POST or PUT in its stored form.

    Raises the 400 upstream answers for another kind, a wrong type and, if `field_validation` is Strict, for what the
    parser said (`strict`) and for unknown fields; Warn adds those to `warnings`.
    """
    expected = kind_of(resource, subresource)
    if isinstance(resource, CustomResource):
        _check_custom_kind(obj, resource)
    if subresource == "eviction" and obj.get("apiVersion") == _OLD_EVICTION:
        obj = {**obj, "apiVersion": "policy/v1"}
    group, version, kind = _declared_kind(obj, expected)
    refused = f'{kind} in version "{version}" cannot be handled as a {expected[2]}'
    if (group, version, kind) != expected:
        raise StatusError.bad_request(f"{refused}: {_other_kind(group, version, kind, expected)}")
    decoded, unknown, error = _decode_as(obj, resource, subresource)
    if error:
        raise StatusError.bad_request(f"{refused}: {error}")
    if sentence := _report(_in_order(strict, unknown, obj), field_validation, warnings):
        raise StatusError.bad_request(f"{refused}: {sentence}")
    return _with_kind(decoded, expected)


def decode_patched(
    obj: Obj,
    resource: Resource,
    field_validation: str,
    warnings: list[str],
    subresource: str = "",
    shown: Any = None,
    strict: Sequence[str] = (),
) -> Obj:
    """The outcome of a patch in its stored form; what is wrong with it is the patch's fault, so 422.

    `shown` is what the error displays as the bad value: the patch (strategic merge), else the outcome.
    `strict` is what a strict parser said of the patch.
    """
    expected = kind_of(resource, subresource)
    decoded, unknown, error = _decode_as(obj, resource, subresource, converts=shown is not None)
    if shown is None:  # a strategic merge works on the fields of the kind that is there
        if not obj.get("apiVersion"):  # of no kind at all: nothing of it is known
            decoded, unknown, error = {}, [f'unknown field "{name}"' for name in sorted(obj) if name != "kind"], ""
        else:
            error = _patched_kind_problem(obj, expected) or error
    sentence = error or _report([*strict, *unknown], field_validation, warnings)
    if sentence:
        bad = go_json(dict(sorted(obj.items()))) if shown is None else scalars.go_map(shown)
        raise StatusError.invalid("", "", [invalid_value("patch", bad, sentence)])
    return _with_kind(decoded, expected)


def canonical(obj: Obj, type_name: TypeName) -> Obj:
    """A new object in its stored form, without complaint about unknown fields; StatusError 400 for wrong types."""
    decoded, _strict, error = _decode(obj, type_name)
    if error:
        raise StatusError.bad_request(error)
    return decoded


def empty(type_name: TypeName) -> Obj:
    """The object nobody has set anything of, as Go writes it: structs by value, zero where the key is always there."""
    return {
        name: empty(field.type) if field.by_value and field.is_struct else _zero(field)
        for name, field in schema.fields(type_name).items()
        if field.by_value or field.written
    }


def head_of(obj: Any) -> tuple[str, str]:
    """(apiVersion, kind) that a document gives, "" for what it leaves out. ValueError in upstream's words."""
    start = "couldn't get version/kind; json parse error: json: cannot unmarshal"
    if not isinstance(obj, dict):
        raise ValueError(f"{start} {scalars.json_kind(obj)} into Go value of type {_HEAD}")
    for name in ("apiVersion", "kind"):
        if not isinstance(obj.get(name) or "", str):
            raise ValueError(f"{start} {scalars.json_kind(obj[name])} into Go struct field .{name} of type string")
    api_version = obj.get("apiVersion") or ""
    if api_version.count("/") > 1:
        raise ValueError(f"unexpected GroupVersion string: {api_version}")
    return api_version, obj.get("kind") or ""


def _patched_kind_problem(obj: Obj, expected: Gvk) -> str:
    """Why the outcome of a patch is not of its kind any more; "" if it is."""
    try:
        api_version, kind = head_of(obj)
    except ValueError as error:
        return str(error)
    group, _, version = api_version.rpartition("/")
    declared = (group, version, kind or expected[2])
    return "" if declared == expected else _other_kind(*declared, expected)


def _declared_kind(obj: Any, expected: Gvk) -> Gvk:
    """The kind a body says it is; what it leaves out is taken from its URL."""
    try:
        api_version, kind = head_of(obj)
    except ValueError as error:
        why = f"the object provided is unrecognized (must be of type {expected[2]}): {error}"
        raise StatusError.bad_request(why) from None
    group, _, version = api_version.rpartition("/")
    return (group, version, kind or expected[2]) if api_version else (*expected[:2], kind or expected[2])


def _other_kind(group: str, version: str, kind: str, expected: Gvk) -> str:
    """Why an object of another kind does not do."""
    api_version = f"{group}/{version}" if group else version
    if (group, version, kind) not in schema.kinds():
        return f'no kind "{kind}" is registered for version "{api_version}" in scheme "{_SCHEME}"'
    # The server's own types are in packages named after the group's first label; its Events are the core group's.
    package = expected[0].partition(".")[0].replace("events", "core") or "core"
    return f"converting ({version}.{kind}) to ({package}.{expected[2]}): unknown conversion"


def _in_order(strict: Sequence[str], unknown: Sequence[str], obj: Obj) -> list[str]:
    """What a parser and the check of the fields complain of: in the document's order, as if one reader did both."""
    if not strict or not unknown:
        return [*strict, *unknown]
    places = {path: number for number, path in enumerate(_paths(obj, ""))}
    return sorted([*strict, *unknown], key=lambda problem: places.get(problem.partition('"')[2].rstrip('"'), -1))


def _paths(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else key
            yield here
            yield from _paths(inner, here)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, f"{path}[{index}]")


def _report(strict: list[str], field_validation: str, warnings: list[str]) -> str:
    """Strict: the sentence that refuses the object. Warn: adds to the warnings."""
    strict = strict[:MAX_STRICT_ERRORS]
    if field_validation == STRICT and strict:
        return f"strict decoding error: {', '.join(strict)}"
    if field_validation == WARN:
        warnings.extend(text for problem in strict for text in warnings_of(problem) if text not in warnings)
    return ""


def warnings_of(problem: str) -> list[str]:
    """What is warned of: a strict YAML parser's list goes line by line. Models handlers parseYAMLWarnings."""
    first, *lines = problem.split("\n")
    return [line.strip() for line in lines] if lines and first.endswith("yaml: unmarshal errors:") else [problem]


def _check_custom_kind(obj: Any, resource: CustomResource) -> None:
    """Nobody knows the other kinds of a custom kind's version: the object must say what its URL says."""
    api_version, kind = (obj.get(name) if isinstance(obj, dict) else None for name in ("apiVersion", "kind"))
    if not api_version or not kind:
        missing = "apiVersion" if kind else "Kind"
        shown = json.dumps(obj, separators=(",", ":"), sort_keys=True)
        raise StatusError.bad_request(f"Object '{missing}' is missing in '{shown}'")
    if api_version != resource.api_version:
        expected = f"the expected API version ({resource.api_version})"
        raise StatusError.bad_request(f"the API version in the data ({api_version}) does not match {expected}")
    if kind != resource.kind:
        name = str((obj.get("metadata") or {}).get("name") or "")
        causes = [invalid_value("kind", kind, f"must be {resource.kind}")]
        raise StatusError.invalid(f"{resource.kind}.{resource.group}", name, causes)


def _decode_as(obj: Any, resource: Resource, subresource: str, *, converts: bool = False) -> tuple[Obj, list[str], str]:
    """`_decode` for a resource: a custom kind's fields are those of its definition."""
    if isinstance(resource, CustomResource):
        return decode_custom(obj, resource, _decode)
    return _decode(obj, type_of(resource, subresource), converts=converts)


def _with_kind(obj: Obj, gvk: Gvk) -> Obj:
    group, version, kind = gvk
    rest = {name: value for name, value in obj.items() if name not in ("apiVersion", "kind")}
    return {"kind": kind, "apiVersion": f"{group}/{version}" if group else version, **rest}


def _decode(obj: Any, type_name: TypeName, *, converts: bool = False) -> tuple[Obj, list[str], str]:
    """(stored form, unknown fields, the first wrong type or "")."""
    decoder = _Decoder(converts)
    decoded = decoder.value(obj, type_name, _Place(type_name, "one", (), ""))
    return decoded if isinstance(decoded, dict) else {}, decoder.unknown, decoder.error


@functools.cache
def _empty(type_name: TypeName) -> Obj:
    return {name: _zero(field) for name, field in schema.fields(type_name).items() if field.by_value}


def _zero(field: Field) -> Any:
    if field.by_value and field.is_struct:
        return _empty(field.type)
    return "0" if field.type == "Quantity" else field.default


@functools.cache
def _always_there(type_name: TypeName) -> tuple[Field, ...]:
    return tuple(field for field in schema.fields(type_name).values() if field.by_value)


class _Place:
    """Where in an object the decoder is: in Go's terms (struct, fields without indexes) and in the user's."""

    __slots__ = ("fields", "kind", "path", "type")

    def __init__(self, type_name: TypeName, kind: str, fields: tuple[tuple[str, str], ...], path: str) -> None:
        self.type = type_name
        self.kind = kind
        self.fields = fields
        """(struct, field) on the way here."""
        self.path = path

    def at_field(self, field: Field) -> _Place:
        path = f"{self.path}.{field.name}" if self.path else field.name
        return _Place(field.type, field.kind, (*self.fields, (self.type, field.name)), path)

    def inner(self, type_name: TypeName, path: str) -> _Place:
        return _Place(type_name, "one", self.fields, path)

    def mismatch(self, what: str, go_type: str = "") -> str:
        """The sentence of Go's decoder for a value of the wrong type."""
        if not self.fields:
            return f"json: cannot unmarshal {what} into Go value of type {go_type or self.go_type()}"
        names = [name for struct, field in self.fields for name in (embedding(struct, field), field) if name]
        target = f"struct field {self.fields[-1][0].rpartition('.')[2]}.{'.'.join(names)}"
        go_type = go_type or self.go_type()
        return f"json: cannot unmarshal {what} into Go {target} of type {go_type}"

    def go_type(self) -> str:
        """The type wanted here, as Go prints it."""
        own = named_type(*self.fields[-1]) if self.fields and self.type in schema.SCALARS else None
        return scalars.go_type(own or self.type, self.kind)


class _Decoder:
    """Walks one object along its type, collecting what is unknown and the first thing that is wrong.

    One that `converts` has a decoded object before it, and the converter's words for what is wrong.
    """

    def __init__(self, converts: bool) -> None:
        self._converts = converts
        self.unknown: list[str] = []
        self.error = ""

    def value(self, value: Any, type_name: TypeName, place: _Place) -> Any:
        """A struct or a scalar."""
        if type_name in schema.SCALARS:
            return self._scalar(value, type_name, place)
        if value is None:
            return copy.deepcopy(_empty(type_name))
        if not isinstance(value, dict):
            return self._mismatch(value, place, "cannot restore struct from: ")
        return self._struct(value, type_name, place)

    def _struct(self, value: Obj, type_name: TypeName, place: _Place) -> Obj:
        known = schema.fields(type_name)
        decoded: Obj = {}
        for name, inner in value.items():
            field = known.get(name)
            if field is None:
                self.unknown.append(f'unknown field "{place.path}.{name}"' if place.path else f'unknown field "{name}"')
            elif inner is not None:
                result = self._field(inner, field, place.at_field(field))
                if not _left_out(field, result):
                    decoded[name] = result
        for field in _always_there(type_name):
            if field.name not in decoded:
                decoded[field.name] = copy.deepcopy(_zero(field))
        return decoded

    def _field(self, value: Any, field: Field, place: _Place) -> Any:
        if field.kind == "one":
            return self.value(value, field.type, place)
        if field.kind == "list":
            if not isinstance(value, list):
                return self._mismatch(value, place, "cannot restore slice from ")
            return [
                self.value(item, field.type, place.inner(field.type, f"{place.path}[{index}]"))
                for index, item in enumerate(value)
            ]
        if not isinstance(value, dict):
            return self._mismatch(value, place, "cannot restore map from ")
        return {
            key: self.value(item, field.type, place.inner(field.type, f"{place.path}.{key}"))
            for key, item in value.items()
        }

    def _scalar(self, value: Any, type_name: TypeName, place: _Place) -> Any:
        try:
            return scalars.decode(value, type_name)
        except scalars.WrongType as wrong:
            if self._converts and type_name in _PLAIN:
                return self._fail(_conversion_problem(value, type_name, place.go_type()))
            return self._fail(place.mismatch(wrong.what, wrong.go_type))
        except ValueError as error:
            return self._fail(f"{_THROUGH_JSON if self._converts and type_name == 'bytes' else ''}{error}")

    def _mismatch(self, value: Any, place: _Place, converting: str) -> None:
        kind = scalars.json_kind(value)
        self._fail(f"{converting}{_GO_KINDS.get(type(value), kind)}" if self._converts else place.mismatch(kind))

    def _fail(self, sentence: str) -> None:
        self.error = self.error or sentence


def _conversion_problem(value: Any, type_name: TypeName, go_type: str) -> str:
    """Models apimachinery pkg/runtime/converter.go: numbers convert among each other, and in Go to a string too."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and (type_name in ("int32", "int64", "double") or isinstance(value, int)) and type_name != "bool":
        return f"cannot convert {_GO_KINDS[type(value)]} to {go_type}"
    return f"unrecognized type: {_PLAIN[type_name]}"


def _left_out(field: Field, value: Any) -> bool:
    """True for what Go's `omitempty` leaves out: zero values of everything that isn't a pointer."""
    if value is None:
        return not field.by_value
    if field.written or field.nullable or (field.kind == "one" and field.is_struct):
        return False
    return field.type not in ("RawExtension", "FieldsV1") and value in ("", 0, [], {})
