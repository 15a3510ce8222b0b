"""A Swagger document as protobuf, which is how kubectl asks for `/openapi/v2`.

A message is described by the fields that our documents use: the name in JSON, the number on the wire, and a writer.
Models gnostic-models openapiv2/OpenAPIv2.proto (v0.7.0).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..objects import Obj

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

Writer = Callable[[Any], bytes]
"""The content of a field; the field's tag and length are put before it."""
Fields = Mapping[str, tuple[int, Writer]]


def encode(document: Obj) -> bytes:
    """A whole document."""
    return _message(document, _DOCUMENT)


def _message(value: Obj, fields: Fields) -> bytes:
    """The fields of a message; what starts with `x-` is kept under the number of `x-`."""
    parts = []
    for key, item in value.items():
        number, writer = fields["x-" if key.startswith("x-") else key]
        if key.startswith("x-"):
            parts.append(_sized(number, writer((key, item))))
        elif isinstance(item, bool):
            parts.append(_varint(number << 3) + (b"\x01" if item else b"\x00"))
        else:
            several = isinstance(item, list) and writer is not _type_item
            parts += [_sized(number, writer(one)) for one in (item if several else [item])]
    return b"".join(parts)


def _sized(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _text(value: str) -> bytes:
    return value.encode()


def _any(value: Any) -> bytes:
    """A value of any kind, as YAML; JSON is YAML."""
    return _sized(2, json.dumps(value).encode())


def _extension(named: tuple[str, Any]) -> bytes:
    name, value = named
    return _sized(1, name.encode()) + _sized(2, _any(value))


def _named(number: int, writer: Writer) -> Writer:
    """A map: a message that repeats pairs of a name and a value."""

    def write(items: Obj) -> bytes:
        return b"".join(
            _sized(number, _sized(1, name.encode()) + _sized(2, writer(item))) for name, item in items.items()
        )

    return write


def _inside(number: int, writer: Writer) -> Writer:
    """A message that holds nothing but another."""
    return lambda value: _sized(number, writer(value))


def _type_item(value: str) -> bytes:
    return _sized(1, value.encode())


def _schema(value: Obj) -> bytes:
    return _message(value, _SCHEMA)


def _parameter(value: Obj) -> bytes:
    if value["in"] == "body":
        return _sized(1, _sized(1, _message(value, _BODY_PARAMETER)))
    number, fields = (4, _PATH_PARAMETER) if value["in"] == "path" else (3, _QUERY_PARAMETER)
    return _sized(1, _sized(2, _sized(number, _message(value, fields))))


def _operation(value: Obj) -> bytes:
    return _message(value, _OPERATION)


def _path_item(value: Obj) -> bytes:
    return _message(value, _PATH_ITEM)


def _security(value: Obj) -> bytes:
    return _named(1, lambda scopes: b"".join(_sized(1, scope.encode()) for scope in scopes))(value)


def _response(value: Obj) -> bytes:
    return _sized(1, _message(value, {"description": (1, _text), "schema": (2, _inside(1, _schema))}))


def _numbered(names: Iterable[str], first: int = 1, writer: Writer = _text) -> dict[str, tuple[int, Writer]]:
    return {name: (number, writer) for number, name in enumerate(names, first)}


_SCHEMA: Fields = {
    "$ref": (1, _text),
    "format": (2, _text),
    "description": (4, _text),
    "default": (5, _any),
    "required": (19, _text),
    "enum": (20, _any),
    "additionalProperties": (21, _inside(1, _schema)),
    "type": (22, _type_item),
    "items": (23, _inside(1, _schema)),
    "properties": (25, _named(1, _schema)),
    "x-": (31, _extension),
}
_BODY_PARAMETER: Fields = {**_numbered(("description", "name", "in", "required")), "schema": (5, _schema)}
_PARAMETER = ("required", "in", "description", "name")
_QUERY_PARAMETER: Fields = {**_numbered(_PARAMETER), "type": (6, _text), "uniqueItems": (20, _text)}
_PATH_PARAMETER: Fields = {**_numbered(_PARAMETER), "type": (5, _text), "uniqueItems": (19, _text)}
_OPERATION: Fields = {
    "tags": (1, _text),
    "operationId": (5, _text),
    "produces": (6, _text),
    "consumes": (7, _text),
    "parameters": (8, _parameter),
    "responses": (9, _named(1, _response)),
    "schemes": (10, _text),
    "x-": (13, _extension),
}
_PATH_ITEM: Fields = {
    **_numbered(("get", "put", "post", "delete", "options", "head", "patch"), 2, _operation),
    "parameters": (9, _parameter),
}
_API_KEY: Fields = _numbered(("type", "name", "in", "description"))
_DOCUMENT: Fields = {
    "swagger": (1, _text),
    "info": (2, lambda info: _message(info, _numbered(("title", "version")))),
    "paths": (8, _named(2, _path_item)),
    "definitions": (9, _named(1, _schema)),
    "security": (12, _security),
    "securityDefinitions": (13, _named(1, _inside(2, lambda key: _message(key, _API_KEY)))),
}
