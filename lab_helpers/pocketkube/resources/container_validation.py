"""What is allowed in a container: its name, image, ports, mounts and restarts.

Its environment, probes and hooks, resources and security context are in modules of their own.
Models core/validation validateContainers, validateInitContainers and validateEphemeralContainers (v1.36).
"""

from __future__ import annotations

from ..api.status import (
    Cause,
    duplicate,
    forbidden_field,
    invalid_value,
    missing_reference,
    not_supported,
    required,
    too_many,
)
from ..objects import Obj, is_sidecar
from .causes import descending_path, invalid_each, no_backsteps
from .environment_validation import validate_env_from, validate_environment
from .handler_validation import PROBES, validate_life
from .naming import label_problems, port_name_problems, port_number_problems
from .resource_validation import validate_resources
from .security_validation import validate_container_security
from .service_validation import PROTOCOLS

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_RULE_ACTIONS = ("Restart", "RestartAllContainers")
_RULE_OPERATORS = ("In", "NotIn")
_RESIZED = ("cpu", "memory")
_RESIZE_POLICIES = ("NotRequired", "RestartContainer")
_MOST_RULES, _MOST_EXIT_CODES = 20, 255
_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_RECURSIONS = ("Disabled", "Enabled", "IfPossible")
_NOT_EPHEMERAL = (
    "ports", "resources", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resizePolicy",
    "restartPolicy", "restartPolicyRules",
)  # fmt: skip


class Surroundings:
    """What a container may refer to in its Pod."""

    def __init__(self, spec: Obj, volumes: dict[str, Obj]) -> None:
        self.volumes = volumes
        self.claims = {claim["name"] for claim in spec.get("resourceClaims") or [] if claim.get("name")}
        self.grace: int | None = spec.get("terminationGracePeriodSeconds")
        self.restart_policy = spec.get("restartPolicy") or ""
        self.host_users = spec.get("hostUsers") is not False


def validate_containers(spec: Obj, around: Surroundings, path: str) -> list[Cause]:
    """All containers of a Pod: their names are unique among all."""
    return (
        _validate_regular(spec, around, f"{path}.containers")
        + _validate_init(spec, around, f"{path}.initContainers")
        + _validate_ephemeral(spec, around, f"{path}.ephemeralContainers")
    )


def _validate_regular(spec: Obj, around: Surroundings, path: str) -> list[Cause]:
    containers = spec.get("containers") or []
    causes: list[Cause] = [] if containers else [required(path)]
    names: set[str] = set()
    for index, container in enumerate(containers):
        where = f"{path}[{index}]"
        causes += _validate_common(container, around, where) + _validate_unique(container, names, where)
        causes += validate_life(container, around.grace, where) + _validate_restarts(container, where)
    return causes + _validate_host_ports(containers, path)


def _validate_init(spec: Obj, around: Surroundings, path: str) -> list[Cause]:
    causes: list[Cause] = []
    names = {container.get("name") or "" for container in spec.get("containers") or []}
    for index, container in enumerate(spec.get("initContainers") or []):
        where = f"{path}[{index}]"
        causes += _validate_common(container, around, where) + _validate_restarts(container, where)
        causes += _validate_unique(container, names, where)
        # Upstream names the first container, whichever it is.
        causes += _validate_host_ports([container], path)
        if is_sidecar(container):
            causes += validate_life(container, around.grace, where)
            continue
        why = "may not be set for init containers without restartPolicy=Always"
        set_fields = [field for field in ("lifecycle", *PROBES) if container.get(field) is not None]
        causes += [forbidden_field(f"{where}.{field}", why) for field in set_fields]
        for number, policy in enumerate(container.get("resizePolicy") or []):
            if policy.get("restartPolicy") == "RestartContainer":
                why = "must not be set to 'RestartContainer' for non-sidecar initContainers"
                place = f"{where}.resizePolicy[{number}].restartPolicy"
                causes.append(invalid_value(place, "RestartContainer", why))
    return causes


def _validate_ephemeral(spec: Obj, around: Surroundings, path: str) -> list[Cause]:
    causes: list[Cause] = []
    others = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    targets = {other.get("name") or "" for other in others}
    names = set(targets)
    for index, container in enumerate(spec.get("ephemeralContainers") or []):
        where, why = f"{path}[{index}]", "cannot be set for an Ephemeral Container"
        causes += _validate_common(container, around, where) + _validate_image(container, where)
        causes += _validate_unique(container, names, where)
        target = container.get("targetContainerName") or ""
        if target and target not in targets:
            causes.append(missing_reference(f"{where}.targetContainerName", target))
        causes += [forbidden_field(f"{where}.{field}", why) for field in _NOT_EPHEMERAL if container.get(field)]
        for number, mount in enumerate(container.get("volumeMounts") or []):
            for field in ("subPath", "subPathExpr"):
                if mount.get(field):
                    causes.append(forbidden_field(f"{where}.volumeMounts[{number}].{field}", why))
    return causes


