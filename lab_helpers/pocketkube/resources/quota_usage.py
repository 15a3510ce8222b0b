"""What one object takes of a ResourceQuota, and which quotas are about it at all.

Models pkg/quota/v1/evaluator/core/{pods,services}.go, apiserver pkg/quota/v1/generic and
component-helpers resource/helpers.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterable

from .. import quantity
from ..api.selectors import Requirement
from ..objects import Obj, is_sidecar
from .pod_quality import qos_class
from .table import RESOURCES

Amounts = dict[str, str]
"""Quantities by the names that a quota's `hard` uses."""

_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_POD_NAMES = frozenset(
    ["count/pods", "pods", *_COMPUTE, *(f"{field}.{name}" for field in ("requests", "limits") for name in _COMPUTE)]
)
_REQUIRED = frozenset(["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"])
_SERVICE_NAMES = frozenset(["count/services", "services", "services.nodeports", "services.loadbalancers"])
_OTHER_LEGACY = ("configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets")
_HUGE_PAGES = "hugepages-"
_CLAIMS = frozenset(["count/persistentvolumeclaims", "persistentvolumeclaims", "requests.storage"])
_PER_CLASS = ".storageclass.storage.k8s.io/"
_NATIVE = ("kubernetes.io/",)


def counted_resources() -> list[str]:
    """Every resource whose objects a quota can count."""
    return [
        resource.name
        for resource in RESOURCES.values()
        if resource.namespaced and {"list", "watch"} <= set(resource.verbs) and resource.group != "events.k8s.io"
    ]


def names_about(resource: str, names: Iterable[str]) -> list[str]:
    """Those of a quota's names that objects of the resource count for."""
    return [name for name in names if _is_about(resource, name)]


def is_known(name: str) -> bool:
    """True if something counts for the name. Of storage nothing is ever used here."""
    if name in _CLAIMS or _PER_CLASS in name:
        return True
    return any(_is_about(resource, name) for resource in counted_resources())


def _is_about(resource: str, name: str) -> bool:
    if resource == "pods":
        bare = name.removeprefix("requests.")
        return name in _POD_NAMES or bare.startswith(_HUGE_PAGES) or (bare != name and _is_extended(bare))
    if resource == "services":
        return name in _SERVICE_NAMES
    return name == f"count/{resource}" or (resource in _OTHER_LEGACY and name == resource)


def _is_extended(name: str) -> bool:
    """A resource that somebody's devices bring: `example.com/dongle`."""
    return "/" in name and not any(native in name for native in _NATIVE) and _PER_CLASS not in name


def usage_of(resource: str, obj: Obj) -> Amounts:
    """What one object takes."""
    used = {f"count/{resource}": "1"}
    if resource == "services":
        return used | {"services": "1"} | _service_usage(obj)
    if resource == "pods" and is_alive(obj):
        return used | _compute_usage(pod_amounts(obj, "requests"), pod_amounts(obj, "limits"))
    return used | ({resource: "1"} if resource in _OTHER_LEGACY else {})


def is_alive(pod: Obj) -> bool:
    """A Pod that has ended takes nothing but its place in the store."""
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def _service_usage(service: Obj) -> Amounts:
    spec = service.get("spec") or {}
    kind, ports = spec.get("type"), spec.get("ports") or []
    opened = 0
    if kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False):
        opened = len(ports)
    elif kind == "LoadBalancer":
        opened = sum(1 for port in ports if port.get("nodePort"))
    return {"services.nodeports": str(opened), "services.loadbalancers": "1" if kind == "LoadBalancer" else "0"}


def _compute_usage(requests: Amounts, limits: Amounts) -> Amounts:
    used = {"pods": "1"}
    for name, amount in requests.items():
        if name in _COMPUTE or name.startswith(_HUGE_PAGES):
            used |= {name: amount, f"requests.{name}": amount}
        elif _is_extended(name):
            used[f"requests.{name}"] = amount
    return used | {f"limits.{name}": amount for name, amount in limits.items() if name in _COMPUTE}


