"""The rows of kinds that extend a cluster: admission, aggregation, certificates, drivers, devices, flow control.

Models upstream's pkg/printers/internalversion/printers.go and kube-aggregator pkg/registry/apiservice (v1.36).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ...objects import Obj, condition_of
from .duration import human_duration, object_age
from .text import NONE, UNSET, spec_of, status_of


def named_cells(obj: Obj, now: datetime) -> list[Any]:
    """Name and age."""
    return [obj["metadata"]["name"], object_age(obj, now)]


def api_service_cells(obj: Obj, now: datetime) -> list[Any]:
    """Who serves a group and version, and whether he does."""
    service = spec_of(obj).get("service")
    available = condition_of(obj, "Available") or {}
    word = str(available.get("status") or "Unknown")
    if word == "False":
        word = f"False ({available.get('reason', '')})"
    target = f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"
    return [obj["metadata"]["name"], target, word, object_age(obj, now)]


def signing_request_cells(obj: Obj, now: datetime) -> list[Any]:
    """Who wants what signed."""
    spec = spec_of(obj)
    seconds = spec.get("expirationSeconds")
    return [
        obj["metadata"]["name"],
        object_age(obj, now),
        spec.get("signerName") or NONE,
        spec.get("username", ""),
        NONE if seconds is None else human_duration(timedelta(seconds=seconds)),
        _signing_state(status_of(obj)),
    ]


def _signing_state(status: Obj) -> str:
    words = {condition.get("type") for condition in status.get("conditions") or []}
    decided = [word for word in ("Approved", "Denied", "Failed") if word in words]
    return ",".join([*(decided or ["Pending"]), *(["Issued"] if status.get("certificate") else [])])


def csi_driver_cells(obj: Obj, now: datetime) -> list[Any]:
    """What a driver can do."""
    spec = spec_of(obj)
    audiences = [token.get("audience", "") for token in spec.get("tokenRequests") or []]
    return [
        obj["metadata"]["name"],
        bool(spec.get("attachRequired", True)),
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        ",".join(audiences) if audiences else UNSET,
        bool(spec.get("requiresRepublish")),
        ",".join(spec.get("volumeLifecycleModes") or []) or NONE,
        object_age(obj, now),
    ]


def csi_node_cells(obj: Obj, now: datetime) -> list[Any]:
    """How many drivers a node has."""
    return [obj["metadata"]["name"], len(spec_of(obj).get("drivers") or []), object_age(obj, now)]


def volume_attachment_cells(obj: Obj, now: datetime) -> list[Any]:
    """Which disk is where."""
    spec = spec_of(obj)
    volume = (spec.get("source") or {}).get("persistentVolumeName", "")
    attached = bool(status_of(obj).get("attached"))
    name, age = obj["metadata"]["name"], object_age(obj, now)
    return [name, spec.get("attacher", ""), volume, spec.get("nodeName", ""), attached, age]


def volume_attributes_class_cells(obj: Obj, now: datetime) -> list[Any]:
    """Whose disks it is about."""
    return [obj["metadata"]["name"], obj.get("driverName", ""), object_age(obj, now)]


def webhook_cells(obj: Obj, now: datetime) -> list[Any]:
    """How many webhooks."""
    return [obj["metadata"]["name"], len(obj.get("webhooks") or []), object_age(obj, now)]


def admission_policy_cells(obj: Obj, now: datetime) -> list[Any]:
    """How many rules, with which parameters."""
    spec = spec_of(obj)
    kind = spec.get("paramKind")
    parameters = f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET
    rules = spec.get("validations") or spec.get("mutations") or []
    return [obj["metadata"]["name"], len(rules), parameters, object_age(obj, now)]


def policy_binding_cells(obj: Obj, now: datetime) -> list[Any]:
    """Which policy holds with which parameters."""
    spec = spec_of(obj)
    reference = spec.get("paramRef")
    parameters = UNSET
    if reference:
        parts = [reference.get("namespace", ""), reference.get("name", "")]
        parameters = "/".join(part for part in parts if part) or "*"
    return [obj["metadata"]["name"], spec.get("policyName", ""), parameters, object_age(obj, now)]


def runtime_class_cells(obj: Obj, now: datetime) -> list[Any]:
    """What runs the containers."""
    return [obj["metadata"]["name"], obj.get("handler", ""), object_age(obj, now)]


def resource_claim_cells(obj: Obj, now: datetime) -> list[Any]:
    """How far a claim is."""
    status = status_of(obj)
    states = ["allocated", "reserved"] if status.get("reservedFor") else ["allocated"]
    if not status.get("allocation"):
        states = ["pending"]
    if obj["metadata"].get("deletionTimestamp"):
        states = ["deleted", *states]
    return [obj["metadata"]["name"], ",".join(states), object_age(obj, now)]


def resource_slice_cells(obj: Obj, now: datetime) -> list[Any]:
    """Whose devices, where."""
    spec = spec_of(obj)
    node = spec.get("nodeName") or UNSET
    pool = (spec.get("pool") or {}).get("name", "")
    return [obj["metadata"]["name"], node, spec.get("driver", ""), pool, object_age(obj, now)]


def flow_schema_cells(obj: Obj, now: datetime) -> list[Any]:
    """Which priority, before which others."""
    spec = spec_of(obj)
    dangling = condition_of(obj, "Dangling")
    return [
        obj["metadata"]["name"],
        (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        spec.get("matchingPrecedence", 0),
        (spec.get("distinguisherMethod") or {}).get("type") or NONE,
        object_age(obj, now),
        str(dangling.get("status")) if dangling else "?",
    ]


def priority_level_cells(obj: Obj, now: datetime) -> list[Any]:
    """How many seats, how long the queues."""
    spec = spec_of(obj)
    limited = spec.get("limited") or {}
    queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
    shares = (limited or spec.get("exempt") or {}).get("nominalConcurrencyShares", NONE)
    queues = [queuing.get(field, NONE) for field in ("queues", "handSize", "queueLengthLimit")]
    return [obj["metadata"]["name"], spec.get("type", ""), shares, *queues, object_age(obj, now)]
