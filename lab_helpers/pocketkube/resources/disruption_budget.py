"""PodDisruptionBudgets: how many Pods of an application may be evicted at a time.

Counting is left to the controller, obeying to the eviction subresource. Models pkg/apis/policy (v1.36).
"""

from __future__ import annotations

from ..api.status import Cause, invalid_value, not_supported
from ..objects import Obj
from .label_selector import shown_selector, validate_label_selector
from .naming import path_segment_problems
from .strategy import Strategy
from .workload import validate_percentage, validate_share

_UNHEALTHY = ("AlwaysAllow", "IfHealthyBudget")


class PodDisruptionBudgetStrategy(Strategy):
    """A minimum that stays, or a maximum that goes."""

    tracks_generation = True
    unconditional_update = False

    def name_problems(self, name: str) -> list[str]:
        """Anything that fits into a path."""
        return path_segment_problems(name)

    def default(self, obj: Obj) -> None:
        """A budget without a selector selects nothing."""
        obj.setdefault("spec", {})
        status = obj.setdefault("status", {})
        for count in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"):
            status.setdefault(count, 0)

    def prepare_for_create(self, obj: Obj) -> None:
        """Nothing is allowed until it was counted."""
        obj["status"] = {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidatePodDisruptionBudgetSpec."""
        spec = obj["spec"]
        causes: list[Cause] = []
        bounds = [field for field in ("minAvailable", "maxUnavailable") if spec.get(field) is not None]
        if len(bounds) == 2:
            why = "minAvailable and maxUnavailable cannot be both set"
            causes.append(invalid_value("spec", _shown(spec), why))
        for field in bounds:
            causes += validate_share(spec[field], f"spec.{field}") + validate_percentage(spec[field], f"spec.{field}")
        causes += validate_label_selector(spec.get("selector") or {}, "spec.selector")
        policy = spec.get("unhealthyPodEvictionPolicy")
        if policy is not None and policy not in _UNHEALTHY:
            causes.append(not_supported("spec.unhealthyPodEvictionPolicy", policy, _UNHEALTHY))
        return causes


def _shown(spec: Obj) -> Obj:
    """A budget as messages show it: the server's own type."""
    selector = spec.get("selector")
    return {
        "MinAvailable": spec.get("minAvailable"),
        "Selector": None if selector is None else shown_selector(selector),
        "MaxUnavailable": spec.get("maxUnavailable"),
        "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
    }
