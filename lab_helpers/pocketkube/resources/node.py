"""Nodes and Leases: the machines, and the signs of life they give.

Models core/validation ValidateNode and coordination/validation ValidateLease (v1.36).
"""

from __future__ import annotations

from dataclasses import replace

from ..api.status import Cause, duplicate, invalid_value, not_supported, required
from ..objects import Obj
from .naming import cidr_problems, label_key_problems, label_value_problems
from .strategy import Strategy

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_MUST_BE_POSITIVE = "must be greater than 0"


class NodeStrategy(Strategy):
    """A machine that Pods run on."""

    def default(self, obj: Obj) -> None:
        """The address range is listed too."""
        spec = obj.setdefault("spec", {})
        if spec.get("podCIDR") and not spec.get("podCIDRs"):
            spec["podCIDRs"] = [spec["podCIDR"]]

    def prepare_for_create(self, obj: Obj) -> None:
        """A kubelet registers its node together with its status."""

    def validate(self, obj: Obj) -> list[Cause]:
        """Taints and address ranges."""
        causes = _validate_taints(obj)
        for index, cidr in enumerate(obj["spec"].get("podCIDRs") or []):
            causes += [invalid_value(f"spec.podCIDRs[{index}]", cidr, problem) for problem in cidr_problems(cidr)]
        return causes

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Upstream looks at taints once more for an update."""
        return self.validate(new) + _validate_taints(new)

    def field_names(self) -> tuple[str, ...]:
        """Beside the name."""
        return ("spec.unschedulable",)

    def fields(self, obj: Obj) -> dict[str, str]:
        """Their values."""
        return {"spec.unschedulable": "true" if (obj.get("spec") or {}).get("unschedulable") else "false"}


def _validate_taints(obj: Obj) -> list[Cause]:
    """Each as it should be, and none of them twice."""
    causes: list[Cause] = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(obj["spec"].get("taints") or []):
        # Upstream's path: taints once were an annotation.
        path, key = f"metadata.taints[{index}]", taint.get("key") or ""
        causes += [invalid_value(f"{path}.key", key, problem) for problem in label_key_problems(key)]
        effect, value = taint.get("effect") or "", taint.get("value") or ""
        if problems := label_value_problems(value):
            causes.append(invalid_value(f"{path}.value", value, ";".join(problems)))
        if not effect:
            causes.append(required(f"{path}.effect"))
        elif effect not in _EFFECTS:
            causes.append(not_supported(f"{path}.effect", effect, _EFFECTS))
        if (effect, key) in seen:
            shown = {"Key": key, "Value": value, "Effect": effect, "TimeAdded": taint.get("timeAdded")}
            twice = duplicate(path, shown)
            causes.append(replace(twice, message=f"{twice.message}: taints must be unique by key and effect pair"))
        seen.add((effect, key))
    return causes


class LeaseStrategy(Strategy):
    """A claim that is renewed as long as its holder lives."""

    unconditional_update = False
    creates_on_update = True

    def validate(self, obj: Obj) -> list[Cause]:
        """Durations are positive."""
        spec = obj.get("spec") or {}
        causes: list[Cause] = []
        if spec.get("leaseDurationSeconds") is not None and spec["leaseDurationSeconds"] <= 0:
            seconds = spec["leaseDurationSeconds"]
            causes.append(invalid_value("spec.leaseDurationSeconds", seconds, _MUST_BE_POSITIVE))
        if spec.get("leaseTransitions") is not None and spec["leaseTransitions"] < 0:
            transitions = spec["leaseTransitions"]
            causes.append(invalid_value("spec.leaseTransitions", transitions, "must be greater than or equal to 0"))
        return causes
