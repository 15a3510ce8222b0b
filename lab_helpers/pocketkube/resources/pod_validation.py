"""What is allowed in a Pod's spec, volumes and containers apart. Models core/validation ValidatePodSpec (v1.36)."""

from __future__ import annotations

import re

from ..api.status import (
    Cause,
    duplicate,
    forbidden_field,
    invalid_value,
    missing_reference,
    not_supported,
    required,
    too_long,
)
from ..objects import Obj
from .causes import invalid_each
from .container_validation import Surroundings, validate_containers, validate_images
from .metadata import validate_annotations, validate_labels
from .naming import (
    ip_problems,
    label_key_problems,
    label_problems,
    label_value_problems,
    subdomain_problems,
    underscored_subdomain_problems,
)
from .pod_scheduling import validate_affinity, validate_spread
from .resource_validation import validate_amount, validate_container_resource_name, validate_pod_resources
from .security_validation import (
    validate_host_users,
    validate_pod_security,
    validate_profile_agreement,
    validate_profile_annotations,
    visit_containers,
)
from .volume_validation import validate_volumes
from .windows_validation import validate_host_process, validate_os

RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_PREEMPTION = ("PreemptLowerPriority", "Never")
_MOST_INT32 = 2**31 - 1
_MOST_NAMESERVERS, _MOST_SEARCHES, _LONGEST_SEARCHES = 3, 32, 2048
_LONGEST_HOST_NAME = 64
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_MIRROR = "kubernetes.io/config.mirror"
_INTEGER = r"(0|-?[1-9][0-9]*)"


def validate_pod(obj: Obj) -> list[Cause]:
    """The spec of a Pod. Models validatePodMetadataAndSpec."""
    spec, meta = obj["spec"], obj["metadata"]
    causes = validate_pod_annotations(meta.get("annotations") or {}, spec, "metadata.annotations")
    causes += validate_pod_spec(spec, "spec", is_pod=True, pod_name=meta.get("name") or "")
    return causes + validate_images(spec, "spec")


