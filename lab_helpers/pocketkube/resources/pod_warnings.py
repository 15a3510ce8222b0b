"""What is allowed in a Pod although it is hardly what its author means: duplicates, deprecated names.

Models pkg/api/pod GetWarningsForPod and pkg/api/node (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import quantity
from ..api.status import go_quote
from ..objects import Obj
from .addresses import address_warnings
from .naming import label_problems
from .pod_scheduling import PREFERRED, REQUIRED
from .security_validation import (
    APPARMOR_CONTAINER,
    SECCOMP_CONTAINER,
    SECCOMP_POD,
    apparmor_profile,
    visit_containers,
)

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
_VOLUMES = {
    "photonPersistentDisk": ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    "gitRepo": ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    "scaleIO": ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    "flocker": ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    "storageos": ("storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    "quobyte": ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    "glusterfs": ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    "cephfs": ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    "rbd": ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
}
_FILES = (("configMap", "name", "ConfigMap"), ("secret", "secretName", "Secret"), ("downwardAPI", "", "DownwardAPI"))
_NO_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
OLD_APPARMOR = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_NO_MATCH = "a null labelSelector results in matching no pod"
_BYTES = ("memory", "ephemeral-storage")


def host_name_warnings(meta: Obj, why: str) -> list[str]:
    """The warning for a name that does not do as a host's."""
    problems = label_problems(meta.get("name") or "")
    return [f"metadata.name: {why}; a DNS label is recommended: [{' '.join(problems)}]"] if problems else []


def template_warnings(new: Obj, old: Obj | None, *, path: str = "spec.template", names_pods: bool = True) -> list[str]:
    """The warnings for a controller of Pods; an update that leaves the desired state alone gets none."""
    if old is not None and new.get("spec") == old.get("spec") and new.get("template") == old.get("template"):
        return []
    template: Obj = new
    for step in path.split("."):
        template = template.get(step) or {}
    found = pod_warnings(template.get("metadata") or {}, template.get("spec") or {}, path)
    if old is not None or not names_pods:
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
    found += [*_volumes(spec, where), *_overlaps(spec), *_duplicates(spec, where), *_overhead(spec, where)]
    found += [*_profiles(meta, spec, root), *_containers(meta, spec, root), *_ports(spec, where)]
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        why = "must be >= 0; negative values are invalid and will be treated as 1"
        found.append(f"{where}.terminationGracePeriodSeconds: {why}")
    return [*found, *_affinity_selectors(spec, where), *_addresses(spec, where)]


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


def _volumes(spec: Obj, path: str) -> Iterator[str]:
    for index, volume in enumerate(spec.get("volumes") or []):
        for source, (shown, why) in _VOLUMES.items():
            if volume.get(source) is not None:
                yield f"{path}.volumes[{index}].{shown}: {why}"


def _overhead(spec: Obj, path: str) -> Iterator[str]:
    for name in _BYTES:
        yield from _fractional((spec.get("overhead") or {}).get(name), f"{path}.overhead[{name}]")


def _fractional(amount: str | None, path: str) -> Iterator[str]:
    if amount is not None and quantity.value(amount) % 1:
        yield f"{path}: fractional byte value {go_quote(amount)} is invalid, must be an integer"


def _profiles(meta: Obj, spec: Obj, root: str) -> Iterator[str]:
    if SECCOMP_POD in (meta.get("annotations") or {}) and not _has(spec, "seccompProfile"):
        yield f"{root}metadata.annotations[{SECCOMP_POD}]: {_NO_SECCOMP}"


def _has(holder: Obj, profile: str) -> bool:
    return (holder.get("securityContext") or {}).get(profile) is not None


def _container_profiles(meta: Obj, spec: Obj, container: Obj, root: str) -> Iterator[str]:
    annotations, name = meta.get("annotations") or {}, container.get("name") or ""
    key = f"{SECCOMP_CONTAINER}{name}"
    if key in annotations and not _has(container, "seccompProfile"):
        yield f"{root}metadata.annotations[{key}]: {_NO_SECCOMP}"
    key = f"{APPARMOR_CONTAINER}{name}"
    if not root or key not in annotations or _has(container, "appArmorProfile"):
        return
    of_pod = (spec.get("securityContext") or {}).get("appArmorProfile")
    if of_pod is None or of_pod != apparmor_profile(annotations[key]):
        yield f"{root}metadata.annotations[{key}]: {OLD_APPARMOR}"


