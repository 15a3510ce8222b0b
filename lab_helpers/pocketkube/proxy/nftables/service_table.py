"""What one Service brings into the table `ip kube-proxy`: chains, affinity sets, and elements of the shared maps.

A pure function of its ports and endpoints. Models the loop of syncProxyRules in pkg/proxy/nftables/proxier.go (v1.36).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..endpoints import Endpoint
from ..options import NodeInfo, ProxyOptions
from ..routing import Routing
from ..service_ports import Ports
from ..services import ServicePort
from . import base_table as base
from . import naming
from .transaction import add_rule, quoted

Place = tuple[str, str]
"""A set or map, and a key in it."""

_TO_REJECT = f"goto {base.REJECT}"


@dataclass
class ServiceTable:
    """The part of one Service."""

    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of chains, and the commands that add their rules."""
    affinity: dict[str, int] = field(default_factory=dict)
    """Names of affinity sets, and for how many seconds a client stays in it."""
    elements: dict[Place, str] = field(default_factory=dict)
    """What follows the key: a comment, the value of a map, or nothing."""


def service_table(ports: Ports, node: NodeInfo, options: ProxyOptions) -> ServiceTable:
    """What the kernel needs for a Service's ports."""
    table = ServiceTable()
    for port, endpoints in ports:
        _Writer(Routing.of(port, endpoints, node), node, options, table).write()
    return table


class _Writer:
    def __init__(self, routing: Routing, node: NodeInfo, options: ProxyOptions, table: ServiceTable) -> None:
        self.routing = routing
        self.port: ServicePort = routing.port
        self.node = node
        self.options = options
        self.table = table
        self.firewalled = bool(self.port.load_balancer_vips and self.port.source_ranges)
        self.cluster_chain = naming.cluster_policy_chain(self.port)
        self.local_chain = naming.local_policy_chain(self.port)

    def write(self) -> None:
        port, routing = self.port, self.routing
        self._elements()
        if port.affinity_seconds:
            for endpoint in routing.categories.reachable:
                self.table.affinity[naming.affinity_set(port, endpoint)] = port.affinity_seconds
                self._chain(naming.endpoint_chain(port, endpoint), self._endpoint(endpoint))
        if routing.cluster:
            self._chain(self.cluster_chain, self._balance(routing.cluster))
        if routing.local:
            self._chain(self.local_chain, self._balance(routing.local))
        if routing.uses_external:
            self._chain(naming.external_chain(port), self._external())
        if self.firewalled:
            self._chain(naming.firewall_chain(port), self._firewall())

    def _chain(self, name: str, rules: Iterator[tuple[str, str]]) -> None:
        self.table.chains[name] = tuple(add_rule(name, rule, comment) for rule, comment in rules)

    def _put(self, name: str, key: Sequence[object], value: str = "", comment: str = "") -> None:
        text = quoted(comment) if comment else ""
        self.table.elements[name, " . ".join(map(str, key))] = f"{text} : {value}" if value else text

    def _elements(self) -> None:
        port, routing = self.port, self.routing
        for endpoint in routing.categories.reachable:
            if endpoint.local:
                self._put(base.HAIRPIN, (endpoint.ip, endpoint.ip, port.protocol, endpoint.port))
        self._put(base.CLUSTER_IPS, (port.cluster_ip,))
        reject = "drop" if routing.has_endpoints else _TO_REJECT
        internal = self.local_chain if port.internal_policy_local else self.cluster_chain
        self._way_in(port.cluster_ip, internal if routing.has_internal else "", "" if routing.has_internal else reject)
        external = naming.external_chain(port) if routing.has_endpoints else ""
        refused = "" if routing.has_external else reject
        for ip in (*port.external_ips, *port.load_balancer_vips):
            self._way_in(ip, external, refused)
        if self.firewalled:
            for ip in port.load_balancer_vips:
                to_firewall = f"goto {naming.firewall_chain(port)}"
                self._put(base.FIREWALL_IPS, (ip, port.protocol, port.port), to_firewall)
        if port.node_port:
            key = (port.protocol, port.node_port)
            if external:
                self._put(base.SERVICE_NODE_PORTS, key, f"goto {external}")
            if refused:
                self._put(base.NO_ENDPOINT_NODE_PORTS, key, refused, port.name)

    def _way_in(self, ip: str, chain: str, refused: str) -> None:
        key = (ip, self.port.protocol, self.port.port)
        if chain:
            self._put(base.SERVICE_IPS, key, f"goto {chain}")
        if refused:
            self._put(base.NO_ENDPOINT_SERVICES, key, refused, self.port.name)

    def _external(self) -> Iterator[tuple[str, str]]:
        marked = base.masquerade(self.options)
        if not self.port.external_policy_local:
            yield marked, "masquerade"
        else:
            if self.options.cluster_cidr:
                pods = f"ip saddr {self.options.cluster_cidr} goto {self.cluster_chain}"
                yield pods, "short-circuit pod traffic"
            yield f"fib saddr type local {marked}", "masquerade local traffic"
            yield f"fib saddr type local goto {self.cluster_chain}", "short-circuit local traffic"
        if self.routing.has_external:
            yield f"goto {self.local_chain if self.port.external_policy_local else self.cluster_chain}", ""

    def _firewall(self) -> Iterator[tuple[str, str]]:
        sources = list(self.port.source_ranges)
        node_ip = ipaddress.ip_address(self.node.ip)
        if any(node_ip in ipaddress.ip_network(cidr) for cidr in sources):
            # A request from the node to an address of its own load balancer comes with that address as its source.
            sources += self.port.load_balancer_vips
        yield f"ip saddr != {{ {' , '.join(sources)} }} drop", ""

    def _balance(self, endpoints: Sequence[Endpoint]) -> Iterator[tuple[str, str]]:
        port, chance = self.port, f"numgen random mod {len(endpoints)}"
        if not port.affinity_seconds:
            parts = (f"{number} : {e.ip} . {e.port}" for number, e in enumerate(endpoints))
            to = f"dnat ip addr . port to {chance} map {{ {' , '.join(parts)} }}"
            yield f"meta l4proto {port.protocol} {to}", ""
            return
        chains = [naming.endpoint_chain(port, endpoint) for endpoint in endpoints]
        for endpoint, chain in zip(endpoints, chains, strict=True):
            yield f"ip saddr @{naming.affinity_set(port, endpoint)} goto {chain}", ""
        yield f"{chance} vmap {{ {' , '.join(f'{n} : goto {chain}' for n, chain in enumerate(chains))} }}", ""

    def _endpoint(self, endpoint: Endpoint) -> Iterator[tuple[str, str]]:
        yield f"update @{naming.affinity_set(self.port, endpoint)} {{ ip saddr }}", ""
        yield f"meta l4proto {self.port.protocol} dnat to {endpoint.address}", ""
