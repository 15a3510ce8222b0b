"""What shapes the rules of a node beside Services and endpoints: kube-proxy's configuration and the node itself."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from ..network.engine import NFACCT_COUNTERS


@dataclass(frozen=True)
class NodeInfo:
    """The node that the rules are for."""

    name: str
    ip: str
    zone: str = ""


@dataclass(frozen=True)
class ProxyOptions:
    """kube-proxy's configuration; the defaults are those of a kubeadm node."""

    cluster_cidr: str = "10.244.0.0/16"
    """Where Pods are: traffic to a cluster IP from elsewhere is masqueraded. Empty: not known, so none is."""
    masquerade_all: bool = False
    masquerade_bit: int = 14
    random_fully: bool = True
    localhost_node_ports: bool = True
    """Node ports answer on 127.0.0.1 too; needs `route_localnet` on the node."""
    node_port_addresses: tuple[str, ...] = ()
    """The node's addresses that node ports answer on; empty: all."""
    conntrack_tcp_be_liberal: bool = False
    nfacct_counters: frozenset[str] = NFACCT_COUNTERS
    """The nfacct objects that exist on the node: a rule that names another one is refused by the kernel."""
    large_cluster_endpoints: int = 1000
    """With more endpoints than this the rules of each endpoint go without comments."""

    @property
    def mark(self) -> str:
        """The masquerade mark as kube-proxy writes it."""
        return f"{1 << self.masquerade_bit:#010x}"

    def node_port_destinations(self, node: NodeInfo) -> tuple[str, ...] | None:
        """The node's own addresses that node ports are limited to, or None for all it has."""
        if not self.node_port_addresses:
            return None
        networks = [ipaddress.ip_network(text, strict=False) for text in self.node_port_addresses]
        if any(network.prefixlen == 0 for network in networks):
            return None
        own = [node.ip, "127.0.0.1"] if self.localhost_node_ports else [node.ip]
        return tuple(ip for ip in own if any(ipaddress.ip_address(ip) in network for network in networks))
