"""Which UDP connections the kernel has to forget when endpoints come or go.

UDP has no end of a connection: a client that keeps its port would be sent to a gone endpoint for as long as it
talks, since rules are asked for the first packet only. Models pkg/proxy/conntrack/cleanup.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterator

from .endpoints import Endpoint
from .rules import Ports
from .services import ServicePort

_DELETE = ("conntrack", "-D", "-p", "udp")


def stale_flows(before: Ports, after: Ports) -> list[tuple[str, ...]]:
    """The `conntrack` commands to run when the ports of one Service change."""
    now = {(port.name, port.protocol): endpoints for port, endpoints in after}
    return [
        command
        for port, endpoints in before
        if port.protocol == "udp"
        for command in _commands(port, endpoints, now.get((port.name, port.protocol), ()))
    ]


def _commands(
    port: ServicePort, before: tuple[Endpoint, ...], after: tuple[Endpoint, ...]
) -> Iterator[tuple[str, ...]]:
    serving = {endpoint.ip for endpoint in after if endpoint.serving}
    gone = sorted({endpoint.ip for endpoint in before if endpoint.serving} - serving)
    for ip in gone:
        for destination in _destinations(port):
            yield (*_DELETE, *destination, "--dst-nat", ip)
    if serving and not any(endpoint.serving for endpoint in before):
        # What was sent while nobody served went nowhere, and would go on doing so.
        for destination in _destinations(port):
            yield (*_DELETE, *destination)


def _destinations(port: ServicePort) -> Iterator[tuple[str, ...]]:
    for ip in (port.cluster_ip, *port.external_ips, *port.load_balancer_vips):
        yield ("--orig-dst", ip)
    if port.node_port:
        yield ("--dport", str(port.node_port))
