"""What the table `ip kube-proxy` has on every node, whatever Services there are.

Models nftablesBaseChains, nftablesJumpChains and setupNFTables in pkg/proxy/nftables/proxier.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..options import NodeInfo, ProxyOptions
from .transaction import TABLE, add_chain, add_rule

SERVICES = "services"
MASQUERADING = "masquerading"
CLUSTER_IPS_CHECK = "cluster-ips-check"
SERVICE_CHECK, NODE_PORT_CHECK = "service-endpoints-check", "nodeport-endpoints-check"
FIREWALL_CHECK = "firewall-check"
REJECT = "reject-chain"

CLUSTER_IPS, HAIRPIN, NODE_PORT_IPS = "cluster-ips", "hairpin-connections", "nodeport-ips"
SERVICE_IPS, SERVICE_NODE_PORTS, FIREWALL_IPS = "service-ips", "service-nodeports", "firewall-ips"
NO_ENDPOINT_SERVICES, NO_ENDPOINT_NODE_PORTS = "no-endpoint-services", "no-endpoint-nodeports"

FILLED = (
    CLUSTER_IPS,
    SERVICE_IPS,
    FIREWALL_IPS,
    NO_ENDPOINT_SERVICES,
    NO_ENDPOINT_NODE_PORTS,
    SERVICE_NODE_PORTS,
    HAIRPIN,
)
"""The sets and maps that Services fill."""

_SETS = frozenset({CLUSTER_IPS, HAIRPIN})


class _BaseChain(NamedTuple):
    name: str
    kind: str
    hook: str
    priority: int


_BASE_CHAINS = (
    _BaseChain("filter-prerouting-pre-dnat", "filter", "prerouting", -110),
    _BaseChain("filter-output-pre-dnat", "filter", "output", -110),
    _BaseChain("filter-input", "filter", "input", 0),
    _BaseChain("filter-forward", "filter", "forward", 0),
    _BaseChain("filter-output", "filter", "output", 0),
    _BaseChain("nat-prerouting", "nat", "prerouting", -100),
    _BaseChain("nat-output", "nat", "output", -100),
    _BaseChain("nat-postrouting", "nat", "postrouting", 100),
)
_NEW = "ct state new "
_JUMPS = (
    (NODE_PORT_CHECK, "filter-input", _NEW),
    (SERVICE_CHECK, "filter-input", _NEW),
    (SERVICE_CHECK, "filter-forward", _NEW),
    (SERVICE_CHECK, "filter-output", _NEW),
    (FIREWALL_CHECK, "filter-prerouting-pre-dnat", _NEW),
    (FIREWALL_CHECK, "filter-output-pre-dnat", _NEW),
    (SERVICES, "nat-output", ""),
    (SERVICES, "nat-prerouting", ""),
    (MASQUERADING, "nat-postrouting", ""),
    (CLUSTER_IPS_CHECK, "filter-forward", _NEW),
    (CLUSTER_IPS_CHECK, "filter-output", _NEW),
)
_ADDRESS_AND_PORT = "ipv4_addr . inet_proto . inet_service"
_TO_ADDRESS_AND_PORT = "ip daddr . meta l4proto . th dport"


def masquerade(options: ProxyOptions) -> str:
    """Marks a packet, so that it is masqueraded later."""
    return f"mark set mark or {options.mark}"


def kind_of(name: str) -> str:
    """Whether one of FILLED is a set or a map."""
    return "set" if name in _SETS else "map"


def base_commands(options: ProxyOptions, node: NodeInfo, service_cidr: str) -> Iterator[str]:
    """Makes or renews everything but what Services bring."""
    yield f'add table {TABLE} {{ comment "rules for kube-proxy" ; }}'
    for chain in _BASE_CHAINS:
        hook = f"type {chain.kind} hook {chain.hook} priority {chain.priority} ;"
        yield f"add chain {TABLE} {chain.name} {{ {hook} }}"
        yield f"flush chain {TABLE} {chain.name}"
    known = set()
    for chain_name, source, condition in _JUMPS:
        if chain_name not in known:
            yield from add_chain(chain_name)
            known.add(chain_name)
        yield add_rule(source, f"{condition}jump {chain_name}")
    yield _set(HAIRPIN, f"ipv4_addr . {_ADDRESS_AND_PORT}", "service hairpin connections")
    yield from _masquerading(options)
    yield _set(CLUSTER_IPS, "ipv4_addr", "Active ClusterIPs")
    reject = f"ip daddr @{CLUSTER_IPS} reject"
    yield add_rule(CLUSTER_IPS_CHECK, reject, "Reject traffic to invalid ports of ClusterIPs")
    drop = f"ip daddr {{ {service_cidr} }} drop"
    yield add_rule(CLUSTER_IPS_CHECK, drop, "Drop traffic to unallocated ClusterIPs")
    own = node_port_addresses(options, node)
    yield _set(NODE_PORT_IPS, "ipv4_addr", "IPs that accept NodePort traffic")
    if own is None:
        yield f"delete set {TABLE} {NODE_PORT_IPS}"
    else:
        yield f"flush set {TABLE} {NODE_PORT_IPS}"
        yield from (f"add element {TABLE} {NODE_PORT_IPS} {{ {ip} }}" for ip in own)
    yield from _without_endpoints(own is None)
    yield _map(FIREWALL_IPS, _ADDRESS_AND_PORT, "destinations that are subject to LoadBalancerSourceRanges")
    yield add_rule(FIREWALL_CHECK, f"{_TO_ADDRESS_AND_PORT} vmap @{FIREWALL_IPS}")
    yield _map(SERVICE_IPS, _ADDRESS_AND_PORT, "ClusterIP, ExternalIP and LoadBalancer IP traffic")
    yield _map(SERVICE_NODE_PORTS, "inet_proto . inet_service", "NodePort traffic")
    yield from _dispatch(options, own is None)
    yield from (f"flush {kind_of(name)} {TABLE} {name}" for name in FILLED)


def node_port_addresses(options: ProxyOptions, node: NodeInfo) -> tuple[str, ...] | None:
    """The node's addresses that node ports answer on, or None for all but loopback; by default its primary one."""
    if not options.node_port_addresses:
        return (node.ip,)
    limited = options.node_port_destinations(node)
    return None if limited is None else tuple(ip for ip in limited if not ip.startswith("127."))


