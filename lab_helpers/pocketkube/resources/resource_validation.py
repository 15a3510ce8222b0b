"""What is allowed in the amounts that containers and Pods ask for and are limited to.

Models core/validation validateResourceRequirements and validatePodResources, and core/helper (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from .. import quantity
from ..api.status import Cause, duplicate, forbidden_field, invalid_value, missing_reference, not_supported
from ..api.status import required as required_field
from ..objects import Obj, is_sidecar
from .causes import NOT_NEGATIVE, invalid_each
from .naming import label_key_problems, label_problems

HUGE_PAGES = "hugepages-"
COUNTS = (
    "configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets", "services",
    "services.loadbalancers", "services.nodeports",
)  # fmt: skip
"""What a ResourceQuota counts by the object."""
AMOUNTS = (
    "cpu", "ephemeral-storage", "memory", "limits.cpu", "limits.ephemeral-storage", "limits.memory",
    "requests.cpu", "requests.ephemeral-storage", "requests.memory", "requests.storage",
)  # fmt: skip
"""What it measures, a quantity of each object."""

_CONTAINER_RESOURCES = ("cpu", "ephemeral-storage", "memory")
_POD_RESOURCES = ("cpu", "memory")
_STANDARD = (*COUNTS, *AMOUNTS, "storage")
_QUOTA_HUGE_PAGES = (HUGE_PAGES, f"requests.{HUGE_PAGES}")


def is_native(name: str) -> bool:
    """A resource of Kubernetes' own, which needs no prefix."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """A device or the like that somebody else counts."""
    return not is_native(name) and not name.startswith("requests.") and not label_key_problems(f"requests.{name}")


def may_overcommit(name: str) -> bool:
    """True if more may be promised than there is."""
    return is_native(name) and not name.startswith(HUGE_PAGES)


def validate_resource_name(name: str, path: str) -> list[Cause]:
    """The name of anything that can be counted."""
    problems = label_key_problems(name)
    if not problems and "/" not in name and name not in _STANDARD and not name.startswith(_QUOTA_HUGE_PAGES):
        problems = ["must be a standard resource type or fully qualified"]
    return invalid_each(path, name, problems)


def validate_quota_resource_name(name: str, path: str) -> list[Cause]:
    """The name of what a ResourceQuota may bound."""
    causes = validate_resource_name(name, path)
    if "/" in name or name in (*COUNTS, *AMOUNTS) or name.startswith(_QUOTA_HUGE_PAGES):
        return causes
    return [*causes, invalid_value(path, name, "must be a standard resource for quota")]


