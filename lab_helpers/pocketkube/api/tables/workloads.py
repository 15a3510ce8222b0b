"""The rows of the kinds that make Pods: Deployment, ReplicaSet, StatefulSet, Job and their like.

Models upstream's pkg/printers/internalversion/printers.go (v1.36).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ...objects import Obj, controller_ref_of, is_condition_true, is_deleting
from .duration import age, human_duration, object_age, parse_time
from .text import NONE, UNSET, container_cells, labels_text, number, selector_text, spec_of, status_of


def deployment_cells(obj: Obj, now: datetime) -> list[Any]:
    """Ready of desired, up to date, available."""
    spec, status = spec_of(obj), status_of(obj)
    return [
        obj["metadata"]["name"],
        f"{number(status, 'readyReplicas')}/{_replicas(spec)}",
        number(status, "updatedReplicas"),
        number(status, "availableReplicas"),
        object_age(obj, now),
        *container_cells(spec.get("template")),
        selector_text(spec.get("selector")),
    ]


def replica_set_cells(obj: Obj, now: datetime) -> list[Any]:
    """Desired, current, ready."""
    spec = spec_of(obj)
    return [*_replica_counts(obj, now), *container_cells(spec.get("template")), selector_text(spec.get("selector"))]


def replication_controller_cells(obj: Obj, now: datetime) -> list[Any]:
    """Desired, current, ready; its selector is a plain set of labels."""
    spec = spec_of(obj)
    return [*_replica_counts(obj, now), *container_cells(spec.get("template")), labels_text(spec.get("selector"))]


def stateful_set_cells(obj: Obj, now: datetime) -> list[Any]:
    """Ready of desired."""
    spec = spec_of(obj)
    ready = f"{number(status_of(obj), 'readyReplicas')}/{_replicas(spec)}"
    return [obj["metadata"]["name"], ready, object_age(obj, now), *container_cells(spec.get("template"))]


def daemon_set_cells(obj: Obj, now: datetime) -> list[Any]:
    """How many nodes should, do and well run it."""
    spec, status = spec_of(obj), status_of(obj)
    counts = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    pod_spec = (spec.get("template") or {}).get("spec") or {}
    return [
        obj["metadata"]["name"],
        *(number(status, count) for count in counts),
        labels_text(pod_spec.get("nodeSelector")),
        object_age(obj, now),
        *container_cells(spec.get("template")),
        selector_text(spec.get("selector")),
    ]


def job_cells(obj: Obj, now: datetime) -> list[Any]:
    """Status, completions and how long it took."""
    spec, status = spec_of(obj), status_of(obj)
    started, completed = status.get("startTime"), status.get("completionTime")
    took = ""
    if started:
        took = human_duration((parse_time(completed) if completed else now) - parse_time(started))
    return [
        obj["metadata"]["name"],
        _job_status(obj),
        _job_completions(spec, status),
        took,
        object_age(obj, now),
        *container_cells(spec.get("template")),
        selector_text(spec.get("selector")),
    ]


def cron_job_cells(obj: Obj, now: datetime) -> list[Any]:
    """Schedule and the last time it ran."""
    spec, status = spec_of(obj), status_of(obj)
    job_spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    last = status.get("lastScheduleTime")
    suspend = spec.get("suspend")
    return [
        obj["metadata"]["name"],
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        UNSET if suspend is None else str(suspend),
        len(status.get("active") or []),
        age(last, now) if last else NONE,
        object_age(obj, now),
        *container_cells(job_spec.get("template")),
        selector_text(job_spec.get("selector")),
    ]


def pod_template_cells(obj: Obj, now: datetime) -> list[Any]:
    """Containers, images and the labels of the Pods to come."""
    template = obj.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    return [obj["metadata"]["name"], *container_cells(template), labels_text(labels)]


def controller_revision_cells(obj: Obj, now: datetime) -> list[Any]:
    """Whose revision it is, and which."""
    owner = controller_ref_of(obj)
    controller = NONE
    if owner:
        group = owner["apiVersion"].rpartition("/")[0]
        controller = f"{owner['kind'].lower()}{'.' if group else ''}{group}/{owner['name']}"
    return [obj["metadata"]["name"], controller, number(obj, "revision"), object_age(obj, now)]


def disruption_budget_cells(obj: Obj, now: datetime) -> list[Any]:
    """What must stay, what may go."""
    spec = spec_of(obj)
    bounds = [str(spec.get(bound, "N/A")) for bound in ("minAvailable", "maxUnavailable")]
    return [obj["metadata"]["name"], *bounds, number(status_of(obj), "disruptionsAllowed"), object_age(obj, now)]


def autoscaler_cells(obj: Obj, now: datetime) -> list[Any]:
    """What is scaled, and between which bounds."""
    spec, status = spec_of(obj), status_of(obj)
    target = spec.get("scaleTargetRef") or {}
    return [
        obj["metadata"]["name"],
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _metrics_text(spec.get("metrics") or [], status.get("currentMetrics") or []),
        str(spec.get("minReplicas", UNSET)),
        number(spec, "maxReplicas"),
        number(status, "currentReplicas"),
        object_age(obj, now),
    ]


def scale_cells(obj: Obj, now: datetime) -> list[Any]:
    """Desired and present replicas."""
    return [
        obj["metadata"]["name"],
        number(spec_of(obj), "replicas"),
        number(status_of(obj), "replicas"),
        object_age(obj, now),
    ]


def _replicas(spec: Obj) -> int:
    return int(spec.get("replicas", 1))


def _replica_counts(obj: Obj, now: datetime) -> list[Any]:
    status = status_of(obj)
    return [
        obj["metadata"]["name"],
        _replicas(spec_of(obj)),
        number(status, "replicas"),
        number(status, "readyReplicas"),
        object_age(obj, now),
    ]


def _job_status(obj: Obj) -> str:
    if is_condition_true(obj, "Complete"):
        return "Complete"
    if is_condition_true(obj, "Failed"):
        return "Failed"
    if is_deleting(obj):
        return "Terminating"
    if is_condition_true(obj, "Suspended"):
        return "Suspended"
    return "FailureTarget" if is_condition_true(obj, "FailureTarget") else "Running"


def _job_completions(spec: Obj, status: Obj) -> str:
    succeeded = number(status, "succeeded")
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = number(spec, "parallelism")
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _metrics_text(metrics: list[Obj], current: list[Obj]) -> str:
    texts = []
    for index, metric in enumerate(metrics):
        resource = metric.get("resource")
        if not resource:
            texts.append("<unknown type>")
            continue
        seen = ((current[index].get("resource") or {}).get("current") or {}) if index < len(current) else {}
        target = resource.get("target") or {}
        now = f"{seen['averageUtilization']}%" if "averageUtilization" in seen else "<unknown>"
        aim = f"{target['averageUtilization']}%" if "averageUtilization" in target else "<auto>"
        texts.append(f"{resource.get('name', '')}: {now}/{aim}")
    if len(texts) > 2:
        return f"{', '.join(texts[:2])} + {len(texts) - 2} more..."
    return ", ".join(texts) or NONE
