"""Request bodies to objects: the right decoder for the form of the body, and upstream's words for what can't be read.

Parsing is in `body.py` and `protobuf.py`, the check against the kind's fields in `fields.py`.
Models apiserver pkg/endpoints/handlers/create.go (v1.36).
"""

from __future__ import annotations

from typing import Any

from ..client import APPLY_PATCH
from ..objects import Obj
from ..resources.table import Resource
from ..schema import kind_type
from .body import parse_json, parse_yaml
from .fields import Gvk, canonical, decode_body, kind_of
from .negotiate import JSON, PROTOBUF, body_type
from .request import RequestContext
from .status import StatusError

_MOST_SHOWN = 256


def decode_object(
    ctx: RequestContext, body: bytes, content_type: str, resource: Resource, subresource: str = ""
) -> Obj:
    """The object of a POST or PUT in its stored form. StatusError 400 or 415; warnings go to the context."""
    value, duplicates = _parse(body, content_type, kind_of(resource, subresource)[2])
    return decode_body(value, duplicates, resource, ctx.field_validation, ctx.warnings, subresource)


def decode_plain(body: bytes, content_type: str, gvk: Gvk) -> Obj:
    """An object that no resource stores: DeleteOptions, a review. An empty body is an empty object."""
    kind = gvk[2]
    if not body.strip():
        return {}
    value, _duplicates = _parse(body, content_type, kind)
    if not isinstance(value, dict):
        raise StatusError.bad_request(_unrecognized(kind, "json: cannot unmarshal into Go value of type struct", body))
    given = value.get("kind") or kind
    if given != kind:
        raise StatusError.bad_request(f"{given} cannot be handled as a {kind}")
    try:
        type_name = kind_type(*gvk)
    except LookupError:  # a question without an object in it: it asks nothing but who asks
        return {}
    return canonical(value, type_name)


def decode_patch(body: bytes, patch_type: str) -> Any:
    """The document of a patch. StatusError 400."""
    is_apply = patch_type == APPLY_PATCH
    try:
        value, _duplicates = parse_yaml(body) if is_apply else parse_json(body)
    except ValueError as error:
        raise StatusError.bad_request(f"error decoding {'YAML' if is_apply else 'patch'}: {error}") from None
    return value


def _parse(body: bytes, content_type: str, kind: str) -> tuple[Any, list[str]]:
    form = body_type(content_type)
    try:
        if form == PROTOBUF:
            from ..protobuf import decode

            return decode(body), []
        return parse_json(body) if form == JSON else parse_yaml(body)
    except ValueError as error:
        raise StatusError.bad_request(_unrecognized(kind, str(error), body)) from None


def _unrecognized(kind: str, why: str, body: bytes) -> str:
    return (
        f"the object provided is unrecognized (must be of type {kind}): "
        f"couldn't get version/kind; json parse error: {why} ({_shown(body)})"
    )


def _shown(body: bytes) -> str:
    """The body as the message quotes it: text, or hexadecimal where it isn't."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = body.hex()
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]} ..."