def validate_images(spec: Obj, path: str) -> list[Cause]:
    """What is asked of the images of a Pod, but not of a template's."""
    return [
        cause
        for kind in ("containers", "initContainers")
        for index, container in enumerate(spec.get(kind) or [])
        for cause in _validate_image(container, f"{path}.{kind}[{index}]")
    ]


def _validate_image(container: Obj, path: str) -> list[Cause]:
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


def _validate_common(container: Obj, around: Surroundings, path: str) -> list[Cause]:
    """Models validateContainerCommon."""
    causes: list[Cause] = []
    name = container.get("name") or ""
    causes += invalid_each(f"{path}.name", name, label_problems(name)) if name else [required(f"{path}.name")]
    if not container.get("image"):
        causes.append(required(f"{path}.image"))
    if container["terminationMessagePolicy"] not in _MESSAGE_POLICIES:
        field = f"{path}.terminationMessagePolicy"
        causes.append(not_supported(field, container["terminationMessagePolicy"], _MESSAGE_POLICIES))
    causes += _validate_ports(container.get("ports") or [], f"{path}.ports")
    causes += validate_environment(container.get("env") or [], f"{path}.env")
    causes += validate_env_from(container.get("envFrom") or [], f"{path}.envFrom")
    causes += _validate_mounts(container, around.volumes, f"{path}.volumeMounts")
    causes += _validate_devices(container, around.volumes, f"{path}.volumeDevices")
    if container["imagePullPolicy"] not in _PULL_POLICIES:
        causes.append(not_supported(f"{path}.imagePullPolicy", container["imagePullPolicy"], _PULL_POLICIES))
    causes += validate_resources(container.get("resources") or {}, around.claims, f"{path}.resources")
    causes += _validate_resizes(container.get("resizePolicy") or [], around.restart_policy, f"{path}.resizePolicy")
    context = container.get("securityContext") or {}
    return causes + validate_container_security(context, around.host_users, f"{path}.securityContext")


