"""The node lifecycle controller: notices silent nodes, taints those that aren't ready, evicts what doesn't tolerate it.

A node is alive as long as its Lease (or its status) is renewed. Time is measured by when a renewal was seen here, so
that clocks need not agree and a restarted control plane gives every node a full grace period.
Models pkg/controller/nodelifecycle and pkg/controller/tainteviction (v1.36).
"""

from __future__ import annotations

from ..api.status import ignoring_not_found
from ..client import STRATEGIC_MERGE_PATCH, Client, EventType
from ..clock import Clock, parse_rfc3339
from ..informer import Controller, SharedInformers
from ..objects import Obj, condition_of, is_condition_true, is_deleting, key_of, name_of, namespace_of, uid_of
from ..resources.taints import NOT_READY, UNREACHABLE, UNSCHEDULABLE, taints_of, tolerates, tolerations_of
from .events import EventRecorder
from .pods import announce_disruption, is_ready

GRACE_SECONDS = 50.0
"""How long a node may be silent: kube-controller-manager's --node-monitor-grace-period."""

_CONDITION_TAINTS = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_OWN_TAINTS = {NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_CONDITION_TAINTS.values()}


class NodeLifecycleController(Controller):
    """Watches over nodes. A key is a node's name."""

    name = "node-lifecycle"

    def __init__(self, client: Client, informers: SharedInformers, recorder: EventRecorder, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._recorder = recorder
        self._heard: dict[str, float] = {}
        self._registered: set[str] = set()
        self._nodes = informers.get("nodes")
        self._pods = informers.get("pods")
        self._leases = informers.get("leases.coordination.k8s.io")
        self._nodes.add_handler(self._on_node)
        self._leases.add_handler(self._on_lease)
        self._pods.add_handler(self._on_pod)

    async def reconcile(self, key: str) -> None:
        """Judges one node, and its Pods if it is not well."""
        node = self._nodes.get(key)
        if node is None:
            self._heard.pop(key, None)
            self._registered.discard(key)
            return
        self._welcome(node)
        silent_for = self.clock.monotonic() - self._heard.setdefault(key, self.clock.monotonic())
        if silent_for < GRACE_SECONDS:
            self.queue.add_after(key, GRACE_SECONDS - silent_for)
        elif (condition_of(node, "Ready") or {}).get("status") != "Unknown":
            node = await self._mark_unknown(node)
        node = await self._taint(node)
        if not is_condition_true(node, "Ready"):
            await self._mark_pods_not_ready(node)
        await self._evict(node)

    # --- the node ---

    def _welcome(self, node: Obj) -> None:
        """Says once that this controller has begun to watch over the node."""
        name = name_of(node)
        if name not in self._registered:
            self._registered.add(name)
            message = f"Node {name} event: Registered Node {name} in Controller"
            self._recorder.event(node, "Normal", "RegisteredNode", message)

    async def _mark_unknown(self, node: Obj) -> Obj:
        now = self.clock.rfc3339()
        conditions = []
        for kind in ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure"):
            known = condition_of(node, kind)
            never = "Kubelet never posted node status."
            conditions.append(
                {
                    **(known or {"lastHeartbeatTime": node["metadata"]["creationTimestamp"]}),
                    "type": kind,
                    "status": "Unknown",
                    "reason": "NodeStatusUnknown" if known else "NodeStatusNeverUpdated",
                    "message": "Kubelet stopped posting node status." if known else never,
                    "lastTransitionTime": now,
                }
            )
        message = f"Node {name_of(node)} status is now: NodeNotReady"
        self._recorder.event(node, "Normal", "NodeNotReady", message)
        patch = {"status": {"conditions": conditions}}
        return await self._client.patch(
            "nodes", name_of(node), patch, patch_type=STRATEGIC_MERGE_PATCH, subresource="status"
        )

    async def _taint(self, node: Obj) -> Obj:
        wanted = _wanted_taints(node)
        current = taints_of(node)
        keep = [t for t in current if t["key"] not in _OWN_TAINTS or (t["key"], t["effect"]) in wanted]
        known = {(taint["key"], taint["effect"]) for taint in keep}
        added: list[Obj] = []
        for key, effect in wanted:
            if (key, effect) not in known:
                taint = {"key": key, "effect": effect}
                added.append(taint | ({"timeAdded": self.clock.rfc3339()} if effect == "NoExecute" else {}))
        if not added and len(keep) == len(current):
            return node
        patch = {
            "metadata": {"resourceVersion": node["metadata"]["resourceVersion"]},
            "spec": {"taints": (keep + added) or None},
        }
        written = await self._client.patch("nodes", name_of(node), patch)
        await self._nodes.has_seen(written)
        return written

    # --- its Pods ---

    async def _mark_pods_not_ready(self, node: Obj) -> None:
        """Nobody says any more how these Pods are; Services stop sending to them."""
        for pod in self._pods_on(node):
            if not is_ready(pod):
                continue
            now = self.clock.rfc3339()
            ready = {**(condition_of(pod, "Ready") or {}), "status": "False", "lastTransitionTime": now}
            patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [ready]}}
            await self._client.patch(
                "pods",
                name_of(pod),
                patch,
                namespace_of(pod),
                patch_type=STRATEGIC_MERGE_PATCH,
                subresource="status",
            )
            self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    async def _evict(self, node: Obj) -> None:
        taints = [taint for taint in taints_of(node) if taint["effect"] == "NoExecute"]
        if not taints:
            return
        for pod in self._pods_on(node):
            stays = None if is_deleting(pod) else _seconds_left(pod, taints, self.clock.now())
            if stays is None:
                continue
            if stays > 0:
                self.queue.add_after(name_of(node), stays)
                continue
            self._recorder.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key_of(pod)}")
            why = "Taint manager: deleting due to NoExecute taint"
            await announce_disruption(self._client, self.clock, pod, "DeletionByTaintManager", why)
            with ignoring_not_found():
                await self._client.delete("pods", name_of(pod), namespace_of(pod), uid=uid_of(pod))

    def _pods_on(self, node: Obj) -> list[Obj]:
        return [pod for pod in self._pods.list() if pod["spec"].get("nodeName") == name_of(node)]

    # --- what changed ---

    def _on_node(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        node = new or old or {}
        if old is None or _heartbeat(node) != _heartbeat(old):
            self._heard[name_of(node)] = self.clock.monotonic()
        self.enqueue(node)

    def _on_lease(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is None or namespace_of(new) != "kube-node-lease":
            return
        self._heard[name_of(new)] = self.clock.monotonic()

    def _on_pod(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        """A Pod that comes to a tainted node may have to leave again."""
        node = self._nodes.get((new or {}).get("spec", {}).get("nodeName") or "")
        arrived = old is None or not old["spec"].get("nodeName")
        if node is not None and arrived and any(taint["effect"] == "NoExecute" for taint in taints_of(node)):
            self.enqueue(node)


def _wanted_taints(node: Obj) -> list[tuple[str, str]]:
    ready = (condition_of(node, "Ready") or {}).get("status", "Unknown")
    wanted = []
    if ready == "False":
        wanted += [(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]
    elif ready != "True":
        wanted += [(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]
    if node["spec"].get("unschedulable"):
        wanted.append((UNSCHEDULABLE, "NoSchedule"))
    wanted += [(key, "NoSchedule") for kind, key in _CONDITION_TAINTS.items() if is_condition_true(node, kind)]
    return wanted


def _seconds_left(pod: Obj, taints: list[Obj], now: float) -> float | None:
    """How long the Pod may stay: None for ever, 0 or less not at all."""
    left: list[float] = []
    for taint in taints:
        covering = [toleration for toleration in tolerations_of(pod) if tolerates(toleration, taint)]
        if not covering:
            return 0.0
        limits = [int(t["tolerationSeconds"]) for t in covering if t.get("tolerationSeconds") is not None]
        if limits:
            since = parse_rfc3339(taint["timeAdded"]) if taint.get("timeAdded") else now
            left.append(since + min(limits) - now)
    return min(left, default=None)


def _heartbeat(node: Obj) -> str:
    return str((condition_of(node, "Ready") or {}).get("lastHeartbeatTime") or "")