def pod_amounts(pod: Obj, field: str) -> Amounts:
    """The `requests` or `limits` of a whole Pod: what its containers need at once, at their greediest moment."""
    spec = pod["spec"]
    running = _add([_amounts(container, field) for container in spec.get("containers") or []])
    beside: list[Amounts] = []
    peak: Amounts = {}
    for container in spec.get("initContainers") or []:
        if is_sidecar(container):
            beside.append(_amounts(container, field))
            moment = _add(beside)
        else:
            moment = _add([*beside, _amounts(container, field)])
        peak = _largest(peak, moment)
    whole = _largest(_add([running, *beside]), peak)
    # What is said of the whole Pod counts, where it is said.
    whole |= {name: amount for name, amount in _amounts(spec, field).items() if name in ("cpu", "memory")}
    overhead = spec.get("overhead") or {}
    if field == "limits":
        overhead = {name: amount for name, amount in overhead.items() if name in whole}
    return _add([whole, overhead])


def _amounts(container: Obj, field: str) -> Amounts:
    return (container.get("resources") or {}).get(field) or {}


def _add(listed: list[Amounts]) -> Amounts:
    names = dict.fromkeys(name for amounts in listed for name in amounts)
    return {name: quantity.total(amounts[name] for amounts in listed if name in amounts) for name in names}


def _largest(one: Amounts, other: Amounts) -> Amounts:
    larger = {n: a for n, a in other.items() if n not in one or quantity.value(a) > quantity.value(one[n])}
    return {**one, **larger}


def unset_amounts(pod: Obj, names: Iterable[str]) -> dict[str, list[str]]:
    """The names that a quota makes every container speak about, with the containers that don't."""
    if (pod["spec"].get("resources") or {}).keys() & {"requests", "limits"}:
        return {}
    missing: dict[str, list[str]] = {}
    wanted = sorted(_REQUIRED & set(names))
    for container in [*(pod["spec"].get("containers") or []), *(pod["spec"].get("initContainers") or [])]:
        said = _compute_usage(_amounts(container, "requests"), _amounts(container, "limits"))
        for name in wanted:
            if name not in said:
                missing.setdefault(name, []).append(container["name"])
    return {name: sorted(set(containers)) for name, containers in sorted(missing.items())}


def in_scopes(quota_spec: Obj, resource: str, obj: Obj) -> bool:
    """True if the quota's scopes take the object in. Only Pods are in any scope."""
    selectors = [{"scopeName": scope, "operator": "Exists"} for scope in quota_spec.get("scopes") or []]
    selectors += (quota_spec.get("scopeSelector") or {}).get("matchExpressions") or []
    return all(resource == "pods" and _in_scope(selector, obj) for selector in selectors)


def _in_scope(selector: Obj, pod: Obj) -> bool:
    scope, spec = selector["scopeName"], pod["spec"]
    if scope in ("Terminating", "NotTerminating"):
        return is_terminating(pod) is (scope == "Terminating")
    if scope in ("BestEffort", "NotBestEffort"):
        return (qos_class(spec) == "BestEffort") is (scope == "BestEffort")
    if scope == "PriorityClass":
        name = spec.get("priorityClassName")
        wanted = Requirement(scope, selector["operator"], tuple(selector.get("values") or ()))
        return wanted.matches({scope: name} if name else {})
    return scope == "CrossNamespacePodAffinity" and _looks_elsewhere(spec)


def is_terminating(pod: Obj) -> bool:
    """True for a Pod that is meant to end: it has a deadline."""
    return pod["spec"].get("activeDeadlineSeconds") is not None


def _looks_elsewhere(spec: Obj) -> bool:
    affinity = spec.get("affinity") or {}
    terms: list[Obj] = []
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        terms += rules.get("requiredDuringSchedulingIgnoredDuringExecution") or []
        preferred = rules.get("preferredDuringSchedulingIgnoredDuringExecution") or []
        terms += [weighted.get("podAffinityTerm") or {} for weighted in preferred]
    return any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms)
