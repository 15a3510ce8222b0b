"""Eviction: a delete that asks the Pod's disruption budget first, as `kubectl drain` does.

Counting is left to the disruption controller; here one of what it allows is spent.
Models pkg/registry/core/pod/storage/eviction.go (v1.36).
"""

from __future__ import annotations

from ..objects import Obj, is_condition_true, labels_of, name_of, namespace_of
from ..resources.table import RESOURCES
from .deletion import delete_object
from .query import refuse_dry_run
from .registry import Registry
from .request import DeleteOptions, RequestContext
from .selectors import compile_label_selector
from .status import Cause, StatusError

_BUDGETS = RESOURCES["poddisruptionbudgets.policy"]
_PODS = RESOURCES["pods"]
_RETRY_SECONDS = 10


def evict(registry: Registry, ctx: RequestContext, current: Obj, eviction: Obj) -> None:
    """Deletes the Pod; StatusError 429 if its budget does not allow it now."""
    refuse_dry_run((eviction.get("deleteOptions") or {}).get("dryRun") or [], "DeleteOptions")
    if not _needs_no_budget(current):
        _spend(registry, ctx, current)
    if not ctx.dry_run:
        current = _announce(registry, current)
    delete_object(registry, ctx, _PODS, current, DeleteOptions.from_body(eviction.get("deleteOptions") or {}))


def _announce(registry: Registry, pod: Obj) -> Obj:
    """Says in the Pod why it ends; a Job's failure policy may ask for that."""
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "observedGeneration": pod["metadata"].get("generation", 1),
        "lastProbeTime": None,
        "lastTransitionTime": registry.now(),
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    status = dict(pod.get("status") or {})
    others = [known for known in status.get("conditions") or [] if known["type"] != condition["type"]]
    status["conditions"] = [*others, condition]
    return registry.update_metadata(_PODS, pod, {}, status=status)


def _needs_no_budget(pod: Obj) -> bool:
    """Nobody misses a Pod that has ended, has not begun, or is going anyway."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


def _spend(registry: Registry, ctx: RequestContext, pod: Obj) -> None:
    budgets = [
        budget for budget in registry.store.list(_BUDGETS.name, namespace_of(pod)) if _selects(budget, labels_of(pod))
    ]
    if len(budgets) > 1:
        raise StatusError.internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    for budget in budgets:
        status = budget.get("status") or {}
        if not is_condition_true(pod, "Ready") and _lets_the_ill_go(budget, status):
            return
        _check(budget, status)
        if not ctx.dry_run:
            evicted = {**(status.get("disruptedPods") or {}), name_of(pod): registry.now()}
            spent = {**status, "disruptionsAllowed": status["disruptionsAllowed"] - 1, "disruptedPods": evicted}
            registry.update_metadata(_BUDGETS, budget, {}, status=spent)


def _selects(budget: Obj, labels: dict[str, str]) -> bool:
    selector = budget["spec"].get("selector")
    return selector is not None and compile_label_selector(selector).matches(labels)


def _lets_the_ill_go(budget: Obj, status: Obj) -> bool:
    """A Pod that serves nobody takes nothing from the budget, unless the budget is short already."""
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    desired = status.get("desiredHealthy") or 0
    return 0 < desired <= (status.get("currentHealthy") or 0)


def _check(budget: Obj, status: Obj) -> None:
    name = name_of(budget)
    refusal = "Cannot evict pod as it would violate the pod's disruption budget."
    if (status.get("observedGeneration") or 0) < (budget["metadata"].get("generation") or 0):
        why = f"The disruption budget {name} is still being processed by the server."
        raise StatusError.too_many_requests(refusal, _RETRY_SECONDS, [Cause("DisruptionBudget", "", why)])
    if not status.get("disruptionsAllowed"):
        desired, healthy = status.get("desiredHealthy") or 0, status.get("currentHealthy") or 0
        why = f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
        raise StatusError.too_many_requests(refusal, 0, [Cause("DisruptionBudget", "", why)])
