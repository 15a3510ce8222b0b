"""What controllers ask of Pods: is it active, ready, available; which would be missed least; make one; end one.

Models pkg/api/v1/pod/util.go and pkg/controller/controller_utils.go (v1.36).
"""

from __future__ import annotations

from ..api.status import StatusError, ignoring_not_found
from ..client import STRATEGIC_MERGE_PATCH, Client
from ..clock import Clock, parse_rfc3339
from ..objects import (
    Obj,
    condition_of,
    copy,
    is_condition_true,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    new_controller_ref,
    uid_of,
)
from .events import EventRecorder

_PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def phase_of(pod: Obj) -> str:
    """`status.phase`."""
    return str((pod.get("status") or {}).get("phase") or "")


def is_finished(pod: Obj) -> bool:
    """True once all containers have ended for good."""
    return phase_of(pod) in ("Succeeded", "Failed")


def is_active(pod: Obj) -> bool:
    """True if the Pod counts: neither finished nor being deleted."""
    return not is_finished(pod) and not is_deleting(pod)


def is_ready(pod: Obj) -> bool:
    """True if the Ready condition is true."""
    return is_condition_true(pod, "Ready")


def ready_since(pod: Obj) -> float | None:
    """When the Pod became ready, if it is."""
    condition = condition_of(pod, "Ready")
    if condition is None or condition.get("status") != "True" or not condition.get("lastTransitionTime"):
        return None
    return parse_rfc3339(condition["lastTransitionTime"])


def seconds_until_available(pod: Obj, min_ready_seconds: int, now: float) -> float | None:
    """0 if the Pod has been ready for long enough, else how long that takes; None if it isn't ready."""
    if not is_ready(pod):
        return None
    if min_ready_seconds == 0:
        return 0.0
    since = ready_since(pod)
    return None if since is None else max(0.0, since + min_ready_seconds - now)


def seconds_until_next_available(pods: list[Obj], min_ready_seconds: int, now: float) -> float | None:
    """How long until the next of these Pods has been ready for long enough; None if nothing is awaited."""
    waits = [seconds_until_available(pod, min_ready_seconds, now) for pod in pods]
    return min((wait for wait in waits if wait), default=None)


def is_available(pod: Obj, min_ready_seconds: int, now: float) -> bool:
    """True if the Pod has been ready for `minReadySeconds`."""
    return seconds_until_available(pod, min_ready_seconds, now) == 0.0


def deletion_order(pods: list[Obj], related: list[Obj]) -> list[Obj]:
    """Pods, those first that would be missed least.

    `related` are the active Pods of the same application: a Pod is missed less on a node that has many of them.
    Models ActivePodsWithRanks (v1.36).
    """
    on_node: dict[str, int] = {}
    for pod in related:
        node = pod["spec"].get("nodeName") or ""
        on_node[node] = on_node.get(node, 0) + 1

    def rank(pod: Obj) -> tuple[object, ...]:
        node = pod["spec"].get("nodeName") or ""
        since = ready_since(pod)
        return (
            bool(node),
            _PHASE_RANK.get(phase_of(pod), 1),
            is_ready(pod),
            _deletion_cost(pod),
            -on_node.get(node, 0),
            # Ready for a short time, then restarted often, then young.
            -since if since is not None else 0.0,
            -_most_restarts(pod),
            -parse_rfc3339(pod["metadata"]["creationTimestamp"]),
            name_of(pod),
        )

    return sorted(pods, key=rank)


def _deletion_cost(pod: Obj) -> int:
    text = (pod["metadata"].get("annotations") or {}).get(_DELETION_COST, "0")
    try:
        return int(text)
    except ValueError:
        return 0


def _most_restarts(pod: Obj) -> int:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return max((int(status.get("restartCount") or 0) for status in statuses), default=0)


def pod_from_template(template: Obj, owner: Obj) -> Obj:
    """The Pod that a template describes, owned and named after its owner."""
    metadata: Obj = {
        "generateName": f"{name_of(owner)}-",
        "namespace": namespace_of(owner),
        "ownerReferences": [new_controller_ref(owner)],
    }
    described = template.get("metadata") or {}
    for field in ("labels", "annotations", "finalizers"):
        if described.get(field):
            metadata[field] = copy(described[field])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": copy(template["spec"])}


class PodControl:
    """Creates and deletes Pods for a controller, and says so in Events of their owner."""

    def __init__(self, client: Client, recorder: EventRecorder) -> None:
        self._client = client
        self._recorder = recorder

    async def create(self, template: Obj, owner: Obj, *, generate_name: str = "") -> Obj:
        """Makes a Pod, named after its owner or by a prefix of its own. StatusError if the server refuses."""
        described = pod_from_template(template, owner)
        if generate_name:
            described["metadata"]["generateName"] = generate_name
        try:
            pod = await self._client.create("pods", described)
        except StatusError as error:
            if not is_namespace_terminating(error):
                self._recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {name_of(pod)}")
        return pod

    async def delete(self, pod: Obj, owner: Obj) -> Obj:
        """Ends a Pod, and returns it as it is now. StatusError 404 if it is gone already."""
        try:
            written = await self._client.delete("pods", name_of(pod), namespace_of(pod), uid=pod["metadata"]["uid"])
        except StatusError as error:
            if error.code != 404:
                text = f"Error deleting: {error.message}"
                self._recorder.event(owner, "Warning", "FailedDelete", text)
            raise
        self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
        return written


async def announce_disruption(client: Client, clock: Clock, pod: Obj, reason: str, message: str, **status: str) -> None:
    """Says in a Pod that it ends for a reason that is not its own, before it is deleted. `status`: more to write."""
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "observedGeneration": pod["metadata"].get("generation", 1),
        "lastProbeTime": None,
        "lastTransitionTime": clock.rfc3339(),
        "reason": reason,
        "message": message,
    }
    patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [condition], **status}}
    with ignoring_not_found():
        await client.patch(
            "pods", name_of(pod), patch, namespace_of(pod), patch_type=STRATEGIC_MERGE_PATCH, subresource="status"
        )


def is_namespace_terminating(error: StatusError) -> bool:
    """True if nothing can be created because the namespace is on its way out."""
    return error.code == 403 and "because it is being terminated" in error.message


def pod_keys(pods: list[Obj]) -> list[str]:
    """Their keys."""
    return [key_of(pod) for pod in pods]