def validate_new_pod(obj: Obj) -> list[Cause]:
    """What is wrong with a Pod that is created. Models ValidatePodCreate."""
    causes, spec = validate_pod(obj), obj["spec"]
    if spec.get("ephemeralContainers"):
        causes.append(forbidden_field("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        why = "cannot be set until all schedulingGates have been cleared"
        causes.append(forbidden_field("spec.nodeName", why))
    return causes + validate_profile_agreement(obj["metadata"].get("annotations") or {}, spec, "spec")


def validate_pod_annotations(annotations: Obj, spec: Obj, path: str) -> list[Cause]:
    """Annotations that have a meaning. Models ValidatePodSpecificAnnotations."""
    causes: list[Cause] = []
    if _MIRROR in annotations and not spec.get("nodeName"):
        why = "must set spec.nodeName if mirror pod annotation is set"
        causes.append(invalid_value(f"{path}[{_MIRROR}]", annotations[_MIRROR], why))
    cost = annotations.get(_DELETION_COST)
    if cost is not None and not (re.fullmatch(_INTEGER, cost) and -_MOST_INT32 - 1 <= int(cost) <= _MOST_INT32):
        causes.append(invalid_value(f"{path}[{_DELETION_COST}]", cost, "must be a 32bit integer"))
    return causes + validate_profile_annotations(annotations, spec, path)


def validate_pod_spec(spec: Obj, path: str, *, is_pod: bool = False, pod_name: str = "") -> list[Cause]:
    """The spec of a Pod or of a template."""
    volumes, causes = validate_volumes(spec.get("volumes") or [], f"{path}.volumes", pod_name, of_pod=is_pod)
    around = Surroundings(spec, volumes)
    causes += _validate_claims(spec.get("resourceClaims") or [], f"{path}.resourceClaims")
    causes += validate_containers(spec, around, path)
    causes += validate_pod_resources(spec, around.claims, path)
    causes += _validate_host_ports(spec, path, is_pod)
    if spec.get("restartPolicy") not in RESTART_POLICIES:
        causes.append(not_supported(f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES))
    if spec.get("dnsPolicy") not in _DNS_POLICIES:
        causes.append(not_supported(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES))
    causes += validate_labels(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    causes += validate_pod_security(spec.get("securityContext") or {}, spec, f"{path}.securityContext")
    causes += validate_affinity(spec.get("affinity") or {}, f"{path}.affinity")
    causes += _validate_dns(spec, f"{path}.dnsConfig")
    causes += _validate_gates(spec, path)
    causes += validate_spread(spec.get("topologySpreadConstraints") or [], f"{path}.topologySpreadConstraints")
    containers = [*visit_containers(spec, path)]
    causes += validate_host_process(spec, containers, path) + validate_host_users(spec, path)
    causes += _validate_host_name(spec, path) + _validate_names(spec, path)
    causes += validate_tolerations(spec.get("tolerations") or [], f"{path}.tolerations")
    causes += _validate_host_aliases(spec.get("hostAliases") or [], f"{path}.hostAliases")
    causes += _validate_priority(spec, path)
    for name, amount in sorted((spec.get("overhead") or {}).items()):
        where = f"{path}.overhead.limits[{name}]"
        causes += validate_container_resource_name(name, where) + validate_amount(name, amount, where)
    return causes + validate_os(spec, containers, path) + _validate_files_read(spec, containers)


def _validate_claims(claims: list[Obj], path: str) -> list[Cause]:
    """Devices that are claimed. Models validatePodResourceClaims."""
    causes: list[Cause] = []
    names: set[str] = set()
    for index, claim in enumerate(claims):
        where, name = f"{path}[{index}]", claim.get("name") or ""
        if not name:
            causes.append(required(f"{where}.name"))
        elif name in names:
            causes.append(duplicate(f"{where}.name", name))
        else:
            causes += invalid_each(f"{where}.name", name, label_problems(name))
        names.add(name)
        fields = ("resourceClaimName", "resourceClaimTemplateName")
        given = [field for field in fields if claim.get(field) is not None]
        shown = {"Name": name, **{field[0].upper() + field[1:]: claim.get(field) for field in fields}}
        if len(given) == 2:
            why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            causes.append(invalid_value(where, shown, why))
        if not given:
            why = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            causes.append(invalid_value(where, shown, why))
        for field in given:
            causes += invalid_each(f"{where}.{field}", claim[field], subdomain_problems(claim[field]))
    return causes


def _validate_files_read(spec: Obj, containers: list[tuple[Obj, str]]) -> list[Cause]:
    """Variables that are read from a file: it lies in an emptyDir. Models validateFileKeyRefVolumes."""
    volumes = {volume.get("name"): volume for volume in spec.get("volumes") or []}
    causes: list[Cause] = []
    for container, where in containers:
        for index, variable in enumerate(container.get("env") or []):
            reference = (variable.get("valueFrom") or {}).get("fileKeyRef")
            if reference is None:
                continue
            name, path = reference.get("volumeName") or "", f"{where}.env[{index}].valueFrom.fileKeyRef.volumeName"
            if name not in volumes:
                causes.append(missing_reference(path, name))
            elif volumes[name].get("emptyDir") is None:
                causes.append(invalid_value(path, name, "referenced volume must be of type emptyDir"))
    return causes


def _validate_host_name(spec: Obj, path: str) -> list[Cause]:
    """Models validatePodHostName."""
    name, where = spec.get("hostnameOverride"), f"{path}.hostnameOverride"
    if name is None:
        return []
    causes: list[Cause] = []
    if spec.get("setHostnameAsFQDN"):
        causes.append(forbidden_field(where, "may not be specified when setHostnameAsFQDN is true"))
    if spec.get("hostNetwork"):
        causes.append(forbidden_field(where, "may not be specified when hostNetwork is true"))
    if len(name) > _LONGEST_HOST_NAME:
        causes.append(too_long(where, _LONGEST_HOST_NAME))
    return causes + invalid_each(where, name, subdomain_problems(name))


def validate_template_spec(template: Obj, path: str) -> list[Cause]:
    """The Pods to come of anything. Models ValidatePodTemplateSpec."""
    meta, spec = template.get("metadata") or {}, template["spec"]
    annotations = meta.get("annotations") or {}
    causes = validate_labels(meta.get("labels") or {}, f"{path}.labels")
    causes += validate_annotations(annotations, f"{path}.annotations")
    causes += validate_pod_annotations(annotations, spec, f"{path}.annotations")
    causes += validate_pod_spec(spec, f"{path}.spec")
    causes += validate_profile_agreement(annotations, spec, f"{path}.spec", of_seccomp_only=True)
    if spec.get("ephemeralContainers"):
        why = "ephemeral containers not allowed in pod template"
        causes.append(forbidden_field(f"{path}.spec.ephemeralContainers", why))
    return causes


def validate_template(template: Obj, path: str, owner: str) -> list[Cause]:
    """The template of a controller that keeps its Pods running."""
    spec, causes = template["spec"], validate_template_spec(template, path)
    if spec.get("restartPolicy") != "Always":
        causes.append(not_supported(f"{path}.spec.restartPolicy", spec.get("restartPolicy"), ["Always"]))
    if spec.get("activeDeadlineSeconds") is not None:
        why = f"activeDeadlineSeconds in {owner} is not Supported"
        causes.append(forbidden_field(f"{path}.spec.activeDeadlineSeconds", why))
    return causes


def _validate_host_ports(spec: Obj, path: str, is_pod: bool) -> list[Cause]:
    if not spec.get("hostNetwork"):
        return []
    causes: list[Cause] = []
    for index, container in enumerate(spec.get("containers") or []):
        for number, port in enumerate(container.get("ports") or []):
            on_host, inside = port.get("hostPort") or 0, port.get("containerPort") or 0
            if (is_pod or on_host) and on_host != inside:
                where = f"{path}.containers[{index}].ports[{number}].hostPort"
                why = "must match `containerPort` when `hostNetwork` is true"
                causes.append(invalid_value(where, on_host, why))
    return causes


def _validate_dns(spec: Obj, path: str) -> list[Cause]:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            return [required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [required(f"{path}.nameservers", why)]
    servers, searches = (config or {}).get("nameservers") or [], (config or {}).get("searches") or []
    causes: list[Cause] = []
    if len(servers) > _MOST_NAMESERVERS:
        why = f"must not have more than {_MOST_NAMESERVERS} nameservers"
        causes.append(invalid_value(f"{path}.nameservers", servers, why))
    for index, server in enumerate(servers):
        causes += [invalid_value(f"{path}.nameservers[{index}]", server, problem) for problem in ip_problems(server)]
    if len(searches) > _MOST_SEARCHES:
        why = f"must not have more than {_MOST_SEARCHES} search paths"
        causes.append(invalid_value(f"{path}.searches", searches, why))
    if len(" ".join(searches)) > _LONGEST_SEARCHES:
        why = f"must not have more than {_LONGEST_SEARCHES} characters (including spaces) in the search list"
        causes.append(invalid_value(f"{path}.searches", searches, why))
    for index, search in enumerate(searches):
        if search != ".":
            name = search.removesuffix(".")
            causes += invalid_each(f"{path}.searches[{index}]", name, underscored_subdomain_problems(name))
    for index, option in enumerate((config or {}).get("options") or []):
        if not option.get("name"):
            causes.append(required(f"{path}.options[{index}]", "must not be empty"))
    return causes


def _validate_gates(spec: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, gate in enumerate(spec.get("readinessGates") or []):
        kind = gate.get("conditionType") or ""
        where = f"{path}.readinessGates[{index}].conditionType"
        causes += [invalid_value(where, kind, problem) for problem in label_key_problems(kind)]
    seen: set[str] = set()
    for index, gate in enumerate(spec.get("schedulingGates") or []):
        name = gate.get("name") or ""
        where = f"{path}.schedulingGates[{index}]"
        causes += invalid_each(where, name, label_key_problems(name))
        causes += [duplicate(where, name)] if name in seen else []
        seen.add(name)
    return causes


def _validate_names(spec: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for field in ("serviceAccountName", "nodeName"):
        value = spec.get(field)
        if value:
            causes += [invalid_value(f"{path}.{field}", value, problem) for problem in subdomain_problems(value)]
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MOST_INT32:
        bounds = f"must be between 1 and {_MOST_INT32}, inclusive"
        causes.append(invalid_value(f"{path}.activeDeadlineSeconds", deadline, bounds))
    for field in ("hostname", "subdomain"):
        value = spec.get(field)
        if value:
            causes += [invalid_value(f"{path}.{field}", value, problem) for problem in label_problems(value)]
    return causes


def _validate_priority(spec: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    name = spec.get("priorityClassName") or ""
    if name:
        causes += [invalid_value(f"{path}.priorityClassName", name, problem) for problem in subdomain_problems(name)]
    name = spec.get("runtimeClassName")
    if name is not None:
        causes += invalid_each(f"{path}.runtimeClassName", name, subdomain_problems(name))
    policy = spec.get("preemptionPolicy")
    if policy is not None and policy not in _PREEMPTION:
        causes.append(not_supported(f"{path}.preemptionPolicy", policy, _PREEMPTION))
    return causes


def validate_tolerations(tolerations: list[Obj], path: str) -> list[Cause]:
    """What a Pod puts up with."""
    causes: list[Cause] = []
    for index, toleration in enumerate(tolerations):
        causes += _validate_toleration(toleration, f"{path}[{index}]")
    return causes


def _validate_toleration(toleration: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    key, operator = toleration.get("key") or "", toleration.get("operator") or ""
    effect, value = toleration.get("effect") or "", toleration.get("value") or ""
    if key:
        causes += [invalid_value(f"{path}.key", key, problem) for problem in label_key_problems(key)]
    if not key and operator != "Exists":
        why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        causes.append(invalid_value(f"{path}.operator", operator, why))
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        causes.append(invalid_value(f"{path}.effect", effect, why))
    if operator in ("", "Equal"):
        problems = label_value_problems(value)
        causes += [invalid_value(f"{path}.operator", value, ";".join(problems))] if problems else []
    elif operator in ("Lt", "Gt"):
        causes.append(not_supported(f"{path}.operator", operator, ["Equal", "Exists", "Lt", "Gt"]))
    elif operator != "Exists":
        causes.append(not_supported(f"{path}.operator", operator, ["Equal", "Exists"]))
    elif value:
        causes.append(invalid_value(f"{path}.operator", value, "value must be empty when `operator` is 'Exists'"))
    if effect and effect not in _EFFECTS:
        causes.append(not_supported(f"{path}.effect", effect, _EFFECTS))
    return causes


def _validate_host_aliases(aliases: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, alias in enumerate(aliases):
        address = alias.get("ip") or ""
        causes += [invalid_value(f"{path}[{index}].ip", address, problem) for problem in ip_problems(address)]
        for number, name in enumerate(alias.get("hostnames") or []):
            where = f"{path}[{index}].hostnames[{number}]"
            causes += [invalid_value(where, name, problem) for problem in subdomain_problems(name)]
    return causes
