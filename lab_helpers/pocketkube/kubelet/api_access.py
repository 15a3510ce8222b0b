"""The way to the API server for the cluster's own programs, such as its DNS: the Unix socket, seen in their Pod.

Whoever holds that socket may do anything. Only images that the catalogue marks get it, and only in kube-system, where
on a real cluster, too, whoever may create Pods rules the cluster. All other Pods go through the `kubernetes` Service.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..config import API_SOCKET_VARIABLE
from ..objects import Obj, namespace_of
from .images import Image
from .runtime import ContainerSpec, Mount

PLACE = "/run/pocketkube/api.sock"


def with_api_socket(spec: ContainerSpec, pod: Obj, image: Image, socket: Path) -> ContainerSpec:
    """The container with the API's socket, if its image is marked so; otherwise unchanged."""
    if not image.needs_api or namespace_of(pod) != "kube-system":
        return spec
    return replace(spec, env={**spec.env, API_SOCKET_VARIABLE: PLACE}, mounts=[*spec.mounts, Mount(socket, PLACE)])
