"""The paths of an OpenAPI v3 document: every operation on a resource, with its parameters, bodies and answers.

Made from the resource table, as discovery is; the schemas that operations refer to are in `openapi.py`.
Models apiserver pkg/endpoints/installer.go and pkg/endpoints/openapi (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import schema
from ..client import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from ..custom.definition import CustomResource
from ..custom.openapi import definition_name
from ..objects import Obj
from ..resources.table import Resource
from .reviews import Review
from .routes import SUBRESOURCES

META = "io.k8s.apimachinery.pkg.apis.meta.v1"

_PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH)
_CUSTOM_PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, APPLY_PATCH)
_ANSWER_TYPES = ("application/json", "application/yaml")
_WATCH_TYPES = ("application/json;stream=watch",)

_STRING, _INTEGER, _BOOLEAN = "string", "integer", "boolean"
_WRITING = {"dryRun": _STRING, "fieldManager": _STRING, "fieldValidation": _STRING}
_SELECTING = {
    "continue": _STRING,
    "fieldSelector": _STRING,
    "labelSelector": _STRING,
    "limit": _INTEGER,
    "resourceVersion": _STRING,
    "resourceVersionMatch": _STRING,
    "sendInitialEvents": _BOOLEAN,
    "shardSelector": _STRING,
    "timeoutSeconds": _INTEGER,
}
_DELETING = {
    "dryRun": _STRING,
    "gracePeriodSeconds": _INTEGER,
    "ignoreStoreReadErrorWithClusterBreakingPotential": _BOOLEAN,
    "orphanDependents": _BOOLEAN,
    "propagationPolicy": _STRING,
}
_LISTING = {**_SELECTING, "allowWatchBookmarks": _BOOLEAN, "watch": _BOOLEAN}
_TERMINAL = {name: _BOOLEAN for name in ("stderr", "stdin", "stdout", "tty")} | {"container": _STRING}
_LOG = {
    **{name: _STRING for name in ("container", "stream")},
    **{name: _INTEGER for name in ("limitBytes", "sinceSeconds", "tailLines")},
    **{name: _BOOLEAN for name in ("follow", "insecureSkipTLSVerifyBackend", "previous", "timestamps")},
}
_STREAMS = {
    "attach": _TERMINAL,
    "exec": {**_TERMINAL, "command": _STRING},
    "portforward": {"ports": _INTEGER},
}
"""The subresources that a connection is made to, with what can be asked of it."""

_PROXY_METHODS = ("delete", "get", "head", "options", "patch", "post", "put")
_DESCRIBED = {"200": "OK", "201": "Created", "202": "Accepted"}
_ANSWERED_AS_ITSELF = frozenset({"pods", "podtemplates", "resourcequotas", "serviceaccounts", "services"})
"""Kinds of which a deletion answers with the object; the others with a Status."""


def resource_paths(resource: Resource) -> Iterator[tuple[str, Obj]]:
    """Every path of a resource with its operations."""
    where = "{namespace}" if resource.namespaced else None
    about = _About(resource)
    yield resource.path(where), about.item(dict(about.collection()))
    yield resource.path(where, "{name}"), about.item(dict(about.object()), "name")
    for name in resource.subresources:
        yield from _subresource_paths(about, name)
    if resource.namespaced:
        listed = about.listing(f"list{about.title}{resource.kind}ForAllNamespaces")
        yield resource.path(), _hoisted({"get": listed}, {"pretty": _STRING}, ())


def review_paths(review: Review) -> Iterator[tuple[str, Obj]]:
    """The path of a kind that is asked and never stored."""
    resource = Resource(review.plural, review.kind, review.group, review.version, namespaced=review.namespaced)
    about = _About(resource)
    yield (
        resource.path("{namespace}" if review.namespaced else None),
        about.item({"post": about.writing("post", f"create{about.middle}", ("200", "201", "202"))}),
    )


def discovery_path(group: str, version: str) -> tuple[str, Obj]:
    """The path that lists the resources of a group and version."""
    operation = {
        "tags": [_tag(group, version)],
        "operationId": f"get{_title(group, version)}APIResources",
        "responses": _answers(f"{META}.APIResourceList", ("200",)),
    }
    return f"/{'apis/' + group if group else 'api'}/{version}/", {"get": operation}


class _About:
    """What the operations on a resource have in common."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.title = _title(resource.group, resource.version)
        self.tag = _tag(resource.group, resource.version)
        self.noun = ("Namespaced" if resource.namespaced else "") + resource.kind
        self.middle = f"{self.title}{self.noun}"
        self.gvk = resource.group, resource.version, resource.kind
        self.patch_types = _CUSTOM_PATCH_TYPES if isinstance(resource, CustomResource) else _PATCH_TYPES
        self.list_kind = resource.list_kind if isinstance(resource, CustomResource) else ""

    def item(self, operations: dict[str, Obj], *in_path: str) -> Obj:
        """A path with its operations."""
        names = (*in_path, *(("namespace",) if self.resource.namespaced else ()))
        return _hoisted(operations, {"pretty": _STRING}, names)

    def collection(self) -> Iterator[tuple[str, Obj]]:
        """What can be done with all objects."""
        verbs = self.resource.verbs
        if "list" in verbs:
            yield "get", self.listing(f"list{self.middle}")
        if "create" in verbs:
            yield "post", self.writing("post", f"create{self.middle}", ("200", "201", "202"))
        if "deletecollection" in verbs:
            yield (
                "delete",
                {
                    **self.operation("deletecollection", f"delete{self.title}Collection{self.noun}"),
                    "parameters": _in_query({**_SELECTING, **_DELETING}),
                    "requestBody": _body(f"{META}.DeleteOptions", required=False),
                    "responses": _answers(f"{META}.Status", ("200",)),
                },
            )

    def object(self) -> Iterator[tuple[str, Obj]]:
        """What can be done with one object."""
        verbs = self.resource.verbs
        yield from self.changes(self.middle)
        if "delete" in verbs:
            answer = _name(self.gvk) if self.resource.name in _ANSWERED_AS_ITSELF else f"{META}.Status"
            yield (
                "delete",
                {
                    **self.operation("delete", f"delete{self.middle}"),
                    "parameters": _in_query(_DELETING),
                    "requestBody": _body(f"{META}.DeleteOptions", required=False),
                    "responses": _answers(answer, ("200", "202")),
                },
            )

    def changes(self, middle: str, gvk: tuple[str, str, str] | None = None) -> Iterator[tuple[str, Obj]]:
        """Reading and writing an object, or a view of it."""
        kind = gvk or self.gvk
        read = self.operation("get", f"read{middle}", kind)
        yield "get", {**read, "responses": _answers(_name(kind), ("200",))}
        if "update" not in self.resource.verbs:
            return
        yield "put", self.writing("put", f"replace{middle}", ("200", "201"), kind)
        yield (
            "patch",
            {
                **self.operation("patch", f"patch{middle}", kind),
                "parameters": _in_query({**_WRITING, "force": _BOOLEAN}),
                "requestBody": {"content": _content(f"{META}.Patch", self.patch_types), "required": True},
                "responses": _answers(_name(kind), ("200", "201")),
            },
        )

    def listing(self, identity: str) -> Obj:
        """Listing and watching."""
        group, version, kind = self.gvk
        return {
            **self.operation("list", identity),
            "parameters": _in_query(_LISTING),
            "responses": _answers(
                _name((group, version, self.list_kind or f"{kind}List")), ("200",), _ANSWER_TYPES + _WATCH_TYPES
            ),
        }

    def writing(
        self, action: str, identity: str, codes: tuple[str, ...], kind: tuple[str, str, str] | None = None
    ) -> Obj:
        """Sending an object."""
        name = _name(kind or self.gvk)
        return {
            **self.operation(action, identity, kind),
            "parameters": _in_query(_WRITING),
            "requestBody": _body(name),
            "responses": _answers(name, codes),
        }

    def operation(self, action: str, identity: str, kind: tuple[str, str, str] | None = None) -> Obj:
        """How every operation begins."""
        group, version, name = kind or self.gvk
        return {
            "tags": [self.tag],
            "operationId": identity,
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": name},
        }


