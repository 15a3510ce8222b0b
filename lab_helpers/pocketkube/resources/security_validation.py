"""What is allowed in the security contexts of Pods and containers, and in the annotations that came before them.

Models core/validation ValidateSecurityContext, validatePodSpecSecurityContext and the checks of seccomp, AppArmor and
sysctls (v1.36).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..api.status import Cause, duplicate, forbidden_field, invalid_value, not_supported, required, too_long
from ..objects import Obj
from .causes import descending_path
from .windows_validation import validate_windows_options

SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
APPARMOR_CONTAINER = "container.apparmor.security.beta.kubernetes.io/"

_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_MOST_ID = 2**31 - 1
_ID_BOUNDS = f"must be between 0 and {_MOST_ID}, inclusive"
_LONGEST_PROFILE = 4095
_LONGEST_SYSCTL = 253
_SYSCTL_PART = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = rf"^({_SYSCTL_PART}[\./])*{_SYSCTL_PART}$"
_IPC_SYSCTLS = (
    "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni",
)  # fmt: skip
_INTERNAL_ORDER = (
    "capabilities", "privileged", "seLinuxOptions", "windowsOptions", "runAsUser", "runAsGroup", "runAsNonRoot",
    "readOnlyRootFilesystem", "allowPrivilegeEscalation", "procMount", "seccompProfile", "appArmorProfile",
)  # fmt: skip
"""A security context in a message has the fields of upstream's own type, all of them."""
_INTERNAL_PARTS = {
    "capabilities": ("add", "drop"),
    "seLinuxOptions": ("user", "role", "type", "level"),
    "seccompProfile": ("type", "localhostProfile"),
    "appArmorProfile": ("type", "localhostProfile"),
    "windowsOptions": ("gmsaCredentialSpecName", "gmsaCredentialSpec", "runAsUserName", "hostProcess"),
}
_GO_NAMES = {"seLinuxOptions": "SELinuxOptions", "gmsaCredentialSpecName": "GMSACredentialSpecName"}
_GO_NAMES |= {"gmsaCredentialSpec": "GMSACredentialSpec"}


def visit_containers(spec: Obj, path: str) -> Iterator[tuple[Obj, str]]:
    """All containers with their paths, in the order in which upstream visits them."""
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(kind) or []):
            yield container, f"{path}.{kind}[{index}]"


