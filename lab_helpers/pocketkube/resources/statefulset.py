"""StatefulSets: defaults and what is allowed.

Giving their Pods names and an order is left to the controller; there are no persistent volumes here, so a claim
template is refused rather than promised. Models pkg/apis/apps/{v1/defaults.go,validation} (v1.36).
"""

from __future__ import annotations

from ..api.status import Cause, forbidden_field, invalid_value, not_supported
from ..objects import Obj
from .causes import invalid_each
from .naming import label_problems
from .pod_warnings import template_warnings
from .strategy import Strategy
from .workload import default_template, validate_counts, validate_not_negative, validate_selected

_CHANGEABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip
_NO_VOLUMES = "this cluster has no persistent volumes; give the Pods an emptyDir volume, which lasts as long as the Pod"


class StatefulSetStrategy(Strategy):
    """Pods with names that stay."""

    tracks_generation = True

    def name_problems(self, name: str) -> list[str]:
        """Its name is part of its Pods' host names."""
        return label_problems(name)

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_StatefulSet."""
        spec = obj.setdefault("spec", {})
        default_template(spec)
        spec.setdefault("podManagementPolicy", "OrderedReady")
        strategy = spec.setdefault("updateStrategy", {})
        strategy.setdefault("type", "RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("partition", 0)
            rolling.pop("maxUnavailable", None)  # upstream has it behind a feature gate that is off
        retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
        retention.setdefault("whenDeleted", "Retain")
        retention.setdefault("whenScaled", "Retain")
        spec.setdefault("replicas", 1)
        spec.setdefault("revisionHistoryLimit", 10)
        status = obj.setdefault("status", {})
        status.setdefault("replicas", 0)
        status.setdefault("availableReplicas", 0)

    def prepare_for_create(self, obj: Obj) -> None:
        """Without Pods yet."""
        obj["status"] = {"replicas": 0, "availableReplicas": 0}

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateStatefulSetSpec."""
        spec = obj["spec"]
        causes = _validate_policy(spec) + _validate_strategy(spec["updateStrategy"])
        causes += validate_not_negative(spec, "replicas", "minReadySeconds", "revisionHistoryLimit")
        start = (spec.get("ordinals") or {}).get("start") or 0
        if start < 0:
            causes.append(invalid_value("spec.ordinals.start", start, "must be greater than or equal to 0"))
        for field, policy in spec["persistentVolumeClaimRetentionPolicy"].items():
            if policy not in ("Retain", "Delete"):
                where = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
                causes.append(not_supported(where, policy, ["Retain", "Delete"]))
        service = spec.get("serviceName") or ""
        causes += invalid_each("spec.serviceName", service, label_problems(service)) if service else []
        if spec.get("volumeClaimTemplates"):
            causes.append(forbidden_field("spec.volumeClaimTemplates", _NO_VOLUMES))
        return causes + validate_selected(
            spec,
            owner="StatefulSet",
            empty="empty selector is invalid for statefulset",
            malformed_too="",
        )

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Models ValidateStatefulSetStatusUpdate."""
        status = new.get("status") or {}
        parts = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
        counts = ("replicas", *parts, "observedGeneration", "collisionCount")
        causes = validate_counts(status, counts, parts, "status.readyReplicas")
        number, before = (obj.get("collisionCount") or 0 for obj in (status, old.get("status") or {}))
        if number < before:
            causes.append(invalid_value("status.collisionCount", number, "cannot be decremented"))
        return causes

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """See `pod_warnings`."""
        return template_warnings(new, old, names_pods=False)

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Who the Pods are is for life."""
        causes = self.validate(new)
        if _fixed(new["spec"]) != _fixed(old["spec"]):
            quoted = [f"'{field}'" for field in _CHANGEABLE]
            listed = f"{', '.join(quoted[:-1])} and {quoted[-1]}"
            why = f"updates to statefulset spec for fields other than {listed} are forbidden"
            causes.append(forbidden_field("spec", why))
        return causes


def _fixed(spec: Obj) -> Obj:
    return {field: value for field, value in spec.items() if field not in _CHANGEABLE}


def _validate_policy(spec: Obj) -> list[Cause]:
    policy = spec["podManagementPolicy"]
    if policy in ("OrderedReady", "Parallel"):
        return []
    return [invalid_value("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")]


def _validate_strategy(strategy: Obj) -> list[Cause]:
    kind, rolling = strategy["type"], strategy.get("rollingUpdate")
    if kind == "OnDelete":
        if rolling is None:
            return []
        why = "only allowed for updateStrategy 'RollingUpdate'"
        return [invalid_value("spec.updateStrategy.rollingUpdate", rolling, why)]
    if kind != "RollingUpdate":
        internal = {"Partition": 0, "MaxUnavailable": None}
        internal |= {field[0].upper() + field[1:]: value for field, value in (rolling or {}).items()}
        shown = {"Type": kind, "RollingUpdate": None if rolling is None else internal}
        return [invalid_value("spec.updateStrategy", shown, "must be 'RollingUpdate' or 'OnDelete'")]
    path = "spec.updateStrategy.rollingUpdate"
    rolling = rolling or {}
    causes: list[Cause] = []
    if (rolling.get("partition") or 0) < 0:
        why = "must be greater than or equal to 0"
        causes.append(invalid_value(f"{path}.partition", rolling["partition"], why))
    return causes
