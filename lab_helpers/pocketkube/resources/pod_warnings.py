"""What is allowed in a Pod although it is hardly what its author means: duplicates, deprecated names.

Models pkg/api/pod GetWarningsForPod and pkg/api/node (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import quantity
from ..api.status import go_quote
from ..objects import Obj
from .naming import label_problems
from .pod_scheduling import PREFERRED, REQUIRED

_NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_NO_MATCH = "a null labelSelector results in matching no pod"
_BYTES = ("memory", "ephemeral-storage")


def host_name_warnings(meta: Obj, why: str) -> list[str]:
    """The warning for a name that does not do as a host's."""
    problems = label_problems(meta.get("name") or "")
    return [f"metadata.name: {why}; a DNS label is recommended: [{' '.join(problems)}]"] if problems else []


def template_warnings(new: Obj, old: Obj | None) -> list[str]:
    """The warnings for a controller of Pods; an update that leaves the desired state alone gets none."""
    if old is not None and new.get("spec") == old.get("spec"):
        return []
    template = new["spec"].get("template") or {}
    found = pod_warnings(template.get("metadata") or {}, template.get("spec") or {}, "spec.template")
    if old is not None:
        return found
    why = "this is used in Pod names and hostnames, which can result in surprising behavior"
    return [*host_name_warnings(new["metadata"], why), *found]


def pod_warnings(meta: Obj, spec: Obj, path: str = "") -> list[str]:
    """The warnings for a Pod or, at a path, for a template."""
    root = f"{path}." if path else ""
    where = f"{root}spec"
    found = [*_labels(spec, where), *_spread(spec, where)]
    for key, message in _ANNOTATIONS.items():
        if key in (meta.get("annotations") or {}):
            found.append(f"{root}metadata.annotations[{key}]: {message}")
    found += [*_duplicates(spec, where), *_containers(spec, where), *_ports(spec, where)]
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        why = "must be >= 0; negative values are invalid and will be treated as 1"
        found.append(f"{where}.terminationGracePeriodSeconds: {why}")
    return [*found, *_affinity_selectors(spec, where)]


def _labels(spec: Obj, path: str) -> Iterator[str]:
    for key in sorted(spec.get("nodeSelector") or {}):
        if key in _NODE_LABELS:
            yield f"{path}.nodeSelector[{key}]: {_NODE_LABELS[key]}"
    nodes = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    where = f"{path}.affinity.nodeAffinity"
    for index, term in enumerate((nodes.get(REQUIRED) or {}).get("nodeSelectorTerms") or []):
        yield from _term_labels(term, f"{where}.{REQUIRED}.nodeSelectorTerms[{index}]")
    for index, term in enumerate(nodes.get(PREFERRED) or []):
        yield from _term_labels(term.get("preference") or {}, f"{where}.{PREFERRED}[{index}].preference")


def _term_labels(term: Obj, path: str) -> Iterator[str]:
    for index, expression in enumerate(term.get("matchExpressions") or []):
        key = expression.get("key") or ""
        if key in _NODE_LABELS:
            yield f"{path}.matchExpressions[{index}].key: {key} is {_NODE_LABELS[key]}"


def _spread(spec: Obj, path: str) -> Iterator[str]:
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or []):
        where, key = f"{path}.topologySpreadConstraints[{index}]", constraint.get("topologyKey") or ""
        if key in _NODE_LABELS:
            yield f"{where}.topologyKey: {key} is {_NODE_LABELS[key]}"
        if constraint.get("labelSelector") is None:
            yield f"{where}.labelSelector: {_NO_MATCH}"


def _duplicates(spec: Obj, path: str) -> Iterator[str]:
    for field, key, what in (("hostAliases", "ip", "duplicate ip"), ("imagePullSecrets", "name", "duplicate name")):
        seen: set[str] = set()
        for index, item in enumerate(spec.get(field) or []):
            value = item.get(key) or ""
            if value in seen:
                yield f"{path}.{field}[{index}].{key}: {what} {go_quote(value)}"
            seen.add(value)
    for index, item in enumerate(spec.get("imagePullSecrets") or []):
        if not item.get("name"):
            yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'


def _all_containers(spec: Obj, path: str) -> Iterator[tuple[Obj, str]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(kind) or []):
            yield container, f"{path}.{kind}[{index}]"


def _containers(spec: Obj, path: str) -> Iterator[str]:
    for container, where in _all_containers(spec, path):
        resources = container.get("resources") or {}
        for name in _BYTES:
            for kind in ("limits", "requests"):
                amount = (resources.get(kind) or {}).get(name)
                if amount is not None and quantity.value(amount) % 1:
                    why = f"fractional byte value {go_quote(amount)} is invalid, must be an integer"
                    yield f"{where}.resources.{kind}[{name}]: {why}"
        yield from _hidden_variables(container.get("env") or [], f"{where}.env")


def _hidden_variables(variables: list[Obj], path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        name, value = variable.get("name") or "", variable.get("value") or ""
        reference = f"$({name})"
        hides = variable.get("valueFrom") is not None or value == reference or reference not in value
        if name in seen and hides:
            why = "which may be dropped when using apply"
            yield f"{path}[{index}]: hides previous definition of {go_quote(name)}, {why}"
        seen.add(name)


def _ports(spec: Obj, path: str) -> Iterator[str]:
    seen: dict[tuple[int, str], list[tuple[str, Obj]]] = {}
    for container, where in _all_containers(spec, path):
        for index, port in enumerate(container.get("ports") or []):
            here = f"{where}.ports[{index}]"
            others = seen.setdefault((port.get("containerPort") or 0, port.get("protocol") or ""), [])
            for place, other in others:
                if clash := _clash(port, other):
                    yield f"{here}: {clash} port definition with {place}"
            others.append((here, port))


def _clash(port: Obj, other: Obj) -> str:
    """How two entries of the same port and protocol get into each other's way; "" if they don't."""
    one, two = port.get("hostPort") or 0, other.get("hostPort") or 0
    here, there = port.get("hostIP") or "", other.get("hostIP") or ""
    if (one, here) == (two, there):
        return "duplicate"
    if not one or not two:
        return "overlapping"
    return "dangerously ambiguous" if one == two and bool(here) != bool(there) else ""


def _affinity_selectors(spec: Obj, path: str) -> Iterator[str]:
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = (spec.get("affinity") or {}).get(kind) or {}
        for index, term in enumerate(pods.get(REQUIRED) or []):
            if term.get("labelSelector") is None:
                yield f"{path}.affinity.{kind}.{REQUIRED}[{index}].labelSelector: {_NO_MATCH}"
        for index, weighted in enumerate(pods.get(PREFERRED) or []):
            if (weighted.get("podAffinityTerm") or {}).get("labelSelector") is None:
                yield f"{path}.affinity.{kind}.{PREFERRED}[{index}].podAffinityTerm.labelSelector: {_NO_MATCH}"
