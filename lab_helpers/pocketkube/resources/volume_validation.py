"""What is allowed in a Pod's volumes: one source each, and the volumes that are made of files.

Sources that no node of this cluster can mount are in `storage_validation`.
Models core/validation ValidateVolumes (v1.36).
"""

from __future__ import annotations

from .. import quantity
from ..api.status import Cause, duplicate, forbidden_field, invalid_value, not_supported, required
from ..objects import Obj
from .causes import file_mode, invalid_each, no_backsteps, non_reserved_path
from .environment_validation import VOLUME_FIELD_PATHS, validate_field_reference, validate_resource_reference
from .naming import label_problems, subdomain_problems
from .storage_validation import STORAGE, validate_storage

_SOURCES = (
    "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi",
    "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc",
    "flexVolume", "configMap", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk",
    "storageos", "projected", "scaleIO", "csi", "ephemeral", "image",
)  # fmt: skip
"""In the order in which upstream looks for them: the first one counts, the others are too many."""
_PATHS_OF_SURPLUS = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}
_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_SHORTEST_TOKEN, _LONGEST_TOKEN = 600, 2**32


def validate_volumes(
    volumes: list[Obj], path: str, pod_name: str = "", *, of_pod: bool = False
) -> tuple[dict[str, Obj], list[Cause]]:
    """The volumes that containers may mount, by name, and what is wrong with the others."""
    good: dict[str, Obj] = {}
    causes: list[Cause] = []
    made = {f"{pod_name}-{volume.get('name')}" for volume in volumes if pod_name and volume.get("ephemeral")}
    for index, volume in enumerate(volumes):
        where, name = f"{path}[{index}]", volume.get("name") or ""
        found = _validate_source(volume, where, pod_name, of_pod)
        found += invalid_each(f"{where}.name", name, label_problems(name)) if name else [required(f"{where}.name")]
        if name in good:
            found.append(duplicate(f"{where}.name", name))
        if not found:
            good[name] = volume
        causes += found
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim in made:
            why = "must not reference a PVC that gets created for an ephemeral volume"
            causes.append(invalid_value(f"{where}.persistentVolumeClaim.claimName", claim, why))
    return good, causes


def _validate_source(volume: Obj, path: str, pod_name: str, of_pod: bool) -> list[Cause]:
    given = [field for field in _SOURCES if volume.get(field) is not None]
    if not given:
        return [required(path, "must specify a volume type")]
    causes = _validate_first(volume, given[0], path, pod_name, of_pod)
    for source in given[1:]:
        where = f"{path}.{_PATHS_OF_SURPLUS.get(source, source)}"
        causes.append(forbidden_field(where, "may not specify more than 1 volume type"))
    return causes


def _validate_first(volume: Obj, kind: str, path: str, pod_name: str, of_pod: bool) -> list[Cause]:
    source, where = volume[kind], f"{path}.{kind}"
    if kind in STORAGE:
        return validate_storage(volume, kind, path)
    match kind:
        case "emptyDir":
            return _validate_empty(source, where)
        case "hostPath":
            return _validate_host_path(source, where)
        case "secret":
            return _validate_files(source, "secretName", where)
        case "configMap":
            return _validate_files(source, "name", where)
        case "downwardAPI":
            items = source.get("items") or []
            # Upstream names the volume, not the item.
            return file_mode(source, "defaultMode", where) + [
                cause for item in items for cause in _validate_downward(item, where)
            ]
        case "projected":
            return file_mode(source, "defaultMode", where) + _validate_projections(source.get("sources") or [], where)
        case "persistentVolumeClaim":
            return [] if source.get("claimName") else [required(f"{where}.claimName")]
        case "ephemeral":
            return _validate_ephemeral(volume, path, pod_name)
        case _:
            return _validate_image(source, where, of_pod)


