"""PersistentVolumes, their claims, classes and drivers: kept as upstream keeps them, but no disk is ever made.

Models pkg/apis/{core,storage}/v1/defaults.go and validation (v1.36).
"""

from __future__ import annotations

from ..api.status import Cause, required
from ..objects import Obj
from .metadata import validate_immutable
from .stored_only import StoredOnlyStrategy
from .strategy import Strategy

_NOTE = "this cluster has no persistent storage: no volume is made, bound or mounted"


class PersistentVolumeStrategy(StoredOnlyStrategy):
    """A disk."""

    def default(self, obj: Obj) -> None:
        """Kept after its claim, with a file system on it."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
        spec.setdefault("volumeMode", "Filesystem")
        if "hostPath" in spec:
            spec["hostPath"].setdefault("type", "")

    def prepare_for_create(self, obj: Obj) -> None:
        """Nobody has looked at it."""
        obj["status"] = {"phase": "Pending"}

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidatePersistentVolumeSpec."""
        spec = obj["spec"]
        return [required(f"spec.{field}") for field in ("accessModes", "capacity") if not spec.get(field)]


class PersistentVolumeClaimStrategy(StoredOnlyStrategy):
    """A wish for a disk."""

    def default(self, obj: Obj) -> None:
        """With a file system on it."""
        obj.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")

    def prepare_for_create(self, obj: Obj) -> None:
        """There is no volume for it, and won't be."""
        obj["status"] = {"phase": "Pending"}

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidatePersistentVolumeClaimSpec."""
        spec = obj["spec"]
        causes: list[Cause] = []
        if not spec.get("accessModes"):
            causes.append(required("spec.accessModes", "at least 1 access mode is required"))
        if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
            causes.append(required("spec.resources[storage]"))
        return causes


class StorageClassStrategy(StoredOnlyStrategy):
    """A kind of disks."""

    def default(self, obj: Obj) -> None:
        """Made at once, and deleted with the claim."""
        obj.setdefault("reclaimPolicy", "Delete")
        obj.setdefault("volumeBindingMode", "Immediate")

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateStorageClass."""
        return [] if obj.get("provisioner") else [required("provisioner")]

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """What made its disks can't be changed."""
        causes: list[Cause] = []
        for field in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
            if new.get(field) != old.get(field):
                causes += validate_immutable(new.get(field), old.get(field), field)
        return causes


class CSIDriverStrategy(StoredOnlyStrategy):
    """A program that mounts disks."""

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_CSIDriver."""
        spec = obj.setdefault("spec", {})
        usual = {
            "attachRequired": True,
            "podInfoOnMount": False,
            "storageCapacity": False,
            "fsGroupPolicy": "ReadWriteOnceWithFSType",
            "requiresRepublish": False,
            "seLinuxMount": False,
        }
        for field, value in usual.items():
            spec.setdefault(field, value)
        if not spec.get("volumeLifecycleModes"):
            spec["volumeLifecycleModes"] = ["Persistent"]


class VolumeAttachmentStrategy(StoredOnlyStrategy):
    """A disk at a node."""

    def prepare_for_create(self, obj: Obj) -> None:
        """Not yet."""
        obj["status"] = {"attached": False}

    def validate(self, obj: Obj) -> list[Cause]:
        """Which disk, where, by whom."""
        spec = obj.get("spec") or {}
        return [required(f"spec.{field}") for field in ("attacher", "nodeName") if not spec.get(field)]


STORAGE: dict[str, Strategy] = {
    "csidrivers.storage.k8s.io": CSIDriverStrategy(_NOTE),
    "csinodes.storage.k8s.io": StoredOnlyStrategy(_NOTE),
    "csistoragecapacities.storage.k8s.io": StoredOnlyStrategy(_NOTE),
    "persistentvolumeclaims": PersistentVolumeClaimStrategy(_NOTE),
    "persistentvolumes": PersistentVolumeStrategy(_NOTE),
    "storageclasses.storage.k8s.io": StorageClassStrategy(_NOTE),
    "volumeattachments.storage.k8s.io": VolumeAttachmentStrategy(_NOTE),
    "volumeattributesclasses.storage.k8s.io": StoredOnlyStrategy(_NOTE),
}
