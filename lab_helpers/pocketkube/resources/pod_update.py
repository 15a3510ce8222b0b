"""What may change in a Pod that exists. Models core/validation ValidatePodUpdate (v1.36)."""

from __future__ import annotations

from ..api.status import Cause, forbidden_field, invalid_value
from ..go_types import difference
from ..objects import Obj, copy
from .pod_validation import validate_pod
from .scheduling_gates import narrow_gated, validate_gates_update

_IMMUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_pod_update(new: Obj, old: Obj) -> list[Cause]:
    """A Pod as the successor of another."""
    spec, before = new["spec"], old["spec"]
    causes = validate_pod(new)
    for kind in ("containers", "initContainers"):
        if len(spec.get(kind) or []) != len(before.get(kind) or []):
            causes.append(forbidden_field(f"spec.{kind}", "pod updates may not add or remove containers"))
    if any(cause.message.endswith("add or remove containers") for cause in causes):
        return causes
    causes += _validate_deadline(spec, before) + _validate_tolerations(spec, before)
    causes += validate_gates_update(spec, before)
    wanted = _comparable(spec, before)
    causes += narrow_gated(wanted, before)
    if wanted != before:
        changed = difference("PodSpec", before, wanted)
        causes.append(forbidden_field("spec", f"{_IMMUTABLE}\n{changed}"))
    return causes


def _validate_deadline(spec: Obj, before: Obj) -> list[Cause]:
    had, has = before.get("activeDeadlineSeconds"), spec.get("activeDeadlineSeconds")
    path = "spec.activeDeadlineSeconds"
    if had is None or had == has:
        return []
    if has is None:
        return [invalid_value(path, None, "must not update from a positive integer to nil value")]
    if has > had:
        return [invalid_value(path, has, "must be less than or equal to previous value")]
    return []


def _validate_tolerations(spec: Obj, before: Obj) -> list[Cause]:
    kept = [_fixed_part(toleration) for toleration in spec.get("tolerations") or []]
    if all(_fixed_part(toleration) in kept for toleration in before.get("tolerations") or []):
        return []
    return [forbidden_field("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")]


def _fixed_part(toleration: Obj) -> Obj:
    return {field: value for field, value in toleration.items() if field != "tolerationSeconds"}


def _comparable(spec: Obj, before: Obj) -> Obj:
    """The new spec with everything that may change put back."""
    same = copy(spec)
    for kind in ("containers", "initContainers"):
        for container, old in zip(same.get(kind) or [], before.get(kind) or [], strict=False):
            container["image"] = old.get("image")
    for field in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        same.pop(field, None)
        if field in before:
            same[field] = before[field]
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and same.get("terminationGracePeriodSeconds") == 1:
        same["terminationGracePeriodSeconds"] = before["terminationGracePeriodSeconds"]
    return same
