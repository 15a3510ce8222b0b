"""What the rules of a node do with a Service's connections, in the words of the picture.

Reading and explaining rules is the business of `lab_helpers.iptables`; here its answers become `Rule`s of the model.
"""

from __future__ import annotations

from ..iptables import Ruleset, distribution
from .model import Port, Rule, Service

_VERDICTS = ("REJECT", "DROP")


def chains_of(ruleset: Ruleset, service: Service) -> list[tuple[str, str]]:
    """The chain that KUBE-SERVICES sends each port of the Service to: (port name, chain)."""
    return [
        (port.name, rule.jump)
        for port in service.ports
        for rule in ruleset.rules("nat", "KUBE-SERVICES")
        if rule.comment == f"{_port_name(service, port)} cluster IP"
    ]


def rules_of(ruleset: Ruleset, service: Service) -> list[Rule]:
    """Where the connections of each port go, in the order of the chain; a port without endpoints is refused."""
    rules = []
    for port in service.ports:
        for share in distribution(ruleset, service.namespace, service.name, port.name):
            rules.append(Rule(port.name, share.endpoint, float(share.probability), share.chain))
        for rule in ruleset.rules("filter", "KUBE-SERVICES"):
            if rule.jump in _VERDICTS and rule.comment.startswith(f"{_port_name(service, port)} has no "):
                rules.append(Rule(port.name, "", 1.0, rule.jump))
    return rules


def _port_name(service: Service, port: Port) -> str:
    """As kube-proxy's comments name it: `namespace/service` or `namespace/service:port`."""
    name = f"{service.namespace}/{service.name}"
    return f"{name}:{port.name}" if port.name else name
