"""The rows of what a cluster is made of: Nodes, Namespaces, Events, configuration, storage, access.

Models upstream's pkg/printers/internalversion/printers.go (v1.36).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ...objects import Obj, condition_of, is_deleting, labels_of
from .duration import UNKNOWN, age, object_age
from .text import NONE, UNSET, number, spec_of, status_of

_ROLE_PREFIX = "node-role.kubernetes.io/"
_ACCESS_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def node_cells(obj: Obj, now: datetime) -> list[Any]:
    """Status, roles, version, addresses and software."""
    status = status_of(obj)
    info = status.get("nodeInfo") or {}
    return [
        obj["metadata"]["name"],
        _node_status(obj),
        _node_roles(obj),
        object_age(obj, now),
        info.get("kubeletVersion", ""),
        _node_address(status, "InternalIP"),
        _node_address(status, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def namespace_cells(obj: Obj, now: datetime) -> list[Any]:
    """Active or Terminating."""
    return [obj["metadata"]["name"], status_of(obj).get("phase", ""), object_age(obj, now)]


def event_cells(obj: Obj, now: datetime) -> list[Any]:
    """What happened to what, how often and when last."""
    first = age(obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime"), now)
    last_seen = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    last = age(last_seen, now) if last_seen else first
    count = number(obj, "count") or number(obj, "deprecatedCount") or 1
    series = obj.get("series")
    if series:
        last, count = age(series.get("lastObservedTime"), now), number(series, "count")
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    target = str(about.get("kind") or "").lower()
    return [
        last,
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{target}/{about['name']}" if about.get("name") else target,
        about.get("fieldPath", ""),
        _event_source(obj),
        str(obj.get("message") or obj.get("note") or "").strip(),
        first,
        count,
        obj["metadata"]["name"],
    ]


def config_map_cells(obj: Obj, now: datetime) -> list[Any]:
    """How many entries."""
    entries = len(obj.get("data") or {}) + len(obj.get("binaryData") or {})
    return [obj["metadata"]["name"], entries, object_age(obj, now)]


def secret_cells(obj: Obj, now: datetime) -> list[Any]:
    """Type and how many entries."""
    return [obj["metadata"]["name"], obj.get("type", ""), len(obj.get("data") or {}), object_age(obj, now)]


def service_account_cells(obj: Obj, now: datetime) -> list[Any]:
    """Name and age."""
    return [obj["metadata"]["name"], object_age(obj, now)]


def lease_cells(obj: Obj, now: datetime) -> list[Any]:
    """Who holds it."""
    return [obj["metadata"]["name"], spec_of(obj).get("holderIdentity") or "", object_age(obj, now)]


def component_status_cells(obj: Obj, now: datetime) -> list[Any]:
    """Healthy or not."""
    healthy = next((c for c in obj.get("conditions") or [] if c.get("type") == "Healthy"), None)
    if healthy is None:
        return [obj["metadata"]["name"], "Unknown", "", ""]
    word = "Healthy" if healthy.get("status") == "True" else "Unhealthy"
    return [obj["metadata"]["name"], word, healthy.get("message", ""), healthy.get("error", "")]


def resource_quota_cells(obj: Obj, now: datetime) -> list[Any]:
    """Used of allowed."""
    status = status_of(obj)
    hard, used = status.get("hard") or {}, status.get("used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for name in sorted(hard):
        text = f"{name}: {used.get(name, '0')}/{hard[name]}"
        (limits if name.startswith("limits.") else requests).append(text)
    return [obj["metadata"]["name"], ", ".join(requests), ", ".join(limits), object_age(obj, now)]


def priority_class_cells(obj: Obj, now: datetime) -> list[Any]:
    """Its value, and whether it is everybody's."""
    default = bool(obj.get("globalDefault"))
    policy = obj.get("preemptionPolicy") or ""
    return [obj["metadata"]["name"], number(obj, "value"), default, object_age(obj, now), policy]


def storage_class_cells(obj: Obj, now: datetime) -> list[Any]:
    """Who makes the volumes, and when."""
    annotations = obj["metadata"].get("annotations") or {}
    is_default = annotations.get("storageclass.kubernetes.io/is-default-class") == "true"
    return [
        obj["metadata"]["name"] + (" (default)" if is_default else ""),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or UNSET,
        bool(obj.get("allowVolumeExpansion")),
        object_age(obj, now),
    ]


def persistent_volume_cells(obj: Obj, now: datetime) -> list[Any]:
    """Size, modes, and who has claimed it."""
    spec, status = spec_of(obj), status_of(obj)
    claim = spec.get("claimRef")
    return [
        obj["metadata"]["name"],
        (spec.get("capacity") or {}).get("storage", ""),
        _access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if is_deleting(obj) else status.get("phase", ""),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or UNSET,
        status.get("reason", ""),
        object_age(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def persistent_volume_claim_cells(obj: Obj, now: datetime) -> list[Any]:
    """The volume behind it."""
    spec, status = spec_of(obj), status_of(obj)
    volume = spec.get("volumeName", "")
    return [
        obj["metadata"]["name"],
        "Terminating" if is_deleting(obj) else status.get("phase", ""),
        volume,
        (status.get("capacity") or {}).get("storage", "") if volume else "",
        _access_modes(status.get("accessModes")) if volume else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or UNSET,
        object_age(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def role_binding_cells(obj: Obj, now: datetime) -> list[Any]:
    """Which role, for whom."""
    role = obj.get("roleRef") or {}
    people: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or []:
        name = subject.get("name", "")
        if subject.get("kind") == "ServiceAccount":
            name = f"{subject.get('namespace', '')}/{name}"
        people.setdefault(subject.get("kind", ""), []).append(name)
    names = [", ".join(people[kind]) for kind in ("User", "Group", "ServiceAccount")]
    return [obj["metadata"]["name"], f"{role.get('kind', '')}/{role.get('name', '')}", object_age(obj, now), *names]


def _node_status(obj: Obj) -> str:
    ready = condition_of(obj, "Ready")
    word = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{word},SchedulingDisabled" if spec_of(obj).get("unschedulable") else word


def _node_roles(obj: Obj) -> str:
    labels = labels_of(obj)
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    roles.add(labels.get("kubernetes.io/role", ""))
    return ",".join(sorted(roles - {""})) or NONE


def _node_address(status: Obj, kind: str) -> str:
    addresses = status.get("addresses") or []
    return next((str(a["address"]) for a in addresses if a.get("type") == kind), NONE)


def _event_source(obj: Obj) -> str:
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return f"{component}, {host}" if host else str(component)


def _access_modes(modes: list[str] | None) -> str:
    return ",".join(short for mode, short in _ACCESS_MODES.items() if mode in (modes or []))
