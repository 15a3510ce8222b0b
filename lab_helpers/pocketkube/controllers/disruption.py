"""The disruption controller: counts, for each PodDisruptionBudget, how many Pods may be evicted now.

Obeying is left to the eviction subresource (`api/eviction`). Models pkg/controller/disruption/disruption.go (v1.36).
"""

from __future__ import annotations

from ..api.selectors import compile_label_selector
from ..client import Client, EventType
from ..clock import Clock, parse_rfc3339
from ..informer import Controller, SharedInformers
from ..objects import Obj, controller_ref_of, copy, is_deleting, labels_of, name_of, namespace_of
from .events import EventRecorder
from .int_or_percent import scaled_value
from .pods import is_finished, is_ready

_RESOURCE = "poddisruptionbudgets.policy"
_SCALED = {
    "ReplicaSet": "replicasets.apps",
    "ReplicationController": "replicationcontrollers",
    "StatefulSet": "statefulsets.apps",
}
_FORGETS_AFTER = 120.0
"""Seconds after which an evicted Pod that is still there counts again."""


class DisruptionController(Controller):
    """Writes the status of budgets. A key is a budget's."""

    name = "disruption"

    def __init__(self, client: Client, informers: SharedInformers, recorder: EventRecorder, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._recorder = recorder
        self._budgets = informers.get(_RESOURCE)
        self._pods = informers.get("pods")
        self._owners = {kind: informers.get(resource) for kind, resource in _SCALED.items()}
        self._deployments = informers.get("deployments.apps")
        self._budgets.add_handler(self._on_budget)
        self._pods.add_handler(self._on_pod)

    async def reconcile(self, key: str) -> None:
        """Counts anew."""
        budget = self._budgets.get(key)
        if budget is None:
            return
        pods = [pod for pod in self._pods.list(namespace_of(budget)) if selects(budget, pod) and not is_finished(pod)]
        if not pods:
            self._recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        evicted = self._still_leaving(key, budget, pods)
        healthy = sum(is_ready(pod) and not is_deleting(pod) and name_of(pod) not in evicted for pod in pods)
        expected, desired = self._desired(budget, pods)
        allowed = max(0, healthy - desired) if expected > 0 else 0
        status: Obj = {
            "conditions": [self._condition(budget, allowed > 0)],
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "disruptionsAllowed": allowed,
            "expectedPods": expected,
            "observedGeneration": budget["metadata"].get("generation", 0),
        }
        if evicted:
            status["disruptedPods"] = evicted
        if status == (budget.get("status") or {}):
            return
        changed = copy(budget)
        changed["status"] = status
        await self._client.update(_RESOURCE, changed, subresource="status")

    def _still_leaving(self, key: str, budget: Obj, pods: list[Obj]) -> dict[str, str]:
        """Pods whose eviction was granted, and which haven't begun to end."""
        there = {name_of(pod) for pod in pods if not is_deleting(pod)}
        leaving: dict[str, str] = {}
        for name, since in ((budget.get("status") or {}).get("disruptedPods") or {}).items():
            left = parse_rfc3339(since) + _FORGETS_AFTER - self.clock.now()
            if name in there and left > 0:
                leaving[name] = since
                self.queue.add_after(key, left)
        return leaving

    def _desired(self, budget: Obj, pods: list[Obj]) -> tuple[int, int]:
        """(how many Pods there should be, how many of them must be healthy)."""
        spec = budget["spec"]
        least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
        if isinstance(least, int):
            return len(pods), least
        expected = self._expected(pods)
        if most is not None:
            return expected, max(0, expected - scaled_value(most, expected))
        return expected, scaled_value(least, expected) if least is not None else 0

    def _expected(self, pods: list[Obj]) -> int:
        """The sizes of the controllers behind the Pods; a Pod without one counts for itself."""
        sizes: dict[str, int] = {}
        for pod in pods:
            ref = controller_ref_of(pod)
            informer = self._owners.get(ref["kind"]) if ref else None
            owner = informer.get(f"{namespace_of(pod)}/{ref['name']}") if informer and ref else None
            if owner is None or ref is None:
                sizes[name_of(pod)] = 1
                continue
            above = controller_ref_of(owner)
            if above is not None and above["kind"] == "Deployment":
                ref, owner = above, self._deployments.get(f"{namespace_of(pod)}/{above['name']}") or owner
            sizes[ref["uid"]] = int(owner["spec"].get("replicas", 1))
        return sum(sizes.values())

    def _condition(self, budget: Obj, allowed: bool) -> Obj:
        status = "True" if allowed else "False"
        known: Obj = next(iter((budget.get("status") or {}).get("conditions") or []), {})
        same = known.get("status") == status
        return {
            "type": "DisruptionAllowed",
            "status": status,
            "observedGeneration": budget["metadata"].get("generation", 0),
            "lastTransitionTime": known["lastTransitionTime"] if same else self.clock.rfc3339(),
            "reason": "SufficientPods" if allowed else "InsufficientPods",
            "message": "",
        }

    def _on_budget(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        self.enqueue(new or old or {})

    def _on_pod(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        pod = new or old or {}
        for budget in self._budgets.list(namespace_of(pod)):
            if any(selects(budget, each) for each in (new, old) if each is not None):
                self.enqueue(budget)


def selects(budget: Obj, pod: Obj) -> bool:
    """True if the budget counts the Pod: an empty selector counts all, a missing one none."""
    selector = budget["spec"].get("selector")
    return selector is not None and compile_label_selector(selector).matches(labels_of(pod))
