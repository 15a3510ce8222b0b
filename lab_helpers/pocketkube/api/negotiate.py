"""Which form a request body has, and which form of the answer its client wants.

Bodies come as JSON, YAML or protobuf; answers are JSON (or YAML), as the object itself, as a Table or as bare metadata.
Reading a body is left to `decoding`, making a table to `tables`.
Models apiserver pkg/endpoints/handlers/negotiation (v1.36).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from ..client import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from .status import StatusError

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"

PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH)

_AVAILABLE = (JSON, YAML, PROTOBUF)
_AVAILABLE_LISTS = (*_AVAILABLE, f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
"""What upstream names where a list is asked for, which could be a watch."""

Transform = Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"]


_TRANSFORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


@dataclass(frozen=True)
class Representation:
    """The form of an answer: media type, and what the object is turned into."""

    media_type: str = JSON
    transform: Transform = ""
    version: str = "v1"
    """Version of meta.k8s.io that the transform is answered in."""


@dataclass(frozen=True)
class AcceptClause:
    """One alternative of an Accept header."""

    media_type: str
    parameters: dict[str, str]
    quality: float


@lru_cache(maxsize=256)
def parse_accept(header: str) -> tuple[AcceptClause, ...]:
    """The alternatives, the best first; those of the same quality in the order given."""
    clauses = []
    for part in header.split(","):
        media_type, *pairs = (piece.strip() for piece in part.split(";"))
        parameters = {}
        for pair in pairs:
            key, _, value = pair.partition("=")
            parameters[key.strip().lower()] = value.strip().strip('"')
        quality = _quality(parameters.pop("q", "1"))
        if media_type and quality > 0:
            clauses.append(AcceptClause(media_type.lower(), parameters, quality))
    return tuple(sorted(clauses, key=lambda clause: -clause.quality))


@lru_cache(maxsize=256)
def negotiate(header: str, *, is_list: bool = False, is_watch: bool = False, transforms: bool = True) -> Representation:
    """The first alternative that can be answered, or StatusError 406.

    `transforms` says that there is an object to transform, `is_list` that it is a list, `is_watch` that it may be
    called one or the other.
    """
    unknown = False
    for clause in parse_accept(header or "*/*"):
        media_type = _media_type(clause.media_type)
        if media_type is None:
            continue
        wanted = clause.parameters.get("as", "")
        if not wanted:
            return Representation(media_type)
        unknown |= not _is_known(clause.parameters)
        named_as_list = wanted.endswith("List") if is_watch else is_list
        if transforms and _transformable(clause.parameters, named_as_list):
            return Representation(media_type, wanted, clause.parameters["v"])  # type: ignore[arg-type]
    if unknown and transforms:
        only = f"only the following media types are accepted: {', '.join(_AVAILABLE)}"
        raise StatusError(406, "NotAcceptable", only)
    raise StatusError.not_acceptable(_AVAILABLE_LISTS if is_list else _AVAILABLE)


def encode(value: Any, media_type: str = JSON) -> bytes:
    """A document in that media type."""
    if media_type == YAML:
        from .yaml_body import dump

        return dump(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def body_type(content_type: str) -> str:
    """JSON, YAML or PROTOBUF; StatusError 415 for anything else. Without a Content-Type the body is JSON."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in ("", JSON):
        return JSON
    if media_type in (YAML, "text/yaml", "application/x-yaml"):
        return YAML
    if media_type == PROTOBUF:
        return PROTOBUF
    supported = ", ".join((JSON, YAML, PROTOBUF))
    raise StatusError.unsupported_media_type(
        f"the body of the request was in an unknown format - accepted media types include: {supported}"
    )


def patch_type(content_type: str) -> str:
    """The type of a patch; StatusError 415 for anything else."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in PATCH_TYPES:
        return media_type
    raise StatusError.unsupported_patch()


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


def _media_type(accepted: str) -> str | None:
    if accepted in (JSON, "*/*", "application/*"):
        return JSON
    return YAML if accepted == YAML else None


def _is_known(parameters: dict[str, str]) -> bool:
    version = parameters.get("g"), parameters.get("v")
    return version in (("meta.k8s.io", "v1"), ("meta.k8s.io", "v1beta1")) and parameters["as"] in _TRANSFORMS


def _transformable(parameters: dict[str, str], is_list: bool) -> bool:
    if not _is_known(parameters):
        return False
    wanted = parameters["as"]
    return wanted == "Table" or wanted == ("PartialObjectMetadataList" if is_list else "PartialObjectMetadata")
