"""`/openapi/v2`: the types of the whole API as one Swagger 2.0 document, made from those of OpenAPI v3.

For clients older than OpenAPI v3, and generators of clients.
Models kube-openapi pkg/builder and pkg/openapiconv (v1.36).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..custom.catalogue import STATIC, Served
from ..objects import Obj
from . import openapi, swagger_protobuf
from .discovery import Document
from .negotiate import encode
from .routes import group_versions

_REFERENCE, _DEFINITION = "#/components/schemas/", "#/definitions/"
_ACTION = "x-kubernetes-action"
_KINDS = "x-kubernetes-group-version-kind"
_OPEN = "x-kubernetes-preserve-unknown-fields"
_SCALARS: dict[str, Obj] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": "string", "format": "int-or-string"},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string"},
}
"""Types that OpenAPI v3 describes with alternatives, which Swagger doesn't have."""


@lru_cache(maxsize=2)
def swagger_document(served: Served = STATIC) -> Document:
    """The document as JSON, which is made when first asked for."""
    return Document(encode(build(served=served)))


@lru_cache(maxsize=2)
def protobuf_document(served: Served = STATIC) -> Document:
    """The document in the form that kubectl asks for."""
    return Document(protobuf(served=served), swagger_protobuf.MEDIA_TYPE)


def protobuf(describe: openapi.Describe = openapi.say_nothing, served: Served = STATIC) -> bytes:
    """The document as protobuf."""
    return swagger_protobuf.encode(build(describe, served))


def build(describe: openapi.Describe = openapi.say_nothing, served: Served = STATIC) -> Obj:
    """The document."""
    definitions: Obj = {}
    paths: Obj = {}
    for group, version in group_versions(served):
        document = openapi.build(group, version, describe, served)
        for name, entry in document["components"]["schemas"].items():
            kinds = definitions.get(name, {}).get(_KINDS, [])
            definition = definitions[name] = _definition(entry)
            if kinds:
                definition[_KINDS] = kinds + [kind for kind in definition[_KINDS] if kind not in kinds]
        paths |= {path: _path(item) for path, item in document["paths"].items()}
    definitions |= {name: entry for name, entry in _SCALARS.items() if name in definitions}
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": openapi.TITLE_VERSION},
        "paths": dict(sorted(paths.items())),
        "definitions": dict(sorted(definitions.items())),
        "securityDefinitions": openapi.SECURITY,
        "security": [{"BearerToken": []}],
    }


def _converted(value: Any) -> Any:
    """A schema without what Swagger doesn't know: references stand alone, and where they are kept has another name."""
    if isinstance(value, list):
        return [_converted(item) for item in value]
    if not isinstance(value, dict):
        return value
    rest = {key: _converted(item) for key, item in value.items() if key not in ("allOf", "default", "$ref")}
    reference = value["allOf"][0] if "allOf" in value else value
    return {**rest, "$ref": reference["$ref"].replace(_REFERENCE, _DEFINITION)} if "$ref" in reference else rest


def _definition(entry: Obj) -> Obj:
    """A schema whose fields may be called as the words of a schema are. Where any field may be, none is described."""
    if entry.get(_OPEN):
        return {key: entry[key] for key in ("type", _KINDS)}
    fields = {name: _converted(item) for name, item in entry.get("properties", {}).items()}
    rest = {key: item for key, item in entry.items() if key != "properties"}
    return {**_converted(rest), **({"properties": fields} if fields else {})}


def _path(item: Obj) -> Obj:
    operations = {verb: _operation(verb, found) for verb, found in item.items() if verb != "parameters"}
    shared = [_parameter(parameter) for parameter in item.get("parameters", ())]
    return {**operations, **({"parameters": shared} if shared else {})}


def _operation(verb: str, operation: Obj) -> Obj:
    kept = {key: value for key, value in operation.items() if key.startswith(("x-", "tags", "operationId"))}
    request = operation.get("requestBody") or {}
    body = request.get("content") or {}
    parameters = [_parameter(parameter) for parameter in operation.get("parameters", ())]
    for media in list(body.values())[:1]:
        required = {"required": True} if request.get("required") else {}
        parameters.insert(0, {"name": "body", "in": "body", **required, "schema": _converted(media["schema"])})
    answers: Obj = next((answer["content"] for answer in operation["responses"].values() if "content" in answer), {})
    return {
        **kept,
        "schemes": ["https"],
        "consumes": list(body) if verb == "patch" and body else ["*/*"] if _ACTION in operation else list(answers),
        "produces": list(answers),
        **({"parameters": parameters} if parameters else {}),
        "responses": {code: _response(answer) for code, answer in operation["responses"].items()},
    }


def _parameter(parameter: Obj) -> Obj:
    return {**{key: value for key, value in parameter.items() if key != "schema"}, **parameter["schema"]}


def _response(answer: Obj) -> Obj:
    content = next(iter((answer.get("content") or {}).values()), None)
    shown = {"schema": _converted(content["schema"])} if content else {}
    return {"description": answer["description"], **shown}
