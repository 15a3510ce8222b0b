"""What is allowed in volumes that come from a storage system.

No node of this cluster mounts one; a Pod with such a volume waits. Manifests that have one are checked all the same.
Models core/validation validateVolumeSource (v1.36).
"""

from __future__ import annotations

import re

from ..api.status import Cause, invalid_value, not_supported, required, too_long
from ..objects import Obj
from .causes import descending_path, invalid_each
from .naming import label_problems, subdomain_problems

_NEEDED = {
    "awsElasticBlockStore": ("volumeID",),
    "azureDisk": ("diskName", "diskURI"),
    "azureFile": ("secretName", "shareName"),
    "cephfs": ("monitors",),
    "cinder": ("volumeID",),
    "csi": (),
    "fc": (),
    "flexVolume": ("driver",),
    "flocker": (),
    "gcePersistentDisk": ("pdName",),
    "gitRepo": ("repository",),
    "glusterfs": ("endpoints", "path"),
    "iscsi": ("targetPortal", "iqn"),
    "nfs": ("server", "path"),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "quobyte": (),
    "rbd": ("monitors", "image"),
    "scaleIO": ("gateway", "system", "volumeName"),
    "storageos": ("volumeName",),
    "vsphereVolume": ("volumePath",),
}
STORAGE = frozenset(_NEEDED)
"""The sources that this module checks."""
_PATHS = {"gcePersistentDisk": "persistentDisk"}
_PARTITION_BOUNDS = "must be between 1 and 255, inclusive"
_LUN_BOUNDS = "must be between 0 and 255, inclusive"
_NAMES = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.[A-Za-z0-9.-]+:[^,;*&$|\s]+", re.ASCII),
    "eui": re.compile(r"eui.[A-Za-z0-9]{16}"),
    "naa": re.compile(r"naa.[A-Za-z0-9]{32}"),
}
"""Forms of the name of an iSCSI initiator or target."""
_REGISTRY = "must be a host:port pair or multiple pairs separated by commas"
_LONGEST_DRIVER, _LONGEST_PORTAL = 63, 64


def validate_storage(volume: Obj, kind: str, path: str) -> list[Cause]:
    """One source: what it needs, then its own rules."""
    source, where = volume[kind], f"{path}.{_PATHS.get(kind, kind)}"
    causes = [required(f"{where}.{field}") for field in _NEEDED[kind] if not source.get(field)]
    match kind:
        case "gcePersistentDisk" | "awsElasticBlockStore":
            partition = source.get("partition") or 0
            if not 0 <= partition <= 255:
                causes.append(invalid_value(f"{where}.partition", partition, _PARTITION_BOUNDS))
        case "gitRepo":
            causes += descending_path(source.get("directory") or "", f"{where}.directory")
        case "nfs":
            if not (source.get("path") or "").startswith("/"):
                causes.append(invalid_value(f"{where}.path", source.get("path") or "", "must be an absolute path"))
        case "iscsi":
            causes += _validate_iscsi(volume, source, where)
        case "fc":
            causes += _validate_fibre_channel(source, where)
        case "flocker":
            causes += _validate_flocker(source, where)
        case "quobyte":
            causes += _validate_quobyte(source, where)
        case "flexVolume":
            causes += _validate_options(source.get("options") or {}, f"{where}.options")
        case "azureDisk":
            causes += _validate_azure_disk(source, where)
        case "csi":
            causes += _validate_csi(source, where)
        case "cinder" | "storageos":
            causes += _validate_names(source, where) if kind == "storageos" else []
            if source.get("secretRef") is not None and not source["secretRef"].get("name"):
                causes.append(required(f"{where}.secretRef.name"))
    return causes


def _validate_iscsi(volume: Obj, source: Obj, path: str) -> list[Cause]:
    causes = _validate_iscsi_name(source.get("iqn") or None, f"{path}.iqn") + _validate_lun(
        source.get("lun") or 0, path
    )
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        causes.append(required(f"{path}.secretRef"))
    causes += _validate_iscsi_name(source.get("initiatorName"), f"{path}.initiatorname")
    name = volume.get("name") or ""
    if source.get("initiatorName") is not None and len(f"{name}:{source.get('targetPortal') or ''}") > _LONGEST_PORTAL:
        why = f"Total length of <volume name>:<iscsi.targetPortal> must be under {_LONGEST_PORTAL} characters"
        volume_path = path.removesuffix(".iscsi")
        why += " if iscsi.initiatorName is specified."
        causes.append(invalid_value(f"{volume_path}.name", name, why))
    return causes


