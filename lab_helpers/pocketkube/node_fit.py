"""Whether a Pod fits a node: labels, affinity, host ports, resources. Pure functions, for the scheduler.

Models pkg/scheduler/framework/plugins/{nodeaffinity,nodeports,noderesources} (v1.36).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from . import quantity
from .api.selectors import Requirement
from .objects import Obj, is_sidecar, labels_of, matches_labels, name_of

_DEFAULT_REQUESTS = {"cpu": Decimal("0.1"), "memory": Decimal(200 * 1024 * 1024)}
"""What a Pod that asks for nothing counts for when nodes are compared."""


@dataclass(frozen=True)
class Reason:
    """Why a node can't take a Pod. `helpless`: ending other Pods there would not change it."""

    text: str
    helpless: bool = False


@dataclass(frozen=True)
class Shortage:
    """Too little of a resource, in whole units (CPU in thousandths)."""

    resource: str
    requested: int
    used: int
    capacity: int
    helpless: bool
    """More than the node has when it is empty: nobody's end would help."""


def selection_reason(pod: Obj, node: Obj) -> list[Reason]:
    """nodeSelector and required node affinity."""
    if _is_selected(pod, node):
        return []
    return [Reason("node(s) didn't match Pod's node affinity/selector", helpless=True)]


def selection_preference(pod: Obj, node: Obj) -> int:
    """The sum of the weights of the preferred node affinity terms that the node meets."""
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []
    return sum(int(term["weight"]) for term in preferred if _matches_term(term["preference"], node))


def _is_selected(pod: Obj, node: Obj) -> bool:
    if not matches_labels(pod["spec"].get("nodeSelector") or {}, labels_of(node)):
        return False
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or any(_matches_term(term, node) for term in required.get("nodeSelectorTerms") or [])


def _matches_term(term: Obj, node: Obj) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return _matches_all(expressions, labels_of(node)) and _matches_all(fields, {"metadata.name": name_of(node)})


def _matches_all(expressions: list[Obj], values: dict[str, str]) -> bool:
    return all(
        Requirement(each["key"], each["operator"], tuple(each.get("values") or ())).matches(values)
        for each in expressions
    )


def free_ports_reason(pod: Obj, there: list[Obj]) -> list[Reason]:
    """Ports of the node itself that the Pod asks for."""
    wanted = set(_host_ports(pod))
    taken = {port for other in there for port in _host_ports(other)}
    clash = any(
        protocol == other_protocol and port == other_port and (ip == other_ip or "0.0.0.0" in (ip, other_ip))
        for ip, protocol, port in wanted
        for other_ip, other_protocol, other_port in taken
    )
    return [Reason("node(s) didn't have free ports for the requested pod ports")] if clash else []


def _host_ports(pod: Obj) -> Iterable[tuple[str, str, int]]:
    for container in pod["spec"].get("containers") or []:
        for port in container.get("ports") or []:
            if port.get("hostPort"):
                yield port.get("hostIP") or "0.0.0.0", port.get("protocol", "TCP"), int(port["hostPort"])


def free_resources_reasons(pod: Obj, node: Obj, there: list[Obj]) -> list[Reason]:
    """CPU, memory and the number of Pods, against what the node can allocate."""
    return [
        Reason("Too many pods" if lack.resource == "pods" else f"Insufficient {lack.resource}", helpless=lack.helpless)
        for lack in shortages(pod, node, there)
    ]


def shortages(pod: Obj, node: Obj, there: list[Obj]) -> list[Shortage]:
    """What the node has too little of for the Pod: first the number of Pods, then CPU, memory and the others."""
    room = node_resources(node)
    found = []
    if "pods" in room and len(there) + 1 > room["pods"]:
        found.append(Shortage("pods", 1, len(there), int(room["pods"]), helpless=False))
    taken: dict[str, Decimal] = defaultdict(Decimal)
    for other in there:
        for name, amount in requested(other).items():
            taken[name] += amount
    for name, amount in sorted(requested(pod).items()):
        capacity = room.get(name, Decimal(0))
        if amount > 0 and taken[name] + amount > capacity:
            unit = 1000 if name == "cpu" else 1
            asked, used, whole = (math.ceil(each * unit) for each in (amount, taken[name], capacity))
            found.append(Shortage(name, asked, used, whole, helpless=amount > capacity))
    return found


def node_resources(node: Obj) -> dict[str, Decimal]:
    """`status.allocatable` in numbers."""
    status = node.get("status") or {}
    room = status.get("allocatable") or status.get("capacity") or {}
    return {name: quantity.value(amount) for name, amount in room.items()}


def requested(pod: Obj) -> dict[str, Decimal]:
    """The Pod's requests: all containers together, or the largest init container if that is more."""
    spec = pod["spec"]
    inits = spec.get("initContainers") or []
    together: dict[str, Decimal] = defaultdict(Decimal)
    for container in [*(spec.get("containers") or []), *(c for c in inits if is_sidecar(c))]:
        for name, amount in _requests(container).items():
            together[name] += amount
    for container in inits:
        if not is_sidecar(container):
            for name, amount in _requests(container).items():
                together[name] = max(together[name], amount)
    for name, amount in (spec.get("overhead") or {}).items():
        together[name] += quantity.value(amount)
    return dict(together)


def share_taken(node: Obj, pods: list[Obj]) -> Decimal:
    """How much of the node's CPU and memory the Pods take; one that asks for nothing counts for a little."""
    room = node_resources(node)
    share = Decimal(0)
    for name, least in _DEFAULT_REQUESTS.items():
        if room.get(name):
            share += sum((requested(pod).get(name) or least for pod in pods), Decimal(0)) / room[name]
    return share


def _requests(container: Obj) -> dict[str, Decimal]:
    asked = (container.get("resources") or {}).get("requests") or {}
    return {name: quantity.value(amount) for name, amount in asked.items()}
