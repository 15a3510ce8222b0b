"""The ports of a Service, each with the endpoints behind it, as all proxy modes see them."""

from __future__ import annotations

from collections.abc import Iterable

from ..objects import SERVICE_NAME_LABEL, Obj, labels_of, namespace_of
from .endpoints import Endpoint, PortKey, endpoints_by_port
from .options import NodeInfo
from .services import HEADLESS_LABEL, ServicePort, service_ports

Ports = tuple[tuple[ServicePort, tuple[Endpoint, ...]], ...]
"""The ports of one Service, each with its endpoints."""


def ports_with_endpoints(service: Obj | None, slices: Iterable[Obj], node: NodeInfo) -> Ports:
    """The ports of a Service, each with its endpoints as they look from the node."""
    ports = service_ports(service) if service is not None else []
    if not ports:
        return ()
    endpoints = endpoints_by_port(slices, node.name)
    return tuple((port, endpoints.get(PortKey(port.port_name, port.protocol), ())) for port in ports)


def service_key_of(endpoint_slice: Obj) -> str:
    """`namespace/name` of the Service that an EndpointSlice belongs to, or the empty string if it is not our concern.

    Models the label selector of the informers in cmd/kube-proxy/app/server.go (v1.36).
    """
    labels = labels_of(endpoint_slice)
    if HEADLESS_LABEL in labels:
        return ""
    name = labels.get(SERVICE_NAME_LABEL)
    return f"{namespace_of(endpoint_slice)}/{name}" if name else ""


def count_endpoints(ports: Ports) -> int:
    """How many endpoints there are behind all ports."""
    return sum(len(endpoints) for _, endpoints in ports)
