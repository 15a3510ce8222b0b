"""The Pods of a DaemonSet: which nodes should have one, and what it looks like. All functions are pure.

Models pkg/controller/daemon/util/daemonset_util.go and NodeShouldRunDaemonPod (v1.36).
"""

from __future__ import annotations

from ..node_fit import selection_reason
from ..objects import Obj, annotations_of, copy, labels_of, name_of
from ..resources.daemonset import TEMPLATE_GENERATION
from ..resources.taints import NOT_READY, UNREACHABLE, UNSCHEDULABLE, taints_of, untolerated
from .history import REVISION_HASH
from .int_or_percent import scaled_value

_GENERATION = "pod-template-generation"
_PRESSURES = ("disk-pressure", "memory-pressure", "pid-pressure")


def _tolerations(spec: Obj) -> list[Obj]:
    """What a daemon puts up with: it is there to look after nodes that are not well."""
    tolerated = [(NOT_READY, "NoExecute"), (UNREACHABLE, "NoExecute")]
    tolerated += [(f"node.kubernetes.io/{pressure}", "NoSchedule") for pressure in _PRESSURES]
    tolerated.append((UNSCHEDULABLE, "NoSchedule"))
    if spec.get("hostNetwork"):
        tolerated.append(("node.kubernetes.io/network-unavailable", "NoSchedule"))
    added = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in tolerated]
    own = spec.get("tolerations") or []
    return [*own, *(toleration for toleration in added if toleration not in own)]


def template_for(daemons: Obj, node: str, hash_: str) -> Obj:
    """The set's template, for one node: the scheduler is told by name where the Pod belongs."""
    template: Obj = copy(daemons["spec"]["template"])
    metadata, spec = template.setdefault("metadata", {}), template["spec"]
    labels = dict(metadata.get("labels") or {})
    generation = annotations_of(daemons).get(TEMPLATE_GENERATION)
    if generation:
        labels[_GENERATION] = generation
    metadata["labels"] = {**labels, REVISION_HASH: hash_}
    spec["tolerations"] = _tolerations(spec)
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [term]}
    return template


def node_of(pod: Obj) -> str:
    """The node that the Pod is on, or is meant for."""
    spec = pod["spec"]
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or []:
        for field in term.get("matchFields") or []:
            if field.get("key") == "metadata.name" and field.get("operator") == "In" and field.get("values"):
                return str(field["values"][0])
    return ""


def should_run(daemons: Obj, node: Obj) -> tuple[bool, bool]:
    """(a Pod should be there, a Pod that is there may stay)."""
    spec = dict(daemons["spec"]["template"]["spec"])
    spec["tolerations"] = _tolerations(spec)
    pod = {"spec": spec}
    if spec.get("nodeName") not in (None, "", name_of(node)) or selection_reason(pod, node):
        return False, False
    if untolerated(pod, taints_of(node), ("NoSchedule", "NoExecute")):
        return False, not untolerated(pod, taints_of(node), ("NoExecute",))
    return True, True


def is_updated(pod: Obj, hash_: str) -> bool:
    """True if the Pod was made of the present template."""
    return labels_of(pod).get(REVISION_HASH) == hash_


def rolling_limits(daemons: Obj, desired: int) -> tuple[int, int]:
    """(maxUnavailable, maxSurge) as numbers, both rounded up; unavailable at least one if there is no surge."""
    rolling = daemons["spec"]["updateStrategy"].get("rollingUpdate") or {}
    unavailable = scaled_value(rolling.get("maxUnavailable", 1), desired)
    surge = scaled_value(rolling.get("maxSurge", 0), desired)
    return (unavailable if surge else max(1, unavailable)), surge
