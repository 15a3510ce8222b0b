"""The scheduler: for each Pod without a node, the best of the nodes that can take it.

    filter   which nodes can: selector and affinity, taints, readiness, free ports, free resources
    score    which of them should: fewest of the same application, then least allocated
    bind     write the choice; the kubelet of that node does the rest

A Pod that fits nowhere says why in a FailedScheduling event, and is looked at again when a node or a Pod changes.
Models pkg/scheduler (v1.36). Preemption, Pod affinity and topology spread constraints are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .api.status import StatusError
from .client import STRATEGIC_MERGE_PATCH, Client, EventType
from .clock import Clock
from .controllers.events import EventRecorder
from .controllers.pods import is_finished
from .informer import Controller, SharedInformers
from .node_fit import Reason, free_ports_reason, free_resources_reasons, selection_reason, share_taken
from .objects import (
    Obj,
    condition_of,
    controller_ref_of,
    is_condition_true,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)
from .resources.taints import NOT_READY, UNREACHABLE, UNSCHEDULABLE, taints_of, untolerated

NAME = "default-scheduler"

_UNSCHEDULABLE_TAINT = {"key": UNSCHEDULABLE, "effect": "NoSchedule"}
_NO_NODES = "no nodes available to schedule pods"


class Scheduler(Controller):
    """Binds Pods to nodes. A key is a Pod's."""

    name = "scheduler"

    def __init__(self, client: Client, informers: SharedInformers, recorder: EventRecorder, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._recorder = recorder
        self._pods = informers.get("pods")
        self._nodes = informers.get("nodes")
        self._unschedulable: set[str] = set()
        self._pods.add_handler(self._on_pod)
        self._nodes.add_handler(self._on_node)

    async def reconcile(self, key: str) -> None:
        """Finds a node for one Pod, or says why there is none."""
        pod = self._pods.get(key)
        if pod is None or not _waits_for_node(pod):
            self._unschedulable.discard(key)
            return
        nodes = sorted(self._nodes.list(), key=name_of)
        on_node = self._pods_by_node()
        reasons = {name_of(node): _why_not(pod, node, on_node.get(name_of(node), [])) for node in nodes}
        feasible = [node for node in nodes if not reasons[name_of(node)]]
        if not feasible:
            await self._report(pod, _explain(list(reasons.values())))
            self._unschedulable.add(key)
            return
        self._unschedulable.discard(key)
        best = min(feasible, key=lambda node: _cost(pod, node, on_node.get(name_of(node), [])))
        await self._bind(pod, name_of(best))

    async def _bind(self, pod: Obj, node: str) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            await self._client.create_subresource("pods", name_of(pod), "binding", binding, namespace_of(pod))
        except StatusError as error:
            if error.code != 404:
                raise
            return
        self._recorder.event(pod, "Normal", "Scheduled", f"Successfully assigned {key_of(pod)} to {node}")
        # The next Pod must be placed with this one in mind.
        await self._pods.has_seen(await self._client.get("pods", name_of(pod), namespace_of(pod)))

    async def _report(self, pod: Obj, message: str) -> None:
        known = condition_of(pod, "PodScheduled")
        if known is not None and known.get("reason") == "Unschedulable" and known.get("message") == message:
            return
        self._recorder.event(pod, "Warning", "FailedScheduling", message)
        since = (known or {}).get("lastTransitionTime") if known and known["status"] == "False" else None
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": since or self.clock.rfc3339(),
        }
        patch = {"status": {"conditions": [condition]}}
        await self._client.patch(
            "pods",
            name_of(pod),
            patch,
            namespace_of(pod),
            patch_type=STRATEGIC_MERGE_PATCH,
            subresource="status",
        )

    def _pods_by_node(self) -> dict[str, list[Obj]]:
        """The Pods that take up room, by node."""
        by_node: dict[str, list[Obj]] = {}
        for pod in self._pods.list():
            node = pod["spec"].get("nodeName")
            if node and not is_finished(pod):
                by_node.setdefault(node, []).append(pod)
        return by_node

    # --- what changed ---

    def _on_pod(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is not None and _waits_for_node(new):
            if old is None or new["spec"] != old["spec"]:
                self.enqueue(new)
            return
        left = new is None or is_finished(new)
        if left and old is not None and old["spec"].get("nodeName"):
            self._retry_unschedulable()

    def _on_node(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is not None and old is not None and _relevant(new) == _relevant(old):
            return
        self._retry_unschedulable()

    def _retry_unschedulable(self) -> None:
        for key in self._unschedulable:
            self.queue.add(key)


def _waits_for_node(pod: Obj) -> bool:
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and not spec.get("schedulingGates")
        and not is_deleting(pod)
        and not is_finished(pod)
        and spec.get("schedulerName", NAME) == NAME
    )


def _relevant(node: Obj) -> tuple[object, ...]:
    return (
        node["metadata"].get("labels"),
        node.get("spec"),
        (node.get("status") or {}).get("allocatable"),
        is_condition_true(node, "Ready"),
    )


def _why_not(pod: Obj, node: Obj, there: list[Obj]) -> list[Reason]:
    """Why the node can't take the Pod; empty if it can. As upstream, the first filter that says no is heard."""
    if node["spec"].get("unschedulable") and untolerated(pod, [_UNSCHEDULABLE_TAINT], ("NoSchedule",)):
        return [Reason("node(s) were unschedulable", helpless=True)]
    if untolerated(pod, taints_of(node) + _implied_taints(node), ("NoSchedule", "NoExecute")):
        return [Reason("node(s) had untolerated taint(s)", helpless=True)]
    return selection_reason(pod, node) or free_ports_reason(pod, there) or free_resources_reasons(pod, node, there)


def _implied_taints(node: Obj) -> list[Obj]:
    """A node that isn't ready is tainted, if not yet then in a moment."""
    ready = (condition_of(node, "Ready") or {}).get("status", "Unknown")
    if ready == "True":
        return []
    return [{"key": NOT_READY if ready == "False" else UNREACHABLE, "effect": "NoSchedule"}]


def _explain(reasons: list[list[Reason]]) -> str:
    """`0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable. ...`, sorted as upstream sorts."""
    if not reasons:
        return _NO_NODES
    nodes = len(reasons)
    found = _histogram(reason.text for of_node in reasons for reason in of_node)
    helpless = "Preemption is not helpful for scheduling"
    victims = "No preemption victims found for incoming pod"
    preemption = _histogram(helpless if any(r.helpless for r in of_node) else victims for of_node in reasons)
    return (
        f"0/{nodes} nodes are available: {found}. no new claims to deallocate, "
        f"preemption: 0/{nodes} nodes are available: {preemption}."
    )


def _histogram(texts: Iterable[str]) -> str:
    return ", ".join(sorted(f"{count} {text}" for text, count in Counter(texts).items()))


def _cost(pod: Obj, node: Obj, there: list[Obj]) -> tuple[object, ...]:
    """Lower is better: avoided taints, Pods of the same application, share of the node that would be taken."""
    avoided = len(untolerated(pod, taints_of(node), ("PreferNoSchedule",)))
    ref = controller_ref_of(pod)
    same = sum(1 for other in there if ref is not None and (controller_ref_of(other) or {}).get("uid") == ref["uid"])
    return avoided, same, share_taken(node, [*there, pod]), name_of(node)