def _validate_ports(ports: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        where, name = f"{path}[{index}]", port.get("name") or ""
        if name:
            problems = port_name_problems(name)
            causes += invalid_each(f"{where}.name", name, problems)
            if not problems and name in names:
                causes.append(duplicate(f"{where}.name", name))
            names.add(name)
        number, host = port.get("containerPort") or 0, port.get("hostPort") or 0
        if number == 0:
            causes.append(required(f"{where}.containerPort"))
        else:
            causes += invalid_each(f"{where}.containerPort", number, port_number_problems(number))
        if host:
            causes += invalid_each(f"{where}.hostPort", host, port_number_problems(host))
        if port["protocol"] not in PROTOCOLS:
            causes.append(not_supported(f"{where}.protocol", port["protocol"], PROTOCOLS))
    return causes


def _validate_mounts(container: Obj, volumes: dict[str, Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    targets: set[str] = set()
    devices = container.get("volumeDevices") or []
    for index, mount in enumerate(container.get("volumeMounts") or []):
        where, name, target = f"{path}[{index}]", mount.get("name") or "", mount.get("mountPath") or ""
        causes += [] if name else [required(f"{where}.name")]
        causes += [] if name in volumes else [missing_reference(f"{where}.name", name)]
        causes += [] if target else [required(f"{where}.mountPath")]
        if target in targets:
            causes.append(invalid_value(f"{where}.mountPath", target, "must be unique"))
        targets.add(target)
        if any(device.get("name") == name for device in devices):
            causes.append(invalid_value(f"{where}.name", name, "must not already exist in volumeDevices"))
        if any(device.get("devicePath") == target for device in devices):
            why = "must not already exist as a path in volumeDevices"
            causes.append(invalid_value(f"{where}.mountPath", target, why))
        causes += _validate_sub_paths(mount, path, where) + _validate_propagation(mount, container, path)
    return causes


def _validate_sub_paths(mount: Obj, path: str, where: str) -> list[Cause]:
    """Upstream names the list, not the mount."""
    below, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    causes = descending_path(below, f"{path}.subPath") if below else []
    if expression and below:
        why = "subPathExpr and subPath are mutually exclusive"
        causes.append(invalid_value(f"{where}.subPathExpr", expression, why))
    return causes + (descending_path(expression, f"{path}.subPathExpr") if expression else [])


def _validate_propagation(mount: Obj, container: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    propagation, recursion = mount.get("mountPropagation"), mount.get("recursiveReadOnly")
    where = f"{path}.mountPropagation"
    if propagation is not None and propagation not in _PROPAGATIONS:
        causes.append(not_supported(where, propagation, _PROPAGATIONS))
    if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        why = "Bidirectional mount propagation is available only to privileged containers"
        causes.append(forbidden_field(where, why))
    where = f"{path}.recursiveReadOnly"
    if recursion in ("Enabled", "IfPossible"):
        if not mount.get("readOnly"):
            causes.append(forbidden_field(where, "may only be specified when readOnly is true"))
        if propagation not in (None, "None"):
            why = "may only be specified when mountPropagation is None or not specified"
            causes.append(forbidden_field(where, why))
    elif recursion is not None and recursion not in _RECURSIONS:
        causes.append(not_supported(where, recursion, _RECURSIONS))
    return causes


def _validate_devices(container: Obj, volumes: dict[str, Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    names: set[str] = set()
    targets: set[str] = set()
    mounts = container.get("volumeMounts") or []
    for index, device in enumerate(container.get("volumeDevices") or []):
        where, name, target = f"{path}[{index}]", device.get("name") or "", device.get("devicePath") or ""
        causes += [] if name else [required(f"{where}.name")]
        if name in names:
            causes.append(invalid_value(f"{where}.name", name, "must be unique"))
        volume = volumes.get(name)
        if volume is None:
            causes.append(missing_reference(f"{where}.name", name))
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            causes.append(invalid_value(f"{where}.name", name, why))
        causes += [] if target else [required(f"{where}.devicePath")]
        if target in targets:
            causes.append(invalid_value(f"{where}.devicePath", target, "must be unique"))
        if no_backsteps(target, where):
            causes.append(invalid_value(f"{where}.devicePath", target, "can not contain backsteps ('..')"))
        else:
            targets.add(target)
        if any(mount.get("name") == name for mount in mounts):
            causes.append(invalid_value(f"{where}.name", name, "must not already exist in volumeMounts"))
        if any(mount.get("mountPath") == target for mount in mounts):
            why = "must not already exist as a path in volumeMounts"
            causes.append(invalid_value(f"{where}.devicePath", target, why))
        names.add(name)
    return causes


def _validate_resizes(policies: list[Obj], restart_policy: str, path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        name, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        causes += [duplicate(f"{path}[{index}]", name)] if name in seen else []
        seen.add(name)
        for value, values in ((name, _RESIZED), (restart, _RESIZE_POLICIES)):
            if not value:
                causes.append(required(path))
            elif value not in values:
                causes.append(not_supported(path, value, values))
        if restart_policy == "Never" and restart != "NotRequired":
            why = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            causes.append(invalid_value(path, restart, why))
    return causes


def _validate_restarts(container: Obj, path: str) -> list[Cause]:
    """A container's own policy. Models validateContainerRestartPolicy."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    causes: list[Cause] = []
    if policy is None and rules:
        causes.append(required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used"))
    elif policy is not None and policy not in _RESTART_POLICIES:
        causes.append(not_supported(f"{path}.restartPolicy", policy, _RESTART_POLICIES))
    if len(rules) > _MOST_RULES:
        causes.append(too_many(f"{path}.restartPolicyRules", len(rules), _MOST_RULES))
    for index, rule in enumerate(rules):
        where, action, codes = f"{path}.restartPolicyRules[{index}]", rule.get("action") or "", rule.get("exitCodes")
        if action not in _RULE_ACTIONS:
            causes.append(not_supported(f"{where}.action", action, _RULE_ACTIONS))
        if codes is None:
            causes.append(required(f"{where}.exitCodes", "must be specified"))
            continue
        operator, values = codes.get("operator") or "", codes.get("values") or []
        if operator not in _RULE_OPERATORS:
            causes.append(not_supported(f"{where}.exitCodes.operator", operator, _RULE_OPERATORS))
        if len(values) > _MOST_EXIT_CODES:
            causes.append(too_many(f"{where}.exitCodes.values", len(values), _MOST_EXIT_CODES))
    return causes
