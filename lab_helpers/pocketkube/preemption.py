"""Preemption: which Pods have to go so that a more important one finds a place. Pure functions.

    candidates   nodes on which the Pod would fit if all less important Pods were gone
    reprieve     of these Pods, the most important may stay as long as there is room
    choice       the node whose victims would be missed least

Ending the victims is left to the scheduler. Models pkg/scheduler/framework/preemption and
plugins/defaultpreemption (v1.36).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .clock import parse_rfc3339
from .node_fit import Reason
from .objects import Obj, condition_of, is_deleting, name_of, uid_of
from .pod_topology import Snapshot

Filter = Callable[[Obj, Obj, Snapshot], list[Reason]]


@dataclass(frozen=True)
class Candidate:
    """A node, the Pods that would have to leave it, and how many of them their budgets would not let go."""

    node: Obj
    victims: list[Obj]
    violations: int


def priority_of(pod: Obj) -> int:
    """`spec.priority`."""
    return int(pod["spec"].get("priority") or 0)


def nominated_node(pod: Obj) -> str:
    """The node on which room is being made for the Pod."""
    return str((pod.get("status") or {}).get("nominatedNodeName") or "")


def refusal(pod: Obj, snapshot: Snapshot) -> str:
    """Why the Pod may not preempt others at all, now; empty if it may."""
    if pod["spec"].get("preemptionPolicy") == "Never":
        return "not eligible due to preemptionPolicy=Never."
    for other in snapshot.pods.get(nominated_node(pod), []):
        if priority_of(other) < priority_of(pod) and _is_being_preempted(other):
            return "not eligible due to a terminating pod on the nominated node."
    return ""


def _is_being_preempted(pod: Obj) -> bool:
    return is_deleting(pod) and (condition_of(pod, "DisruptionTarget") or {}).get("reason") == "PreemptionByScheduler"


def choose(
    pod: Obj, reasons: dict[str, list[Reason]], snapshot: Snapshot, why_not: Filter, spared: Callable[[Obj], bool]
) -> Candidate | None:
    """The node where preemption does least harm, if it helps anywhere. `spared`: its budget would not let it go."""
    candidates = []
    for node in snapshot.nodes:
        if any(reason.helpless for reason in reasons[name_of(node)]):
            continue
        candidate = _candidate(pod, node, snapshot, why_not, spared)
        if candidate is not None:
            candidates.append(candidate)
    return min(candidates, key=_harm, default=None)


def _candidate(
    pod: Obj, node: Obj, snapshot: Snapshot, why_not: Filter, spared: Callable[[Obj], bool]
) -> Candidate | None:
    there = snapshot.on(node)
    lesser = [other for other in there if priority_of(other) < priority_of(pod)]
    staying = [other for other in there if priority_of(other) >= priority_of(pod)]
    if not lesser or why_not(pod, node, snapshot.with_pods(node, staying)):
        return None
    victims: list[Obj] = []
    for other in sorted(lesser, key=lambda each: (not spared(each), *_importance(each))):
        if why_not(pod, node, snapshot.with_pods(node, [*staying, other])):
            victims.append(other)
        else:
            staying.append(other)
    if not victims:
        return None
    return Candidate(node, sorted(victims, key=_importance), sum(map(spared, victims)))


def _importance(pod: Obj) -> tuple[int, float, str]:
    """The most important first: by priority, then by age."""
    return -priority_of(pod), _started(pod), uid_of(pod)


def _started(pod: Obj) -> float:
    return parse_rfc3339((pod.get("status") or {}).get("startTime") or pod["metadata"]["creationTimestamp"])


def _harm(candidate: Candidate) -> tuple[float, ...]:
    priorities = [priority_of(victim) for victim in candidate.victims]
    highest = max(priorities)
    oldest = min(_started(victim) for victim in candidate.victims if priority_of(victim) == highest)
    # Priorities count from zero here, so that many negative ones are not better than few.
    return candidate.violations, highest, sum(p + 2**31 for p in priorities), len(priorities), -oldest
