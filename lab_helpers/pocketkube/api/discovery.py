"""What the API server offers, in the forms clients ask for it: aggregated discovery, and the older lists.

Everything is made from the resource table, once, and kept as bytes.
Models apiserver pkg/endpoints/discovery (v1.36).
"""

from __future__ import annotations

import base64
import hashlib
import platform
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from ..config import KUBERNETES_VERSION
from ..custom.catalogue import STATIC, Served
from ..custom.definition import CustomResource
from ..objects import Obj
from ..resources.table import RESOURCES, Resource
from .negotiate import JSON, encode, parse_accept
from .reviews import REVIEWS, Review
from .routes import SUBRESOURCES, group_versions
from .status import StatusError

_GROUP_ORDER = (
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
)
"""Groups are offered in upstream's order: the first group that has a name is the one kubectl takes."""

_AGGREGATED_VERSIONS = ("v2", "v2beta1")


@dataclass(frozen=True)
class Document:
    """An answer that does not change while the server runs."""

    body: bytes
    content_type: str = JSON

    @property
    def etag(self) -> str:
        """Names the content, so that a client need not load it twice."""
        return f'"{hashlib.sha256(self.body).hexdigest().upper()}"'


@lru_cache(maxsize=64)
def root_document(core: bool, accept: str, address: str, served: Served = STATIC) -> Document:
    """`/api` (core) or `/apis`, aggregated if the client can read that."""
    for clause in parse_accept(accept or "*/*"):
        parameters = clause.parameters
        if clause.media_type in (JSON, "*/*", "application/*") and "as" not in parameters:
            return _document(_api_versions(address) if core else _group_list(served))
        if clause.media_type == JSON and parameters.get("as") == "APIGroupDiscoveryList":
            version = parameters.get("v", "")
            if parameters.get("g") == "apidiscovery.k8s.io" and version in _AGGREGATED_VERSIONS:
                content_type = f"{JSON};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
                return Document(encode(_aggregated(core, version, served)), content_type)
    raise StatusError(406, "NotAcceptable", f"only the following media types are accepted: {JSON}")


@lru_cache(maxsize=64)
def group_document(group: str, served: Served = STATIC) -> Document | None:
    """`/apis/<group>`; None if it isn't served."""
    if not group or group not in _groups(served):
        return None
    return _document({"kind": "APIGroup", "apiVersion": "v1", **_group(group, served)})


@lru_cache(maxsize=64)
def resources_document(group: str, version: str, served: Served = STATIC) -> Document | None:
    """`/api/v1` and `/apis/<group>/<version>`; None if it isn't served."""
    group_version = f"{group}/{version}" if group else version
    names = [_legacy_review(review) for review in _reviews(group, version)]
    for resource in group_versions(served).get((group, version), {}).values():
        names += _legacy_entries(resource)
    if not names:
        return None
    names.sort(key=lambda entry: str(entry["name"]))
    head = {"kind": "APIResourceList", **({"apiVersion": "v1"} if group else {}), "groupVersion": group_version}
    return _document({**head, "resources": names})


def served_versions() -> list[tuple[str, str]]:
    """Every group and version that has anything."""
    return [(group, version) for group in _groups(STATIC) for version in _versions(group, STATIC)]


def serves_group(group: str, served: Served = STATIC) -> bool:
    """True if the group has any version."""
    return group in _groups(served)


@cache
def version_document() -> Document:
    """`/version`."""
    major, minor, *_patch = KUBERNETES_VERSION.removeprefix("v").split(".")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return _document(
        {
            "major": major,
            "minor": minor,
            "emulationMajor": major,
            "emulationMinor": minor,
            "minCompatibilityMajor": major,
            "minCompatibilityMinor": str(int(minor) - 1),
            "gitVersion": KUBERNETES_VERSION,
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": f"{platform.python_implementation()} {platform.python_version()}",
            "compiler": "pocketkube",
            "platform": f"{sys.platform}/{machine}",
        }
    )


def paths(served: Served = STATIC) -> list[str]:
    """Every path below `/` that can be read."""
    versions = [f"/apis/{group}/{each}" for group in _groups(served) for each in _versions(group, served) if group]
    groups = [f"/apis/{group}" for group in _groups(served) if group]
    fixed = ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics"]
    fixed += ["/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"]
    return sorted({*fixed, *groups, *versions})


def _document(value: Any) -> Document:
    return Document(encode(value))


