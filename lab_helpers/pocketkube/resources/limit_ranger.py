"""Pods held to the LimitRanges of their namespace: what a container gets unless it asks, and how much it may ask for.

Models plugin/pkg/admission/limitranger (v1.36).
"""

from __future__ import annotations

from .. import quantity
from ..api.status import StatusError
from ..objects import Obj, namespace_of
from ..store import Store
from .quota_usage import Amounts, pod_amounts

_NOTE = "kubernetes.io/limit-ranger"


def set_default_amounts(store: Store, pod: Obj) -> None:
    """Fills in what the namespace's LimitRanges give, and notes it on the Pod."""
    for limits in store.list("limitranges", namespace_of(pod)):
        defaults: dict[str, Amounts] = {"limits": {}, "requests": {}}
        for item in _items(limits, "Container"):
            defaults["limits"] |= item.get("default") or {}
            defaults["requests"] |= item.get("defaultRequest") or {}
        notes = [
            note
            for kind, word in (("containers", "container"), ("initContainers", "init container"))
            for container in pod["spec"].get(kind) or []
            for note in _fill_in(container, defaults, word)
        ]
        if notes:
            meta = pod["metadata"]
            meta["annotations"] = {
                **(meta.get("annotations") or {}),
                _NOTE: f"LimitRanger plugin set: {'; '.join(notes)}",
            }


def _fill_in(container: Obj, defaults: dict[str, Amounts], word: str) -> list[str]:
    notes: list[str] = []
    for field in ("requests", "limits"):
        said = (container.get("resources") or {}).get(field) or {}
        added = {name: amount for name, amount in defaults[field].items() if name not in said}
        if added:
            container.setdefault("resources", {})[field] = {**said, **added}
            notes.append(f"{', '.join(sorted(added))} {field.removesuffix('s')} for {word} {container['name']}")
    return notes


def check_limit_ranges(store: Store, pod: Obj) -> None:
    """StatusError 403 if the Pod does not keep to one of the namespace's LimitRanges."""
    for limits in store.list("limitranges", namespace_of(pod)):
        problems = [
            problem
            for item in _items(limits, "Container")
            for kind in ("containers", "initContainers")
            for container in pod["spec"].get(kind) or []
            for problem in _violations(item, container.get("resources") or {}, "Container")
        ]
        for item in _items(limits, "Pod"):
            whole = {field: _without_overhead(pod, field) for field in ("requests", "limits")}
            problems += _violations(item, whole, "Pod")
        if problems:
            distinct = list(dict.fromkeys(problems))
            why = distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]"
            raise StatusError.forbidden("pods", pod["metadata"].get("name") or "", why)


def _items(limits: Obj, kind: str) -> list[Obj]:
    return [item for item in limits["spec"].get("limits") or [] if item.get("type") == kind]


def _without_overhead(pod: Obj, field: str) -> Amounts:
    return pod_amounts({"spec": {name: part for name, part in pod["spec"].items() if name != "overhead"}}, field)


def _violations(item: Obj, resources: Obj, kind: str) -> list[str]:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    found = [_below(kind, name, least, requests, limits) for name, least in sorted((item.get("min") or {}).items())]
    found += [_above(kind, name, most, requests, limits) for name, most in sorted((item.get("max") or {}).items())]
    ratios = sorted((item.get("maxLimitRequestRatio") or {}).items())
    found += [_unbalanced(kind, name, ratio, requests, limits) for name, ratio in ratios]
    return [problem for problem in found if problem]


def _below(kind: str, name: str, least: str, requests: Amounts, limits: Amounts) -> str:
    start, bound = f"minimum {name} usage per {kind} is {least}", quantity.value(least)
    if name not in requests:
        return f"{start}.  No request is specified"
    if quantity.value(requests[name]) < bound:
        return f"{start}, but request is {requests[name]}"
    if name in limits and quantity.value(limits[name]) < bound:
        return f"{start}, but limit is {limits[name]}"
    return ""


def _above(kind: str, name: str, most: str, requests: Amounts, limits: Amounts) -> str:
    start, bound = f"maximum {name} usage per {kind} is {most}", quantity.value(most)
    if name not in limits:
        return f"{start}.  No limit is specified"
    if quantity.value(limits[name]) > bound:
        return f"{start}, but limit is {limits[name]}"
    if name in requests and quantity.value(requests[name]) > bound:
        return f"{start}, but request is {requests[name]}"
    return ""


def _unbalanced(kind: str, name: str, ratio: str, requests: Amounts, limits: Amounts) -> str:
    start = f"{name} max limit to request ratio per {kind} is {ratio}"
    request, limit = quantity.value(requests.get(name, "0")), quantity.value(limits.get(name, "0"))
    if not request:
        return f"{start}, but no request is specified or request is 0"
    if not limit:
        return f"{start}, but no limit is specified or limit is 0"
    return f"{start}, but provided ratio is {limit / request:.6f}" if limit / request > quantity.value(ratio) else ""
