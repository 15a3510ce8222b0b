"""Reads the topology of a Service from a cluster: objects through the API, rules from a node.

A cluster whose nodes can't be asked still gives a picture: without rules.
"""

from __future__ import annotations

from ..clusters.base import Cluster
from ..errors import LabError
from ..iptables.parser import parse
from ..reader import Reader
from .model import Client, Rule, Service, Topology, build
from .rules import chains_of, rules_of


def gather(cluster: Cluster, service: str, namespace: str, *, reader: Reader | None = None) -> Topology:
    """The topology of a Service as it is now, asked from the node that the rules are read from."""
    reader = reader or Reader(cluster, namespace)
    node = cluster.nodes()[0]
    found = reader.get("services", service)
    slices, pods = reader.list("endpointslices"), reader.list("pods")
    clients = (Client("node", node),)
    simulated = cluster.capabilities.simulated
    plain = build(service, namespace, service=found, slices=slices, pods=pods, clients=clients, simulated=simulated)
    if plain.service is None:
        return plain
    read = _read_rules(cluster, node, plain.service)
    if read is None:
        return plain
    rules, chains = read
    return build(
        service,
        namespace,
        service=found,
        slices=slices,
        pods=pods,
        rules=rules,
        chains=chains,
        rules_node=node,
        clients=clients,
        simulated=simulated,
    )


def _read_rules(cluster: Cluster, node: str, service: Service) -> tuple[list[Rule], list[tuple[str, str]]] | None:
    """The Service's rules and chains on a node, or None where rules can't be read."""
    if not cluster.capabilities.node_shell or cluster.capabilities.proxy_mode != "iptables":
        return None
    try:
        ruleset = parse(cluster.iptables_save(node))
    except LabError:
        return None
    return rules_of(ruleset, service), chains_of(ruleset, service)