def _groups(served: Served) -> list[str]:
    """All served groups, in upstream's order; custom ones are the last."""
    names = {group for group, _ in group_versions(served)} | {review.group for review in REVIEWS.values()}
    return [*(group for group in _GROUP_ORDER if group in names), *sorted(names - set(_GROUP_ORDER))]


def _versions(group: str, served: Served) -> list[str]:
    """A group's versions, the preferred one first."""
    versions = {version for served_group, version in group_versions(served) if served_group == group}
    reviewed = {review.version for review in REVIEWS.values() if review.group == group}
    return sorted(versions | reviewed, key=_version_priority)


def _reviews(group: str, version: str) -> list[Review]:
    return [review for review in REVIEWS.values() if (review.group, review.version) == (group, version)]


def _version_priority(version: str) -> tuple[int, int, int, str]:
    """`v2`, `v1`, `v1beta2`, `v1alpha1`, then other names. Models apimachinery pkg/version."""
    found = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if found is None:
        return 3, 0, 0, version
    return {None: 0, "beta": 1, "alpha": 2}[found[2]], -int(found[1]), -int(found[3] or 0), version


# --- aggregated discovery ---


def _aggregated(core: bool, version: str, served: Served) -> Obj:
    groups = [group for group in _groups(served) if bool(group) != core]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [_aggregated_group(group, served) for group in groups],
    }


def _aggregated_group(group: str, served: Served) -> Obj:
    return {
        "metadata": {"name": group} if group else {},
        "versions": [
            {
                "version": version,
                "resources": list(_aggregated_resources(group, version, served)),
                "freshness": "Current",
            }
            for version in _versions(group, served)
        ],
    }


def _aggregated_resources(group: str, version: str, served: Served) -> Iterable[Obj]:
    for review in _reviews(group, version):
        yield {
            "resource": review.plural,
            "responseKind": _own_kind(review.kind),
            "scope": _scope(review.namespaced),
            "singularResource": review.kind.lower(),
            "verbs": ["create"],
        }
    for resource in group_versions(served).get((group, version), {}).values():
        yield _aggregated_resource(resource)


def _aggregated_resource(resource: Resource) -> Obj:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    entry: Obj = {
        "resource": resource.plural,
        "responseKind": kind if isinstance(resource, CustomResource) else _own_kind(resource.kind),
        "scope": _scope(resource.namespaced),
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": name,
                "responseKind": _kind_of_subresource(resource, name),
                "verbs": list(SUBRESOURCES[name].verbs),
            }
            for name in sorted(resource.subresources)
        ]
    return entry


def _scope(namespaced: bool) -> str:
    return "Namespaced" if namespaced else "Cluster"


def _own_kind(kind: str) -> Obj:
    """A kind of the same group and version, which is not said again."""
    return {"group": "", "version": "", "kind": kind}


def _kind_of_subresource(resource: Resource, name: str) -> Obj:
    group, version, kind = SUBRESOURCES[name].kind_for(resource)
    if (group, version) == (resource.group, resource.version):
        return _own_kind(kind)
    return {"group": group, "version": version, "kind": kind}


# --- the older lists ---


def _api_versions(address: str) -> Obj:
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def _group_list(served: Served) -> Obj:
    groups = [_group(group, served) for group in _groups(served) if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _group(group: str, served: Served) -> Obj:
    versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in _versions(group, served)]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _legacy_entries(resource: Resource) -> Iterable[Obj]:
    entry: Obj = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    entry["storageVersionHash"] = _storage_version_hash(resource)
    yield entry
    for name in resource.subresources:
        group, version, kind = SUBRESOURCES[name].kind_for(resource)
        yield {
            "name": f"{resource.plural}/{name}",
            "singularName": "",
            "namespaced": resource.namespaced,
            **({"group": group, "version": version} if group != resource.group else {}),
            "kind": kind,
            "verbs": list(SUBRESOURCES[name].verbs),
        }


def _storage_version_hash(resource: Resource) -> str:
    """Names the form in which objects are stored. Events of both groups are the same objects."""
    group = "" if resource.kind == "Event" else resource.group
    version = resource.version if isinstance(resource, CustomResource) else RESOURCES[resource.name].version
    digest = hashlib.sha256(f"{group}/{version}/{resource.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _legacy_review(review: Review) -> Obj:
    return {
        "name": review.plural,
        "singularName": review.kind.lower(),
        "namespaced": review.namespaced,
        "kind": review.kind,
        "verbs": ["create"],
    }