def _validate_iscsi_name(name: str | None, path: str) -> list[Cause]:
    if name is None:
        return []
    if name[:3] not in _NAMES:
        return [invalid_value(path, name, "must be valid format starting with iqn, eui, or naa")]
    return [] if _NAMES[name[:3]].fullmatch(name) else [invalid_value(path, name, "must be valid format")]


def _validate_lun(lun: int, path: str) -> list[Cause]:
    return [] if 0 <= lun <= 255 else [invalid_value(f"{path}.lun", lun, _LUN_BOUNDS)]


def _validate_fibre_channel(source: Obj, path: str) -> list[Cause]:
    ports, disks, where = source.get("targetWWNs") or [], source.get("wwids") or [], f"{path}.targetWWNs"
    causes: list[Cause] = []
    if not ports and not disks:
        causes.append(required(where, "must specify either targetWWNs or wwids, but not both"))
    if ports and disks:
        causes.append(invalid_value(where, ports, "targetWWNs and wwids can not be specified simultaneously"))
    if ports and source.get("lun") is None:
        causes.append(required(f"{path}.lun", "lun is required if targetWWNs is specified"))
    elif ports:
        causes += _validate_lun(source["lun"], path)
    return causes


def _validate_flocker(source: Obj, path: str) -> list[Cause]:
    name, uid = source.get("datasetName") or "", source.get("datasetUUID") or ""
    causes: list[Cause] = []
    if not name and not uid:
        causes.append(required(path, "one of datasetName and datasetUUID is required"))
    if name and uid:
        why = "datasetName and datasetUUID can not be specified simultaneously"
        causes.append(invalid_value(path, "resource", why))
    return [*causes, invalid_value(f"{path}.datasetName", name, "must not contain '/'")] if "/" in name else causes


def _validate_quobyte(source: Obj, path: str) -> list[Cause]:
    registry = source.get("registry") or ""
    causes: list[Cause] = []
    if not registry:
        causes.append(required(f"{path}.registry", _REGISTRY))
    elif len(source.get("tenant") or "") >= 65:
        why = "must be a UUID and may not exceed a length of 64 characters"
        causes.append(required(f"{path}.tenant", why))
    else:
        wrong = [pair for pair in registry.split(",") if not re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*):[^:\[\]]*", pair)]
        causes += [invalid_value(f"{path}.registry", registry, _REGISTRY) for _ in wrong]
    return causes if source.get("volume") else [*causes, required(f"{path}.volume")]


def _validate_options(options: Obj, path: str) -> list[Cause]:
    reserved = "kubernetes.io and k8s.io namespaces are reserved"
    return [
        invalid_value(f"{path}[{key}]", key, reserved)
        for key in sorted(options)
        if f".{key.partition('/')[0].lower()}".endswith((".kubernetes.io", ".k8s.io"))
    ]


def _validate_azure_disk(source: Obj, path: str) -> list[Cause]:
    caching, kind, uri = source.get("cachingMode"), source.get("kind"), source.get("diskURI") or ""
    causes: list[Cause] = []
    modes, kinds = ("None", "ReadOnly", "ReadWrite"), ("Dedicated", "Managed", "Shared")
    if caching is not None and caching not in modes:
        causes.append(not_supported(f"{path}.cachingMode", caching, modes))
    if kind is not None and kind not in kinds:
        causes.append(not_supported(f"{path}.kind", kind, kinds))
    managed = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
    blob = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        causes.append(not_supported(f"{path}.diskURI", uri, [managed]))
    if kind not in (None, "Managed") and not uri.startswith("https://"):
        causes.append(not_supported(f"{path}.diskURI", uri, [blob]))
    return causes


def _validate_names(source: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for field in ("volumeName", "volumeNamespace"):
        name = source.get(field)
        causes += invalid_each(f"{path}.{field}", name, label_problems(name)) if name else []
    return causes


def _validate_csi(source: Obj, path: str) -> list[Cause]:
    driver, where = source.get("driver") or "", f"{path}.driver"
    causes: list[Cause] = [] if driver else [required(where)]
    if len(driver) > _LONGEST_DRIVER:
        causes.append(too_long(where, _LONGEST_DRIVER))
    if driver:
        causes += invalid_each(where, driver, subdomain_problems(driver.lower()))
    if source.get("nodePublishSecretRef") is not None:
        name = source["nodePublishSecretRef"].get("name") or ""
        missing = required(f"{path}.nodePublishSecretRef.name")
        causes += invalid_each(f"{path}.name", name, subdomain_problems(name)) if name else [missing]
    return causes
