"""What is allowed in a container's environment, and in references to fields of its own Pod.

Models core/validation ValidateEnv, ValidateEnvFrom and validateObjectFieldSelector (v1.36).
"""

from __future__ import annotations

from .. import quantity
from ..api.status import Cause, invalid_value, not_supported, required
from ..objects import Obj
from .causes import invalid_each, no_backsteps
from .naming import config_key_problems, env_name_problems, label_key_problems, label_problems, subdomain_problems

ENV_FIELD_PATHS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
VOLUME_FIELD_PATHS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")

_SUBSCRIPTED = ("metadata.annotations", "metadata.labels")
_KNOWN_FIELDS = {
    *ENV_FIELD_PATHS, *VOLUME_FIELD_PATHS, "spec.restartPolicy", "spec.schedulerName", "status.phase", "spec.host",
}  # fmt: skip
_RESOURCE_FIELDS = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory",
    "requests.cpu", "requests.ephemeral-storage", "requests.memory",
)  # fmt: skip
_HUGE_FIELDS = ("limits.hugepages-", "requests.hugepages-")
_SIZES = ("1", *(f"1{unit}" for unit in ("k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")))
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_NO_SOURCE = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
_TOO_MANY = "may not have more than one field specified at a time"


def validate_environment(variables: list[Obj], path: str) -> list[Cause]:
    """Variables one by one."""
    causes: list[Cause] = []
    for index, variable in enumerate(variables):
        where, name = f"{path}[{index}]", variable.get("name") or ""
        if not name:
            causes.append(required(f"{where}.name"))
        else:
            causes += invalid_each(f"{where}.name", name, env_name_problems(name))
        if variable.get("valueFrom") is not None:
            causes += _validate_value_from(variable, f"{where}.valueFrom")
    return causes


def _validate_value_from(variable: Obj, path: str) -> list[Cause]:
    source = variable["valueFrom"]
    given = [kind for kind in _SOURCES if source.get(kind) is not None]
    causes: list[Cause] = []
    for kind in given:
        reference, where = source[kind], f"{path}.{kind}"
        if kind == "fieldRef":
            causes += validate_field_reference(reference, ENV_FIELD_PATHS, where)
        elif kind == "resourceFieldRef":
            causes += validate_resource_reference(reference, where)
        elif kind == "fileKeyRef":
            causes += _validate_file_key(reference, where)
        else:
            causes += _validate_key(reference, where)
    if not given:
        causes.append(invalid_value(path, "", _NO_SOURCE))
    elif variable.get("value"):
        causes.append(invalid_value(path, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        causes.append(invalid_value(path, "", _TOO_MANY))
    return causes


def _validate_key(reference: Obj, path: str) -> list[Cause]:
    name, key = reference.get("name") or "", reference.get("key") or ""
    causes = invalid_each(f"{path}.name", name, subdomain_problems(name))
    if not key:
        return [*causes, required(f"{path}.key")]
    return causes + invalid_each(f"{path}.key", key, config_key_problems(key))


def _validate_file_key(reference: Obj, path: str) -> list[Cause]:
    key, volume, file = (reference.get(field) or "" for field in ("key", "volumeName", "path"))
    causes = invalid_each(f"{path}.key", key, env_name_problems(key)) if key else [required(f"{path}.key")]
    where = f"{path}.volumeName"
    causes += invalid_each(where, volume, label_problems(volume)) if volume else [required(where)]
    return causes + (no_backsteps(file, f"{path}.path") if file else [required(f"{path}.path")])


def validate_field_reference(reference: Obj, allowed: tuple[str, ...], path: str) -> list[Cause]:
    """A field of the Pod that its own containers may read."""
    version, field = reference.get("apiVersion") or "", reference.get("fieldPath") or ""
    where = f"{path}.fieldPath"
    if not version:
        return [required(f"{path}.apiVersion")]
    if not field:
        return [required(where)]
    if version != "v1":
        why = f"error converting fieldPath: unsupported pod version: {version}"
        return [invalid_value(where, field, why)]
    name, bracket, rest = field.partition("['")
    if bracket and rest.endswith("']"):
        if name not in _SUBSCRIPTED:
            why = f"error converting fieldPath: field label does not support subscript: {field}"
            return [invalid_value(where, field, why)]
        key = rest.removesuffix("']")
        checked = key.lower() if name == "metadata.annotations" else key
        return invalid_each(path, checked, label_key_problems(checked))
    if field not in _KNOWN_FIELDS:
        return [invalid_value(where, field, f"error converting fieldPath: field label not supported: {field}")]
    field = "spec.nodeName" if field == "spec.host" else field
    return [] if field in allowed else [not_supported(where, field, sorted(allowed))]


def validate_resource_reference(reference: Obj, path: str, *, in_volume: bool = False) -> list[Cause]:
    """An amount that a container asks for or is limited to. A volume must say of which container."""
    resource = reference.get("resource") or ""
    causes: list[Cause] = []
    if in_volume and not reference.get("containerName"):
        causes.append(required(f"{path}.containerName"))
    elif not resource:
        causes.append(required(f"{path}.resource"))
    elif resource not in _RESOURCE_FIELDS and not resource.startswith(_HUGE_FIELDS):
        causes.append(not_supported(f"{path}.resource", resource, _RESOURCE_FIELDS))
    return causes + _validate_divisor(resource, reference.get("divisor") or "0", path)


def _validate_divisor(resource: str, divisor: str, path: str) -> list[Cause]:
    if quantity.value(divisor) == 0:
        return []
    what = {"cpu": "cpu resource", "memory": "memory resource", "ephemeral-storage": "local ephemeral storage resource"}
    name = resource.partition(".")[2]
    if resource.startswith(_HUGE_FIELDS):
        said = "hugepages resource"
    elif resource in _RESOURCE_FIELDS:
        said = what[name]
    else:
        return []
    if divisor in (("1m", "1") if name == "cpu" else _SIZES):
        return []
    values = "1m and 1" if name == "cpu" else ", ".join(_SIZES)
    why = f"only divisor's values {values} are supported with the {said}"
    return [invalid_value(f"{path}.divisor", resource, why)]


def validate_env_from(sources: list[Obj], path: str) -> list[Cause]:
    """All keys of a ConfigMap or Secret at once."""
    causes: list[Cause] = []
    for index, source in enumerate(sources):
        where, prefix = f"{path}[{index}]", source.get("prefix") or ""
        if prefix:
            causes += invalid_each(f"{where}.prefix", prefix, env_name_problems(prefix))
        kinds = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        for kind in kinds:
            name, place = source[kind].get("name") or "", f"{where}.{kind}.name"
            # Upstream lets a name end as if something were appended to it.
            checked = name[:-1] + "a" if name.endswith("-") else name
            causes += invalid_each(place, name, subdomain_problems(checked)) if name else [required(place)]
        if not kinds:
            causes.append(invalid_value(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(kinds) > 1:
            causes.append(invalid_value(path, "", _TOO_MANY))
    return causes
