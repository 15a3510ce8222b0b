"""ResourceQuota: how much of everything a namespace may hold.

Checked when an object is created, and when a change makes it count for more. What an object counts for is in
`quota_usage`; telling what is used is left to `controllers/resource_quota`.
Models apiserver pkg/admission/plugin/resourcequota/controller.go and pkg/quota/v1/resources.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .. import quantity
from ..api.status import StatusError
from ..objects import Obj, namespace_of
from ..store import Store
from .quota_usage import (
    Amounts,
    counted_resources,
    in_scopes,
    is_known,
    is_terminating,
    names_about,
    unset_amounts,
    usage_of,
)
from .table import Resource

Lister = Callable[[str], list[Obj]]
"""The objects of a resource in the quota's namespace."""


def check_quota(store: Store, resource: Resource, obj: Obj, old: Obj | None = None) -> None:
    """StatusError 403 if a quota of the namespace does not leave room for the object, or for what is new in it."""
    if not resource.namespaced or (old is not None and not _counts_anew(resource, obj, old)):
        return
    namespace = namespace_of(obj)
    for quota in store.list("resourcequotas", namespace):
        why = _refusal(quota, resource, obj, old, lambda name: store.list(name, namespace))
        if why:
            raise StatusError.forbidden(resource.name, obj["metadata"].get("name") or "", why)


def _counts_anew(resource: Resource, obj: Obj, old: Obj) -> bool:
    if resource.name == "pods":
        return is_terminating(obj) != is_terminating(old)
    return resource.name == "services"


def _refusal(quota: Obj, resource: Resource, obj: Obj, old: Obj | None, objects_of: Lister) -> str:
    """Why the quota does not allow it, or nothing."""
    spec, name = quota.get("spec") or {}, quota["metadata"]["name"]
    hard: Amounts = spec.get("hard") or {}
    names = names_about(resource.name, hard)
    if not names or not in_scopes(spec, resource.name, obj):
        return ""
    if resource.name == "pods":
        missing = unset_amounts(obj, names)
        if missing:
            listed = "; ".join(f"{what} for: {','.join(containers)}" for what, containers in missing.items())
            return f"failed quota: {name}: must specify {listed}"
    requested = usage_of(resource.name, obj)
    if old is not None and in_scopes(spec, resource.name, old):
        requested = _difference(requested, usage_of(resource.name, old))
    requested = {what: requested[what] for what in names if quantity.value(requested.get(what, "0"))}
    if not requested:
        return ""
    used = _used(spec, resource.name, requested, objects_of)
    over = [
        what
        for what, amount in requested.items()
        if quantity.value(used[what]) + quantity.value(amount) > quantity.value(hard[what])
    ]
    if not over:
        return ""
    told = (f"{word}: {_printed(amounts, over)}" for word, amounts in (("used", used), ("limited", hard)))
    return f"exceeded quota: {name}, requested: {_printed(requested, over)}, {', '.join(told)}"


def _difference(new: Amounts, old: Amounts) -> Amounts:
    more = {name: quantity.value(amount) - quantity.value(old.get(name, "0")) for name, amount in new.items()}
    return {name: quantity.canonical(str(max(amount, 0))) for name, amount in more.items()}


def _printed(amounts: Amounts, names: Iterable[str]) -> str:
    return ",".join(f"{name}={quantity.canonical(amounts[name])}" for name in sorted(names))


def used(spec: Obj, objects_of: Lister) -> Amounts:
    """How much of a quota is taken, for each name that something can count for."""
    hard: Amounts = spec.get("hard") or {}
    amounts = {name: "0" for name in hard if is_known(name)}
    for resource in counted_resources():
        names = names_about(resource, amounts)
        if names:
            amounts |= _used(spec, resource, names, objects_of)
    return amounts


def _used(spec: Obj, resource: str, names: Iterable[str], objects_of: Lister) -> Amounts:
    taken = [usage_of(resource, obj) for obj in objects_of(resource) if in_scopes(spec, resource, obj)]
    return {name: quantity.total(amounts[name] for amounts in taken if name in amounts) for name in names}
