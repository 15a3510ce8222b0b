"""Paths of the API: which resource, object and subresource a URL names, and what each subresource can do.

Built from the resource table alone; acting on a route is left to `handlers`.
Models apiserver pkg/endpoints/request/requestinfo.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from ..custom.catalogue import STATIC, Catalogue, Served, Versions
from ..resources.table import RESOURCES, Resource


@dataclass(frozen=True)
class Subresource:
    """What a subresource can do, and what kind it speaks. An empty kind is that of the resource itself."""

    verbs: tuple[str, ...]
    kind: str = ""
    group: str = ""
    version: str = "v1"

    def kind_for(self, resource: Resource) -> tuple[str, str, str]:
        """(group, version, kind) of its bodies."""
        if not self.kind:
            return resource.group, resource.version, resource.kind
        return self.group, self.version, self.kind.format(kind=resource.kind)


_CHANGE = ("get", "patch", "update")
_STREAM = ("create", "get")

SUBRESOURCES: Mapping[str, Subresource] = MappingProxyType(
    {
        "approval": Subresource(_CHANGE),
        "attach": Subresource(_STREAM, "PodAttachOptions"),
        "binding": Subresource(("create",), "Binding"),
        "ephemeralcontainers": Subresource(_CHANGE),
        "eviction": Subresource(("create",), "Eviction", "policy"),
        "exec": Subresource(_STREAM, "PodExecOptions"),
        "finalize": Subresource(("update",)),
        "log": Subresource(("get",)),
        "portforward": Subresource(_STREAM, "PodPortForwardOptions"),
        "proxy": Subresource(("create", "delete", "get", "patch", "update"), "{kind}ProxyOptions"),
        "resize": Subresource(_CHANGE),
        "scale": Subresource(_CHANGE, "Scale", "autoscaling"),
        "status": Subresource(_CHANGE),
        "token": Subresource(("create",), "TokenRequest", "authentication.k8s.io"),
    }
)


@dataclass(frozen=True)
class Route:
    """A path below a group and version, taken apart."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    """What follows a `proxy` subresource."""
    watch: bool = False
    """A path below `watch/`, which was the way to watch before `?watch=true`."""


def group_versions(served: Served = STATIC) -> Versions:
    """Every served (group, version) with its resources by plural, the resources in alphabetical order."""
    return served.versions


class Router:
    """Reads paths. Without a catalogue, those of the static table."""

    def __init__(self, catalogue: Catalogue | None = None) -> None:
        self._catalogue = catalogue

    @property
    def _served(self) -> Versions:
        return group_versions(self._catalogue.served if self._catalogue else STATIC)

    def serves(self, group: str, version: str) -> bool:
        """True if there is anything in that group and version."""
        return (group, version) in self._served

    def route(self, group: str, version: str, parts: list[str]) -> Route | None:
        """The path after the group and version; None if nothing is there."""
        if parts[0] == "watch" and len(parts) > 1:
            watched = self.route(group, version, parts[1:])
            return None if watched is None or watched.subresource else replace(watched, watch=True)
        if (group, version, parts[0]) == ("", "v1", "namespaces") and parts[2:] == ["bindings"]:
            # The older way to bind a Pod, which is named in the body.
            return Route(RESOURCES["pods"], parts[1], subresource="binding")
        resources = self._served.get((group, version), {})
        namespace = ""
        if parts[0] == "namespaces" and len(parts) > 2 and (parts[2] in resources or len(parts) > 3):
            namespace, parts = parts[1], parts[2:]
        resource = resources.get(parts[0])
        if resource is None or len(parts) > 3 and parts[2] != "proxy":
            return None
        name, subresource, rest = ([*parts[1:3], "", ""])[:2] + ["/".join(parts[3:])]
        if resource.namespaced != bool(namespace) and (namespace or name):
            return None
        if subresource and subresource not in resource.subresources:
            return None
        return Route(resource, namespace, name, subresource, rest)
