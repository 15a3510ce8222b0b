"""What is allowed in a Pod's spec, volumes and containers apart. Models core/validation ValidatePodSpec (v1.36)."""

from __future__ import annotations

from typing import Any

from ..api.status import Cause, forbidden_field, invalid_value, not_supported, required
from ..objects import Obj
from .container_validation import validate_containers
from .metadata import validate_labels
from .naming import ip_problems, label_key_problems, label_problems, label_value_problems, subdomain_problems
from .volume_validation import validate_volumes

_DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_LONGEST_DEADLINE = 2**31 - 1
_MOST_ID = 2**32 - 1


def validate_pod_spec(spec: Obj, path: str, meta: Obj | None = None) -> list[Cause]:
    """A Pod's spec. `meta` is that of the Pod, or of the template it is part of."""
    volumes, causes = validate_volumes(spec.get("volumes") or [], f"{path}.volumes")
    causes += validate_containers(spec, volumes, path)
    if spec.get("restartPolicy") not in ("Always", "OnFailure", "Never"):
        causes.append(
            not_supported(f"{path}.restartPolicy", spec.get("restartPolicy"), ["Always", "OnFailure", "Never"])
        )
    if spec.get("dnsPolicy") not in _DNS_POLICIES:
        causes.append(not_supported(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES))
    causes += validate_labels(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    causes += _validate_security(spec.get("securityContext") or {}, f"{path}.securityContext")
    causes += _validate_pull_secrets(spec.get("imagePullSecrets") or [], f"{path}.imagePullSecrets")
    causes += _validate_dns(spec, path)
    causes += _validate_names(spec, path)
    causes += _validate_tolerations(spec.get("tolerations") or [], f"{path}.tolerations")
    causes += _validate_host_aliases(spec.get("hostAliases") or [], f"{path}.hostAliases")
    return causes


def _validate_security(context: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for field in ("fsGroup", "runAsUser", "runAsGroup"):
        value = context.get(field)
        if value is not None and not 0 <= value <= _MOST_ID:
            causes.append(invalid_value(f"{path}.{field}", value, f"must be between 0 and {_MOST_ID}, inclusive"))
    return causes


def _validate_pull_secrets(references: list[Obj], path: str) -> list[Cause]:
    return [required(f"{path}[{index}].name") for index, each in enumerate(references) if not each.get("name")]


def _validate_dns(spec: Obj, path: str) -> list[Cause]:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") != "None":
        return []
    if config is None:
        return [required(f"{path}.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")]
    if not config.get("nameservers"):
        why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        return [required(f"{path}.dnsConfig.nameservers", why)]
    return []


def _validate_names(spec: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for field, problems in (("serviceAccountName", subdomain_problems), ("nodeName", subdomain_problems)):
        value = spec.get(field)
        if value:
            causes += [invalid_value(f"{path}.{field}", value, problem) for problem in problems(value)]
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _LONGEST_DEADLINE:
        bounds = f"must be between 1 and {_LONGEST_DEADLINE}, inclusive"
        causes.append(invalid_value(f"{path}.activeDeadlineSeconds", deadline, bounds))
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        why = "must be greater than or equal to 0"
        causes.append(invalid_value(f"{path}.terminationGracePeriodSeconds", grace, why))
    for field in ("hostname", "subdomain"):
        value = spec.get(field)
        if value:
            causes += [invalid_value(f"{path}.{field}", value, problem) for problem in label_problems(value)]
    return causes


def _validate_tolerations(tolerations: list[Obj], path: str) -> list[Cause]:
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
        why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\""
        causes.append(invalid_value(f"{path}.operator", operator, why))
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        causes.append(invalid_value(f"{path}.effect", effect, why))
    if operator in ("", "Equal"):
        causes += [invalid_value(f"{path}.operator", value, problem) for problem in label_value_problems(value)[:1]]
    elif operator == "Exists" and value:
        why = "value must be empty when `operator` is 'Exists'"
        causes.append(invalid_value(f"{path}.operator", _shown(toleration), why))
    elif operator != "Exists":
        causes.append(not_supported(f"{path}.operator", operator, ["Equal", "Exists"]))
    if effect and effect not in _EFFECTS:
        causes.append(not_supported(f"{path}.effect", effect, _EFFECTS))
    return causes


def _shown(toleration: Obj) -> Any:
    """A toleration as the server's own type prints."""
    return {
        "Key": toleration.get("key") or "",
        "Operator": toleration.get("operator") or "",
        "Value": toleration.get("value") or "",
        "Effect": toleration.get("effect") or "",
        "TolerationSeconds": toleration.get("tolerationSeconds"),
    }


def _validate_host_aliases(aliases: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, alias in enumerate(aliases):
        address = alias.get("ip") or ""
        causes += [invalid_value(f"{path}[{index}].ip", address, problem) for problem in ip_problems(address)]
        for number, name in enumerate(alias.get("hostnames") or []):
            where = f"{path}[{index}].hostnames[{number}]"
            causes += [invalid_value(where, name, problem) for problem in subdomain_problems(name)]
    return causes


def validate_template(template: Obj, path: str, only_policy: str = "Always") -> list[Cause]:
    """A Pod template. Controllers that keep Pods running take no other restart policy."""
    meta, spec = template.get("metadata") or {}, template["spec"]
    causes = validate_labels(meta.get("labels") or {}, f"{path}.metadata.labels")
    causes += validate_pod_spec(spec, f"{path}.spec", meta)
    if spec.get("ephemeralContainers"):
        why = "ephemeral containers not allowed in pod template"
        causes.append(forbidden_field(f"{path}.spec.ephemeralContainers", why))
    if spec.get("restartPolicy") != only_policy:
        causes = [cause for cause in causes if cause.field != f"{path}.spec.restartPolicy"]
        causes.append(not_supported(f"{path}.spec.restartPolicy", spec.get("restartPolicy"), [only_policy]))
    return causes
