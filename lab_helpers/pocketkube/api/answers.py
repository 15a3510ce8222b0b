"""Objects, lists and errors as HTTP answers: in the representation asked for, compressed when large, with warnings.

Models apiserver pkg/endpoints/handlers/responsewriters (v1.36).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from aiohttp import web

from ..custom.columns import cells_for, columns_for
from ..custom.definition import CustomResource
from ..objects import Obj
from ..store import json_bytes
from .negotiate import JSON, YAML, Representation, encode
from .status import StatusError, invalid_value
from .tables.table import IncludeObject, Layout, list_metadata_of, partial_metadata, table_of

_COMPRESS_FROM = 128 * 1024
_GZIP = 16 + zlib.MAX_WBITS


class Asked(Protocol):
    """The part of a request that an answer depends on."""

    @property
    def request(self) -> web.BaseRequest:
        """The HTTP request."""
        ...

    @property
    def query(self) -> Mapping[str, str]:
        """Its query."""
        ...

    @property
    def custom(self) -> CustomResource | None:
        """The custom kind that it is about."""
        ...


@dataclass(frozen=True)
class Answer:
    """An object on its way out."""

    object: Obj
    code: int = 200


def answer_object(asked: Asked, answer: Answer, representation: Representation) -> web.Response:
    """One object, or a Status."""
    body = encode_object(answer.object, representation, asked.query, custom=asked.custom)
    return respond(asked.request, body, representation.media_type, answer.code)


def answer_list(asked: Asked, found: Obj, representation: Representation) -> web.Response:
    """A list."""
    body = _encode_list(found, representation, asked.query, asked.custom)
    return respond(asked.request, body, representation.media_type)


def answer_error(error: StatusError, accept: str) -> web.Response:
    """A Status; YAML only for who wants nothing else."""
    media_type = YAML if accept == YAML else JSON
    response = web.Response(status=error.code, body=encode(error.status, media_type) + b"\n")
    response.headers["Content-Type"] = media_type
    response.headers["Cache-Control"] = "no-cache, private"
    add_warnings(response, error.warnings)
    if error.retry_after_seconds:
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


def respond(request: web.BaseRequest, body: bytes, content_type: str, code: int = 200) -> web.Response:
    """Bytes as an answer."""
    response = web.Response(status=code)
    headers = response.headers
    headers["Content-Type"] = content_type
    headers["Cache-Control"] = "no-cache, private"
    if len(body) > _COMPRESS_FROM and "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        headers["Vary"] = "Accept-Encoding"
        compressor = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
        body = compressor.compress(body) + compressor.flush()
    response.body = body
    return response


def add_warnings(response: web.StreamResponse, warnings: Sequence[str]) -> None:
    """What kubectl prints before the answer, each text once."""
    for warning in dict.fromkeys(warnings):
        response.headers.add("Warning", warning_header(warning))


def warning_header(text: str) -> str:
    """The value of a Warning header. Models apimachinery pkg/util/net NewWarningHeader (v1.36)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    printable = "".join(character if character.isprintable() else " " for character in escaped)
    return f'299 - "{printable}"'


def encode_object(
    obj: Obj,
    representation: Representation,
    query: Mapping[str, str],
    *,
    headers: bool = True,
    custom: CustomResource | None = None,
) -> bytes:
    """One object in its representation. A Status is never transformed."""
    if representation.transform and obj.get("kind") != "Status":
        version = representation.version
        if representation.transform == "Table":
            metadata = list_metadata_of(obj)
            obj = make_table(obj["kind"], [obj], metadata, version, query, headers=headers, custom=custom)
        else:
            obj = partial_metadata(obj, version)
    if representation.media_type == YAML:
        return encode(_plain(obj), YAML)
    return json_bytes(obj)


def make_table(
    kind: str,
    items: Sequence[Obj],
    metadata: Obj,
    version: str,
    query: Mapping[str, str],
    *,
    headers: bool = True,
    custom: CustomResource | None = None,
) -> Obj:
    """The table of some objects as of now."""
    include, now = _include_object(query), datetime.now(UTC)
    layout = Layout(columns_for(custom), partial(cells_for, custom)) if custom else None
    return table_of(kind, items, metadata, now, version=version, include=include, headers=headers, layout=layout)


def _include_object(query: Mapping[str, str]) -> IncludeObject:
    wanted = query.get("includeObject", "")
    match wanted:
        case "" | "Metadata":
            return "Metadata"
        case "None":
            return "None"
        case "Object":
            return "Object"
    why = invalid_value("includeObject", wanted, "must be 'Metadata', 'Object', 'None', or empty")
    raise StatusError.bad_request(f"Unable to convert to Table as requested: {why}")


def _encode_list(
    found: Obj, representation: Representation, query: Mapping[str, str], custom: CustomResource | None
) -> bytes:
    if not representation.transform and representation.media_type == JSON:
        # Whoever does not know a kind beforehand learns it from each item.
        return _join_list(found, json_bytes if custom else _item)
    version, items = representation.version, found["items"]
    if representation.transform == "Table":
        kind = str(found["kind"]).removesuffix("List")
        found = make_table(kind, items, found["metadata"], version, query, custom=custom)
    elif representation.transform:
        found = {
            "kind": "PartialObjectMetadataList",
            "apiVersion": f"meta.k8s.io/{version}",
            "metadata": found["metadata"],
            "items": [partial_metadata(item, version) for item in items],
        }
    elif custom is None:
        found = {**found, "items": [_kindless(item) for item in found["items"]]}
    return encode(_plain(found), YAML) if representation.media_type == YAML else encode(found)


def _join_list(found: Obj, encode_item: Callable[[Obj], bytes]) -> bytes:
    """A list from the encodings its items already have."""
    head = json_bytes({key: value for key, value in found.items() if key != "items"})
    return head[:-1] + b',"items":[' + b",".join(encode_item(item) for item in found["items"]) + b"]}"


def _item(obj: Obj) -> bytes:
    """An object as lists hold it: what kind it is stands at the list."""
    encoded = json_bytes(obj)
    start = b'{"kind":"%b","apiVersion":"%b",' % (obj["kind"].encode(), obj["apiVersion"].encode())
    return b"{" + encoded[len(start) :] if encoded.startswith(start) else json_bytes(_kindless(obj))


def _kindless(obj: Obj) -> Obj:
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


def _plain(value: Any) -> Any:
    """Objects of the store are dictionaries of a type of their own, which YAML doesn't know."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
