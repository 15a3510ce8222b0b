"""What a Pod's status may say: addresses that are some, and types of conditions that are names.

Written by the kubelet, and by anybody with the right to `pods/status`; what else reads it may rely on it.
Models ValidatePodStatusUpdate of pkg/apis/core/validation, and Convert_v1_PodStatus_To_core_PodStatus (v1.36).
"""

from __future__ import annotations

from ipaddress import ip_address

from ..api.status import Cause, forbidden_field, invalid_value
from ..objects import Obj
from .metadata import validate_immutable
from .naming import ip_problems, label_key_problems, subdomain_problems

_SYSTEM_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
_NOT_NEGATIVE = "must be a non-negative integer"


def join_pod_addresses(status: Obj) -> None:
    """Makes `podIP` and the first of `podIPs` one: where they differ the single one counts."""
    single, listed = status.get("podIP") or "", status.get("podIPs") or []
    if single and (not listed or listed[0].get("ip") != single):
        status["podIPs"] = [{"ip": single}]
    elif listed:
        status["podIP"] = listed[0].get("ip") or ""


def validate_pod_status(new: Obj, old: Obj) -> list[Cause]:
    """The causes to refuse a new status."""
    status, before = new.get("status") or {}, old.get("status") or {}
    causes = _validate_conditions(status.get("conditions") or [])
    causes += _validate_nominated_node(status, before, bool((old.get("spec") or {}).get("nodeName")))
    generation = status.get("observedGeneration") or 0
    if generation < 0:
        causes.append(invalid_value("status.observedGeneration", generation, _NOT_NEGATIVE))
    if before.get("qosClass"):
        causes += validate_immutable(status.get("qosClass"), before["qosClass"], "status.qosClass")
    causes += _validate_addresses(status.get("podIPs") or [], before.get("podIPs") or [], "status.podIPs")
    hosts = status.get("hostIPs") or []
    if hosts and hosts[0].get("ip") != status.get("hostIP"):
        causes.append(invalid_value("status.hostIPs[0].ip", hosts[0].get("ip") or "", "must be equal to `hostIP`"))
    return causes + _validate_addresses(hosts, before.get("hostIPs") or [], "status.hostIPs")


def _validate_conditions(conditions: list[Obj]) -> list[Cause]:
    causes: list[Cause] = []
    for index, condition in enumerate(conditions):
        path, kind = f"status.conditions[{index}]", condition.get("type") or ""
        generation = condition.get("observedGeneration") or 0
        if generation < 0:
            causes.append(invalid_value(f"{path}.observedGeneration", generation, _NOT_NEGATIVE))
        if kind not in _SYSTEM_CONDITIONS:
            causes += [invalid_value(f"{path}.Type", kind, problem) for problem in label_key_problems(kind)]
    return causes


def _validate_nominated_node(status: Obj, before: Obj, is_bound: bool) -> list[Cause]:
    path, name = "status.nominatedNodeName", status.get("nominatedNodeName") or ""
    if not name or name == (before.get("nominatedNodeName") or ""):
        return []
    causes = [invalid_value(path, name, problem) for problem in subdomain_problems(name)]
    if is_bound:
        causes.append(forbidden_field(path, "may not be set on pods that are already bound to a node"))
    return causes


def _validate_addresses(new: list[Obj], old: list[Obj], path: str) -> list[Cause]:
    """New ones must be addresses, and two of them must be of two families; what was there may stay."""
    known = [item.get("ip") for item in old]
    causes: list[Cause] = []
    for index, item in enumerate(new):
        text = item.get("ip") or ""
        if text not in known:
            causes += [invalid_value(f"{path}[{index}]", text, problem) for problem in ip_problems(text)]
    if len(new) > 1 and not causes:
        families = {ip_address(item["ip"]).version for item in new}
        if len(families) != len(new):
            causes.append(invalid_value(path, new, "may specify no more than one IP for each IP family"))
    return causes
