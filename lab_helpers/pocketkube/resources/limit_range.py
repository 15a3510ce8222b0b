"""LimitRanges: what a container gets unless it asks, and how much or little it may ask for.

Limits of the types Container and Pod are enforced on Pods; those of volume claims are stored.
Models plugin/pkg/admission/limitranger and core/validation ValidateLimitRange (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from .. import quantity
from ..api.status import Cause, StatusError, duplicate, forbidden_field, invalid_value, required
from ..objects import Obj
from ..store import Store
from .strategy import Strategy

_KINDS = ("Container", "Pod")


class LimitRangeStrategy(Strategy):
    """Bounds of a namespace."""

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_LimitRangeItem."""
        for item in obj.setdefault("spec", {}).get("limits") or []:
            if item.get("type") != "Container":
                continue
            default = item.setdefault("default", {})
            default.update({name: amount for name, amount in (item.get("max") or {}).items() if name not in default})
            request = item.setdefault("defaultRequest", {})
            for source in (default, item.get("min") or {}):
                request.update({name: amount for name, amount in source.items() if name not in request})
            for field in ("default", "defaultRequest"):
                if not item[field]:
                    del item[field]

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateLimitRange."""
        causes: list[Cause] = []
        seen: set[str] = set()
        for index, item in enumerate(obj["spec"].get("limits") or []):
            path, kind = f"spec.limits[{index}]", item.get("type") or ""
            if not kind:
                causes.append(required(f"{path}.type"))
            if kind in seen:
                causes.append(duplicate(f"{path}.type", kind))
            seen.add(kind)
            causes += _validate_item(item, kind, path)
        return causes


def _validate_item(item: Obj, kind: str, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if kind == "Pod":
        for field in ("default", "defaultRequest"):
            if item.get(field):
                causes.append(forbidden_field(f"{path}.{field}", "may not be specified when `type` is 'Pod'"))
    bounds = {field: item.get(field) or {} for field in ("min", "defaultRequest", "default", "max")}
    for name in sorted({name for amounts in bounds.values() for name in amounts}):
        given = [(field, amounts[name]) for field, amounts in bounds.items() if name in amounts]
        for position, (low, small) in enumerate(given):
            for high, large in given[position + 1 :]:
                if quantity.value(small) > quantity.value(large):
                    causes.append(_out_of_order(path, name, (low, small), (high, large)))
    return causes


def _out_of_order(path: str, name: str, low: tuple[str, str], high: tuple[str, str]) -> Cause:
    words = {"min": "min", "max": "max", "default": "default", "defaultRequest": "default request"}
    why = f"{words[low[0]]} value {low[1]} is greater than {words[high[0]]} value {high[1]}"
    return invalid_value(f"{path}.{low[0]}[{name}]", low[1], why)


def apply_limit_ranges(store: Store, pod: Obj) -> None:
    """Fills in what the namespace's LimitRanges give; StatusError 403 if the Pod does not keep to them."""
    namespace = pod["metadata"]["namespace"]
    items = [
        (limits, item)
        for limits in store.list("limitranges", namespace)
        for item in limits["spec"].get("limits") or []
        if item.get("type") in _KINDS
    ]
    if not items:
        return
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    for limits, item in items:
        if item["type"] == "Container":
            _fill_in(pod, containers, limits, item)
    problems: list[str] = []
    for _, item in items:
        if item["type"] == "Container":
            for container in containers:
                problems += _violations(item, container.get("resources") or {}, "Container")
        else:
            problems += _violations(item, _together(spec.get("containers") or []), "Pod")
    if problems:
        why = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
        raise StatusError.forbidden("pods", pod["metadata"].get("name") or "", why)


def _fill_in(pod: Obj, containers: list[Obj], limits: Obj, item: Obj) -> None:
    notes: list[str] = []
    for container in containers:
        resources = container.setdefault("resources", {})
        added: dict[str, list[str]] = {}
        for field, source in (("requests", "defaultRequest"), ("limits", "default")):
            for name, amount in sorted((item.get(source) or {}).items()):
                if name not in (resources.get(field) or {}):
                    resources[field] = {**(resources.get(field) or {}), name: amount}
                    added.setdefault(field, []).append(name)
        for field in ("requests", "limits"):
            if added.get(field):
                what = field.removesuffix("s")
                notes.append(f"{', '.join(added[field])} {what} for container {container['name']}")
    if notes:
        meta = pod["metadata"]
        text = f"LimitRanger plugin set: {'; '.join(notes)}"
        meta["annotations"] = {**(meta.get("annotations") or {}), "kubernetes.io/limit-ranger": text}


def _together(containers: Iterable[Obj]) -> Obj:
    """The sum of what containers ask for; a limit counts only if all of them have one."""
    sums: dict[str, dict[str, Decimal]] = {"requests": {}, "limits": {}}
    listed = [container.get("resources") or {} for container in containers]
    for field, amounts in sums.items():
        for resources in listed:
            for name, amount in (resources.get(field) or {}).items():
                amounts[name] = amounts.get(name, Decimal(0)) + quantity.value(amount)
    return {
        field: {name: quantity.canonical(str(amount)) for name, amount in amounts.items()}
        for field, amounts in sums.items()
    }


def _violations(item: Obj, resources: Obj, kind: str) -> list[str]:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    problems: list[str] = []
    for name, least in sorted((item.get("min") or {}).items()):
        start = f"minimum {name} usage per {kind} is {least}"
        if name not in requests:
            problems.append(f"{start}.  No request is specified")
        elif quantity.value(requests[name]) < quantity.value(least):
            problems.append(f"{start}, but request is {requests[name]}")
        if name in limits and quantity.value(limits[name]) < quantity.value(least):
            problems.append(f"{start}, but limit is {limits[name]}")
    for name, most in sorted((item.get("max") or {}).items()):
        start = f"maximum {name} usage per {kind} is {most}"
        if name not in limits:
            problems.append(f"{start}.  No limit is specified")
        elif quantity.value(limits[name]) > quantity.value(most):
            problems.append(f"{start}, but limit is {limits[name]}")
        if name in requests and quantity.value(requests[name]) > quantity.value(most):
            problems.append(f"{start}, but request is {requests[name]}")
    return problems
