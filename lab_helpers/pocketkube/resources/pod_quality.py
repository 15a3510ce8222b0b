"""A Pod's quality of service: who is evicted first when a node runs short.

Models v1/helper/qos ComputePodQOS (v1.36).
"""

from __future__ import annotations

from decimal import Decimal

from .. import quantity
from ..objects import Obj

_COUNTED = ("cpu", "memory")


def qos_class(spec: Obj) -> str:
    """Guaranteed where everything is limited to what it asks for, BestEffort where nothing asks for anything."""
    containers = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    if (spec.get("resources") or {}).keys() & {"requests", "limits"}:
        containers = [spec]  # what is said of the whole Pod decides
    guaranteed, anything = True, False
    for container in containers:
        requests, limits = _amounts(container, "requests"), _amounts(container, "limits")
        anything = anything or bool(requests or limits)
        guaranteed = guaranteed and all(
            name in limits and requests.get(name, limits[name]) == limits[name] for name in _COUNTED
        )
    if not anything:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _amounts(container: Obj, field: str) -> dict[str, Decimal]:
    """CPU and memory; zero is as good as nothing."""
    said = (container.get("resources") or {}).get(field) or {}
    amounts = {name: quantity.value(said[name]) for name in _COUNTED if name in said}
    return {name: amount for name, amount in amounts.items() if amount > 0}
