"""Taints and tolerations. Models component-helpers/scheduling/corev1 (v1.36)."""

from __future__ import annotations

from ..objects import Obj

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


def taints_of(node: Obj) -> list[Obj]:
    """`spec.taints`."""
    return (node.get("spec") or {}).get("taints") or []


def tolerations_of(pod: Obj) -> list[Obj]:
    """`spec.tolerations`."""
    return pod["spec"].get("tolerations") or []


def tolerates(toleration: Obj, taint: Obj) -> bool:
    """True if the toleration covers the taint."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def untolerated(pod: Obj, taints: list[Obj], effects: tuple[str, ...]) -> list[Obj]:
    """The taints of those effects that the Pod doesn't tolerate."""
    return [
        taint
        for taint in taints
        if taint["effect"] in effects and not any(tolerates(toleration, taint) for toleration in tolerations_of(pod))
    ]