def _subresource_paths(about: _About, name: str) -> Iterator[tuple[str, Obj]]:
    resource = about.resource
    path = resource.path("{namespace}" if resource.namespaced else None, "{name}", name)
    kind = SUBRESOURCES[name].kind_for(resource)
    identity = f"{about.middle}{name.capitalize()}"
    in_path = ("name", "namespace") if resource.namespaced else ("name",)
    if name == "proxy":
        yield path, _connections(about, kind, identity, _PROXY_METHODS, {"path": _STRING}, in_path)
        further = _connections(
            about, kind, f"{identity}WithPath", _PROXY_METHODS, {"path": _STRING}, (*in_path, "path")
        )
        yield f"{path}/{{path}}", further
    elif name in _STREAMS:
        yield path, _connections(about, kind, identity, ("get", "post"), _STREAMS[name], in_path)
    elif name == "log":
        content = {"schema": {"type": "string"}}
        answers = {"200": {"description": "OK", "content": dict.fromkeys(("text/plain", *_ANSWER_TYPES), content)}}
        read = {**about.operation("get", f"read{identity}"), "responses": {**answers, **_unauthorized()}}
        yield path, _hoisted({"get": {**read, "parameters": _in_query(_LOG)}}, {"pretty": _STRING}, in_path)
    elif SUBRESOURCES[name].verbs == ("create",):
        created = about.writing("post", f"create{identity}", ("200", "201", "202"), kind)
        yield path, about.item({"post": created}, "name")
    elif SUBRESOURCES[name].verbs == ("update",):
        yield path, about.item({"put": about.writing("put", f"replace{identity}", ("200", "201"), kind)}, "name")
    else:
        yield path, about.item(dict(about.changes(identity, kind)), "name")