def _masquerading(options: ProxyOptions) -> Iterator[str]:
    mark = options.mark
    random = " fully-random" if options.random_fully else ""
    yield add_rule(MASQUERADING, f"mark and {mark} != 0 mark set mark xor {mark} masquerade{random}")
    connection = "ip saddr . ip daddr . meta l4proto . th dport"
    yield add_rule(MASQUERADING, f"ct status dnat {connection} @{HAIRPIN} masquerade{random}")


def _without_endpoints(all_addresses: bool) -> Iterator[str]:
    about = "vmap to drop or reject packets to {} with no endpoints"
    yield _map(NO_ENDPOINT_SERVICES, _ADDRESS_AND_PORT, about.format("services"))
    yield _map(NO_ENDPOINT_NODE_PORTS, "inet_proto . inet_service", about.format("service nodeports"))
    helper = f"helper for @{NO_ENDPOINT_SERVICES} / @{NO_ENDPOINT_NODE_PORTS}"
    yield f'add chain {TABLE} {REJECT} {{ comment "{helper}" ; }}'
    yield f"flush chain {TABLE} {REJECT}"
    yield add_rule(REJECT, "reject")
    yield add_rule(SERVICE_CHECK, f"{_TO_ADDRESS_AND_PORT} vmap @{NO_ENDPOINT_SERVICES}")
    to_node = "ip daddr != 127.0.0.0/8" if all_addresses else f"ip daddr @{NODE_PORT_IPS}"
    yield add_rule(NODE_PORT_CHECK, f"{to_node} meta l4proto . th dport vmap @{NO_ENDPOINT_NODE_PORTS}")


def _dispatch(options: ProxyOptions, all_addresses: bool) -> Iterator[str]:
    to_service = f"ip daddr @{CLUSTER_IPS}"
    if options.masquerade_all:
        yield add_rule(SERVICES, f"{to_service} {masquerade(options)}", "masquerade all clusterIP traffic")
    elif options.cluster_cidr:
        from_outside = f"{to_service} ip saddr != {options.cluster_cidr} {masquerade(options)}"
        yield add_rule(SERVICES, from_outside, "masquerade clusterIP traffic from outside cluster")
    yield add_rule(SERVICES, f"{_TO_ADDRESS_AND_PORT} vmap @{SERVICE_IPS}")
    to_node = "fib daddr type local ip daddr != 127.0.0.0/8" if all_addresses else f"ip daddr @{NODE_PORT_IPS}"
    yield add_rule(SERVICES, f"{to_node} meta l4proto . th dport vmap @{SERVICE_NODE_PORTS}")


def _set(name: str, kind: str, about: str) -> str:
    return f'add set {TABLE} {name} {{ type {kind} ; comment "{about}" ; }}'


def _map(name: str, key: str, about: str) -> str:
    return f'add map {TABLE} {name} {{ type {key} : verdict ; comment "{about}" ; }}'
