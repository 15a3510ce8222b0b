"""Request bodies to objects: the right decoder for the form of the body, and upstream's words for what can't be read.

Parsing is in `body.py` and `protobuf.py`, the check against the kind's fields in `fields.py`.
Models apiserver pkg/endpoints/handlers/create.go (v1.36).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from ..client import APPLY_PATCH, JSON_PATCH, MERGE_PATCH
from ..objects import Obj
from ..resources.table import Resource
from ..schema import kind_type
from .body import parse_json, parse_yaml
from .fields import Gvk, canonical, decode_body, head_of, kind_of
from .negotiate import JSON, PROTOBUF, body_type
from .request import PatchDocument, RequestContext
from .status import StatusError

_MOST_SHOWN = 30
_OPTIONS_SCHEME = "pkg/apis/meta/internalversion/scheme/register.go:27"
_PATCH_ERRORS = {
    JSON_PATCH: "error decoding patch: ",
    MERGE_PATCH: "error decoding patch: ",
    APPLY_PATCH: "error decoding YAML: error converting YAML to JSON: ",
}
_SMALL = 64 * 1024
_T = TypeVar("_T")


async def decoding(body: bytes, decode: Callable[[], _T]) -> _T:
    """Decodes a large body beside the event loop, so that other clients are answered meanwhile."""
    return decode() if len(body) <= _SMALL else await asyncio.to_thread(decode)


def decode_object(
    ctx: RequestContext, body: bytes, content_type: str, resource: Resource, subresource: str = ""
) -> Obj:
    """The object of a POST or PUT in its stored form. StatusError 400 or 415; warnings go to the context."""
    value, strict = _parse(body, content_type, kind_of(resource, subresource)[2])
    return decode_body(value, strict, resource, ctx.field_validation, ctx.warnings, subresource)


def decode_plain(body: bytes, content_type: str, gvk: Gvk) -> Obj:
    """An object that no resource stores: DeleteOptions, a review. An empty body is an empty object."""
    kind = gvk[2]
    if not body:
        return {}
    value, _duplicates = _parse(body, content_type, kind)
    given = value.get("kind") or kind
    if given != kind:
        version = value.get("apiVersion") or gvk[1]
        raise StatusError.bad_request(
            f'no kind "{given}" is registered for version "{version}" in scheme "{_OPTIONS_SCHEME}"'
        )
    try:
        type_name = kind_type(*gvk)
    except LookupError:  # a question without an object in it: it asks nothing but who asks
        return {}
    return canonical(value, type_name)


def decode_patch(body: bytes, patch_type: str) -> PatchDocument:
    """The document of a patch. StatusError 400."""
    try:
        value, strict = parse_yaml(body) if patch_type == APPLY_PATCH else parse_json(body)
    except ValueError as error:
        raise StatusError.bad_request(f"{_PATCH_ERRORS.get(patch_type, '')}{error}") from None
    return PatchDocument(value, tuple(strict))


def _parse(body: bytes, content_type: str, kind: str) -> tuple[Any, list[str]]:
    form = body_type(content_type)
    try:
        if form == PROTOBUF:
            from ..protobuf import decode

            return decode(body), []
        return _parse_text(body, form)
    except ValueError as error:
        if kind == "DeleteOptions":  # the one kind whose decoder's words are passed on as they are
            raise StatusError.bad_request(str(error)) from None
        sentence = f"the object provided is unrecognized (must be of type {kind}): {error} ({_shown(body)})"
        raise StatusError.bad_request(sentence) from None


def _parse_text(body: bytes, form: str) -> tuple[Any, list[str]]:
    """A JSON or YAML object that says, if anything, clearly what it is; `null` is an object without fields."""
    if form == JSON:
        try:
            value, strict = parse_json(body)
        except ValueError as error:
            raise ValueError(f"couldn't get version/kind; json parse error: {error}") from None
    else:
        value, strict = parse_yaml(body)
    value = {} if value is None else value
    head_of(value)
    return value, strict


def _shown(body: bytes) -> str:
    """The start of a body as messages quote it: what may be JSON as text, the rest in hexadecimal."""
    if not body:
        return "<empty>"
    start = body[:_MOST_SHOWN]
    text = start.decode("utf-8", errors="replace") if body.startswith(b"{") else start.hex()
    return text if len(body) <= _MOST_SHOWN else f"{text} ..."
