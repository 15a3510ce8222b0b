"""What checks of several chapters look at: Pods at work, Services, their endpoints and rules, answers to requests."""

from __future__ import annotations

from collections.abc import Iterable

from ..pocketkube.objects import (
    Obj,
    controller_ref_of,
    is_condition_true,
    is_deleting,
    labels_of,
    matches_labels,
    name_of,
)
from ..topology import model
from ..topology.gather import gather
from ..topology.model import PodState, Topology
from ..traffic import Request
from .workspace import Workspace

STUCK = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CrashLoopBackOff", "CreateContainerError", "Error")
"""Words in a Pod's status after which waiting does not help."""


def pods_of_deployment(workspace: Workspace, deployment: Obj) -> list[Obj]:
    """The Pods of a Deployment that are not being deleted, found by their owners."""
    owned = {
        item["metadata"]["uid"]
        for item in workspace.reader.list("replicasets")
        if (controller_ref_of(item) or {}).get("uid") == deployment["metadata"]["uid"]
    }
    return [
        pod
        for pod in workspace.reader.list("pods")
        if (controller_ref_of(pod) or {}).get("uid") in owned and not is_deleting(pod)
    ]


def ready(pods: Iterable[Obj]) -> list[Obj]:
    """Those that are ready and have an address."""
    return [pod for pod in pods if is_condition_true(pod, "Ready") and ip_of(pod) and not is_deleting(pod)]


def ip_of(pod: Obj) -> str:
    """A Pod's address, or the empty string."""
    return str((pod.get("status") or {}).get("podIP") or "")


def describe(pods: Iterable[Obj]) -> str:
    """Pods in a sentence: name, address, status."""
    shown = [f"{name_of(pod)} ({ip_of(pod) or 'no IP'}, {_status(pod)})" for pod in pods]
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "") if shown else "no Pods"


def is_stuck(pods: Iterable[Obj]) -> bool:
    """True if one of the Pods will not get ready by waiting."""
    return any(model.status_text(pod) in STUCK for pod in pods)


def topology_of(workspace: Workspace, service: str) -> Topology:
    """The topology of a Service with the node's rules; without `rules_node` if rules could not be read."""
    return gather(workspace.cluster, service, workspace.namespace, reader=workspace.reader)


def selected(workspace: Workspace, service: Obj) -> list[Obj]:
    """The Pods that a Service selects, ready or not."""
    selector: dict[str, str] = service["spec"].get("selector") or {}
    return [pod for pod in workspace.reader.list("pods") if selector and matches_labels(selector, labels_of(pod))]


def ready_endpoints(topology: Topology) -> set[str]:
    """`address:port` of the endpoints that may get traffic."""
    return {endpoint.key for endpoint in topology.endpoints if endpoint.state is PodState.READY}


def describe_answers(requests: list[Request]) -> str:
    """What became of requests, in a phrase."""
    failed = [request for request in requests if not request.ok]
    if failed:
        return f"{len(failed)} of {len(requests)} requests failed: {failed[0].failure}"
    words = " ".join(requests[-1].body.split())[:60] if requests else ""
    return f"HTTP {requests[-1].status}: {words!r}" if requests else "no request was sent"


def answered(requests: list[Request]) -> bool:
    """True if every request got a good answer."""
    return bool(requests) and all(request.ok and 200 <= request.status < 300 for request in requests)


def _status(pod: Obj) -> str:
    return "ready" if is_condition_true(pod, "Ready") else model.status_text(pod)
