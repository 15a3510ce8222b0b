"""The Node object of a node: what the machine offers, who it is, and that it is well.

Pure but for reading the machine's own facts. Writing it to the API is left to `node_registration.py`.
Models pkg/kubelet/nodestatus/setters.go (v1.36).
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from pathlib import Path

from ..config import KUBERNETES_VERSION
from ..objects import Obj
from .image_catalogue import ImageCatalogue
from .images import Image, parse_reference

RUNTIME_VERSION = "pocketkube://0.1.0"
KUBELET_PORT = 10250
MOST_PODS = 110

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
_RESERVED_MEMORY_KIB = 100 * 1024
"""What eviction keeps free: the kubelet's default of 100 MiB."""
_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


SIMULATED = "pocketkube/simulated"
"""Label of a node whose network is simulated."""


def node_labels(name: str, *, control_plane: bool, simulated: bool = False) -> dict[str, str]:
    """The labels that a node registers itself with."""
    labels = {
        "beta.kubernetes.io/arch": _architecture(),
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": _architecture(),
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
    }
    if simulated:
        labels[SIMULATED] = "true"
    if control_plane:
        labels |= {
            "node-role.kubernetes.io/control-plane": "",
            "node.kubernetes.io/exclude-from-external-load-balancers": "",
        }
    return labels


def new_node(name: str, pod_cidr: str, *, control_plane: bool, simulated: bool = False) -> Obj:
    """The Node as it is created."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": node_labels(name, control_plane=control_plane, simulated=simulated),
            "annotations": {
                "node.alpha.kubernetes.io/ttl": "0",
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            },
        },
        "spec": {"podCIDR": pod_cidr, "podCIDRs": [pod_cidr]},
    }


def node_status(name: str, ip: str, before: Obj, now: str, catalogue: ImageCatalogue) -> Obj:
    """The whole status; `before` is the one it replaces, for the times of unchanged conditions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
    disk = shutil.disk_usage("/").total // 1024
    common = {
        "cpu": str(os.cpu_count() or 1),
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "pods": str(MOST_PODS),
    }
    return {
        "addresses": [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": name}],
        "capacity": {**common, "ephemeral-storage": f"{disk}Ki", "memory": f"{memory}Ki"},
        "allocatable": {
            **common,
            "ephemeral-storage": str(disk * 1024 * 9 // 10),
            "memory": f"{memory - _RESERVED_MEMORY_KIB}Ki",
        },
        "conditions": [_condition(before, now, *facts) for facts in _CONDITIONS],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET_PORT}},
        "images": _images(catalogue),
        "nodeInfo": {
            "architecture": _architecture(),
            "bootID": _read("/proc/sys/kernel/random/boot_id"),
            "containerRuntimeVersion": RUNTIME_VERSION,
            "kernelVersion": platform.release(),
            "kubeProxyVersion": "",
            "kubeletVersion": KUBERNETES_VERSION,
            "machineID": _machine_id(name),
            "operatingSystem": "linux",
            "osImage": _os_image(),
            "systemUUID": _machine_id(name),
        },
    }


def _condition(before: Obj, now: str, kind: str, status: str, reason: str, message: str) -> Obj:
    known = {c["type"]: c for c in before.get("conditions") or []}.get(kind, {})
    same = known.get("status") == status and known.get("lastTransitionTime")
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": known["lastTransitionTime"] if same else now,
    }


def _images(catalogue: ImageCatalogue) -> list[Obj]:
    """All images of the catalogue, largest first, as the kubelet lists what is on its disk."""
    images: list[Image] = []
    for name in catalogue.names():
        image = catalogue.find(parse_reference(name))
        if image is not None:
            images.append(image)
    images.sort(key=lambda image: -image.size)
    return [{"names": [image.id, f"{image.repository}:latest"], "sizeBytes": image.size} for image in images]


def _machine_id(name: str) -> str:
    """Nodes share a machine here, but each needs an identity of its own."""
    return hashlib.sha256(f"{_read('/etc/machine-id')}/{name}".encode()).hexdigest()[:32]


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _architecture() -> str:
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
