"""Whether a node takes a Pod that is bound to it: the kubelet's last word, for Pods that no scheduler has placed.

Pure functions; a refused Pod is told so by its worker. Models pkg/kubelet/lifecycle/predicate.go (v1.36), without
making room for critical Pods.
"""

from __future__ import annotations

from typing import NamedTuple

from ..node_fit import free_ports_reason, selection_reason, shortages
from ..objects import Obj
from ..resources.taints import taints_of, untolerated

_UNTOLERATED = "node(s) had taints that the pod didn't tolerate"


class Refusal(NamedTuple):
    """Why the node does not take a Pod: `OutOfcpu` and the whole sentence."""

    reason: str
    message: str


def refusal_of(pod: Obj, node: Obj, there: list[Obj]) -> Refusal | None:
    """The first thing that stands against the Pod on this node, beside the Pods that are there."""
    for lack in shortages(pod, node, there):
        if "/" in lack.resource and lack.capacity == 0:
            continue  # a resource of the whole cluster, of which this node knows nothing
        amounts = f"requested: {lack.requested}, used: {lack.used}, capacity: {lack.capacity}"
        return Refusal(f"OutOf{lack.resource}", f"Node didn't have enough resource: {lack.resource}, {amounts}")
    for reason in selection_reason(pod, node):
        return _failed("NodeAffinity", reason.text)
    for reason in free_ports_reason(pod, there):
        return _failed("NodePorts", reason.text)
    if untolerated(pod, taints_of(node), ("NoExecute",)):
        return _failed("TaintToleration", _UNTOLERATED)
    return None


def _failed(predicate: str, why: str) -> Refusal:
    return Refusal(predicate, f"Predicate {predicate} failed: {why}")