def validate_container_security(context: Obj, host_users: bool, path: str) -> list[Cause]:
    """The security context of a container."""
    causes = _validate_ids(context, ("runAsUser", "runAsGroup"), path)
    mount = context.get("procMount")
    if mount is not None:
        if mount not in ("Default", "Unmasked"):
            causes.append(not_supported(f"{path}.procMount", mount, ["Default", "Unmasked"]))
        if host_users and mount == "Unmasked":
            causes.append(invalid_value(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`"))
    causes += _validate_seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        given = "cannot set `allowPrivilegeEscalation` to false and"
        if context.get("privileged"):
            causes.append(invalid_value(path, _internal(context), f"{given} `privileged` to true"))
        added = (context.get("capabilities") or {}).get("add") or []
        for _ in range(added.count("CAP_SYS_ADMIN")):
            causes.append(invalid_value(path, _internal(context), f"{given} `capabilities.Add` CAP_SYS_ADMIN"))
    causes += validate_windows_options(context.get("windowsOptions"), f"{path}.windowsOptions")
    return causes + _validate_apparmor(context.get("appArmorProfile"), f"{path}.appArmorProfile")


def validate_pod_security(context: Obj, spec: Obj, path: str) -> list[Cause]:
    """The security context of a Pod."""
    causes = _validate_ids(context, ("fsGroup", "runAsUser", "runAsGroup"), path)
    for index, group in enumerate(context.get("supplementalGroups") or []):
        if not 0 <= group <= _MOST_ID:
            causes.append(invalid_value(f"{path}.supplementalGroups[{index}]", group, _ID_BOUNDS))
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        why = "ShareProcessNamespace and HostPID cannot both be enabled"
        causes.append(invalid_value(f"{path}.shareProcessNamespace", True, why))
    causes += _validate_sysctls(context.get("sysctls") or [], spec, f"{path}.sysctls")
    causes += _validate_choice(context, "fsGroupChangePolicy", ("Always", "OnRootMismatch"), path)
    causes += _validate_seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    causes += validate_windows_options(context.get("windowsOptions"), f"{path}.windowsOptions")
    causes += _validate_apparmor(context.get("appArmorProfile"), f"{path}.appArmorProfile")
    causes += _validate_choice(context, "supplementalGroupsPolicy", ("Merge", "Strict"), path)
    return causes + _validate_choice(context, "seLinuxChangePolicy", ("Recursive",), path)


def _validate_ids(context: Obj, fields: tuple[str, ...], path: str) -> list[Cause]:
    return [
        invalid_value(f"{path}.{field}", context[field], _ID_BOUNDS)
        for field in fields
        if context.get(field) is not None and not 0 <= context[field] <= _MOST_ID
    ]


def _validate_choice(context: Obj, field: str, choices: tuple[str, ...], path: str) -> list[Cause]:
    value = context.get(field)
    return [] if value is None or value in choices else [not_supported(f"{path}.{field}", value, choices)]


def _validate_seccomp(profile: Obj | None, path: str) -> list[Cause]:
    if profile is None:
        return []
    kind, local, where = profile.get("type") or "", profile.get("localhostProfile"), f"{path}.localhostProfile"
    causes: list[Cause] = []
    if not kind:
        causes.append(required(f"{path}.type", "type is required when seccompProfile is set"))
    elif kind not in _PROFILES:
        causes.append(not_supported(f"{path}.type", kind, _PROFILES))
    if kind == "Localhost":
        missing = required(where, "must be set when seccomp type is Localhost")
        return causes + ([missing] if local is None else descending_path(local, where))
    if local is not None:
        shown = {"Type": kind, "LocalhostProfile": local}
        causes.append(invalid_value(where, shown, "can only be set when seccomp type is Localhost"))
    return causes


def _validate_apparmor(profile: Obj | None, path: str) -> list[Cause]:
    if profile is None:
        return []
    kind, local, where = profile.get("type") or "", profile.get("localhostProfile"), f"{path}.localhostProfile"
    if not kind:
        return [required(f"{path}.type", "type is required when appArmorProfile is set")]
    if kind not in _PROFILES:
        return [not_supported(f"{path}.type", kind, _PROFILES)]
    if kind != "Localhost":
        why = "can only be set when AppArmor type is Localhost"
        return [] if local is None else [invalid_value(where, local, why)]
    if not local:
        return [required(where, "must be set when AppArmor type is Localhost")]
    causes: list[Cause] = []
    if local != local.strip():
        causes.append(invalid_value(where, local, "must not be padded with whitespace"))
    return [*causes, too_long(where, _LONGEST_PROFILE)] if len(local.encode()) > _LONGEST_PROFILE else causes


def _validate_sysctls(sysctls: list[Obj], spec: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    names: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        where, name = f"{path}[{index}].name", sysctl.get("name") or ""
        if not name:
            causes.append(required(where))
        elif len(name) > _LONGEST_SYSCTL or not re.fullmatch(_SYSCTL[1:-1], name):
            why = f"must have at most {_LONGEST_SYSCTL} characters and match regex {_SYSCTL}"
            causes.append(invalid_value(where, name, why))
        elif name in names:
            causes.append(duplicate(where, name))
        names.add(name)
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith("net."):
            causes.append(invalid_value(where, name, "may not be specified when 'hostNetwork' is true"))
        elif spec.get("hostIPC") and (dotted in _IPC_SYSCTLS or dotted.startswith("fs.mqueue.")):
            causes.append(invalid_value(where, name, "may not be specified when 'hostIPC' is true"))
    return causes


def validate_profile_annotations(annotations: Obj, spec: Obj, path: str) -> list[Cause]:
    """Seccomp and AppArmor as they were chosen before there were fields for them."""
    causes: list[Cause] = []
    for key in sorted(annotations):
        if key == SECCOMP_POD or key.startswith(SECCOMP_CONTAINER):
            causes += _validate_seccomp_text(annotations[key], f"{path}.{key}")
    names = {container.get("name") for container, _ in visit_containers(spec, "spec")}
    for key in sorted(annotations):
        if not key.startswith(APPARMOR_CONTAINER):
            continue
        profile, name = annotations[key], key.removeprefix(APPARMOR_CONTAINER)
        if name not in names:
            causes.append(invalid_value(f"{path}[{key}]", name, "container not found"))
        if profile not in ("", "runtime/default", "unconfined") and not profile.startswith("localhost/"):
            why = f'invalid AppArmor profile name: "{profile}"'
            causes.append(invalid_value(f"{path}[{key}]", profile, why))
    return causes


def _validate_seccomp_text(profile: str, path: str) -> list[Cause]:
    if profile in ("runtime/default", "docker/default", "unconfined"):
        return []
    if profile.startswith("localhost/"):
        return descending_path(profile.removeprefix("localhost/"), path)
    return [invalid_value(path, profile, "must be a valid seccomp profile")]


def apparmor_profile(text: str) -> Obj | None:
    """What an annotation says, as the field that came after it. Models ApparmorFieldForAnnotation."""
    if text == "unconfined":
        return {"type": "Unconfined"}
    if text == "runtime/default":
        return {"type": "RuntimeDefault"}
    name = text.removeprefix("localhost/")
    return {"type": "Localhost", "localhostProfile": name} if name and name != text else None


def validate_profile_agreement(annotations: Obj, spec: Obj, path: str, *, of_seccomp_only: bool = False) -> list[Cause]:
    """What a new Pod says twice, by annotation and by field, it says the same."""
    causes: list[Cause] = []
    context = spec.get("securityContext") or {}
    causes += _disagreement("seccomp", annotations.get(SECCOMP_POD), context, f"{path}.securityContext")
    for container, where in visit_containers(spec, path):
        said = annotations.get(f"{SECCOMP_CONTAINER}{container.get('name')}")
        causes += _disagreement("seccomp", said, container.get("securityContext") or {}, f"{where}.securityContext")
    if of_seccomp_only or (spec.get("os") or {}).get("name") == "windows":
        return causes
    for container, where in visit_containers(spec, path):
        said = annotations.get(f"{APPARMOR_CONTAINER}{container.get('name')}")
        own = container.get("securityContext") or {}
        chosen = own if own.get("appArmorProfile") is not None else context
        causes += _disagreement("apparmor", said, chosen, f"{where}.securityContext")
    return causes


def _disagreement(what: str, said: str | None, context: Obj, path: str) -> list[Cause]:
    field = "seccompProfile" if what == "seccomp" else "appArmorProfile"
    profile: Obj | None = context.get(field)
    if said is None or profile is None:
        return []
    where, kind = f"{path}.{field}", profile.get("type")
    defaults = ("runtime/default", "docker/default") if what == "seccomp" else ("runtime/default",)
    names = {"Unconfined": ("unconfined",), "RuntimeDefault": defaults}
    if kind in names:
        agree = said in names[kind]
    elif kind == "Localhost":
        agree = said.startswith("localhost/")
        if agree and said.removeprefix("localhost/") != profile.get("localhostProfile"):
            return [forbidden_field(f"{where}.localhostProfile", f"{what} profile in annotation and field must match")]
    else:
        agree = True
    return [] if agree else [forbidden_field(f"{where}.type", f"{what} type in annotation and field must match")]


def validate_host_users(spec: Obj, path: str) -> list[Cause]:
    """A Pod with users of its own shares no namespace with its node."""
    if spec.get("hostUsers") is not False:
        return []
    why = "when `hostUsers` is false"
    fields = {"hostNetwork": "hostNetwork", "hostPID": "HostPID", "hostIPC": "HostIPC"}
    causes = [forbidden_field(f"{path}.{shown}", why) for field, shown in fields.items() if spec.get(field)]
    for container, where in visit_containers(spec, path):
        if container.get("volumeDevices"):
            causes.append(forbidden_field(f"{where}.volumeDevices", why))
    return causes


def _internal(context: Obj) -> dict[str, Any]:
    """A container's security context as upstream's messages show it."""
    return {_go_name(field): _internal_field(field, context.get(field)) for field in _INTERNAL_ORDER}


def _internal_field(field: str, value: Any) -> Any:
    if value is None or field not in _INTERNAL_PARTS:
        return value
    empty = "" if field == "seLinuxOptions" else None
    return {_go_name(part): value.get(part, empty) for part in _INTERNAL_PARTS[field]}


def _go_name(field: str) -> str:
    return _GO_NAMES.get(field) or field[0].upper() + field[1:]
