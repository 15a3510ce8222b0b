"""What the rules of a node do with a Service's connections: chains, endpoints, and the exact share of each.

A chain of kube-proxy tries its rules in order, each with a probability of what is left; here each share is of the
whole. Reading the text is left to `iptables.parser`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..iptables.model import Rule as NodeRule
from ..iptables.model import Ruleset
from .model import Rule, Service

_VERDICTS = ("REJECT", "DROP")


def chains_of(ruleset: Ruleset, service: Service) -> list[tuple[str, str]]:
    """The chain that KUBE-SERVICES sends each port of the Service to: (port name, chain)."""
    found = []
    for port in service.ports:
        for rule in ruleset.rules("nat", "KUBE-SERVICES"):
            if _is_for(rule, service.cluster_ip, port.port, port.protocol):
                found.append((port.name, rule.jump))
    return found


def rules_of(ruleset: Ruleset, service: Service) -> list[Rule]:
    """Where the connections of each port go, in the order of the chain; a port without endpoints is refused."""
    rules = [rule for port, chain in chains_of(ruleset, service) for rule in _shares(ruleset, port, chain)]
    for port in service.ports:
        for node_rule in ruleset.rules("filter", "KUBE-SERVICES"):
            if node_rule.jump in _VERDICTS and _is_for(node_rule, service.cluster_ip, port.port, port.protocol):
                rules.append(Rule(port.name, "", 1.0, node_rule.jump))
    return rules


def _shares(ruleset: Ruleset, port: str, chain: str) -> Iterator[Rule]:
    left = 1.0
    for rule in ruleset.rules("nat", chain):
        endpoint = _endpoint(ruleset, rule.jump)
        if not endpoint or rule.match("recent"):
            continue
        statistic = rule.match("statistic")
        chance = float(statistic.value("--probability")) if statistic else 1.0
        yield Rule(port, endpoint, left * chance, rule.jump)
        left *= 1 - chance


def _endpoint(ruleset: Ruleset, chain: str) -> str:
    """Where a KUBE-SEP chain sends a connection."""
    if not chain.startswith("KUBE-SEP-"):
        return ""
    targets = (rule.target for rule in ruleset.rules("nat", chain) if rule.target)
    return next((target.value("--to-destination") for target in targets if target.name == "DNAT"), "")


def _is_for(rule: NodeRule, address: str, port: int, protocol: str) -> bool:
    destination, wanted = rule.destination, protocol.lower()
    if destination is None or destination.value.partition("/")[0] != address:
        return False
    match = rule.match(wanted)
    return match is not None and match.value("--dport") == str(port)
