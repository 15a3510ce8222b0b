"""The rules of one Service port: a pure function of the port, its endpoints, the node and the options.

Its `entries` stand in the chains that all Services share, its `chains` are its own. How all of it becomes one text
is left to `rules`.
Models the loop of syncProxyRules in pkg/proxy/iptables/proxier.go (v1.36).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from ...iptables import Condition, Match, Option, Rule, Target
from ..network.engine import LOCALHOST_NODE_PORTS_COUNTER
from .endpoints import Endpoint
from .naming import endpoint_chain
from .options import NodeInfo, ProxyOptions
from .routing import Routing
from .services import ServicePort

SERVICES = "KUBE-SERVICES"
EXTERNAL_SERVICES = "KUBE-EXTERNAL-SERVICES"
NODE_PORTS = "KUBE-NODEPORTS"
PROXY_FIREWALL = "KUBE-PROXY-FIREWALL"
MARK_MASQ = "KUBE-MARK-MASQ"

_TO_LOCAL = Match("addrtype", (Option("--dst-type", ("LOCAL",)),))
_FROM_LOCAL = Match("addrtype", (Option("--src-type", ("LOCAL",)),))
_MARK_MASQ = Target(MARK_MASQ)


@dataclass(frozen=True)
class Entry:
    """One rule in a chain that all Services share."""

    table: str
    chain: str
    rule: Rule


@dataclass(frozen=True)
class ServiceRules:
    """All rules of one Service port; its own chains are all in the nat table."""

    name: str
    entries: tuple[Entry, ...] = ()
    chains: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    endpoints: int = 0


def service_rules(
    port: ServicePort, endpoints: Sequence[Endpoint], node: NodeInfo, options: ProxyOptions, *, large: bool = False
) -> ServiceRules:
    """The rules of a Service port; `large`: leave out the comments at its endpoints, as in a cluster with many."""
    writer = _Writer(Routing.of(port, endpoints, node), node, options, large)
    return ServiceRules(port.name, tuple(writer.entries()), writer.chains(), len(endpoints))


def comment(text: str) -> Match:
    """`-m comment --comment TEXT`."""
    return Match("comment", (Option("--comment", (text,)),))


class _Writer:
    def __init__(self, routing: Routing, node: NodeInfo, options: ProxyOptions, large: bool) -> None:
        self.routing = routing
        self.port = port = routing.port
        self.node = node
        self.options = options
        self.large = large
        self.protocol = Condition(port.protocol)
        self.has_endpoints = routing.has_endpoints
        self.has_internal = routing.has_internal
        self.has_external = routing.has_external
        self.uses_firewall = routing.has_endpoints and bool(port.load_balancer_vips and port.source_ranges)
        self.internal_chain = port.local_policy_chain if port.internal_policy_local else port.cluster_policy_chain
        reachable = routing.categories.reachable
        self.sep = {e.address: endpoint_chain(port.name, port.protocol, e.address) for e in reachable}

    def entries(self) -> Iterator[Entry]:
        """The rules in shared chains by which traffic comes in, or is turned away."""
        yield self._cluster_ip()
        yield from self._external_ips()
        yield from self._load_balancer()
        yield from self._node_port()
        if self.port.health_check_node_port:
            dport = _with_dport("tcp", self.port.health_check_node_port)
            matches = (comment(f"{self.port.name} health check node port"), dport)
            yield Entry("filter", NODE_PORTS, Rule(protocol=Condition("tcp"), matches=matches, target=Target("ACCEPT")))

    def chains(self) -> dict[str, tuple[Rule, ...]]:
        """The port's own chains and the rules in them."""
        port, routing = self.port, self.routing
        found: dict[str, list[Rule]] = {}
        if self.has_internal:
            found.setdefault(self.internal_chain, []).extend(self._masquerade_off_cluster())
        if routing.uses_external:
            found[port.external_chain] = list(self._external())
        if self.uses_firewall:
            found[port.firewall_chain] = list(self._firewall())
        if routing.cluster:
            found.setdefault(port.cluster_policy_chain, []).extend(self._balance(routing.cluster))
        if routing.local:
            found.setdefault(port.local_policy_chain, []).extend(self._balance(routing.local))
        for endpoint in routing.categories.reachable:
            found[self.sep[endpoint.address]] = list(self._endpoint(endpoint))
        return {chain: tuple(rules) for chain, rules in found.items()}

    def _to(self, ip: str, text: str, target: str) -> Rule:
        """Traffic to one of the Service's addresses."""
        return Rule(
            destination=Condition(f"{ip}/32"),
            protocol=self.protocol,
            matches=(comment(text), _with_dport(self.port.protocol, self.port.port)),
            target=Target(target),
        )

    def _turn_away(self) -> tuple[str, str]:
        """The comment and the verdict for traffic that no endpoint may have."""
        if not self.has_endpoints:
            return f"{self.port.name} has no endpoints", "REJECT"
        return f"{self.port.name} has no local endpoints", "DROP"

    def _cluster_ip(self) -> Entry:
        if self.has_internal:
            rule = self._to(self.port.cluster_ip, f"{self.port.name} cluster IP", self.internal_chain)
            return Entry("nat", SERVICES, rule)
        text, verdict = self._turn_away()
        return Entry("filter", SERVICES, self._to(self.port.cluster_ip, text, verdict))

    def _external_ips(self) -> Iterator[Entry]:
        for ip in self.port.external_ips:
            if self.has_endpoints:
                rule = self._to(ip, f"{self.port.name} external IP", self.port.external_chain)
                yield Entry("nat", SERVICES, rule)
            if not self.has_external:
                text, verdict = self._turn_away()
                yield Entry("filter", EXTERNAL_SERVICES, self._to(ip, text, verdict))

    def _load_balancer(self) -> Iterator[Entry]:
        port = self.port
        chain = port.firewall_chain if self.uses_firewall else port.external_chain
        for ip in port.load_balancer_vips:
            if self.has_endpoints:
                yield Entry("nat", SERVICES, self._to(ip, f"{port.name} loadbalancer IP", chain))
            if self.uses_firewall:
                text = f"{port.name} traffic not accepted by {port.firewall_chain}"
                yield Entry("filter", PROXY_FIREWALL, self._to(ip, text, "DROP"))
        if not self.has_external:
            text, verdict = self._turn_away()
            for ip in port.load_balancer_vips:
                yield Entry("filter", EXTERNAL_SERVICES, self._to(ip, text, verdict))

    def _node_port(self) -> Iterator[Entry]:
        port = self.port
        if not port.node_port:
            return
        dport = _with_dport(port.protocol, port.node_port)
        if self.has_endpoints:
            named, target = comment(port.name), Target(port.external_chain)
            if self.options.localhost_node_ports and LOCALHOST_NODE_PORTS_COUNTER in self.options.nfacct_counters:
                counted = Match("nfacct", (Option("--nfacct-name", (LOCALHOST_NODE_PORTS_COUNTER,)),))
                here = Condition("127.0.0.0/8")
                rule = Rule(destination=here, protocol=self.protocol, matches=(named, dport, counted), target=target)
                yield Entry("nat", NODE_PORTS, rule)
            yield Entry("nat", NODE_PORTS, Rule(protocol=self.protocol, matches=(named, dport), target=target))
        if not self.has_external:
            text, verdict = self._turn_away()
            rule = Rule(protocol=self.protocol, matches=(comment(text), _TO_LOCAL, dport), target=Target(verdict))
            yield Entry("filter", EXTERNAL_SERVICES, rule)

    def _masquerade_off_cluster(self) -> Iterator[Rule]:
        """Clients outside the Pod network must get their answer from this node again."""
        rule = self._to(self.port.cluster_ip, f"{self.port.name} cluster IP", MARK_MASQ)
        if self.options.masquerade_all:
            yield rule
        elif self.options.cluster_cidr:
            yield Rule(
                source=Condition(self.options.cluster_cidr, negated=True),
                destination=rule.destination,
                protocol=rule.protocol,
                matches=rule.matches,
                target=rule.target,
            )

    def _external(self) -> Iterator[Rule]:
        port = self.port
        destinations = f"{port.name} external destinations"
        to_all = Target(port.cluster_policy_chain)
        if not port.external_policy_local:
            yield Rule(matches=(comment(f"masquerade traffic for {destinations}"),), target=_MARK_MASQ)
        else:
            if self.options.cluster_cidr:
                pods = Condition(self.options.cluster_cidr)
                yield Rule(source=pods, matches=(comment(f"pod traffic for {destinations}"),), target=to_all)
            masquerade = (comment(f"masquerade LOCAL traffic for {destinations}"), _FROM_LOCAL)
            yield Rule(matches=masquerade, target=_MARK_MASQ)
            yield Rule(matches=(comment(f"route LOCAL traffic for {destinations}"), _FROM_LOCAL), target=to_all)
        if self.has_external:
            policy = port.local_policy_chain if port.external_policy_local else port.cluster_policy_chain
            yield Rule(target=Target(policy))

    def _firewall(self) -> Iterator[Rule]:
        port = self.port
        named, target = (comment(f"{port.name} loadbalancer IP"),), Target(port.external_chain)
        for cidr in port.source_ranges:
            yield Rule(source=Condition(cidr), matches=named, target=target)
        node_ip = ipaddress.ip_address(self.node.ip)
        if any(node_ip in ipaddress.ip_network(cidr) for cidr in port.source_ranges):
            # A request from the node to an address of its own load balancer comes with that address as its source.
            for ip in port.load_balancer_vips:
                yield Rule(source=Condition(f"{ip}/32"), matches=named, target=target)
        yield Rule(matches=(comment(f"other traffic to {port.name} will be dropped by KUBE-PROXY-FIREWALL"),))

    def _balance(self, endpoints: Sequence[Endpoint]) -> Iterator[Rule]:
        """Each of n endpoints gets 1/n: the first takes 1/n of all, the next 1/(n-1) of the rest, the last all."""
        named = [() if self.large else (comment(f"{self.port.name} -> {e.address}"),) for e in endpoints]
        targets = [Target(self.sep[e.address]) for e in endpoints]
        if self.port.affinity_seconds:
            for match, target in zip(named, targets, strict=True):
                yield Rule(matches=(*match, self._remembered(target.name)), target=target)
        left = len(endpoints)
        for match, target in zip(named, targets, strict=True):
            yield Rule(matches=(*match, _with_probability(left)) if left > 1 else match, target=target)
            left -= 1

    def _remembered(self, chain: str) -> Match:
        seconds = Option("--seconds", (str(self.port.affinity_seconds),))
        return Match("recent", (Option("--rcheck"), seconds, Option("--reap"), Option("--name", (chain,))))

    def _endpoint(self, endpoint: Endpoint) -> Iterator[Rule]:
        named = () if self.large else (comment(self.port.name),)
        # A Pod that reaches itself through its Service must not see its own address as the client's.
        yield Rule(source=Condition(f"{endpoint.ip}/32"), matches=named, target=_MARK_MASQ)
        matches = [*named]
        if self.port.affinity_seconds:
            matches.append(Match("recent", (Option("--set"), Option("--name", (self.sep[endpoint.address],)))))
        matches.append(Match(self.port.protocol))
        to = Option("--to-destination", (endpoint.address,))
        yield Rule(protocol=self.protocol, matches=tuple(matches), target=Target("DNAT", (to,)))


def _with_dport(protocol: str, port: int) -> Match:
    return Match(protocol, (Option("--dport", (str(port),)),))


@lru_cache(maxsize=4096)
def _with_probability(left: int) -> Match:
    """`-m statistic` for one of `left` endpoints, with the ten digits that upstream writes."""
    return Match("statistic", (Option("--mode", ("random",)), Option("--probability", (f"{1 / left:.10f}",))))
