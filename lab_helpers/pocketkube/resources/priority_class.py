"""PriorityClasses: names for numbers that say which Pod matters more.

Nothing is ever preempted here; the numbers are kept. Models pkg/apis/scheduling (v1.36).
"""

from __future__ import annotations

from ..api.request import RequestContext
from ..api.status import Cause, StatusError, forbidden_field, not_supported
from ..objects import Obj
from ..store import Store
from .metadata import validate_immutable
from .strategy import Strategy

SYSTEM_CLASSES = {"system-cluster-critical": 2000000000, "system-node-critical": 2000001000}
_HIGHEST_OF_USERS = 1000000000
_DESCRIPTIONS = {
    "system-cluster-critical": (
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."
    ),
    "system-node-critical": "Used for system critical pods that must not be moved from their current node.",
}


class PriorityClassStrategy(Strategy):
    """At most one class is everybody's."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_PriorityClass."""
        obj.setdefault("value", 0)
        obj.setdefault("preemptionPolicy", "PreemptLowerPriority")

    def admit(self, ctx: RequestContext, obj: Obj) -> None:
        """Models plugin/pkg/admission/priority."""
        if not obj.get("globalDefault"):
            return
        for other in self._store.list("priorityclasses.scheduling.k8s.io"):
            if other.get("globalDefault"):
                known = other["metadata"]["name"]
                why = f"PriorityClass {known} is already marked as default. Only one default can exist"
                name = obj["metadata"].get("name") or ""
                raise StatusError.forbidden("priorityclasses.scheduling.k8s.io", name, why)

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidatePriorityClass."""
        causes: list[Cause] = []
        name, value = obj["metadata"].get("name") or "", obj["value"]
        if name.startswith("system-"):
            if SYSTEM_CLASSES.get(name) != value:
                why = (
                    "priority class names with 'system-' prefix are reserved for system use only. "
                    "error: " + _why_not_system(name, value)
                )
                causes.append(forbidden_field("metadata.name", why))
        elif value > _HIGHEST_OF_USERS:
            why = f"maximum allowed value of a user defined priority is {_HIGHEST_OF_USERS}"
            causes.append(forbidden_field("value", why))
        policy = obj["preemptionPolicy"]
        if policy not in ("Never", "PreemptLowerPriority"):
            causes.append(not_supported("preemptionPolicy", policy, ["PreemptLowerPriority", "Never"]))
        return causes

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The number is for life."""
        causes: list[Cause] = []
        if new["value"] != old["value"]:
            causes.append(forbidden_field("value", "may not be changed in an update."))
        return causes + validate_immutable(new["preemptionPolicy"], old["preemptionPolicy"], "preemptionPolicy")


def _why_not_system(name: str, value: int) -> str:
    if name in SYSTEM_CLASSES:
        return f"value of {name} PriorityClass must be {SYSTEM_CLASSES[name]}"
    return f"{name} is not a known system priority class"


def system_classes() -> list[Obj]:
    """The two that every cluster has."""
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": _DESCRIPTIONS[name],
        }
        for name, value in SYSTEM_CLASSES.items()
    ]
