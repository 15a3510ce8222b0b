"""The evaluator and the kernel agree on what happens to a packet, for every kind of Service."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from proxy_parts import NODE, MemoryEngine, applied, endpoint, endpoint_slice, service

from lab_helpers.iptables import Evaluator, Host, Outcome, Packet, Route, distribution
from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.proxy.nftables.mode import NftablesMode
from lab_helpers.pocketkube.proxy.options import ProxyOptions
from lab_helpers.pocketkube.proxy.rules import render_rules
from lab_helpers.pocketkube.proxy.service_ports import ports_with_endpoints

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


OPTIONS = ProxyOptions(nfacct_counters=frozenset())


def packet_lab(folder: Path, **task: object) -> list[dict[str, Any]]:
    """What happened in the kernel (see packet_lab.py)."""
    lab = subprocess.run(
        ["unshare", "-Urn", sys.executable, str(Path(__file__).with_name("packet_lab.py"))],
        input=json.dumps(task),
        env={**os.environ, "XTABLES_LOCKFILE": str(folder / "lock")},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    results: list[dict[str, Any]] = json.loads(lab.stdout)
    return results


@pytest.mark.kernel
@pytest.mark.usefixtures("administrators_path")
def test_the_kernel_does_what_the_evaluator_says(tmp_path: Path) -> None:
    rules = render_rules(SERVICES, SLICES, NODE, OPTIONS)
    results = packet_lab(tmp_path, rules=rules, attempts=ATTEMPTS)
    evaluator = Evaluator(applied(rules))
    memory: dict[str, dict[str, float]] = {}
    for attempt, seen in zip(ATTEMPTS, results, strict=True):
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


CONNECTIONS = 400
UNLIKELY = 30.0
"""Chi-square of up to three degrees of freedom that chance exceeds once in a million times."""

SERVERS = [endpoint(ip, node) for ip, node in (("10.244.0.2", "node"), ("10.244.0.3", "node"), ("10.244.0.9", "node"))]
SERVERS += THERE


def generated(seed: int) -> tuple[list[Obj], list[Obj]]:
    """Three Services with some of the servers in some condition."""
    random = Random(seed)
    services, slices = [], []
    for number in range(3):
        name = f"g{number}"
        services.append(service(name, f"10.96.1.{number + 1}"))
        chosen = random.sample(SERVERS, random.randint(2, 4))
        odd = [{**server, "conditions": {"ready": False}} for server in SERVERS if random.random() < 0.2]
        left_out = {ip for server in odd for ip in server["addresses"]}
        slices.append(endpoint_slice([s for s in chosen if s["addresses"][0] not in left_out] + odd, name))
    return services, slices


class Listening(MemoryEngine):
    """Keeps what is written with nft."""

    async def command(self, node: str, argv: Sequence[str], *, input: str = "") -> str:
        self.texts.append(input)
        return ""


def nftables(services: list[Obj], slices: list[Obj]) -> str:
    engine = Listening()
    mode = NftablesMode(engine, NODE, OPTIONS, "10.96.0.0/16")
    for svc, endpoints in zip(services, slices, strict=True):
        mode.set_service(f"default/{svc['metadata']['name']}", ports_with_endpoints(svc, [endpoints], NODE))
    asyncio.run(mode.write(full=True))
    return "".join(engine.texts)


@pytest.mark.kernel
@pytest.mark.usefixtures("administrators_path")
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_the_kernel_draws_lots_as_the_evaluator_says_and_counts_every_one(tmp_path: Path, mode: str, seed: int) -> None:
    services, slices = generated(seed)
    rules = render_rules(services, slices, NODE, OPTIONS)
    series = [(NODE.ip, svc["spec"]["clusterIP"], 80, CONNECTIONS) for svc in services]
    written = {"rules": rules} if mode == "iptables" else {"table": nftables(services, slices)}
    results = packet_lab(tmp_path, **written, series=series)
    for svc, result in zip(services, results, strict=True):
        shares = distribution(applied(rules), "default", svc["metadata"]["name"])
        answers = result["answers"]
        if not shares:
            assert answers == {"refused": CONNECTIONS}
            continue
        expected = {share.endpoint: float(share.probability) * CONNECTIONS for share in shares}
        assert answers.keys() <= expected.keys()
        off = sum((answers.get(server, 0) - wanted) ** 2 / wanted for server, wanted in expected.items())
        assert off < UNLIKELY, (answers, expected)
        if mode == "iptables":
            # A first packet that has to be sent again on a busy machine is counted again.
            for share in shares:
                again = result["packets"][share.chain] - answers.get(share.endpoint, 0)
                assert 0 <= again <= CONNECTIONS / 50
