"""`/openapi/v2`: the types of the whole API as one Swagger 2.0 document, made from those of OpenAPI v3.

For clients older than OpenAPI v3, and generators of clients.
Models kube-openapi pkg/builder and pkg/openapiconv (v1.36).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from .. import schema
from ..objects import Obj
from . import openapi
from .discovery import Document
from .negotiate import encode
from .routes import group_versions

_REFERENCE, _DEFINITION = "#/components/schemas/", "#/definitions/"
_BODY_TYPES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
_SCALARS: dict[str, Obj] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": "string", "format": "int-or-string"},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string"},
}
"""Types that OpenAPI v3 describes with alternatives, which Swagger doesn't have."""


PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


@cache
def protobuf_document() -> Document:
    """The document for clients that read protobuf alone: its head, without types.

    kubectl asks for it when a kind is not in OpenAPI v3, and finds out that there is nothing to check such a kind by;
    what it then says of the kind is what it says on any cluster that lacks it.
    """
    info = _text(1, "Kubernetes") + _text(2, schema.release())
    return Document(_text(1, "2.0") + _message(2, info), PROTOBUF)


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode())


def _message(number: int, content: bytes) -> bytes:
    """A field of the wire type that has a length, which is below 128 here."""
    return bytes((number << 3 | 2, len(content))) + content


@cache
def swagger_document() -> Document:
    """The document, which is made when first asked for."""
    definitions: Obj = {}
    paths: Obj = {}
    for group, version in group_versions():
        document = openapi.build(group, version)
        definitions |= {name: _converted(entry) for name, entry in document["components"]["schemas"].items()}
        paths |= {path: _path(path, item) for path, item in document["paths"].items()}
    definitions |= {name: entry for name, entry in _SCALARS.items() if name in definitions}
    return Document(
        encode(
            {
                "swagger": "2.0",
                "info": {"title": "Kubernetes", "version": schema.release()},
                "paths": dict(sorted(paths.items())),
                "definitions": dict(sorted(definitions.items())),
            }
        )
    )


def _converted(value: Any) -> Any:
    """A schema without what Swagger doesn't know: references stand alone, and where they are kept has another name."""
    if isinstance(value, list):
        return [_converted(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "allOf" in value:
        rest = {key: item for key, item in value.items() if key not in ("allOf", "default")}
        return {**_converted(rest), **_converted(value["allOf"][0])}
    if "$ref" in value:
        return {"$ref": value["$ref"].replace(_REFERENCE, _DEFINITION)}
    return {key: _converted(item) for key, item in value.items()}


def _path(path: str, item: Obj) -> Obj:
    names = re.findall(r"{(\w+)}", path)
    in_path = [{"name": name, "in": "path", "required": True, "type": "string"} for name in names]
    return {**({"parameters": in_path} if in_path else {}), **{verb: _operation(item[verb]) for verb in item}}


def _operation(operation: Obj) -> Obj:
    kept = {key: value for key, value in operation.items() if key.startswith("x-")}
    parameters = [
        {"name": parameter["name"], "in": parameter["in"], **parameter["schema"], "uniqueItems": True}
        for parameter in operation.get("parameters") or []
    ]
    body = (operation.get("requestBody") or {}).get("content") or {}
    if body:
        media = next(iter(body.values()))
        parameters.append({"name": "body", "in": "body", "required": True, "schema": _converted(media["schema"])})
    consumed = [name for name in body if name != "*/*"] or list(_BODY_TYPES)
    return {
        **kept,
        "consumes": consumed if body else ["*/*"],
        "produces": ["application/json", "application/yaml"],
        **({"parameters": parameters} if parameters else {}),
        "responses": {code: _response(answer) for code, answer in operation["responses"].items()},
    }


def _response(answer: Obj) -> Obj:
    content = next(iter((answer.get("content") or {}).values()), None)
    shown = {"schema": _converted(content["schema"])} if content else {}
    return {"description": answer["description"], **shown}
