"""The row of a Pod: what its containers are up to, in one word. Models printPod of upstream's printers.go (v1.36)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ...objects import Obj, is_condition_true, is_deleting, is_sidecar
from .duration import age, object_age, parse_time
from .text import NONE, spec_of, status_of

_TERMINAL_PHASES = ("Succeeded", "Failed")
_COMPLETED = {
    "Succeeded": "The pod has completed successfully.",
    "Failed": "The pod failed.",
}


class _Summary:
    """What is gathered from one container status after the other."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.ready = 0
        self.restarts = 0
        self.last_restart: str = ""

    def count_restarts(self, status: Obj) -> None:
        self.restarts += int(status.get("restartCount") or 0)
        finished = ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt")
        if finished and (not self.last_restart or parse_time(self.last_restart) < parse_time(finished)):
            self.last_restart = finished


def pod_cells(pod: Obj, now: datetime) -> list[Any]:
    """Name, readiness, one word of status, restarts, age; address and place."""
    spec, status = spec_of(pod), status_of(pod)
    summary = _summarize(pod, spec, status)
    restarts = str(summary.restarts)
    if summary.restarts and summary.last_restart:
        restarts = f"{restarts} ({age(summary.last_restart, now)} ago)"
    sidecars = sum(is_sidecar(container) for container in spec.get("initContainers") or [])
    total = len(spec.get("containers") or []) + sidecars
    addresses = status.get("podIPs") or []
    return [
        pod["metadata"]["name"],
        f"{summary.ready}/{total}",
        summary.reason,
        restarts,
        object_age(pod, now),
        (addresses[0].get("ip") if addresses else "") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _readiness_gates(pod, spec),
    ]


def pod_conditions(pod: Obj) -> list[Obj]:
    """A Pod that has ended is marked, so that clients may grey it out."""
    phase = status_of(pod).get("phase")
    if phase not in _COMPLETED:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _COMPLETED[phase]}]


def _summarize(pod: Obj, spec: Obj, status: Obj) -> _Summary:
    summary = _Summary(str(status.get("reason") or status.get("phase") or ""))
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            summary.reason = "SchedulingGated"
    sidecars = _Summary("")
    initializing = _summarize_init(summary, sidecars, spec, status)
    if not initializing or is_condition_true(pod, "Initialized"):
        summary.restarts, summary.last_restart = sidecars.restarts, sidecars.last_restart
        _summarize_main(summary, pod, status)
    if is_deleting(pod):
        if status.get("reason") == "NodeLost":
            summary.reason = "Unknown"
        elif status.get("phase") not in _TERMINAL_PHASES:
            summary.reason = "Terminating"
    return summary


def _summarize_init(summary: _Summary, sidecars: _Summary, spec: Obj, status: Obj) -> bool:
    """Walks the init containers up to the first that is not done; True if there is one."""
    init_containers = spec.get("initContainers") or []
    by_name = {container.get("name"): container for container in init_containers}
    for index, container_status in enumerate(status.get("initContainerStatuses") or []):
        summary.count_restarts(container_status)
        stays = is_sidecar(by_name.get(container_status.get("name")) or {})
        if stays:
            sidecars.count_restarts(container_status)
        state = container_status.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated and not terminated.get("exitCode"):
            continue
        if stays and container_status.get("started"):
            summary.ready += bool(container_status.get("ready"))
            continue
        if terminated:
            summary.reason = f"Init:{_termination(terminated)}"
        elif waiting.get("reason") not in (None, "", "PodInitializing"):
            summary.reason = f"Init:{waiting['reason']}"
        else:
            summary.reason = f"Init:{index}/{len(init_containers)}"
        return True
    return False


def _summarize_main(summary: _Summary, pod: Obj, status: Obj) -> None:
    """The first container that has something to say wins, so they are walked from the last to the first."""
    has_running = False
    for container_status in reversed(status.get("containerStatuses") or []):
        summary.count_restarts(container_status)
        state = container_status.get("state") or {}
        waiting, terminated = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            summary.reason = waiting["reason"]
        elif terminated is not None:
            summary.reason = _termination(terminated)
        elif container_status.get("ready") and state.get("running") is not None:
            has_running = True
            summary.ready += 1
    if summary.reason == "Completed" and has_running:
        summary.reason = "Running" if is_condition_true(pod, "Ready") else "NotReady"


def _termination(terminated: Obj) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode') or 0}"


def _readiness_gates(pod: Obj, spec: Obj) -> str:
    gates = spec.get("readinessGates") or []
    if not gates:
        return NONE
    return f"{sum(is_condition_true(pod, gate['conditionType']) for gate in gates)}/{len(gates)}"