def _addresses(spec: Obj, path: str) -> Iterator[str]:
    for index, server in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or []):
        yield from address_warnings(server, f"{path}.dnsConfig.nameservers[{index}]")
    for index, alias in enumerate(spec.get("hostAliases") or []):
        yield from address_warnings(alias.get("ip") or "", f"{path}.hostAliases[{index}].ip")


def _overlaps(spec: Obj) -> Iterator[str]:
    """Files of one volume that get into each other's way. Models warningsForOverlappingVirtualPaths."""
    for volume in spec.get("volumes") or []:
        for source, field, shown in _FILES:
            files = volume.get(source)
            if files is None:
                continue
            what = f"{shown} {go_quote(files.get(field) or '')}" if field else shown
            yield from _clashes(volume, what, [(item.get("path") or "", "") for item in files.get("items") or []])
        if volume.get("projected") is not None:
            sources = volume["projected"].get("sources") or []
            if any(not source for source in sources):
                yield f"volume {go_quote(volume.get('name') or '')} (Projected) has no sources provided"
            yield from _clashes(volume, "Projected", [file for source in sources for file in _projected(source)])


def _projected(source: Obj) -> Iterator[tuple[str, str]]:
    for kind, shown in (("configMap", "ConfigMap"), ("secret", "Secret"), ("downwardAPI", "DownwardAPI")):
        if (source.get(kind) or {}).get("items"):
            name = f" {go_quote(source[kind].get('name') or '')}" if kind != "downwardAPI" else ""
            for item in source[kind]["items"]:
                yield item.get("path") or "", f"{shown}{name}"
            return
    if source.get("serviceAccountToken") is not None:
        yield source["serviceAccountToken"].get("path") or "", "ServiceAccountToken"


def _clashes(volume: Obj, what: str, files: list[tuple[str, str]]) -> Iterator[str]:
    trimmed = [(target.rstrip("/"), source) for target, source in files]
    for index, (target, source) in enumerate(trimmed):
        for other, other_source in trimmed[:index]:
            below = f"{other}/".startswith(f"{target}/") or f"{target}/".startswith(f"{other}/")
            if target and other and below:
                pair = f"{_file(target, source)} with {_file(other, other_source)}"
                yield f"volume {go_quote(volume.get('name') or '')} ({what}): overlapping paths: {pair}"


def _file(target: str, source: str) -> str:
    return f"{go_quote(target)} ({source})" if source else go_quote(target)


def _containers(meta: Obj, spec: Obj, root: str) -> Iterator[str]:
    for container, where in visit_containers(spec, f"{root}spec"):
        yield from _container_profiles(meta, spec, container, root)
        resources = container.get("resources") or {}
        for name in _BYTES:
            for kind in ("limits", "requests"):
                yield from _fractional((resources.get(kind) or {}).get(name), f"{where}.resources.{kind}[{name}]")
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
    for container, where in visit_containers(spec, path):
        for index, port in enumerate(container.get("ports") or []):
            here = f"{where}.ports[{index}]"
            if port.get("hostIP") and not port.get("hostPort"):
                yield f"{here}: hostIP set without hostPort: {_go_port(port)}"
            others = seen.setdefault((port.get("containerPort") or 0, port.get("protocol") or ""), [])
            for place, other in others:
                if clash := _clash(port, other):
                    yield f"{here}: {clash} port definition with {place}"
            others.append((here, port))
    names: dict[str, str] = {}
    for container, where in visit_containers(spec, path):
        for index, port in enumerate(container.get("ports") or []):
            here, name = f"{where}.ports[{index}]", port.get("name") or ""
            if name in names:
                why = f"services and probes that select ports by name will use {names[name]}"
                yield f"{here}: duplicate port name {go_quote(name)} with {names[name]}, {why}"
            elif name:
                names[name] = here


def _go_port(port: Obj) -> str:
    """A port as Go's %+v shows it."""
    fields = ("name", "hostPort", "containerPort", "protocol", "hostIP")
    values = (port.get(field) or (0 if field.endswith("Port") else "") for field in fields)
    shown = (f"{field[0].upper()}{field[1:]}:{value}" for field, value in zip(fields, values, strict=True))
    return "{" + " ".join(shown) + "}"


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
