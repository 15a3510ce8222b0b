"""Request bodies in protobuf, as kubectl sends them for `create deployment` and its kin, decoded to plain JSON objects.

A body is four magic bytes, then a `runtime.Unknown` that names the kind and holds its message. Which field number is
which JSON field is in `schema.py`. Answers are always JSON, so nothing is encoded here.
Models apimachinery pkg/runtime/serializer/protobuf (v1.36).
"""

from __future__ import annotations

import base64
import functools
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from . import schema
from .objects import Obj
from .schema import Field, TypeName

MAGIC = b"k8s\x00"
MAX_DEPTH = 100
MAX_BODY = 3 * 1024 * 1024

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZE = {_FIXED64: 8, _FIXED32: 4}
_JSON_SCHEMA = "apiextensions.v1.JSONSchemaProps"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Wire(NamedTuple):
    """One field of a message as it is on the wire: a number for varint and fixed types, else bytes."""

    number: int
    type: int
    value: int | bytes


def decode(body: bytes) -> Obj:
    """The object in a protobuf body; ValueError, with a sentence, for anything that isn't one."""
    if not body.startswith(MAGIC):
        raise ValueError("The body is not Kubernetes protobuf: it lacks the four magic bytes k8s\\0.")
    if len(body) > MAX_BODY:
        raise ValueError(f"The protobuf body has {len(body)} bytes; at most {MAX_BODY} are read.")
    unknown = _last(_read(body[len(MAGIC) :]))
    api_version, kind = _type_meta(_as_bytes(unknown.get(1, b"")))
    if unknown.get(3) or unknown.get(4):
        raise ValueError("The protobuf body has an inner encoding or content type of its own, which isn't read.")
    group, _, version = api_version.rpartition("/")
    try:
        type_name = schema.kind_type(group, version, kind)
    except LookupError as error:
        raise ValueError(f"The protobuf body can't be decoded: {error}.") from None
    obj = _message(_as_bytes(unknown.get(2, b"")), type_name, 0)
    return {"apiVersion": api_version, "kind": kind, **obj}


def _type_meta(data: bytes) -> tuple[str, str]:
    found = _last(_read(data))
    return _text(found.get(1, b"")), _text(found.get(2, b""))


def _last(message: Iterator[Wire]) -> dict[int, int | bytes]:
    """The last value of every field, which is the one that counts."""
    return {number: value for number, _type, value in message}