def _connections(
    about: _About,
    kind: tuple[str, str, str],
    identity: str,
    methods: tuple[str, ...],
    asked: dict[str, str],
    in_path: tuple[str, ...],
) -> Obj:
    tail = identity.removeprefix(about.title)
    answers = {"200": {"description": "OK", "content": {"*/*": {"schema": {"type": "string"}}}}, **_unauthorized()}
    operations = {
        method: {
            **about.operation("connect", f"connect{about.title}{method.capitalize()}{tail}", kind),
            "parameters": _in_query(asked),
            "responses": answers,
        }
        for method in methods
    }
    return _hoisted(operations, {}, in_path)


def _hoisted(operations: dict[str, Obj], everywhere: dict[str, str], in_path: tuple[str, ...]) -> Obj:
    """A path's operations; parameters that they all have stand beside them, once."""
    own = [operation.get("parameters", []) for operation in operations.values()]
    common = [parameter for parameter in own[0] if all(parameter in parameters for parameters in own)]
    for operation in operations.values():
        kept = [parameter for parameter in operation.pop("parameters", []) if parameter not in common]
        if kept:
            operation["parameters"] = kept
    shared = common + _in_query(everywhere) + [_parameter(name, "path", _STRING) for name in in_path]
    shared.sort(key=lambda parameter: (str(parameter["name"]), str(parameter["in"])))
    return {**operations, "parameters": shared}


def _in_query(named: dict[str, str]) -> list[Obj]:
    return [_parameter(name, "query", named[name]) for name in sorted(named)]


def _parameter(name: str, place: str, kind: str) -> Obj:
    required = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, **required, "schema": {"type": kind, "uniqueItems": True}}


def _body(name: str, *, required: bool = True) -> Obj:
    return {"content": _content(name, ("*/*",)), **({"required": True} if required else {})}


def _answers(name: str, codes: tuple[str, ...], media_types: tuple[str, ...] = _ANSWER_TYPES) -> Obj:
    content = _content(name, media_types)
    return {**{code: {"description": _DESCRIBED[code], "content": content} for code in codes}, **_unauthorized()}


def _unauthorized() -> Obj:
    return {"401": {"description": "Unauthorized"}}


def _content(name: str, media_types: tuple[str, ...]) -> Obj:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{name}"}} for media_type in media_types}


def _name(kind: tuple[str, str, str]) -> str:
    try:
        return schema.openapi_name(schema.kind_type(*kind))
    except LookupError:  # a custom kind
        return definition_name(*kind)


def _title(group: str, version: str) -> str:
    short = _short(group)
    return f"{short[0].upper()}{short[1:]}{version.capitalize()}"


def _tag(group: str, version: str) -> str:
    return f"{_short(group)}_{version}"


def _short(group: str) -> str:
    """`rbacAuthorization` for `rbac.authorization.k8s.io`."""
    first, *others = (group or "core").removesuffix(".k8s.io").split(".")
    return first + "".join(part.capitalize() for part in others)
