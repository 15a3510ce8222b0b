"""DaemonSets: defaults and what is allowed. Choosing the nodes is left to the controller.

Models pkg/apis/apps/v1/defaults.go, pkg/registry/apps/daemonset/strategy.go and extensions' validation (v1.36).
"""

from __future__ import annotations

from ..api.status import Cause, invalid_value, not_supported, required
from ..objects import Obj
from .label_selector import validate_kept_selector
from .pod_warnings import template_warnings
from .strategy import Strategy
from .workload import default_template, validate_counts, validate_not_negative, validate_selected, validate_share

_STATUS_COUNTS = (
    "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "observedGeneration",
    "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount",
)  # fmt: skip
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


class DaemonSetStrategy(Strategy):
    """One Pod a node."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_DaemonSet."""
        spec = obj.setdefault("spec", {})
        default_template(spec)
        strategy = spec.setdefault("updateStrategy", {})
        strategy.setdefault("type", "RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxUnavailable", 1)
            rolling.setdefault("maxSurge", 0)
        spec.setdefault("revisionHistoryLimit", 10)
        status = obj.setdefault("status", {})
        for count in ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"):
            status.setdefault(count, 0)

    def prepare_for_create(self, obj: Obj) -> None:
        """The first template, on no node yet."""
        obj["status"] = {
            "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
        }  # fmt: skip
        _count_template(obj, 1)

    def prepare_for_update(self, new: Obj, old: Obj) -> None:
        """Counts templates, as long as clients look at that number."""
        super().prepare_for_update(new, old)
        known = (old["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "0")
        before = int(known) if known.isdigit() else 0
        _count_template(new, before + (new["spec"]["template"] != old["spec"]["template"]))

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateDaemonSetSpec."""
        spec = obj["spec"]
        causes = validate_selected(
            spec,
            owner="DaemonSet",
            empty="empty selector is invalid for daemonset",
            malformed_too=None,
        )
        causes += validate_not_negative(spec, "minReadySeconds")
        causes += _validate_strategy(spec["updateStrategy"])
        return causes + validate_not_negative(spec, "revisionHistoryLimit")

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """See `pod_warnings`."""
        return template_warnings(new, old, names_pods=False)

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The selector is for life."""
        return validate_kept_selector(new["spec"].get("selector"), old["spec"].get("selector")) + self.validate(new)

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Models ValidateDaemonSetStatus."""
        return validate_counts(new.get("status") or {}, _STATUS_COUNTS)


def _count_template(obj: Obj, number: int) -> None:
    meta = obj["metadata"]
    meta["annotations"] = {**(meta.get("annotations") or {}), TEMPLATE_GENERATION: str(number)}


def _validate_strategy(strategy: Obj) -> list[Cause]:
    kind = strategy["type"]
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        rolling = strategy.get("rollingUpdate")
        internal = {"MaxUnavailable": 0, "MaxSurge": 0}
        internal |= {field[0].upper() + field[1:]: value for field, value in (rolling or {}).items()}
        shown = {"Type": kind, "RollingUpdate": None if rolling is None else internal}
        return [not_supported("spec.updateStrategy", shown, ["RollingUpdate", "OnDelete"])]
    rolling, path = strategy["rollingUpdate"], "spec.updateStrategy.rollingUpdate"
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    causes = validate_share(unavailable, f"{path}.maxUnavailable") + validate_share(surge, f"{path}.maxSurge")
    if causes:
        return causes
    has_unavailable, has_surge = unavailable not in (0, "0%"), surge not in (0, "0%")
    if has_unavailable and has_surge:
        causes.append(invalid_value(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero"))
    if not has_unavailable and not has_surge:
        causes.append(required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return causes
