"""Which UDP connections the kernel has to forget when endpoints come or go.

UDP has no end of a connection: a client that keeps its port would be sent to a gone endpoint for as long as it
talks, since rules are asked for the first packet only. So whatever was sent to a Service and is not answered by one
of its serving endpoints is forgotten. Models pkg/proxy/conntrack/cleanup.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..network.flows import Flow
from .service_ports import Ports


class _Server(NamedTuple):
    ip: str
    port: int


def udp_endpoints_changed(before: Ports, after: Ports) -> bool:
    """True if a UDP port of a Service got or lost an endpoint."""
    return _udp_endpoints(before) != _udp_endpoints(after)


def stale_flows(flows: Iterable[Flow], services: Iterable[Ports]) -> list[Flow]:
    """Those of the connections that have to be forgotten. A Service without endpoints leaves its own alone."""
    by_address: dict[_Server, set[_Server]] = {}
    by_node_port: dict[int, set[_Server]] = {}
    for port, endpoints in (pair for ports in services for pair in ports):
        serving = {_Server(endpoint.ip, endpoint.port) for endpoint in endpoints if endpoint.serving}
        if port.protocol != "udp" or not serving:
            continue
        for ip in (port.cluster_ip, *port.external_ips, *port.load_balancer_vips):
            by_address[_Server(ip, port.port)] = serving
        if port.node_port:
            by_node_port[port.node_port] = serving

    def is_stale(flow: Flow) -> bool:
        wanted = (by_address.get(_Server(flow.destination, flow.port)), by_node_port.get(flow.port))
        return any(serving is not None and _Server(flow.server, flow.server_port) not in serving for serving in wanted)

    return [flow for flow in flows if is_stale(flow)]


def _udp_endpoints(ports: Ports) -> dict[str, set[tuple[str, bool]]]:
    return {
        port.name: {(endpoint.address, endpoint.serving) for endpoint in endpoints}
        for port, endpoints in ports
        if port.protocol == "udp" and endpoints
    }
