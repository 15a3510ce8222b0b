"""APIServices: one for each group and version that this server answers for. There are no others to ask.

Models pkg/controlplane/apiserver/aggregator.go: the order of groups and versions is that of their priorities (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..objects import Obj
from .naming import path_segment_problems
from .strategy import Strategy

NAME = "apiservices.apiregistration.k8s.io"

_PRIORITIES = {
    "": 18000, "apps": 17800, "events.k8s.io": 17750, "authentication.k8s.io": 17700, "authorization.k8s.io": 17600,
    "autoscaling": 17500, "batch": 17400, "certificates.k8s.io": 17300, "networking.k8s.io": 17200, "policy": 17100,
    "rbac.authorization.k8s.io": 17000, "storage.k8s.io": 16800, "admissionregistration.k8s.io": 16700,
    "apiextensions.k8s.io": 16700, "scheduling.k8s.io": 16600, "coordination.k8s.io": 16500, "node.k8s.io": 16300,
    "discovery.k8s.io": 16200, "resource.k8s.io": 16200, "flowcontrol.apiserver.k8s.io": 16100,
}  # fmt: skip
_VERSION_PRIORITIES = {
    ("", "v1"): 1, ("autoscaling", "v2"): 30, ("flowcontrol.apiserver.k8s.io", "v1"): 21, ("resource.k8s.io", "v1"): 21,
}  # fmt: skip
_VERSION_PRIORITY = 15
_MANAGED = "kube-aggregator.kubernetes.io/automanaged"
# The aggregator serves its own group itself, and registers it nowhere.
_OWN_GROUP = "apiregistration.k8s.io"


class APIServiceStrategy(Strategy):
    """Named after its version and group: `v1.` is the core group's."""

    def name_problems(self, name: str) -> list[str]:
        """What a URL can hold."""
        return path_segment_problems(name)

    def prepare_for_create(self, obj: Obj) -> None:
        """Who writes one knows that it is available."""


def local_services(served: Iterable[tuple[str, str]], now: str) -> Iterator[Obj]:
    """The APIServices of this server's own groups and versions."""
    for group, version in sorted(served):
        if group in _PRIORITIES:
            yield local_service(group, version, now)


def local_service(group: str, version: str, now: str) -> Obj:
    """The APIService of one group and version."""
    priorities = {
        "groupPriorityMinimum": _PRIORITIES.get(group, 1000),
        "versionPriority": _VERSION_PRIORITIES.get((group, version), _VERSION_PRIORITY),
    }
    available = {
        "type": "Available",
        "status": "True",
        "lastTransitionTime": now,
        "reason": "Local",
        "message": "Local APIServices are always available",
    }
    return {
        "apiVersion": f"{_OWN_GROUP}/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}", "labels": {_MANAGED: "onstart"}},
        "spec": {**({"group": group} if group else {}), "version": version, **priorities},
        "status": {"conditions": [available]},
    }
