"""The scheduler: for each Pod without a node, the best of the nodes that can take it.

    filter    which nodes can: taints, selector and affinity, free ports, free resources, company (`feasibility`)
    score     which of them should: preferences, fewest of the same application, then least allocated
    bind      write the choice; the kubelet of that node does the rest
    preempt   if no node can: end less important Pods, so that one soon will (`preemption`)

A Pod that fits nowhere says why in a FailedScheduling event, and is looked at again when a node or a Pod changes.
Models pkg/scheduler (v1.36).
"""

from __future__ import annotations

from .api.status import StatusError, ignoring_not_found
from .client import STRATEGIC_MERGE_PATCH, Client, EventType
from .clock import Clock
from .controllers.disruption import selects
from .controllers.events import EventRecorder
from .controllers.pods import announce_disruption, is_finished
from .feasibility import explain, explain_preemption, why_not
from .informer import Controller, SharedInformers
from .node_fit import selection_preference, share_taken
from .objects import (
    Obj,
    condition_of,
    controller_ref_of,
    is_condition_true,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from .pod_topology import Snapshot, company_preference, has_company_rules
from .preemption import Candidate, choose, nominated_node, priority_of, refusal
from .resources.taints import taints_of, untolerated

NAME = "default-scheduler"


class Scheduler(Controller):
    """Binds Pods to nodes. A key is a Pod's."""

    name = "scheduler"

    def __init__(self, client: Client, informers: SharedInformers, recorder: EventRecorder, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._recorder = recorder
        self._pods = informers.get("pods")
        self._nodes = informers.get("nodes")
        self._namespaces = informers.get("namespaces")
        self._budgets = informers.get("poddisruptionbudgets.policy")
        self._unschedulable: set[str] = set()
        self._pods.add_handler(self._on_pod)
        self._nodes.add_handler(self._on_node)

    async def reconcile(self, key: str) -> None:
        """Finds a node for one Pod, or says why there is none."""
        pod = self._pods.get(key)
        if pod is None or not _waits_for_node(pod):
            self._unschedulable.discard(key)
            return
        snapshot = self._snapshot(pod)
        reasons = {name_of(node): why_not(pod, node, snapshot) for node in snapshot.nodes}
        feasible = [node for node in snapshot.nodes if not reasons[name_of(node)]]
        if not feasible:
            self._unschedulable.add(key)
            why = [*reasons.values()]
            refused = refusal(pod, snapshot)
            candidate = None if refused else choose(pod, reasons, snapshot, why_not, self._is_spared)
            if candidate is None:
                await self._report(pod, explain(why) + explain_preemption(why, refused))
            else:
                await self._preempt(pod, candidate)
                await self._report(pod, explain(why), nominated=name_of(candidate.node))
            return
        self._unschedulable.discard(key)
        chosen = [node for node in feasible if name_of(node) == nominated_node(pod)]
        best = min(chosen or feasible, key=lambda node: _cost(pod, node, snapshot))
        await self._bind(pod, name_of(best))

    def _snapshot(self, pod: Obj) -> Snapshot:
        """The cluster as one Pod finds it: room that is being made for more important ones is taken already."""
        by_node: dict[str, list[Obj]] = {}
        for other in self._pods.list():
            node = other["spec"].get("nodeName")
            if not node and uid_of(other) != uid_of(pod) and priority_of(other) >= priority_of(pod):
                node = nominated_node(other)
            if node and not is_finished(other):
                by_node.setdefault(node, []).append(other)
        namespaces = {name_of(namespace): labels_of(namespace) for namespace in self._namespaces.list()}
        return Snapshot(sorted(self._nodes.list(), key=name_of), by_node, namespaces)

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

    # --- no node can take it ---

    async def _preempt(self, pod: Obj, candidate: Candidate) -> None:
        """Ends the victims, and takes their hope from less important Pods that were to have the same room."""
        node = name_of(candidate.node)
        for victim in candidate.victims:
            if is_deleting(victim):
                continue
            why = f"{NAME}: preempting to accommodate a higher priority pod"
            await announce_disruption(self._client, self.clock, victim, "PreemptionByScheduler", why)
            with ignoring_not_found():
                written = await self._client.delete("pods", name_of(victim), namespace_of(victim), uid=uid_of(victim))
                text = f"Preempted by pod {uid_of(pod)} on node {node}"
                self._recorder.event(victim, "Normal", "Preempted", text)
                await self._pods.has_seen(written)
        for other in self._pods.list():
            waits = not other["spec"].get("nodeName") and nominated_node(other) == node
            if waits and priority_of(other) < priority_of(pod):
                await self._patch_status(other, {"nominatedNodeName": None})

    def _is_spared(self, pod: Obj) -> bool:
        """True if a budget would not let the Pod be evicted now."""
        budgets = [budget for budget in self._budgets.list(namespace_of(pod)) if selects(budget, pod)]
        return any(not (budget.get("status") or {}).get("disruptionsAllowed") for budget in budgets)

    async def _report(self, pod: Obj, message: str, nominated: str = "") -> None:
        known = condition_of(pod, "PodScheduled")
        same = known is not None and known.get("reason") == "Unschedulable" and known.get("message") == message
        if same and nominated in ("", nominated_node(pod)):
            return
        self._recorder.event(pod, "Warning", "FailedScheduling", message)
        since = (known or {}).get("lastTransitionTime") if known and known["status"] == "False" else None
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "observedGeneration": pod["metadata"].get("generation", 1),
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": since or self.clock.rfc3339(),
        }
        await self._patch_status(
            pod, {"conditions": [condition], **({"nominatedNodeName": nominated} if nominated else {})}
        )

    async def _patch_status(self, pod: Obj, status: Obj) -> None:
        patch = {"metadata": {"uid": uid_of(pod)}, "status": status}
        with ignoring_not_found():
            written = await self._client.patch(
                "pods", name_of(pod), patch, namespace_of(pod), patch_type=STRATEGIC_MERGE_PATCH, subresource="status"
            )
            await self._pods.has_seen(written)

    # --- what changed ---

    def _on_pod(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is not None and _waits_for_node(new):
            if old is None or new["spec"] != old["spec"]:
                self.enqueue(new)
            return
        had_node = old is not None and bool(old["spec"].get("nodeName"))
        if (new is None or is_finished(new)) and (had_node or _was_hoping(old)):
            self._retry_unschedulable()
        elif new is not None and (not had_node or (old is not None and labels_of(old) != labels_of(new))):
            # Somebody came, who may be the company that others wait for.
            self._retry_unschedulable(only_for_company=True)

    def _on_node(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is not None and old is not None and _relevant(new) == _relevant(old):
            return
        self._retry_unschedulable()

    def _retry_unschedulable(self, *, only_for_company: bool = False) -> None:
        waiting = [pod for key in self._unschedulable if (pod := self._pods.get(key)) is not None]
        for pod in sorted(waiting, key=lambda each: (-priority_of(each), each["metadata"]["creationTimestamp"])):
            if not only_for_company or has_company_rules(pod):
                self.enqueue(pod)


def _was_hoping(pod: Obj | None) -> bool:
    """True if room was kept for the Pod, which is free for others now."""
    return pod is not None and bool(nominated_node(pod))


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


def _cost(pod: Obj, node: Obj, snapshot: Snapshot) -> tuple[object, ...]:
    """Lower is better: avoided taints, liking, Pods of the same application, share of the node that would be taken."""
    there = snapshot.on(node)
    avoided = len(untolerated(pod, taints_of(node), ("PreferNoSchedule",)))
    liking = selection_preference(pod, node) + company_preference(pod, node, snapshot)
    ref = controller_ref_of(pod)
    same = sum(1 for other in there if ref is not None and (controller_ref_of(other) or {}).get("uid") == ref["uid"])
    return avoided, -liking, same, share_taken(node, [*there, pod]), name_of(node)