def _read(data: bytes) -> Iterator[Wire]:
    """The fields of one message, in order."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("The protobuf body is damaged: a field has the number 0.")
        if wire_type == _VARINT:
            value, at = _varint(data, at)
            yield Wire(number, wire_type, value)
            continue
        if wire_type == _BYTES:
            size, at = _varint(data, at)
        elif wire_type in _FIXED_SIZE:
            size = _FIXED_SIZE[wire_type]
        else:
            raise ValueError(f"The protobuf body is damaged: there is no wire type {wire_type}.")
        if size > len(data) - at:
            raise ValueError(f"The protobuf body is cut short: field {number} announces {size} bytes.")
        chunk, at = data[at : at + size], at + size
        yield Wire(number, wire_type, chunk if wire_type == _BYTES else int.from_bytes(chunk, "little"))


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, position after it)."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("The protobuf body is cut short inside a number.")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise ValueError("The protobuf body is damaged: a number is longer than 64 bits.")


@functools.cache
def _wire_fields(type_name: TypeName) -> dict[int, Any]:
    """Wire number -> field; for a message that JSON inlines, the fields inside of it."""
    numbers: dict[int, Any] = {}
    for field in schema.fields(type_name).values():
        if field.wire:
            *outer, last = field.wire
            inlined = numbers
            for number in outer:
                inlined = inlined.setdefault(number, {})
            inlined[last] = field
    return numbers


def _message(data: bytes, type_name: TypeName, depth: int) -> Obj:
    """A message as a JSON object. Fields that the schema does not know are skipped, as protobuf asks."""
    obj: Obj = {}
    _fill(obj, data, _wire_fields(type_name), depth)
    return obj


def _fill(obj: Obj, data: bytes, numbers: dict[int, Any], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"The protobuf body is nested deeper than {MAX_DEPTH} messages.")
    for wire in _read(data):
        field = numbers.get(wire.number)
        if isinstance(field, dict):
            _fill(obj, _as_bytes(wire.value), field, depth + 1)
        elif field is not None:
            _put(obj, field, wire, depth)


def _put(obj: Obj, field: Field, wire: Wire, depth: int) -> None:
    """Adds one occurrence of a field to the object."""
    if field.kind == "map":
        key, value = _map_entry(_as_bytes(wire.value), field, depth)
        obj.setdefault(field.name, {})[key] = value
        return
    if field.kind == "list":
        obj.setdefault(field.name, []).extend(_items(wire, field.type, depth))
        return
    value = _value(wire, field.type, depth)
    if isinstance(value, dict) and isinstance(obj.get(field.name), dict) and field.is_struct:
        value = {**obj[field.name], **value}
    # Go writes the zero value of everything that isn't a pointer: nobody set it.
    if value is None or (not field.nullable and not field.is_struct and value in ("", 0, False)):
        obj.pop(field.name, None)
    else:
        obj[field.name] = value


def _map_entry(data: bytes, field: Field, depth: int) -> tuple[str, Any]:
    entry = {wire.number: wire for wire in _read(data)}
    key = _text(entry[1].value) if 1 in entry else ""
    value = _value(entry.get(2, Wire(2, _BYTES, b"")), field.type, depth)
    return key, value


def _items(wire: Wire, type_name: TypeName, depth: int) -> list[Any]:
    """The items of one occurrence of a repeated field: one, or many when numbers are packed."""
    if type_name not in ("int32", "int64", "bool") or wire.type != _BYTES:
        return [_value(wire, type_name, depth)]
    data, at, items = _as_bytes(wire.value), 0, []
    while at < len(data):
        number, at = _varint(data, at)
        items.append(_value(Wire(wire.number, _VARINT, number), type_name, depth))
    return items


def _value(wire: Wire, type_name: TypeName, depth: int) -> Any:
    """One value as JSON writes it; None for a time that was not set."""
    match type_name:
        case "string":
            return _text(wire.value)
        case "bool":
            return bool(_as_number(wire.value))
        case "int32":
            return _signed(_as_number(wire.value) & 0xFFFF_FFFF, 32)
        case "int64":
            return _signed(_as_number(wire.value), 64)
        case "double":
            return struct.unpack("<d", _as_number(wire.value).to_bytes(8, "little"))[0]
        case "bytes":
            return base64.b64encode(_as_bytes(wire.value)).decode("ascii")
        case "IntOrString":
            return _int_or_string(_last(_read(_as_bytes(wire.value))))
        case "Quantity":
            return _text(_last(_read(_as_bytes(wire.value))).get(1, b"")) or "0"
        case "Time" | "MicroTime":
            return _time(_last(_read(_as_bytes(wire.value))), type_name)
        case "FieldsV1" | "RawExtension" | "JSON":
            return _raw_json(_as_bytes(_last(_read(_as_bytes(wire.value))).get(1, b"")))
        case "SchemaOrArray" | "SchemaOrBool" | "SchemaOrStrings":
            return _schema_or_other(_as_bytes(wire.value), type_name, depth)
        case "StringList":
            return [_text(item.value) for item in _read(_as_bytes(wire.value)) if item.number == 1]
        case _:
            return _message(_as_bytes(wire.value), type_name, depth + 1)


def _schema_or_other(data: bytes, type_name: TypeName, depth: int) -> Any:
    """One of the unions of a CustomResourceDefinition's schema."""
    wires = list(_read(data))
    of_schema, of_other = (2, 1) if type_name == "SchemaOrBool" else (1, 2)
    others = [wire for wire in wires if wire.number == of_other]
    for wire in wires:
        if wire.number == of_schema:
            return _value(wire, _JSON_SCHEMA, depth)
    if type_name == "SchemaOrBool":
        return any(_as_number(wire.value) for wire in others)
    if type_name == "SchemaOrStrings":
        return [_text(wire.value) for wire in others]
    return [_value(wire, _JSON_SCHEMA, depth) for wire in others]


def _int_or_string(message: dict[int, int | bytes]) -> int | str:
    if message.get(1):
        return _text(message.get(3, b""))
    return _signed(_as_number(message.get(2, 0)) & 0xFFFF_FFFF, 32)


def _time(message: dict[int, int | bytes], type_name: TypeName) -> str | None:
    seconds = _signed(_as_number(message.get(1, 0)), 64)
    nanos = _signed(_as_number(message.get(2, 0)) & 0xFFFF_FFFF, 32)
    if seconds == 0 and nanos == 0:
        return None
    try:
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        raise ValueError(f"The protobuf body holds a time out of range: {seconds} seconds since 1970.") from None
    text = moment.replace(tzinfo=None).isoformat(timespec="microseconds" if type_name == "MicroTime" else "seconds")
    return f"{text}Z"


def _raw_json(data: bytes) -> Any:
    if not data:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("The protobuf body holds a raw object that is not JSON.") from None


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("The protobuf body is damaged: a number stands where bytes are expected.")
    return value


def _as_number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("The protobuf body is damaged: bytes stand where a number is expected.")
    return value


def _text(value: int | bytes) -> str:
    try:
        return _as_bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("The protobuf body holds a text that is not UTF-8.") from None
