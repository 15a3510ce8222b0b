"""What is allowed in what only Windows nodes know, and in Pods that say for which system they are.

No node of this cluster runs Windows; manifests that are meant for one are checked all the same.
Models core/validation validateWindowsSecurityContextOptions, validateWindowsHostProcessPod, validateOS (v1.36).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..api.status import Cause, forbidden_field, invalid_value, not_supported, required
from ..objects import Obj
from .causes import invalid_each
from .naming import subdomain_problems

_LARGEST_SPEC_KIB = 64
_LONGEST_DOMAIN, _LONGEST_USER = 256, 104
_NETBIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
_DNS_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*")
_NOT_IN_USERS = re.compile(r'["/\\:;|=,+*?<>@\[\]]')
_POD_CONTEXT = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls",
    "runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy",
)  # fmt: skip
_POD_FIELDS = (
    *_POD_CONTEXT[:2], "hostUsers", "hostPID", "hostIPC", *_POD_CONTEXT[2:6],
    "shareProcessNamespace", *_POD_CONTEXT[6:],
)  # fmt: skip
_CONTAINER_CONTEXT = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged",
    "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)  # fmt: skip


def validate_windows_options(options: Obj | None, path: str) -> list[Cause]:
    """Accounts of Windows."""
    if options is None:
        return []
    causes: list[Cause] = []
    name, text = options.get("gmsaCredentialSpecName"), options.get("gmsaCredentialSpec")
    if name is not None:
        causes += invalid_each(f"{path}.gmsaCredentialSpecName", name, subdomain_problems(name))
    if text == "":
        causes.append(invalid_value(f"{path}.gmsaCredentialSpec", text, "gmsaCredentialSpec cannot be an empty string"))
    elif text is not None and len(text.encode()) > _LARGEST_SPEC_KIB * 1024:
        why = f"gmsaCredentialSpec size must be under {_LARGEST_SPEC_KIB} KiB"
        causes.append(invalid_value(f"{path}.gmsaCredentialSpec", text, why))
    user = options.get("runAsUserName")
    if user is not None:
        causes += invalid_each(f"{path}.runAsUserName", user, [f"runAsUserName{why}" for why in _user_problems(user)])
    return causes


def _user_problems(text: str) -> Iterator[str]:
    domain, backslash, user = text.rpartition("\\")
    if not text:
        yield " cannot be an empty string"
    elif any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        yield " cannot contain control characters"
    elif text.count("\\") > 1:
        yield " cannot contain more than one backslash"
    else:
        if len(domain) >= _LONGEST_DOMAIN:
            yield f"'s Domain length must be under {_LONGEST_DOMAIN} characters"
        if backslash and not _NETBIOS.fullmatch(domain) and not _DNS.fullmatch(domain):
            yield "'s Domain doesn't match the NetBios nor the DNS format"
        if not user:
            yield "'s User cannot be empty"
        elif len(user) > _LONGEST_USER:
            yield f"'s User length must not be longer than {_LONGEST_USER} characters"
        if user and not user.strip(". "):
            yield "'s User cannot contain only periods or spaces"
        if _NOT_IN_USERS.search(user):
            yield "'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"


def validate_os(spec: Obj, containers: list[tuple[Obj, str]], path: str) -> list[Cause]:
    """A Pod that says for which system it is uses nothing of the other one."""
    if spec.get("os") is None:
        return []
    name = spec["os"].get("name") or ""
    if not name:
        return [required(f"{path}.os.name")]
    if name not in ("linux", "windows"):
        return [not_supported(f"{path}.os", name, ["linux", "windows"])]
    return [*(_windows(spec, containers, path) if name == "windows" else _linux(spec, containers, path))]


def _linux(spec: Obj, containers: list[tuple[Obj, str]], path: str) -> Iterator[Cause]:
    for holder, where in ((spec, path), *containers):
        if (holder.get("securityContext") or {}).get("windowsOptions") is not None:
            why = "windows options cannot be set for a linux pod"
            yield forbidden_field(f"{where}.securityContext.windowsOptions", why)


def _windows(spec: Obj, containers: list[tuple[Obj, str]], path: str) -> Iterator[Cause]:
    why = "cannot be set for a windows pod"
    context = spec.get("securityContext") or {}
    for field in _POD_FIELDS:
        holder, where = (context, f"{path}.securityContext") if field in _POD_CONTEXT else (spec, path)
        unset: tuple[object, ...] = (None, False, []) if field in ("hostPID", "hostIPC") else (None, [])
        if holder.get(field) not in unset:
            yield forbidden_field(f"{where}.{field}", why)
    for container, where in containers:
        own = container.get("securityContext") or {}
        for field in _CONTAINER_CONTEXT:
            if own.get(field) is not None:
                yield forbidden_field(f"{where}.securityContext.{field}", why)


def validate_host_process(spec: Obj, containers: list[tuple[Obj, str]], path: str) -> list[Cause]:
    """Processes of a Windows host: all containers of a Pod or none. Models validateWindowsHostProcessPod."""
    of_pod = _host_process(spec)
    causes: list[Cause] = []
    inside = 0
    for container, where in containers:
        own = _host_process(container)
        if own is not None and of_pod is not None and own != of_pod:
            why = f"pod hostProcess value must be identical if both are specified, was {str(of_pod).lower()}"
            causes.append(invalid_value(f"{where}.securityContext.windowsOptions.hostProcess", own, why))
        inside += bool(own if own is not None else of_pod)
    if not inside:
        return causes
    if inside != len(containers):
        why = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        causes.append(invalid_value(path, "", why))
    if not spec.get("hostNetwork"):
        why = "hostNetwork must be true if pod contains any hostProcess containers"
        causes.append(invalid_value(f"{path}.hostNetwork", False, why))
    return causes


def _host_process(holder: Obj) -> bool | None:
    options = (holder.get("securityContext") or {}).get("windowsOptions") or {}
    value: bool | None = options.get("hostProcess")
    return value
