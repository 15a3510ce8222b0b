"""Scheduling gates: a Pod is not looked at by the scheduler until the last of them is gone.

Until then it may still be narrowed down to fewer nodes. Models core/validation ValidatePodUpdate (v1.36).
"""

from __future__ import annotations

from ..api.status import Cause, forbidden_field, invalid_value
from ..objects import Obj

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def gated_condition(pod: Obj) -> Obj:
    """What a new Pod behind a gate says."""
    return {
        "type": "PodScheduled",
        "status": "False",
        "lastProbeTime": None,
        "lastTransitionTime": pod["metadata"]["creationTimestamp"],
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
    }


def validate_gates_update(spec: Obj, before: Obj) -> list[Cause]:
    """Gates are taken away, never added. Models validateOnlyDeletedSchedulingGates."""
    known = {gate.get("name") for gate in before.get("schedulingGates") or []}
    return [
        forbidden_field(
            f"spec.schedulingGates[{index}].name",
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name', '')}'",
        )
        for index, gate in enumerate(spec.get("schedulingGates") or [])
        if gate.get("name") not in known
    ]


def narrow_gated(same: Obj, before: Obj) -> list[Cause]:
    """Puts back what a Pod behind a gate may change in `same`, and says what is wrong with the change."""
    if not before.get("schedulingGates"):
        return []
    causes: list[Cause] = []
    wanted, had = same.get("nodeSelector") or {}, before.get("nodeSelector") or {}
    if not had.items() <= wanted.items():
        why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        causes.append(invalid_value("spec.nodeSelector", wanted, why))
    _put_back(same, before, "nodeSelector")
    affinity, old = same.get("affinity") or {}, before.get("affinity") or {}
    if affinity.get("nodeAffinity") != old.get("nodeAffinity"):
        causes += _validate_node_affinity(affinity.get("nodeAffinity") or {}, old.get("nodeAffinity") or {})
        others = {kind: value for kind, value in affinity.items() if kind != "nodeAffinity"}
        if "nodeAffinity" in old:
            others["nodeAffinity"] = old["nodeAffinity"]
        same["affinity"] = others
        if not others and "affinity" not in before:
            del same["affinity"]
    return causes


def _validate_node_affinity(new: Obj, old: Obj) -> list[Cause]:
    path = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
    had = (old.get(_REQUIRED) or {}).get("nodeSelectorTerms") or []
    terms = (new.get(_REQUIRED) or {}).get("nodeSelectorTerms") or []
    if had and len(had) != len(terms):
        why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        return [invalid_value(path, terms or None, why)]
    return [
        invalid_value(f"{path}[{index}]", term, "only additions are allowed (no mutations or deletions)")
        for index, (term, was) in enumerate(zip(terms, had, strict=False))
        if not _only_adds(term, was)
    ]


def _only_adds(term: Obj, was: Obj) -> bool:
    lists = [(term.get(field) or [], was.get(field) or []) for field in ("matchExpressions", "matchFields")]
    if not any(old for _, old in lists):
        return not any(new for new, _ in lists)
    return all(new[: len(old)] == old for new, old in lists)


def _put_back(same: Obj, before: Obj, field: str) -> None:
    same.pop(field, None)
    if field in before:
        same[field] = before[field]
