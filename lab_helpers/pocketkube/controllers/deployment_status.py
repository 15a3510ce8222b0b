"""What a Deployment says of itself: counts, and the conditions Available, Progressing and ReplicaFailure.

Reasons and messages are upstream's: `kubectl rollout status` and learners read them. All functions are pure.
Models pkg/controller/deployment/progress.go and util/deployment_util.go (v1.36).
"""

from __future__ import annotations

from ..clock import Clock, parse_rfc3339
from ..objects import Obj, condition_of, copy, name_of
from .scaling import max_unavailable, replicas_of, status_count, total, total_status

NEW_RS_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
_NO_DEADLINE = 2**31 - 1


def new_condition(clock: Clock, kind: str, status: str, reason: str, message: str) -> Obj:
    """A condition as of now."""
    now = clock.rfc3339()
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }


def set_condition(status: Obj, condition: Obj) -> None:
    """Puts a condition in, unless it says nothing new; keeps the time of the last transition if there was none."""
    conditions = status.setdefault("conditions", [])
    current = next((c for c in conditions if c["type"] == condition["type"]), None)
    if current is not None:
        if current["status"] == condition["status"] and current["reason"] == condition["reason"]:
            return
        if current["status"] == condition["status"]:
            condition["lastTransitionTime"] = current["lastTransitionTime"]
    status["conditions"] = [c for c in conditions if c["type"] != condition["type"]] + [condition]


def remove_condition(status: Obj, kind: str) -> None:
    """Takes a condition out."""
    status["conditions"] = [c for c in status.get("conditions") or [] if c["type"] != kind]


def deadline_of(deployment: Obj) -> int | None:
    """`spec.progressDeadlineSeconds`, None if the Deployment may take for ever."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return None if seconds is None or seconds == _NO_DEADLINE else int(seconds)


def calculate(deployment: Obj, sets: list[Obj], new: Obj | None, clock: Clock) -> Obj:
    """Counts and the condition Available, with the other conditions as they were."""
    available = total_status(sets, "availableReplicas")
    counts = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": total_status(sets, "replicas"),
        "updatedReplicas": status_count(new, "replicas") if new else 0,
        "readyReplicas": total_status(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, total(sets) - available),
        "collisionCount": status_count(deployment, "collisionCount"),
    }
    status: Obj = {name: count for name, count in counts.items() if count}
    status["terminatingReplicas"] = total_status(sets, "terminatingReplicas")
    status["conditions"] = copy({"of": (deployment.get("status") or {}).get("conditions") or []})["of"]
    if available >= replicas_of(deployment) - max_unavailable(deployment):
        word = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        word = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    set_condition(status, new_condition(clock, "Available", *word))
    return status


def is_complete(deployment: Obj, status: Obj) -> bool:
    """True once only Pods of the current template run, and enough of them are available."""
    wanted = replicas_of(deployment)
    counts = ("updatedReplicas", "replicas", "availableReplicas")
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return bool(seen and all((status.get(count) or 0) == wanted for count in counts))


def is_progressing(deployment: Obj, status: Obj) -> bool:
    """True if anything moved forward since the status that the Deployment has."""

    def now(field: str) -> int:
        return int(status.get(field) or 0)

    def before(field: str) -> int:
        return status_count(deployment, field)

    return (
        now("updatedReplicas") > before("updatedReplicas")
        or now("replicas") - now("updatedReplicas") < before("replicas") - before("updatedReplicas")
        or now("readyReplicas") > before("readyReplicas")
        or now("availableReplicas") > before("availableReplicas")
    )


def seconds_to_deadline(deployment: Obj, status: Obj, clock: Clock) -> float | None:
    """How long until a rollout that does not move counts as failed; None if nothing is awaited."""
    condition = condition_of({"status": status}, "Progressing")
    deadline = deadline_of(deployment)
    if condition is None or deadline is None:
        return None
    if condition["reason"] in (NEW_RS_AVAILABLE, TIMED_OUT, "DeploymentPaused"):
        return None
    return parse_rfc3339(condition["lastUpdateTime"]) + deadline - clock.now()


def set_progress(deployment: Obj, status: Obj, new: Obj | None, clock: Clock) -> None:
    """Brings the condition Progressing up to date."""
    if deadline_of(deployment) is None:
        remove_condition(status, "Progressing")
        return
    current = condition_of(deployment, "Progressing")
    finished = current is not None and current["reason"] == NEW_RS_AVAILABLE
    if finished and (status.get("replicas") or 0) == (status.get("updatedReplicas") or 0):
        return
    subject = f'ReplicaSet "{name_of(new)}"' if new else f'Deployment "{name_of(deployment)}"'
    if is_complete(deployment, status):
        message = f"{subject} has successfully progressed."
        set_condition(status, new_condition(clock, "Progressing", "True", NEW_RS_AVAILABLE, message))
    elif is_progressing(deployment, status):
        condition = new_condition(clock, "Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.")
        if current is not None and current["status"] == "True":
            condition["lastTransitionTime"] = current["lastTransitionTime"]
        # Taken out first, so that the time of the last update moves although nothing else does.
        remove_condition(status, "Progressing")
        set_condition(status, condition)
    else:
        left = seconds_to_deadline(deployment, status, clock)
        if left is not None and left < 0:
            message = f"{subject} has timed out progressing."
            set_condition(status, new_condition(clock, "Progressing", "False", TIMED_OUT, message))


def set_replica_failure(status: Obj, sets: list[Obj], new: Obj | None) -> None:
    """Passes on that a ReplicaSet can't make its Pods; the new one's word counts first."""
    for rs in [*([new] if new else []), *sets]:
        failure = condition_of(rs, "ReplicaFailure")
        if failure is not None:
            set_condition(status, {"lastUpdateTime": failure["lastTransitionTime"], **failure})
            return
    remove_condition(status, "ReplicaFailure")
