"""The values at the leaves of an object: what JSON each scalar type takes, how it is stored, and Go's words for it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from .. import quantity
from ..schema import TypeName
from .status import go_json, go_quote

_GO_TYPES = {
    "bytes": "[]uint8", "double": "float64", "StringList": "v1.ExtraValue", "Quantity": "resource.Quantity",
    "Time": "v1.Time", "MicroTime": "v1.MicroTime", "IntOrString": "intstr.IntOrString", "FieldsV1": "v1.FieldsV1",
    "RawExtension": "runtime.RawExtension",
}  # fmt: skip
_GO_MAPS = {"Quantity": "v1.ResourceList"}
_LIMITS = {"int32": 2**31, "int64": 2**63}
_SECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([.,]\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_LAYOUTS = {"Time": "2006-01-02T15:04:05Z07:00", "MicroTime": "2006-01-02T15:04:05.000000Z07:00"}
_BASE64 = re.compile(r"[A-Za-z0-9+/]", re.ASCII)


class WrongType(Exception):
    """A value that Go's decoder can't put into a type. `go_type` is set where it differs from the field's own."""

    def __init__(self, value: Any, go_type: str = "") -> None:
        self.what = json_kind(value)
        if self.what == "number" and go_type in _LIMITS:
            self.what = f"number {json.dumps(value)}"
        self.go_type = go_type
        super().__init__(self.what)


def json_kind(value: Any) -> str:
    """What Go's decoder calls a JSON value."""
    for python_type, name in ((bool, "bool"), (str, "string"), (list, "array"), (dict, "object")):
        if isinstance(value, python_type):
            return name
    return "null" if value is None else "number"


def go_type(type_name: TypeName, kind: str) -> str:
    """A type as Go prints it: `v1.PodSpec`, `[]v1.ServicePort`, `map[string]string`."""
    name = _GO_TYPES.get(type_name) or ".".join(type_name.split(".")[-2:])
    if kind == "list":
        return f"[]{name}"
    return _GO_MAPS.get(type_name, f"map[string]{name}") if kind == "map" else name


def decode(value: Any, type_name: TypeName) -> Any:
    """The value as it is stored. WrongType, or ValueError with upstream's sentence. None is the zero value."""
    match type_name:
        case "string":
            return _expect(value, str, "")
        case "bool":
            return _expect(value, bool, False)
        case "int32" | "int64":
            return _integer(value, type_name)
        case "double":
            return _expect(value, (int, float), 0.0)
        case "IntOrString":
            return value if isinstance(value, str) else _integer(value, "int32")
        case "Quantity":
            return _quantity(value)
        case "Time" | "MicroTime":
            return _time(value, type_name)
        case "bytes":
            return _base64(_expect(value, str, ""))
        case "StringList":
            return [_expect(item, str, "") for item in _expect(value, list, [])]
        case _:
            return value


def _expect(value: Any, wanted: type | tuple[type, ...], zero: Any) -> Any:
    if value is None:
        return zero
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise WrongType(value)
    return value


def _integer(value: Any, type_name: TypeName) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WrongType(value, type_name if not isinstance(value, float) else "")
    limit = _LIMITS[type_name]
    if isinstance(value, float) or not -limit <= value < limit:
        raise WrongType(value, type_name)
    return value


def _quantity(value: Any) -> str:
    if value is None:
        return "0"
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(quantity.FORMAT_WRONG)
    return quantity.canonical(value)


def _time(value: Any, type_name: TypeName) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise WrongType(value, "string")
    if type_name == "Time" and _SECONDS.fullmatch(value):
        _moment(value, type_name)
        return value
    moment = _moment(value, type_name)
    return f"{moment.isoformat(timespec='microseconds' if type_name == 'MicroTime' else 'seconds')}Z"


def _moment(text: str, type_name: TypeName) -> datetime:
    """A point in time, in UTC."""
    quoted, layout = go_json(text), _LAYOUTS[type_name]
    if not _RFC3339.fullmatch(text):
        raise ValueError(f'parsing time {quoted} as "{layout}": cannot parse {quoted} as "2006"')
    try:
        return datetime.fromisoformat(text.replace(",", ".")).astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise ValueError(f"parsing time {quoted}: day out of range") from None


def _base64(text: str) -> str:
    """Checks a text against RFC 4648 as Go's decoder does, and says where it goes wrong."""
    clean = text.replace("\r", "").replace("\n", "")
    body = clean.rstrip("=")
    bad = next((index for index, char in enumerate(body) if not _BASE64.match(char)), None)
    padding = len(clean) - len(body)
    if bad is None and (len(clean) % 4 or padding > 2):
        bad = len(clean) // 4 * 4 if not padding else len(clean)
    if bad is not None:
        raise ValueError(f"illegal base64 data at input byte {bad}")
    return clean


def go_interface(value: Any) -> str:
    """The type of a decoded JSON value as Go's `%T` prints it."""
    for python_type, name in ((bool, "bool"), (int, "int64"), (float, "float64"), (str, "string")):
        if isinstance(value, python_type):
            return name
    return "map[string]interface {}" if isinstance(value, dict) else "[]interface {}"


def go_syntax(value: Any) -> str:
    """A decoded JSON value as Go's `%#v` prints it."""
    if isinstance(value, dict):
        entries = ", ".join(f"{go_quote(key)}:{go_syntax(value[key])}" for key in sorted(value))
        return f"map[string]interface {{}}{{{entries}}}"
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(go_syntax(item) for item in value)}}}"
    if value is None:
        return "interface {}(nil)"
    return go_quote(value) if isinstance(value, str) else json.dumps(value)


def go_map(value: Any) -> str:
    """A decoded JSON value as Go's `%+v` prints it: `map[spec:map[replicas:1]]`."""
    match value:
        case dict():
            return f"map[{' '.join(f'{key}:{go_map(value[key])}' for key in sorted(value))}]"
        case list():
            return f"[{' '.join(go_map(item) for item in value)}]"
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)
