"""The ports of its node that a Pod wants for itself (`hostPort`).

Models MakePortMappings in pkg/kubelet/container/helpers.go (v1.36). How they lead to the Pod is left to the network.
"""

from __future__ import annotations

from ..network.host_ports import PortMapping
from ..objects import Obj, is_sidecar


def port_mappings(pod: Obj) -> tuple[PortMapping, ...]:
    """By container and in its order; a Pod on its node's own network needs none."""
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        return ()
    containers = [*spec["containers"], *filter(is_sidecar, spec.get("initContainers") or [])]
    return tuple(
        PortMapping(
            host_port=int(port["hostPort"]),
            container_port=int(port["containerPort"]),
            protocol=(port.get("protocol") or "TCP").lower(),
            host_ip=port.get("hostIP") or "",
        )
        for container in containers
        for port in container.get("ports") or []
        if port.get("hostPort") and ":" not in (port.get("hostIP") or "")
    )
