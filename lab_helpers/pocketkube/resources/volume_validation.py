"""What is allowed in a Pod's volumes. Models core/validation ValidateVolumes (v1.36)."""

from __future__ import annotations

from ..api.status import Cause, duplicate, forbidden_field, invalid_value, not_supported, required
from ..objects import Obj
from .naming import label_problems

_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_MODE_BOUNDS = "must be a number between 0 and 0777 (octal), both inclusive"


def validate_volumes(volumes: list[Obj], path: str) -> tuple[set[str], list[Cause]]:
    """The names that containers may mount, and what is wrong."""
    names: set[str] = set()
    causes: list[Cause] = []
    for index, volume in enumerate(volumes):
        where, name = f"{path}[{index}]", volume.get("name") or ""
        causes += _validate_source(volume, where)
        if not name:
            causes.append(required(f"{where}.name"))
            continue
        causes += [invalid_value(f"{where}.name", name, problem) for problem in label_problems(name)]
        if name in names:
            causes.append(duplicate(f"{where}.name", name))
        names.add(name)
    return names, causes


def _validate_source(volume: Obj, path: str) -> list[Cause]:
    sources = [field for field in volume if field != "name"]
    if not sources:
        return [required(path, "must specify a volume type")]
    causes: list[Cause] = [
        forbidden_field(f"{path}.{source}", "may not specify more than 1 volume type") for source in sources[1:]
    ]
    first = volume[sources[0]] or {}
    where = f"{path}.{sources[0]}"
    match sources[0]:
        case "hostPath":
            causes += _validate_host_path(first, where)
        case "secret":
            causes += [] if first.get("secretName") else [required(f"{where}.secretName")]
            causes += _validate_files(first, where)
        case "configMap":
            causes += [] if first.get("name") else [required(f"{where}.name")]
            causes += _validate_files(first, where)
        case "persistentVolumeClaim":
            causes += [] if first.get("claimName") else [required(f"{where}.claimName")]
        case "nfs":
            causes += [required(f"{where}.{field}") for field in ("server", "path") if not first.get(field)]
    return causes


def _validate_host_path(source: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if not source.get("path"):
        causes.append(required(f"{path}.path"))
    elif ".." in source["path"].split("/"):
        causes.append(invalid_value(f"{path}.path", source["path"], "must not contain '..'"))
    if source.get("type", "") not in _HOST_PATH_TYPES:
        causes.append(not_supported(f"{path}.type", source["type"], _HOST_PATH_TYPES))
    return causes


def _validate_files(source: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    mode = source.get("defaultMode")
    if mode is not None and not 0 <= mode <= 0o777:
        causes.append(invalid_value(f"{path}.defaultMode", mode, _MODE_BOUNDS))
    for index, item in enumerate(source.get("items") or []):
        where = f"{path}.items[{index}]"
        causes += [required(f"{where}.{field}") for field in ("key", "path") if not item.get(field)]
        target = item.get("path") or ""
        if target.startswith("/"):
            causes.append(invalid_value(f"{where}.path", target, "must be a relative path"))
        if ".." in target.split("/"):
            causes.append(invalid_value(f"{where}.path", target, "must not contain '..'"))
    return causes
