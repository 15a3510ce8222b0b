"""iptables rules of any cluster: read them, write them, explain a Service's chains, follow a packet through them.

    rules = parse(text_of_iptables_save)
    distribution(rules, "default", "demo-service")      which endpoint gets which exact part of the connections
    explain(rules, "default", "demo-service").text()    the chains as a tree
    trace(Packet("10.244.0.7", "10.96.0.20", 80, in_interface="veth1"), rules, Host(("192.168.49.2",)))

Depends on nothing else of ServiceLab but the error tree.
"""

from __future__ import annotations

from .canonical import canonical, canonical_rule
from .evaluator import Evaluator, Outcome, Trace, trace
from .explanation import Branch, Explanation, Share, distribution, explain, service_port_names
from .model import Chain, Condition, Counters, Match, Option, Rule, Ruleset, Table, Target
from .packet import Host, Packet, Route, Step
from .parser import parse
from .renderer import render
from .tables import Tables

__all__ = [
    "Branch",
    "Chain",
    "Condition",
    "Counters",
    "Evaluator",
    "Explanation",
    "Host",
    "Match",
    "Option",
    "Outcome",
    "Packet",
    "Route",
    "Rule",
    "Ruleset",
    "Share",
    "Step",
    "Table",
    "Tables",
    "Target",
    "Trace",
    "canonical",
    "canonical_rule",
    "distribution",
    "explain",
    "parse",
    "render",
    "service_port_names",
    "trace",
]
