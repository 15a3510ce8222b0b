"""Request bodies to objects: the right decoder for the form of the body, and upstream's words for what can't be read.

Parsing is in `body.py` and `protobuf.py`. Models apiserver pkg/endpoints/handlers/create.go and
apimachinery pkg/runtime/serializer (v1.36).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..client import APPLY_PATCH
from ..objects import Obj
from .body import parse_json, parse_yaml
from .negotiate import JSON, PROTOBUF, body_type
from .request import RequestContext
from .status import StatusError

_SCHEME = "pkg/api/legacyscheme/scheme.go:30"
_MOST_SHOWN = 256


def decode_object(ctx: RequestContext, body: bytes, content_type: str, api_version: str, kind: str) -> Obj:
    """The object of a POST or PUT, which should be of that kind. StatusError 400 or 415.

    A body without kind or apiVersion is taken to be what the resource expects.
    """
    form = body_type(content_type)
    try:
        if form == PROTOBUF:
            from ..protobuf import decode

            value, duplicates = decode(body), _NO_PATHS
        else:
            value, duplicates = parse_json(body) if form == JSON else parse_yaml(body)
    except ValueError as error:
        why = f"couldn't get version/kind; json parse error: {error}"
        raise StatusError.bad_request(f"{_unrecognized(kind)}: {why} ({_shown(body)})") from None
    if not isinstance(value, dict):
        why = f"couldn't get version/kind; json parse error: {_not_an_object(value)}"
        raise StatusError.bad_request(f"{_unrecognized(kind)}: {why} ({_shown(body)})")
    _check_kind(value, api_version, kind)
    value.setdefault("apiVersion", api_version)
    value.setdefault("kind", kind)
    _note_duplicates(ctx, value, duplicates)
    return value


def decode_patch(ctx: RequestContext, body: bytes, patch_type: str) -> Any:
    """The document of a patch. StatusError 400."""
    try:
        value, duplicates = parse_yaml(body) if patch_type == APPLY_PATCH else parse_json(body)
    except ValueError as error:
        what = "YAML" if patch_type == APPLY_PATCH else "patch"
        raise StatusError.bad_request(f"error decoding {what}: {error}") from None
    if patch_type != APPLY_PATCH:
        return value
    if not isinstance(value, dict):
        raise StatusError.bad_request(f"error decoding YAML: {_not_an_object(value)}")
    _note_duplicates(ctx, value, duplicates)
    return value


def decode_options(body: bytes, content_type: str) -> Obj:
    """DeleteOptions, or nothing."""
    if not body.strip():
        return {}
    if body_type(content_type) == PROTOBUF:
        return decode_object(RequestContext(), body, content_type, "v1", "DeleteOptions")
    value = decode_object(RequestContext(), body, content_type, "", "")
    if value["kind"] not in ("", "DeleteOptions"):
        raise StatusError.bad_request("decoded object cannot be converted to DeleteOptions")
    return value


_NO_PATHS: Sequence[str] = ()


def _check_kind(value: Obj, api_version: str, kind: str) -> None:
    given_version, given_kind = value.get("apiVersion") or api_version, value.get("kind") or kind
    if not kind or (given_version, given_kind) == (api_version, kind):
        return
    if not isinstance(given_version, str) or not isinstance(given_kind, str):
        raise StatusError.bad_request(f"{_unrecognized(kind)}: apiVersion and kind must be strings")
    if given_kind == kind:
        why = f'no kind "{given_kind}" is registered for version "{given_version}" in scheme "{_SCHEME}"'
    else:
        package = api_version.rpartition("/")[0].partition(".")[0] or "core"
        why = f"converting ({_version_of(given_version)}.{given_kind}) to ({package}.{kind}): unknown conversion"
    raise StatusError.bad_request(f"{_refused(given_kind, given_version, kind)}: {why}")


def _refused(given_kind: str, given_version: str, kind: str) -> str:
    return f'{given_kind} in version "{_version_of(given_version)}" cannot be handled as a {kind}'


def _version_of(api_version: str) -> str:
    return api_version.rpartition("/")[2]


def _note_duplicates(ctx: RequestContext, value: Obj, duplicates: Sequence[str]) -> None:
    """Fields that were given twice: an error, a warning or nothing, as fieldValidation says."""
    if not duplicates or ctx.field_validation == "Ignore":
        return
    found = [path if path.startswith("line ") else f'duplicate field "{path}"' for path in duplicates]
    if ctx.field_validation == "Strict":
        kind, why = value["kind"], f"strict decoding error: {', '.join(found)}"
        raise StatusError.bad_request(f"{_refused(kind, value['apiVersion'], kind)}: {why}")
    for text in found:
        ctx.warn(text)


def _unrecognized(kind: str) -> str:
    return f"the object provided is unrecognized (must be of type {kind})"


def _not_an_object(value: Any) -> str:
    names = {bool: "bool", str: "string", list: "array", type(None): "null"}
    return f"json: cannot unmarshal {names.get(type(value), 'number')} into Go value of type runtime.TypeMeta"


def _shown(body: bytes) -> str:
    """The body as the message quotes it: text, or hexadecimal where it isn't."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = body.hex()
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]} ..."
