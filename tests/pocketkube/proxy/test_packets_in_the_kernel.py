"""The evaluator and the kernel agree on what happens to a packet, for every kind of Service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from proxy_parts import NODE, applied, endpoint, endpoint_slice, service

from lab_helpers.iptables import Evaluator, Host, Outcome, Packet, Route
from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.proxy.options import ProxyOptions
from lab_helpers.pocketkube.proxy.rules import render_rules

HERE = [endpoint("10.244.0.2"), endpoint("10.244.0.3")]
THERE = [endpoint("10.244.1.2", "other")]
ROUTES = (Route("10.244.0.0/24", "pod", NODE.ip), Route("0.0.0.0/0", "outside", NODE.ip))
TIMES = 4


def balanced(ip: str) -> Obj:
    return {"loadBalancer": {"ingress": [{"ip": ip}]}}


def node_port(number: int) -> list[Obj]:
    return [{"port": 80, "nodePort": number}]


SERVICES = [
    service("web", "10.96.0.20", node_port(30080), type="NodePort", externalIPs=["203.0.113.7"]),
    service("local", "10.96.0.21", node_port(30081), type="NodePort", externalTrafficPolicy="Local"),
    service("away", "10.96.0.22", node_port(30082), type="NodePort", externalTrafficPolicy="Local"),
    service("none", "10.96.0.23", node_port(30083), type="NodePort"),
    service("sticky", "10.96.0.24", sessionAffinity="ClientIP"),
    service(
        "guarded",
        "10.96.0.25",
        type="LoadBalancer",
        loadBalancerSourceRanges=["10.244.0.0/16"],
        status=balanced("192.168.49.200"),
    ),
    service("inside", "10.96.0.26", internalTrafficPolicy="Local"),
]
SLICES = [
    endpoint_slice(HERE + THERE, "web"),
    endpoint_slice(HERE[:1] + THERE, "local"),
    endpoint_slice(THERE, "away"),
    endpoint_slice(HERE, "sticky"),
    endpoint_slice(HERE, "guarded"),
    endpoint_slice(THERE, "inside"),
]
POD, SELF, NODE_ITSELF = ("pod9", "10.244.0.9"), ("pod2", "10.244.0.2"), ("node", NODE.ip)
OUTSIDE, LOCALHOST = ("outside", "192.168.49.1"), ("node", "127.0.0.1")
ATTEMPTS = [
    (*client, destination, port)
    for client, destination, port in (
        (POD, "10.96.0.20", 80),
        (SELF, "10.96.0.20", 80),
        (NODE_ITSELF, "10.96.0.20", 80),
        (OUTSIDE, "10.96.0.20", 80),
        (OUTSIDE, NODE.ip, 30080),
        (POD, NODE.ip, 30080),
        (LOCALHOST, "127.0.0.1", 30080),
        (OUTSIDE, "203.0.113.7", 80),
        (OUTSIDE, NODE.ip, 30081),
        (POD, NODE.ip, 30081),
        (NODE_ITSELF, NODE.ip, 30081),
        (POD, NODE.ip, 30082),
        (POD, "10.96.0.23", 80),
        (NODE_ITSELF, "10.96.0.23", 80),
        (OUTSIDE, NODE.ip, 30083),
        (POD, "10.96.0.24", 80),
        (POD, "192.168.49.200", 80),
    )
    for _ in range(TIMES)
]
# Dropped, which takes a client's whole patience to notice.
ATTEMPTS += [
    (*OUTSIDE, NODE.ip, 30082),
    (*OUTSIDE, "192.168.49.200", 80),
    (*POD, "10.96.0.26", 80),
]


@pytest.mark.kernel
@pytest.mark.usefixtures("administrators_path")
def test_the_kernel_does_what_the_evaluator_says(tmp_path: Path) -> None:
    rules = render_rules(SERVICES, SLICES, NODE, ProxyOptions(nfacct_counters=frozenset()))
    lab = subprocess.run(
        ["unshare", "-Urn", sys.executable, str(Path(__file__).with_name("packet_lab.py"))],
        input=json.dumps({"rules": rules, "attempts": ATTEMPTS}),
        env={**os.environ, "XTABLES_LOCKFILE": str(tmp_path / "lock")},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    evaluator = Evaluator(applied(rules))
    memory: dict[str, dict[str, float]] = {}
    for attempt, seen in zip(ATTEMPTS, json.loads(lab.stdout), strict=True):
        where, source, destination, port = attempt
        packet = Packet(source, destination, port, in_interface="" if where == "node" else where)
        outcomes = evaluator.trace(packet, Host((NODE.ip,), ROUTES, memory)).outcomes
        predicted = {(answer_of(outcome), met_of(outcome)): outcome for outcome in outcomes}
        happened = (seen["answer"], frozenset(seen["met"]))
        assert happened in predicted, attempt
        for name, address in predicted[happened].remembered:
            memory.setdefault(name, {})[address] = 0.0


def answer_of(outcome: Outcome) -> str:
    """What a client sees of an outcome."""
    if outcome.verdict == "REJECT":
        return "refused"
    if outcome.verdict == "DROP":
        return "silence"
    return f"{outcome.packet.destination}:{outcome.packet.dport} saw {outcome.packet.source}"


def met_of(outcome: Outcome) -> frozenset[str]:
    """The rules of nat that an outcome meets."""
    return frozenset(f"{step.chain}:{step.number}" for step in outcome.steps if step.table == "nat")
