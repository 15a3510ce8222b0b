"""What is allowed in a container. Models core/validation validateContainers (v1.36)."""

from __future__ import annotations

from typing import Any

from .. import quantity
from ..api.status import Cause, duplicate, forbidden_field, invalid_value, missing_reference, not_supported, required
from ..objects import Obj, is_sidecar
from .naming import (
    config_key_problems,
    env_name_problems,
    label_key_problems,
    label_problems,
    port_name_problems,
    port_number_problems,
    subdomain_problems,
)
from .service_validation import PROTOCOLS, validate_port_or_name

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_NOT_NEGATIVE = "must be greater than or equal to 0"
_MOST_ID = 2**31 - 1
_STANDARD_RESOURCES = ("cpu", "ephemeral-storage", "memory")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_FIELD_PATHS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_FIELD_MAPS = ("metadata.annotations", "metadata.labels")
_RESOURCE_FIELDS = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory",
    "requests.cpu", "requests.ephemeral-storage", "requests.memory",
)  # fmt: skip
_HUGE_FIELDS = ("limits.hugepages-", "requests.hugepages-")


def validate_containers(spec: Obj, volumes: set[str], path: str) -> list[Cause]:
    """All containers of a Pod: their names are unique among all."""
    containers = spec.get("containers") or []
    causes: list[Cause] = [] if containers else [required(f"{path}.containers")]
    names: set[str] = set()
    grace = spec.get("terminationGracePeriodSeconds")
    for index, container in enumerate(containers):
        where = f"{path}.containers[{index}]"
        causes += _validate_common(container, volumes, where) + _validate_unique(container, names, where)
        causes += _validate_life(container, grace, where)
    causes += _validate_host_ports(containers, f"{path}.containers")
    for index, container in enumerate(spec.get("initContainers") or []):
        where = f"{path}.initContainers[{index}]"
        causes += _validate_common(container, volumes, where) + _validate_unique(container, names, where)
        causes += _validate_init(container, grace, where)
    for index, container in enumerate(spec.get("ephemeralContainers") or []):
        where = f"{path}.ephemeralContainers[{index}]"
        causes += _validate_common(container, volumes, where) + _image_causes(container, where)
        causes += _validate_unique(container, names, where) + _validate_target(container, spec, where)
        causes += _validate_ephemeral(container, where)
    return causes


def validate_ids(context: Obj, fields: tuple[str, ...], path: str) -> list[Cause]:
    """User and group numbers of a security context."""
    bounds = f"must be between 0 and {_MOST_ID}, inclusive"
    return [
        invalid_value(f"{path}.securityContext.{field}", context[field], bounds)
        for field in fields
        if context.get(field) is not None and not 0 <= context[field] <= _MOST_ID
    ]


def validate_images(spec: Obj, path: str) -> list[Cause]:
    """What is asked of the images of a Pod, but not of a template's."""
    return [
        cause
        for kind in ("containers", "initContainers")
        for index, container in enumerate(spec.get(kind) or [])
        for cause in _image_causes(container, f"{path}.{kind}[{index}]")
    ]