def _validate_empty(source: Obj, path: str) -> list[Cause]:
    if quantity.value(source.get("sizeLimit") or "0") >= 0:
        return []
    return [forbidden_field(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]


def _validate_host_path(source: Obj, path: str) -> list[Cause]:
    if not source.get("path"):
        return [required(f"{path}.path")]
    causes = no_backsteps(source["path"], f"{path}.path")
    if source.get("type", "") not in _HOST_PATH_TYPES:
        causes.append(not_supported(f"{path}.type", source["type"], _HOST_PATH_TYPES))
    return causes


def _validate_image(source: Obj, path: str, of_pod: bool) -> list[Cause]:
    causes = [required(f"{path}.reference")] if of_pod and not source.get("reference") else []
    policy, policies = source.get("pullPolicy") or "", ("Always", "IfNotPresent", "Never")
    if not policy:
        causes.append(required(f"{path}.pullPolicy"))
    elif policy not in policies:
        causes.append(not_supported(f"{path}.pullPolicy", policy, policies))
    return causes


def _validate_ephemeral(volume: Obj, path: str, pod_name: str) -> list[Cause]:
    where, causes = f"{path}.ephemeral.volumeClaimTemplate", list[Cause]()
    template = volume["ephemeral"].get("volumeClaimTemplate")
    if template is None:
        causes.append(required(where))
    else:
        spec = template.get("spec") or {}
        if not spec.get("accessModes"):
            causes.append(required(f"{where}.spec.accessModes", "at least 1 access mode is required"))
        if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
            causes.append(required(f"{where}.spec.resources[storage]"))
    name = volume.get("name") or ""
    if pod_name and name:
        claim = f"{pod_name}-{name}"
        problems = [f'PVC name "{claim}": {problem}' for problem in subdomain_problems(claim)]
        causes += invalid_each(f"{path}.name", name, problems)
    return causes


def _validate_files(source: Obj, name: str, path: str) -> list[Cause]:
    """The keys of a ConfigMap or Secret."""
    causes = [] if source.get(name) else [required(f"{path}.{name}")]
    causes += file_mode(source, "defaultMode", path)
    for index, item in enumerate(source.get("items") or []):
        causes += _validate_item(item, f"{path}.items[{index}]")
    return causes


def _validate_item(item: Obj, path: str) -> list[Cause]:
    causes = [required(f"{path}.{field}") for field in ("key", "path") if not item.get(field)]
    causes += non_reserved_path(item.get("path") or "", f"{path}.path")
    return causes + file_mode(item, "mode", path)


def _validate_downward(item: Obj, path: str) -> list[Cause]:
    """A field of the Pod as a file."""
    target = item.get("path") or ""
    causes = [] if target else [required(f"{path}.path")]
    causes += non_reserved_path(target, f"{path}.path")
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        causes += validate_field_reference(field, VOLUME_FIELD_PATHS, f"{path}.fieldRef")
        if resource is not None:
            why = "fieldRef and resourceFieldRef can not be specified simultaneously"
            causes.append(invalid_value(path, "resource", why))
    elif resource is not None:
        causes += validate_resource_reference(resource, f"{path}.resourceFieldRef", in_volume=True)
    else:
        causes.append(required(path, "one of fieldRef and resourceFieldRef is required"))
    return causes + file_mode(item, "mode", path)


def _validate_projections(sources: list[Obj], path: str) -> list[Cause]:
    """Several sources in one folder: no two files of one name."""
    causes: list[Cause] = []
    taken: set[str] = set()
    for index, source in enumerate(sources):
        where = f"{path}.sources[{index}]"
        for kind in ("secret", "configMap"):
            projection = source.get(kind)
            if projection is None:
                continue
            name = projection.get("name") or ""
            causes += [] if name else [required(f"{where}.{kind}.name")]
            for number, item in enumerate(projection.get("items") or []):
                causes += _validate_item(item, f"{where}.{kind}.items[{number}]")
                causes += _take(item.get("path") or "", name, taken, path)
        for item in (source.get("downwardAPI") or {}).get("items") or []:
            causes += _validate_downward(item, f"{where}.downwardAPI")
            causes += _take(item.get("path") or "", item.get("path"), taken, path)
        if source.get("serviceAccountToken") is not None:
            causes += _validate_token(source["serviceAccountToken"], f"{where}.serviceAccountToken", path)
        if len(source) > 1:
            causes.append(forbidden_field(where, "may not specify more than 1 volume type per source"))
    return causes


def _take(target: str, shown: str | None, taken: set[str], path: str) -> list[Cause]:
    if not target:
        return []
    causes = [invalid_value(path, shown, "conflicting duplicate paths")] if target in taken else []
    taken.add(target)
    return causes


def _validate_token(token: Obj, path: str, volume_path: str) -> list[Cause]:
    seconds, target = token.get("expirationSeconds") or 0, token.get("path") or ""
    causes: list[Cause] = []
    if seconds < _SHORTEST_TOKEN:
        why = "may not specify a duration less than 10 minutes"
        causes.append(invalid_value(f"{path}.expirationSeconds", seconds, why))
    if seconds > _LONGEST_TOKEN:
        why = "may not specify a duration larger than 2^32 seconds"
        causes.append(invalid_value(f"{path}.expirationSeconds", seconds, why))
    if not target:
        return [*causes, required(f"{volume_path}.path")]
    return causes + non_reserved_path(target, f"{volume_path}.path")
