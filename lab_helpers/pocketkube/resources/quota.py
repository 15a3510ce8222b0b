"""ResourceQuota: how many objects of a kind a namespace may hold.

Counts of objects are enforced when one is created; quotas on CPU, memory and storage are stored but not enforced.
Models apiserver pkg/quota and plugin/pkg/admission/resourcequota (v1.36).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from .. import quantity
from ..api.status import StatusError
from ..objects import Obj, namespace_of
from ..store import Store
from .table import RESOURCES, Resource

_LEGACY_COUNTS = (
    "configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets", "services",
)  # fmt: skip


def check_quota(store: Store, resource: Resource, obj: Obj) -> None:
    """StatusError 403 if a quota of the namespace does not leave room for the object."""
    if not resource.namespaced:
        return
    for quota in store.list("resourcequotas", namespace_of(obj)):
        hard = (quota.get("spec") or {}).get("hard") or {}
        over = [
            (name, usage, int(hard[name]))
            for name, usage in _requested(resource, obj).items()
            if str(hard.get(name, "")).isdigit() and _used(store, resource, obj, name) + usage > int(hard[name])
        ]
        if over:
            raise StatusError.forbidden(
                resource.name, obj["metadata"].get("name") or "", _exceeded(store, resource, obj, quota, over)
            )


def _exceeded(store: Store, resource: Resource, obj: Obj, quota: Obj, over: list[tuple[str, int, int]]) -> str:
    over = sorted(over)
    requested = ",".join(f"{name}={usage}" for name, usage, _ in over)
    used = ",".join(f"{name}={_used(store, resource, obj, name)}" for name, _, _ in over)
    limited = ",".join(f"{name}={limit}" for name, _, limit in over)
    name = quota["metadata"]["name"]
    return f"exceeded quota: {name}, requested: {requested}, used: {used}, limited: {limited}"


def _requested(resource: Resource, obj: Obj) -> dict[str, int]:
    """What one more object asks of a quota."""
    wanted = {f"count/{resource.name}": 1}
    if resource.name in _LEGACY_COUNTS:
        wanted[resource.name] = 1
    if resource.name == "services":
        wanted |= {f"services.{what}": count for what, count in _service_usage(obj).items()}
    return wanted


def _service_usage(service: Obj) -> dict[str, int]:
    spec = service.get("spec") or {}
    kind = spec.get("type")
    ports = spec.get("ports") or []
    node_ports = len(ports) if kind == "NodePort" else sum(1 for port in ports if port.get("nodePort"))
    return {
        "nodeports": node_ports if kind in ("NodePort", "LoadBalancer") else 0,
        "loadbalancers": 1 if kind == "LoadBalancer" else 0,
    }


def _used(store: Store, resource: Resource, obj: Obj, name: str) -> int:
    present = store.list(resource.name, namespace_of(obj))
    if name.startswith("services."):
        return sum(_service_usage(service)[name.removeprefix("services.")] for service in present)
    if resource.name == "pods" and name == "pods":
        return sum(1 for pod in present if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"))
    return len(present)


def counted_resources() -> list[str]:
    """Every resource whose objects a quota can count."""
    return [
        resource.name
        for resource in RESOURCES.values()
        if resource.namespaced and {"list", "watch"} <= set(resource.verbs) and resource.group != "events.k8s.io"
    ]


def used(name: str, objects_of: Callable[[str], list[Obj]]) -> str | None:
    """How much of one entry of `spec.hard` is taken, as a quantity; None if the entry is of no known kind."""
    if name.startswith("services.") and name.removeprefix("services.") in ("nodeports", "loadbalancers"):
        what = name.removeprefix("services.")
        return str(sum(_service_usage(service)[what] for service in objects_of("services")))
    if name in ("pods", "count/pods"):
        alive = [pod for pod in objects_of("pods") if name != "pods" or _is_alive(pod)]
        return str(len(alive))
    kind = name.removeprefix("count/")
    if (name.startswith("count/") or name in _LEGACY_COUNTS) and kind in counted_resources():
        return str(len(objects_of(kind)))
    field, _, what = name.rpartition(".")
    if what in ("cpu", "memory") and field in ("", "requests", "limits"):
        return _asked([pod for pod in objects_of("pods") if _is_alive(pod)], field or "requests", what)
    return None


def _is_alive(pod: Obj) -> bool:
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def _asked(pods: list[Obj], field: str, what: str) -> str:
    """What the containers of all Pods ask for together."""
    total = Decimal(0)
    text = "0"
    for pod in pods:
        for container in pod["spec"].get("containers") or []:
            amount = ((container.get("resources") or {}).get(field) or {}).get(what)
            if amount is not None:
                total += quantity.value(amount)
                text = amount
    # In the family of what was asked for: 64Mi and 64Mi are 128Mi.
    return quantity.canonical(f"{int(total) // 1024}Ki" if text.endswith("i") and not total % 1024 else str(total))