def _image_causes(container: Obj, path: str) -> list[Cause]:
    image = container.get("image") or ""
    if image == image.strip():
        return []
    return [invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace")]


def _validate_unique(container: Obj, names: set[str], path: str) -> list[Cause]:
    name = container.get("name") or ""
    causes = [duplicate(f"{path}.name", name)] if name in names else []
    names.add(name)
    return causes


def _validate_host_ports(containers: list[Obj], path: str) -> list[Cause]:
    taken: set[str] = set()
    causes: list[Cause] = []
    for index, container in enumerate(containers):
        for number, port in enumerate(container.get("ports") or []):
            if not port.get("hostPort"):
                continue
            text = f"{port['protocol']}/{port.get('hostIP') or ''}/{port['hostPort']}"
            if text in taken:
                causes.append(duplicate(f"{path}[{index}].ports[{number}].hostPort", text))
            taken.add(text)
    return causes


def _validate_target(container: Obj, spec: Obj, path: str) -> list[Cause]:
    """The container that an ephemeral one looks into."""
    target = container.get("targetContainerName") or ""
    others = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    if not target or any(other.get("name") == target for other in others):
        return []
    return [missing_reference(f"{path}.targetContainerName", target)]


def _validate_ephemeral(container: Obj, path: str) -> list[Cause]:
    return [
        forbidden_field(f"{path}.{field}", "cannot be set for an Ephemeral Container")
        for field in ("ports", "resources", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
        if container.get(field)
    ]


def _validate_init(container: Obj, grace: int | None, path: str) -> list[Cause]:
    if is_sidecar(container):
        return _validate_life(container, grace, path)
    why = "may not be set for init containers without restartPolicy=Always"
    fields = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
    return [forbidden_field(f"{path}.{field}", why) for field in fields if container.get(field) is not None]


def _validate_life(container: Obj, grace: int | None, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for hook in ("postStart", "preStop"):
        handler = (container.get("lifecycle") or {}).get(hook)
        if handler is not None:
            causes += _validate_handler(handler, _HOOK_HANDLERS, f"{path}.lifecycle.{hook}")
            causes += _validate_sleep(handler, grace, f"{path}.lifecycle.{hook}.sleep")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe) is not None:
            causes += _validate_probe(container[probe], probe, f"{path}.{probe}")
    return causes


def _validate_sleep(handler: Obj, grace: int | None, path: str) -> list[Cause]:
    if handler.get("sleep") is None or grace is None:
        return []
    seconds = handler["sleep"].get("seconds") or 0
    why = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
    return [] if 0 <= seconds <= grace else [invalid_value(path, seconds, why)]


def _validate_common(container: Obj, volumes: set[str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    name, image = container.get("name") or "", container.get("image") or ""
    if not name:
        causes.append(required(f"{path}.name"))
    else:
        causes += [invalid_value(f"{path}.name", name, problem) for problem in label_problems(name)]
    if not image:
        causes.append(required(f"{path}.image"))
    if container["terminationMessagePolicy"] not in _MESSAGE_POLICIES:
        field = f"{path}.terminationMessagePolicy"
        causes.append(not_supported(field, container["terminationMessagePolicy"], _MESSAGE_POLICIES))
    causes += _validate_ports(container.get("ports") or [], f"{path}.ports")
    causes += _validate_environment(container.get("env") or [], f"{path}.env")
    causes += _validate_env_from(container.get("envFrom") or [], f"{path}.envFrom")
    causes += _validate_mounts(container.get("volumeMounts") or [], volumes, f"{path}.volumeMounts")
    if container["imagePullPolicy"] not in _PULL_POLICIES:
        causes.append(not_supported(f"{path}.imagePullPolicy", container["imagePullPolicy"], _PULL_POLICIES))
    causes += _validate_resources(container.get("resources") or {}, f"{path}.resources")
    return causes + validate_ids(container.get("securityContext") or {}, ("runAsUser", "runAsGroup"), path)


def _validate_ports(ports: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        where, name = f"{path}[{index}]", port.get("name") or ""
        if name:
            problems = port_name_problems(name)
            causes += [invalid_value(f"{where}.name", name, problem) for problem in problems]
            if not problems and name in names:
                causes.append(duplicate(f"{where}.name", name))
            names.add(name)
        number, host = port.get("containerPort") or 0, port.get("hostPort") or 0
        if number == 0:
            causes.append(required(f"{where}.containerPort"))
        else:
            problems = port_number_problems(number)
            causes += [invalid_value(f"{where}.containerPort", number, problem) for problem in problems]
        if host:
            causes += [invalid_value(f"{where}.hostPort", host, problem) for problem in port_number_problems(host)]
        if port["protocol"] not in PROTOCOLS:
            causes.append(not_supported(f"{where}.protocol", port["protocol"], PROTOCOLS))
    return causes


def _validate_environment(variables: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, variable in enumerate(variables):
        where, name = f"{path}[{index}]", variable.get("name") or ""
        if not name:
            causes.append(required(f"{where}.name"))
        else:
            causes += [invalid_value(f"{where}.name", name, problem) for problem in env_name_problems(name)]
        if variable.get("valueFrom") is not None:
            causes += _validate_value_from(variable, f"{where}.valueFrom")
    return causes


def _validate_value_from(variable: Obj, path: str) -> list[Cause]:
    source = variable["valueFrom"]
    causes: list[Cause] = []
    if source.get("fieldRef") is not None:
        causes += _validate_field_ref(source["fieldRef"], f"{path}.fieldRef")
    if source.get("resourceFieldRef") is not None:
        causes += _validate_resource_ref(source["resourceFieldRef"], f"{path}.resourceFieldRef")
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if source.get(kind) is not None:
            causes += _validate_key_ref(source[kind], f"{path}.{kind}")
    if not source:
        why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        causes.append(invalid_value(path, "", why))
    elif variable.get("value"):
        causes.append(invalid_value(path, "", "may not be specified when `value` is not empty"))
    elif len(source) > 1:
        causes.append(invalid_value(path, "", "may not have more than one field specified at a time"))
    return causes


def _validate_key_ref(reference: Obj, path: str) -> list[Cause]:
    name, key = reference.get("name") or "", reference.get("key") or ""
    causes = [invalid_value(f"{path}.name", name, problem) for problem in subdomain_problems(name)]
    if not key:
        return [*causes, required(f"{path}.key")]
    return causes + [invalid_value(f"{path}.key", key, problem) for problem in config_key_problems(key)]


def _validate_field_ref(reference: Obj, path: str) -> list[Cause]:
    field = reference.get("fieldPath") or ""
    if not field:
        return [required(f"{path}.fieldPath")]
    name, bracket, rest = field.partition("['")
    if bracket and rest.endswith("']"):
        if name not in _FIELD_MAPS:
            return [invalid_value(path, name, "does not support subscript")]
        key = rest.removesuffix("']")
        checked = key.lower() if name == "metadata.annotations" else key
        return [invalid_value(path, checked, problem) for problem in label_key_problems(checked)]
    if field in _FIELD_MAPS:
        return [not_supported(f"{path}.fieldPath", field, _FIELD_PATHS)]
    if field not in _FIELD_PATHS:
        why = f"error converting fieldPath: field label not supported: {field}"
        return [invalid_value(f"{path}.fieldPath", field, why)]
    return []


def _validate_resource_ref(reference: Obj, path: str) -> list[Cause]:
    resource = reference.get("resource") or ""
    if not resource:
        return [required(f"{path}.resource")]
    if resource in _RESOURCE_FIELDS or resource.startswith(_HUGE_FIELDS):
        return []
    return [not_supported(f"{path}.resource", resource, _RESOURCE_FIELDS)]


def _validate_env_from(sources: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, source in enumerate(sources):
        where, prefix = f"{path}[{index}]", source.get("prefix") or ""
        if prefix:
            causes += [invalid_value(f"{where}.prefix", prefix, problem) for problem in env_name_problems(prefix)]
        kinds = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        for kind in kinds:
            name = source[kind].get("name") or ""
            causes += [] if name else [required(f"{where}.{kind}.name")]
            problems = subdomain_problems(name) if name else []
            causes += [invalid_value(f"{where}.{kind}.name", name, problem) for problem in problems]
        if not kinds:
            causes.append(invalid_value(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(kinds) > 1:
            causes.append(invalid_value(path, "", "may not have more than one field specified at a time"))
    return causes


def _validate_mounts(mounts: list[Obj], volumes: set[str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    targets: set[str] = set()
    for index, mount in enumerate(mounts):
        where, name, target = f"{path}[{index}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            causes.append(required(f"{where}.name"))
        if name not in volumes:
            causes.append(missing_reference(f"{where}.name", name))
        if not target:
            causes.append(required(f"{where}.mountPath"))
        if target in targets:
            causes.append(invalid_value(f"{where}.mountPath", target, "must be unique"))
        targets.add(target)
        sub_path = mount.get("subPath") or ""
        if sub_path.startswith("/"):
            causes.append(invalid_value(f"{path}.subPath", sub_path, "must be a relative path"))
        if ".." in sub_path.split("/"):
            causes.append(invalid_value(f"{path}.subPath", sub_path, "must not contain '..'"))
    return causes


def _validate_resources(resources: Obj, path: str) -> list[Cause]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    causes: list[Cause] = []
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in sorted(amounts.items()):
            causes += _validate_resource_name(name, f"{path}.{kind}[{name}]")
            if quantity.value(amount) < 0:
                causes.append(invalid_value(f"{path}.{kind}[{name}]", amount, _NOT_NEGATIVE))
            if "/" in name and quantity.value(amount) % 1:
                causes.append(invalid_value(f"{path}.{kind}[{name}]", amount, "must be an integer"))
    for name, amount in sorted(requests.items()):
        if "/" in name or name.startswith("hugepages-"):
            causes += _validate_not_overcommitted(name, amount, limits, path)
        elif name in limits and quantity.value(amount) > quantity.value(limits[name]):
            why = f"must be less than or equal to {name} limit of {limits[name]}"
            causes.append(invalid_value(f"{path}.requests", amount, why))
    return causes


def _validate_not_overcommitted(name: str, amount: str, limits: Obj, path: str) -> list[Cause]:
    """Devices are counted: no more of them can be promised than there are."""
    if name not in limits:
        return [required(f"{path}.limits", "Limit must be set for non overcommitable resources")]
    if quantity.value(amount) == quantity.value(limits[name]):
        return []
    return [invalid_value(f"{path}.requests", amount, f"must be equal to {name} limit of {limits[name]}")]


def _validate_resource_name(name: str, path: str) -> list[Cause]:
    problems = label_key_problems(name)
    if problems:
        return [invalid_value(path, name, problem) for problem in problems]
    if "/" in name or name in _STANDARD_RESOURCES or name.startswith("hugepages-"):
        return []
    why = "must be a standard resource type or fully qualified"
    return [invalid_value(path, name, why), invalid_value(path, name, "must be a standard resource for containers")]


def _validate_probe(probe: Obj, kind: str, path: str) -> list[Cause]:
    causes = _validate_handler(probe, _HANDLERS, path)
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        if probe.get(field, 0) < 0:
            causes.append(invalid_value(f"{path}.{field}", probe[field], _NOT_NEGATIVE))
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        causes.append(invalid_value(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0"))
    if grace is not None and kind == "readinessProbe":
        why = "must not be set for readinessProbes"
        causes.append(invalid_value(f"{path}.terminationGracePeriodSeconds", grace, why))
    if kind != "readinessProbe" and probe["successThreshold"] != 1:
        causes.append(invalid_value(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))
    return causes


def _validate_handler(handler: Obj, kinds: tuple[str, ...], path: str) -> list[Cause]:
    causes: list[Cause] = []
    given = [kind for kind in kinds if handler.get(kind) is not None]
    if not given:
        return [required(path, "must specify a handler type")]
    for number, kind in enumerate(given):
        where = f"{path}.{kind}"
        if number:
            causes.append(forbidden_field(where, "may not specify more than 1 handler type"))
        else:
            causes += _validate_action(kind, handler[kind], where)
    return causes


def _validate_action(kind: str, action: Any, path: str) -> list[Cause]:
    if kind == "exec":
        return [] if action.get("command") else [required(f"{path}.command")]
    if kind == "grpc":
        number = action.get("port", 0)
        return [invalid_value(f"{path}.port", number, problem) for problem in port_number_problems(number)]
    if kind == "sleep":
        return []
    causes: list[Cause] = []
    if kind == "httpGet":
        if not action.get("path"):
            causes.append(required(f"{path}.path"))
        causes += validate_port_or_name(action.get("port", 0), f"{path}.port")
        if action.get("scheme") not in ("HTTP", "HTTPS"):
            causes.append(not_supported(f"{path}.scheme", action.get("scheme"), ["HTTP", "HTTPS"]))
        return causes
    return validate_port_or_name(action.get("port", 0), f"{path}.port")
