"""The status of a Pod as the kubelet writes it: a pure function of what the kubelet knows.

Phase, conditions and container statuses follow from the records of the containers; writing them to the API is left
to `status_writer.py`.
Models pkg/kubelet/kubelet_pods.go (getPhase, convertToAPIContainerStatuses) and pkg/kubelet/status/generate.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..objects import Obj, condition_of
from .container_record import ContainerKind, ContainerRecord, containers_of, of_kind, shown_id
from .restart_policy import should_run

TERMINAL_PHASES = ("Succeeded", "Failed")

OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
"""The conditions that the kubelet writes; all others belong to somebody else."""


@dataclass
class PodFacts:
    """What the kubelet knows of a Pod beyond its containers."""

    node_ip: str
    pod_ip: str = ""
    start_time: str = ""
    has_sandbox: bool = False
    ending: bool = False
    """No container will be started again."""
    failure: tuple[str, str] | None = None
    """Reason and message, if the kubelet itself has ended the Pod."""
    refused: bool = False
    """The node has not taken the Pod: there is nothing to tell of containers."""


def make_status(pod: Obj, records: Mapping[str, ContainerRecord], facts: PodFacts, now: str) -> Obj:
    """The whole status. `pod.status` is used for what others wrote and for the times of unchanged conditions."""
    if facts.refused:
        return _refused_status(pod, facts, now)
    statuses = {name: _container_status(pod, record) for name, record in records.items()}
    phase = phase_of(pod, records, facts)
    generation = pod["metadata"].get("generation")
    status: Obj = {
        "phase": phase,
        "conditions": _conditions(pod, records, facts, phase, now),
        "hostIP": facts.node_ip,
        "hostIPs": [{"ip": facts.node_ip}],
        "startTime": facts.start_time,
        "resources": {},
    }
    if generation is not None:
        status["observedGeneration"] = generation
    if facts.pod_ip:
        status |= {"podIP": facts.pod_ip, "podIPs": [{"ip": facts.pod_ip}]}
    if facts.failure is not None:
        status |= {"reason": facts.failure[0], "message": facts.failure[1]}
    groups: tuple[tuple[str, tuple[ContainerKind, ...]], ...] = (
        ("initContainerStatuses", ("init", "sidecar")),
        ("containerStatuses", ("main",)),
        ("ephemeralContainerStatuses", ("ephemeral",)),
    )
    for key, kinds in groups:
        group = of_kind(records.values(), *kinds)
        if group:
            status[key] = [statuses[record.name] for record in group]
    return status


def _refused_status(pod: Obj, facts: PodFacts, now: str) -> Obj:
    """Models rejectPod, and what the status manager adds to a Pod that has failed."""
    reason, message = facts.failure or ("", "")
    known = (pod.get("status") or {}).get("conditions") or []
    own = [each for each in _conditions(pod, {}, facts, "Failed", now) if each["type"] in ("Ready", "ContainersReady")]
    others = [each for each in known if each["type"] not in ("Ready", "ContainersReady")]
    return {
        "phase": "Failed",
        "reason": reason,
        "message": message,
        "startTime": facts.start_time,
        "conditions": [*others, *own],
    }


def phase_of(pod: Obj, records: Mapping[str, ContainerRecord], facts: PodFacts) -> str:
    """Pending, Running, Succeeded or Failed. A Pod that has ended stays what it was."""
    current = (pod.get("status") or {}).get("phase")
    if current in TERMINAL_PHASES:
        return str(current)
    main = of_kind(records.values(), "main")
    running = [record for record in main if record.running]
    alive = [record for record in records.values() if record.running and record.kind != "ephemeral"]
    if facts.failure is not None and not alive:
        return "Failed"
    policy = pod["spec"].get("restartPolicy") or "Always"
    stopped = [record for record in main if record.ended is not None]
    if not running and not stopped:
        return _phase_before_start(records, facts, policy, bool(alive))
    if len(running) + len(stopped) < len(main):
        return "Failed" if facts.ending and not alive else "Pending"
    if running or any(record.running for record in of_kind(records.values(), "sidecar")):
        return "Running"
    specs = {container["name"]: container for _, container in containers_of(pod)}
    if not facts.ending and any(should_run(record, specs[record.name], pod) for record in main):
        return "Running"
    return "Succeeded" if all(record.succeeded for record in main) else "Failed"


def _phase_before_start(
    records: Mapping[str, ContainerRecord], facts: PodFacts, policy: str, something_runs: bool
) -> str:
    """The phase while no main container has ever run."""
    failed = [r for r in of_kind(records.values(), "init") if "terminated" in r.state and not r.succeeded]
    if failed and policy == "Never" and not something_runs:
        return "Failed"
    return "Failed" if facts.ending and not something_runs else "Pending"


def _container_status(pod: Obj, record: ContainerRecord) -> Obj:
    spec = next((container for _, container in containers_of(pod) if container["name"] == record.name), {})
    has_init = any(kind in ("init", "sidecar") for kind, _ in containers_of(pod))
    creating = "PodInitializing" if has_init and record.kind in ("init", "sidecar", "main") else "ContainerCreating"
    status: Obj = {
        "name": record.name,
        "state": record.state or {"waiting": {"reason": creating}},
        "lastState": record.last_state,
        "ready": record.succeeded if record.kind == "init" else record.ready,
        "started": record.running and (record.started or record.kind == "init"),
        "restartCount": record.restart_count,
        "image": record.image or spec.get("image", ""),
        "imageID": record.image_id,
        "resources": spec.get("resources") or {},
    }
    if record.container_id:
        status["containerID"] = shown_id(record.container_id)
    requests = (spec.get("resources") or {}).get("requests")
    if requests:
        status["allocatedResources"] = requests
    mounts = [_mount_status(mount) for mount in spec.get("volumeMounts") or []]
    if mounts:
        status["volumeMounts"] = mounts
    return status


def _mount_status(mount: Obj) -> Obj:
    status = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        status |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
    return status


def _conditions(pod: Obj, records: Mapping[str, ContainerRecord], facts: PodFacts, phase: str, now: str) -> list[Obj]:
    containers_ready = _containers_ready(records, phase)
    own = {
        "PodReadyToStartContainers": _verdict(facts.has_sandbox),
        "Initialized": _initialized(records, phase),
        "Ready": containers_ready if containers_ready["status"] != "True" else _readiness_gates(pod),
        "ContainersReady": containers_ready,
        "PodScheduled": _verdict(True),
    }
    generation = pod["metadata"].get("generation")
    conditions = []
    for kind in OWN_CONDITIONS:
        before = condition_of(pod, kind) or {}
        unchanged = before.get("status") == own[kind]["status"] and before.get("lastTransitionTime")
        conditions.append(
            {
                "type": kind,
                **({} if generation is None else {"observedGeneration": generation}),
                **own[kind],
                "lastProbeTime": None,
                "lastTransitionTime": before["lastTransitionTime"] if unchanged else now,
            }
        )
    others = (pod.get("status") or {}).get("conditions") or []
    return conditions + [condition for condition in others if condition["type"] not in OWN_CONDITIONS]


def _verdict(true: bool, reason: str = "", message: str = "") -> Obj:
    verdict = {"status": "True" if true else "False"}
    if reason:
        verdict["reason"] = reason
    if message:
        verdict["message"] = message
    return verdict


def _initialized(records: Mapping[str, ContainerRecord], phase: str) -> Obj:
    if phase == "Succeeded":
        return _verdict(True, "PodCompleted")
    main_started = any(r.running or r.ended is not None for r in of_kind(records.values(), "main"))
    incomplete = [
        record.name
        for record in of_kind(records.values(), "init", "sidecar")
        if not (record.succeeded if record.kind == "init" else record.started)
    ]
    if main_started or not incomplete:
        return _verdict(True)
    return _verdict(False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(incomplete)}]")


def _containers_ready(records: Mapping[str, ContainerRecord], phase: str) -> Obj:
    if phase in TERMINAL_PHASES:
        return _verdict(False, "PodCompleted" if phase == "Succeeded" else "PodFailed")
    unready = [record.name for record in of_kind(records.values(), "sidecar", "main") if not record.ready]
    if not unready:
        return _verdict(True)
    return _verdict(False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")


def _readiness_gates(pod: Obj) -> Obj:
    complaints = []
    for gate in pod["spec"].get("readinessGates") or []:
        kind = gate["conditionType"]
        condition = condition_of(pod, kind)
        if condition is None:
            complaints.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif condition.get("status") != "True":
            complaints.append(f'the status of pod readiness gate "{kind}" is not "True", but {condition["status"]}')
    if complaints:
        return _verdict(False, "ReadinessGatesNotReady", ", ".join(complaints))
    return _verdict(True)
