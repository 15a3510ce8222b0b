"""The simulated network by itself: addresses, rules and the loopback sockets behind them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from lab_helpers.pocketkube.config import ClusterConfig
from lab_helpers.pocketkube.network.connections import Connection
from lab_helpers.pocketkube.network.engine import EngineError
from lab_helpers.pocketkube.network.machines import TCP, Arrival, Machine
from lab_helpers.pocketkube.network.routing import Failure
from lab_helpers.pocketkube.network.userspace import UserspaceEngine

SERVICE = """\
*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
-I PREROUTING 1 -j KUBE-SERVICES
-I OUTPUT 1 -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.0.20/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-A
{rules}COMMIT
"""
BALANCED = (
    "-A KUBE-SVC-A -m statistic --mode random --probability 0.5 -p tcp -j DNAT --to-destination {}:8080\n"
    "-A KUBE-SVC-A -p tcp -j DNAT --to-destination {}:8080\n"
)
STICKY = (
    "-A KUBE-SVC-A -m recent --name A --rcheck --seconds 100 --reap --rsource -p tcp -j DNAT --to-destination {}:8080\n"
    "-A KUBE-SVC-A -m statistic --mode random --probability 0.5 -p tcp -j DNAT --to-destination {}:8080\n"
    "-A KUBE-SVC-A -m recent --name A --set --rsource -p tcp -j DNAT --to-destination {}:8080\n"
)


@pytest.fixture
def engine(tmp_path: Path) -> UserspaceEngine:
    return UserspaceEngine(ClusterConfig("lab", tmp_path, nodes=2), Random(7))


def serve(machine: Machine, port: int = 8080) -> socket.socket:
    """A listener on a machine."""
    real = socket.create_server(("127.0.0.1", 0))
    machine.listen(TCP, "0.0.0.0", port, real)
    return real


def arrival(engine: UserspaceEngine, sender: Machine, ip: str, port: int) -> Arrival | Failure:
    return engine.connections._routing.find(sender, ip, port, TCP)


def test_pods_of_two_nodes_reach_each_other_under_their_own_addresses(engine: UserspaceEngine) -> None:
    first, second = engine.attach("lab", "a"), engine.attach("lab-m02", "b")
    assert (first.ip, second.ip) == ("10.244.0.2", "10.244.1.2")
    found = arrival(engine, first, second.ip, 8080)
    assert isinstance(found, Arrival)
    assert (found.machine, found.source) == (second, first.ip)


def test_a_released_address_leads_nowhere(engine: UserspaceEngine) -> None:
    pod = engine.attach("lab", "a")
    engine.detach(pod)
    assert arrival(engine, engine.machine("lab"), pod.ip, 8080) is Failure.LOST


def test_the_machine_outside_knows_its_own_network_alone(engine: UserspaceEngine) -> None:
    pod = engine.attach("lab", "a")
    assert arrival(engine, engine.outside, pod.ip, 8080) is Failure.NO_ROUTE
    assert arrival(engine, engine.outside, "192.168.49.77", 80) is Failure.NO_NEIGHBOUR
    assert isinstance(arrival(engine, engine.outside, "192.168.49.2", 80), Arrival)


def test_a_balanced_address_leads_to_the_nodes_that_have_it(engine: UserspaceEngine) -> None:
    engine.balance("192.168.49.200", ["192.168.49.3"])
    assert arrival(engine, engine.outside, "192.168.49.200", 80) is Failure.LOST  # No rule of the node knows it.
    engine.balance("192.168.49.200", [])
    assert arrival(engine, engine.outside, "192.168.49.200", 80) is Failure.NO_NEIGHBOUR


def test_rules_choose_by_chance_and_count(engine: UserspaceEngine) -> None:
    pods = [engine.attach("lab", name) for name in "ab"]
    client = engine.attach("lab", "client")
    asyncio.run(engine.restore("lab", SERVICE.format(rules=BALANCED.format(*(pod.ip for pod in pods)))))
    reached = Counter()
    for _ in range(1000):
        found = arrival(engine, client, "10.96.0.20", 80)
        assert isinstance(found, Arrival)
        reached[found.machine.name] += 1
    assert 400 < reached["a"] < 600  # Six standard deviations.
    saved = asyncio.run(engine.save("lab", "nat", counters=True))
    assert "[1000:60000] -A KUBE-SERVICES -d 10.96.0.20/32" in saved
    assert f"[{reached['a']}:{60 * reached['a']}] -A KUBE-SVC-A -p tcp -m statistic" in saved


def test_a_client_is_remembered_for_as_long_as_the_rule_says(engine: UserspaceEngine) -> None:
    first, second = (engine.attach("lab", name) for name in "ab")
    client = engine.attach("lab", "client")
    node = engine.machine("lab")
    now = 1000.0
    node.clock = lambda: now  # type: ignore[union-attr]
    rules = STICKY.format(second.ip, first.ip, second.ip)
    asyncio.run(engine.restore("lab", SERVICE.format(rules=rules)))

    def reached() -> Machine:
        found = arrival(engine, client, "10.96.0.20", 80)
        assert isinstance(found, Arrival)
        return found.machine

    while reached() is not second:
        pass
    assert {reached() for _ in range(50)} == {second}
    later = set()
    for _ in range(30):
        now += 101
        later.add(reached())
    assert later == {first, second}


def test_wrong_rules_change_nothing(engine: UserspaceEngine) -> None:
    before = asyncio.run(engine.save("lab"))
    with pytest.raises(EngineError, match="NOWHERE"):
        asyncio.run(engine.restore("lab", "*nat\n-A PREROUTING -j NOWHERE\nCOMMIT\n"))
    assert asyncio.run(engine.save("lab")) == before


def test_who_answers_learns_who_asked(engine: UserspaceEngine) -> None:
    server, client = engine.attach("lab", "server"), engine.attach("lab-m02", "client")
    listener = serve(server)
    made = engine.connections.connect(client, server.ip, 8080)
    assert isinstance(made, Connection)
    accepted, (_, real_port) = listener.accept()
    known = engine.connections.arrival(real_port)
    assert known is not None
    assert (known.source, known.ip, known.port) == (client.ip, server.ip, 8080)
    assert engine.connections.arrival(real_port) is None, "told once"
    for end in (accepted, made.real, listener):
        end.close()
    engine.close()


def test_a_connection_that_is_lost_waits_as_a_real_one(engine: UserspaceEngine) -> None:
    made = engine.connections.connect(engine.machine("lab"), "10.96.9.9", 80)
    assert isinstance(made, Connection)
    assert not made.answered
    made.real.settimeout(0.2)
    began = time.monotonic()
    with pytest.raises(OSError, match="timed out|not connected"):
        made.real.sendall(b"x")
        made.real.recv(1)
    assert time.monotonic() - began < 2
    made.real.close()
    engine.close()


def test_a_port_is_free_again_when_its_listener_has_gone(engine: UserspaceEngine) -> None:
    async def twice() -> None:
        first = engine.listen("lab", "192.168.49.2", 9000)
        with pytest.raises(OSError, match="Address already in use"):
            engine.listen("lab", "0.0.0.0", 9000)
        (await engine.dial("outside", "192.168.49.2", 9000)).close()
        first.close()
        with pytest.raises(ConnectionRefusedError):
            await engine.dial("outside", "192.168.49.2", 9000)
        engine.listen("lab", "0.0.0.0", 9000).close()

    asyncio.run(twice())
    engine.close()
