"""The scheduler's filters: why a node can't take a Pod, and how that is told.

As upstream, the filters are asked in order, and for each node the first that says no is heard.
Models pkg/scheduler/framework/{runtime,types.go} and plugins/{nodeunschedulable,tainttoleration} (v1.36).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .node_fit import Reason, free_ports_reason, free_resources_reasons, selection_reason
from .objects import Obj, condition_of
from .pod_topology import Snapshot, company_reasons
from .resources.taints import NOT_READY, UNREACHABLE, UNSCHEDULABLE, taints_of, untolerated

_UNSCHEDULABLE_TAINT = {"key": UNSCHEDULABLE, "effect": "NoSchedule"}
_NO_NODES = "no nodes available to schedule pods"
_HELPLESS = "Preemption is not helpful for scheduling"
_NO_VICTIMS = "No preemption victims found for incoming pod"


def why_not(pod: Obj, node: Obj, snapshot: Snapshot) -> list[Reason]:
    """Why the node can't take the Pod; empty if it can."""
    if node["spec"].get("unschedulable") and untolerated(pod, [_UNSCHEDULABLE_TAINT], ("NoSchedule",)):
        return [Reason("node(s) were unschedulable", helpless=True)]
    if untolerated(pod, taints_of(node) + _implied_taints(node), ("NoSchedule", "NoExecute")):
        return [Reason("node(s) had untolerated taint(s)", helpless=True)]
    there = snapshot.on(node)
    return (
        selection_reason(pod, node)
        or free_ports_reason(pod, there)
        or free_resources_reasons(pod, node, there)
        or company_reasons(pod, node, snapshot)
    )


def _implied_taints(node: Obj) -> list[Obj]:
    """A node that isn't ready is tainted, if not yet then in a moment."""
    ready = (condition_of(node, "Ready") or {}).get("status", "Unknown")
    if ready == "True":
        return []
    return [{"key": NOT_READY if ready == "False" else UNREACHABLE, "effect": "NoSchedule"}]


def explain(reasons: list[list[Reason]]) -> str:
    """`0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable.`, sorted as upstream sorts."""
    if not reasons:
        return _NO_NODES
    found = _histogram(reason.text for of_node in reasons for reason in of_node)
    return f"0/{len(reasons)} nodes are available: {found}."


def explain_preemption(reasons: list[list[Reason]], refusal: str) -> str:
    """What `explain` goes on with when nobody was preempted. `refusal`: why that was not even tried."""
    if not reasons:
        return ""
    if not refusal:
        found = _histogram(_HELPLESS if any(r.helpless for r in of_node) else _NO_VICTIMS for of_node in reasons)
        refusal = f"0/{len(reasons)} nodes are available: {found}."
    return f" no new claims to deallocate, preemption: {refusal}"


def _histogram(texts: Iterable[str]) -> str:
    return ", ".join(sorted(f"{count} {text}" for text, count in Counter(texts).items()))