def validate_container_resource_name(name: str, path: str) -> list[Cause]:
    """The name of what a container may ask for."""
    causes = validate_resource_name(name, path)
    if "/" not in name:
        if name not in _CONTAINER_RESOURCES and not name.startswith(HUGE_PAGES):
            causes.append(invalid_value(path, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        causes.append(invalid_value(path, name, "doesn't follow extended resource name standard"))
    return causes


def _validate_pod_resource_name(name: str, path: str) -> list[Cause]:
    causes = validate_resource_name(name, path)
    if causes or name in _POD_RESOURCES or name.startswith(HUGE_PAGES):
        return causes
    return [not_supported(path, name, _POD_RESOURCES)]


def validate_amount(name: str, amount: str, path: str) -> list[Cause]:
    """How much of a resource. Models ValidateResourceQuantityValue."""
    value = quantity.value(amount)
    causes = [invalid_value(path, amount, NOT_NEGATIVE)] if value < 0 else []
    if (name in COUNTS or is_extended(name)) and value % 1:
        causes.append(invalid_value(path, amount, "must be an integer"))
    return causes


def validate_resources(resources: Obj, claims: set[str], path: str, *, of_pod: bool = False) -> list[Cause]:
    """Requests and limits, of a container or of a whole Pod."""
    check_name = _validate_pod_resource_name if of_pod else validate_container_resource_name
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    causes: list[Cause] = []
    for name, amount in sorted(limits.items()):
        where = f"{path}.limits[{name}]"
        causes += check_name(name, where) + validate_amount(name, amount, where)
        causes += _validate_pages(name, amount, where)
    for name, amount in sorted(requests.items()):
        where = f"{path}.requests[{name}]"
        causes += check_name(name, where) + validate_amount(name, amount, where)
        causes += _validate_request(name, amount, limits, path)
        causes += _validate_pages(name, amount, where)
    asked = {*limits, *requests}
    if any(name.startswith(HUGE_PAGES) for name in asked) and not asked & {"cpu", "memory"}:
        causes.append(forbidden_field(path, "HugePages require cpu or memory"))
    return causes + _validate_claims(resources.get("claims") or [], claims, f"{path}.claims")


def _validate_request(name: str, amount: str, limits: Obj, path: str) -> list[Cause]:
    if name not in limits:
        if may_overcommit(name):
            return []
        return [required_field(f"{path}.limits", "Limit must be set for non overcommitable resources")]
    wanted, most = quantity.value(amount), quantity.value(limits[name])
    if wanted != most and not may_overcommit(name):
        return [invalid_value(f"{path}.requests", amount, f"must be equal to {name} limit of {limits[name]}")]
    if wanted > most:
        why = f"must be less than or equal to {name} limit of {limits[name]}"
        return [invalid_value(f"{path}.requests", amount, why)]
    return []


def _validate_pages(name: str, amount: str, path: str) -> list[Cause]:
    if not name.startswith(HUGE_PAGES):
        return []
    try:
        size = quantity.value(quantity.canonical(name.removeprefix(HUGE_PAGES)))
    except ValueError:
        size = Decimal(0)
    if size > 0 and size % 1 == 0 and quantity.value(amount) % size == 0:
        return []
    return [invalid_value(path, amount, f"{amount} is not positive integer multiple of {name}")]


def _validate_claims(claims: list[Obj], known: set[str], path: str) -> list[Cause]:
    """References to the Pod's `resourceClaims`."""
    causes: list[Cause] = []
    names: set[str] = set()
    for index, claim in enumerate(claims):
        where, name, request = f"{path}[{index}]", claim.get("name") or "", claim.get("request") or ""
        if not name:
            causes.append(required_field(where))
            continue
        if request and name not in names:
            causes += invalid_each(f"{where}.request", request, label_problems(request))
        key = f"{name}/{request}" if request else name
        if name in names or key in names:
            causes.append(duplicate(where, name if name in names else key))
        elif not request and any(other.startswith(f"{name}/") for other in names):
            causes.append(duplicate(where, name))
        names.add(key)
        if name not in known:
            found = missing_reference(where, name)
            rest = f": {', '.join(sorted(known))}" if known else " which is empty"
            why = f"must be one of the names in pod.spec.resourceClaims{rest}"
            causes.append(Cause(found.reason, found.field, f"{found.message}: {why}"))
    return causes


def validate_pod_resources(spec: Obj, claims: set[str], path: str) -> list[Cause]:
    """What a Pod asks for as a whole, and that its containers keep within it."""
    resources = spec.get("resources")
    if resources is None:
        return []
    where = f"{path}.resources"
    if (spec.get("os") or {}).get("name") == "windows":
        return [forbidden_field(where, "may not be set for a windows pod")]
    causes: list[Cause] = []
    if resources.get("claims"):
        causes.append(forbidden_field(f"{where}.claims", "claims may not be set for Resources at pod-level"))
    causes += validate_resources(resources, claims, where, of_pod=True)
    return causes + [*_over_pod(spec, resources, where)]


def _over_pod(spec: Obj, resources: Obj, path: str) -> Iterator[Cause]:
    """Models validatePodResourceConsistency."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for kind, bounds in (("requests", requests), ("limits", limits)):
        for name, amount in sorted(_aggregate(spec, kind).items()):
            if kind == "limits" and not name.startswith(HUGE_PAGES):
                continue
            if name in bounds and amount > quantity.value(bounds[name]):
                why = (
                    f"must be greater than or equal to aggregate container {kind} of {_shown(spec, kind, name, amount)}"
                )
                yield invalid_value(f"{path}.{kind}[{name}]", bounds[name], why)
    for index, container in enumerate(spec.get("containers") or []):
        for name, amount in sorted(((container.get("resources") or {}).get("limits") or {}).items()):
            if name in limits and quantity.value(amount) > quantity.value(limits[name]):
                why = f"must be less than or equal to pod limits of {limits[name]}"
                yield invalid_value(f"{path}.containers[{index}][{name}].limits", amount, why)


def _aggregate(spec: Obj, kind: str) -> dict[str, Decimal]:
    """What all containers together ask for: init containers run one by one, beside the sidecars before them."""
    total: dict[str, Decimal] = {}
    for container in spec.get("containers") or []:
        for name, amount in _amounts(container, kind):
            total[name] = total.get(name, Decimal(0)) + amount
    beside: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or []:
        for name, amount in _amounts(container, kind):
            if is_sidecar(container):
                total[name] = total.get(name, Decimal(0)) + amount
                beside[name] = beside.get(name, Decimal(0)) + amount
                peak[name] = max(peak.get(name, Decimal(0)), beside[name])
            else:
                peak[name] = max(peak.get(name, Decimal(0)), amount + beside.get(name, Decimal(0)))
    return {name: max(total.get(name, Decimal(0)), peak.get(name, Decimal(0))) for name in {*total, *peak}}


def _amounts(container: Obj, kind: str) -> Iterator[tuple[str, Decimal]]:
    for name, amount in ((container.get("resources") or {}).get(kind) or {}).items():
        yield name, quantity.value(amount)


def _shown(spec: Obj, kind: str, name: str, amount: Decimal) -> str:
    """The sum in the form of the amounts it is made of."""
    containers = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    binary = any(str(((c.get("resources") or {}).get(kind) or {}).get(name, "")).endswith("i") for c in containers)
    if binary:
        for unit, size in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
            if amount % size == 0:
                return f"{int(amount // size)}{unit}"
    return quantity.canonical(str(amount))
