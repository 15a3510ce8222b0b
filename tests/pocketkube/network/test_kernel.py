"""The kernel's network: who reaches whom, by which address, through which rules."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from sandboxed import Lab, run, running

from lab_helpers.pocketkube import shell
from lab_helpers.pocketkube.network.engine import EngineError

pytestmark = pytest.mark.kernel

CLUSTER_IP = "10.96.7.7"
CURL = ("curl", "-sS", "--max-time", "3")

KUBE_PROXY_IN_SMALL = """*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-WEB - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
-I PREROUTING -j KUBE-SERVICES
-I OUTPUT -j KUBE-SERVICES
-I POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE
-A KUBE-SERVICES -d {ip}/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-WEB
-A KUBE-SVC-WEB ! -s 10.244.0.0/16 -d {ip}/32 -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ
{endpoints}
COMMIT
"""


def service_rules(*endpoints: str) -> str:
    rules = []
    for index, endpoint in enumerate(endpoints):
        share = 1 / (len(endpoints) - index)
        chance = f"-m statistic --mode random --probability {share:.10f} " if share < 1 else ""
        rules += [
            f":KUBE-SEP-{index} - [0:0]",
            f"-A KUBE-SVC-WEB {chance}-j KUBE-SEP-{index}",
            f"-A KUBE-SEP-{index} -s {endpoint}/32 -j KUBE-MARK-MASQ",
            f"-A KUBE-SEP-{index} -p tcp -m tcp -j DNAT --to-destination {endpoint}:80",
        ]
    return KUBE_PROXY_IN_SMALL.format(ip=CLUSTER_IP, endpoints="\n".join(rules))


async def service_of_two_pods(lab: Lab) -> dict[str, Any]:
    """Two web servers behind a ClusterIP on the first node, and one on the second; asked from a Pod of each."""
    pods = [await lab.sandbox("web-0"), await lab.sandbox("web-1"), await lab.sandbox("far", "lab-m02")]
    servers = [await lab.serve(pod) for pod in pods]
    for node in ("lab", "lab-m02"):
        await lab.engine.restore(node, service_rules(pods[0].ip, pods[1].ip))
    answers = [(await lab.output(servers[0], *CURL, f"http://{CLUSTER_IP}"))[1] for _ in range(8)]
    return {
        "ips": [pod.ip for pod in pods],
        "from a Pod": answers,
        "from a Pod of another node": await lab.output(servers[2], *CURL, f"http://{CLUSTER_IP}"),
        "Pod to Pod of another node": await lab.output(servers[2], *CURL, f"http://{pods[0].ip}"),
        "rules": await lab.engine.save("lab", "nat", counters=True),
    }


def test_a_service_answers_in_the_cluster_and_nowhere_else() -> None:
    with running(service_of_two_pods, nodes=2) as machine:
        found = machine.result
        assert found["ips"] == ["10.244.0.2", "10.244.0.3", "10.244.1.2"]

        assert {answer.split()[0] for answer in found["from a Pod"]} <= {"web-0", "web-1"}
        clients = dict(answer.strip().split(" to ") for answer in found["from a Pod"])
        assert clients.get("web-1", "10.244.0.2") == "10.244.0.2", "another Pod sees the client's own address"
        assert clients.get("web-0", "10.244.0.1") == "10.244.0.1", "hairpin: a Pod sees itself as the node"
        assert found["from a Pod of another node"][0] == 0
        assert found["Pod to Pod of another node"][1] == "web-0 to 10.244.1.2\n"

        def ask(place: str, address: str) -> shell.Captured:
            return shell.capture(machine.config.shell_socket, place, [*CURL, f"http://{address}"], timeout=10)

        assert ask("lab", CLUSTER_IP).stdout.strip() in {"web-0 to 10.244.0.1", "web-1 to 10.244.0.1"}
        assert ask("lab-m02", CLUSTER_IP).returncode == 0
        assert ask("lab", "10.244.0.2").stdout == "web-0 to 10.244.0.1\n"
        assert ask("outside", CLUSTER_IP).returncode == 7, "outside has no route to Services"
        assert ask("outside", "10.244.0.2").returncode == 7, "outside has no route to Pods"
        assert ask("outside", "192.168.49.2").returncode == 7, "nobody listens on the node itself"


def test_pods_are_masqueraded_only_where_no_pod_listens() -> None:
    async def scenario(lab: Lab) -> tuple[str, str, str]:
        pod, other = await lab.sandbox("client"), await lab.sandbox("server")
        client, _server = await lab.run(pod, "sleep", "1000"), await lab.serve(other)
        outside = lab.engine.socket_in(lab.engine.outside.network)
        outside.bind(("192.168.49.1", 80))
        outside.listen()
        outside.setblocking(False)
        asking = asyncio.create_task(lab.output(client, *CURL, "http://192.168.49.1"))
        connection, address = await asyncio.get_running_loop().sock_accept(outside)
        connection.close()
        await asking
        _code, from_pod, _err = await lab.output(client, *CURL, f"http://{other.ip}")
        return address[0], from_pod, await lab.engine.save("lab", "nat")

    seen_outside, seen_in_a_pod, rules = run(scenario)
    assert seen_outside == "192.168.49.2"
    assert seen_in_a_pod == "server to 10.244.0.2\n"
    assert "-A POCKETKUBE-MASQ -d 10.244.0.0/16 -j RETURN" in rules


def test_a_killed_pods_successor_gets_a_new_address_and_the_old_one_falls_silent() -> None:
    async def scenario(lab: Lab) -> tuple[list[str], tuple[int, str, str], str]:
        first = await lab.sandbox("web-0")
        await lab.serve(first)
        await lab.runtime.stop_sandbox(first.id)
        second = await lab.sandbox("web-1")
        server = await lab.serve(second)
        return (
            [first.ip, second.ip],
            await lab.output(server, "curl", "-sS", "--max-time", "0.3", f"http://{first.ip}"),
            await lab.engine.command("lab", ["ip", "-br", "link"]),
        )

    addresses, asked_the_dead, links = run(scenario)
    assert addresses == ["10.244.0.2", "10.244.0.3"]
    assert asked_the_dead[0] != 0
    assert links.count("veth") == 1


def test_the_rest_of_the_world_does_not_exist() -> None:
    async def scenario(lab: Lab) -> tuple[int, str]:
        server = await lab.serve(await lab.sandbox())
        code, _out, _err = await lab.output(server, "curl", "-sS", "--max-time", "0.3", "http://192.0.2.1")
        return code, await lab.engine.command("lab", ["ip", "route"])

    code, routes = run(scenario)
    assert code != 0
    assert "default via 192.168.49.1" in routes


def test_what_iptables_refuses_is_told_in_its_own_words_and_changes_nothing() -> None:
    async def scenario(lab: Lab) -> tuple[str, str, str]:
        before = await lab.engine.save("lab", "nat")
        said = ""
        try:
            await lab.engine.restore("lab", "*nat\n:MINE - [0:0]\n-A MINE -j NOWHERE\nCOMMIT\n")
        except EngineError as error:
            said = str(error)
        return said, before, await lab.engine.save("lab", "nat")

    said, before, after = run(scenario)
    assert "NOWHERE" in said
    assert [line for line in before.splitlines() if line[0] != "#"] == [
        line for line in after.splitlines() if line[0] != "#"
    ]


def test_a_missing_administration_program_is_an_error() -> None:
    async def scenario(lab: Lab) -> str:
        with contextlib.suppress(EngineError):
            await lab.engine.command("lab", ["no-such-program"])
            return "ran"
        return "refused"

    assert run(scenario) == "refused"


def test_counters_for_accounting_can_be_used_in_rules_if_the_engine_says_so() -> None:
    async def scenario(lab: Lab) -> str:
        for name in lab.engine.nfacct:
            for node in ("lab", "lab-m02"):
                await lab.engine.restore(node, f"*filter\n-A OUTPUT -m nfacct --nfacct-name {name} -j ACCEPT\nCOMMIT\n")
        return await lab.engine.save("lab", "filter")

    assert "POCKETKUBE-PROBE" not in run(scenario, nodes=2)


def test_a_listening_socket_of_a_node_can_be_served_from_elsewhere() -> None:
    """As the API server does: Pods reach it though it runs in the host's network."""

    async def scenario(lab: Lab) -> tuple[int, str]:
        listener = lab.engine.listen("lab", "192.168.49.2", 8443)
        listener.setblocking(False)
        client = await lab.run(await lab.sandbox("client"), "sleep", "1000")
        asking = asyncio.create_task(lab.output(client, *CURL, "http://192.168.49.2:8443"))
        loop = asyncio.get_running_loop()
        connection, address = await loop.sock_accept(listener)
        await loop.sock_recv(connection, 4096)
        connection.send(b"HTTP/1.0 200 OK\r\n\r\nhello " + address[0].encode())
        connection.close()
        code, out, _err = await asking
        return code, out

    assert run(scenario) == (0, "hello 10.244.0.2")


async def a_rule_more(lab: Lab) -> list[int | None]:
    generations = [await lab.engine.generation("lab")]
    generations.append(await lab.engine.generation("lab"))
    await lab.engine.restore("lab", "*filter\n-A INPUT -p tcp --dport 9 -j DROP\nCOMMIT\n")
    generations.append(await lab.engine.generation("lab"))
    return generations


def test_a_change_of_the_rules_is_noticed_without_reading_them() -> None:
    with running(a_rule_more) as machine:
        before, same, after = machine.result
    if before is None:
        pytest.skip("this machine's iptables is the older one")
    assert before == same != after
