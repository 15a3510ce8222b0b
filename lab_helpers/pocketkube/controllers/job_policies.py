"""What a Job's policies say: of a Pod that failed, and of the indexes that succeeded. All functions are pure.

Models pkg/controller/job/{pod_failure_policy,success_policy}.go (v1.36).
"""

from __future__ import annotations

from typing import NamedTuple

from ..objects import Obj, key_of
from .job_indexes import parse_indexes


class Verdict(NamedTuple):
    """What is to be done about a failure: `Count` (the rule), `Ignore`, `FailIndex` or `FailJob`."""

    action: str
    message: str = ""


def judge(job: Obj, pod: Obj) -> Verdict:
    """The first rule of `podFailurePolicy` that fits the Pod's end."""
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or []):
        action = rule["action"]
        matching = f"matching {action} rule at index {number}"
        if rule.get("onExitCodes"):
            status = _container_with(pod, rule["onExitCodes"])
            if status is not None:
                code = status["state"]["terminated"]["exitCode"]
                where = f"Container {status['name']} for pod {key_of(pod)}"
                return Verdict(action, f"{where} failed with exit code {code} {matching}")
        else:
            condition = _condition_in(pod, rule.get("onPodConditions") or [])
            if condition is not None:
                return Verdict(action, f"Pod {key_of(pod)} has condition {condition['type']} {matching}")
    return Verdict("Count")


def _container_with(pod: Obj, wanted: Obj) -> Obj | None:
    status = pod.get("status") or {}
    for container in [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]:
        terminated = (container.get("state") or {}).get("terminated")
        if not terminated or not terminated.get("exitCode"):
            continue
        if wanted.get("containerName") not in (None, container["name"]):
            continue
        if (terminated["exitCode"] in wanted["values"]) == (wanted["operator"] == "In"):
            return dict(container)
    return None


def _condition_in(pod: Obj, patterns: list[Obj]) -> Obj | None:
    for condition in (pod.get("status") or {}).get("conditions") or []:
        for pattern in patterns:
            if condition["type"] == pattern["type"] and condition["status"] == pattern.get("status", "True"):
                return dict(condition)
    return None


def success_rule(job: Obj, succeeded: set[int]) -> str:
    """The message of the first rule of `successPolicy` that is met, or the empty string."""
    for number, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or []):
        count = rule.get("succeededCount")
        if rule.get("succeededIndexes") is None:
            met = count is not None and len(succeeded) >= count
        else:
            required = parse_indexes(rule["succeededIndexes"], int(job["spec"]["completions"]))
            done = len(required & succeeded)
            met = bool(required) and (done == len(required) or (count is not None and done >= count))
        if met and succeeded:
            return f"Matched rules at index {number}"
    return ""
