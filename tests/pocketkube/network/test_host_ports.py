"""Ports of a node that lead to one Pod: the rules, followed by the evaluator."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lab_helpers.errors import InvalidInput
from lab_helpers.iptables import Host, Packet, Tables, trace
from lab_helpers.pocketkube.kubelet.port_mappings import port_mappings
from lab_helpers.pocketkube.network.engine import EngineError
from lab_helpers.pocketkube.network.flows import Flow
from lab_helpers.pocketkube.network.host_ports import HostPorts, PortMapping

NODE = Host(("192.168.49.2", "127.0.0.1"))


class Node:
    """An engine with one node, in memory."""

    def __init__(self) -> None:
        self.tables = Tables()
        self.flows: list[Flow] = []

    async def restore(self, node: str, text: str) -> None:
        try:
            self.tables.restore(text)
        except InvalidInput as error:
            raise EngineError(str(error)) from error

    async def udp_flows(self, node: str) -> list[Flow]:
        return self.flows

    async def forget_flows(self, node: str, flows: Sequence[Flow]) -> None:
        self.flows = [flow for flow in self.flows if flow not in flows]

    def reached(self, destination: str, port: int, source: str = "192.168.49.1", protocol: str = "tcp") -> list[str]:
        packet = Packet(source, destination, port, protocol=protocol, in_interface="eth0")
        return [*trace(packet, self.tables.ruleset, NODE).destinations()]


def test_the_same_port_of_two_addresses_leads_to_two_pods_until_they_are_gone() -> None:
    async def scenario() -> None:
        node = Node()
        node.flows = [Flow("192.168.49.2", 5000, "10.244.0.9", 5000), Flow("192.168.49.2", 53, "10.244.0.9", 53)]
        ports = HostPorts(node)  # type: ignore[arg-type]
        await ports.open("one", "n", "10.244.0.2", [PortMapping(5000, 80, host_ip="127.0.0.1")])
        own = PortMapping(5000, 81, host_ip="192.168.49.2"), PortMapping(5000, 82, "udp")
        await ports.open("two", "n", "10.244.0.3", own)
        assert node.reached("127.0.0.1", 5000, "127.0.0.1") == ["10.244.0.2:80"]
        assert node.reached("192.168.49.2", 5000) == ["10.244.0.3:81"]
        assert node.reached("192.168.49.2", 5000, protocol="udp") == ["10.244.0.3:82"]
        assert node.reached("192.168.49.3", 5000) == ["192.168.49.3:5000"], "another machine's port"
        assert [flow.port for flow in node.flows] == [53], "who asked before is led to the new Pod"
        await ports.close("two")
        await ports.close("two")
        assert node.reached("192.168.49.2", 5000) == ["192.168.49.2:5000"]
        assert node.reached("127.0.0.1", 5000, "127.0.0.1") == ["10.244.0.2:80"]
        node.tables.restore("*nat\n-F OUTPUT\n-F CNI-HOSTPORT-DNAT\nCOMMIT\n")
        await ports.close("one")

    asyncio.run(scenario())


def test_which_ports_a_pod_wants() -> None:
    ports = [{"containerPort": 80}, {"containerPort": 53, "hostPort": 5353, "protocol": "UDP", "hostIP": "0.0.0.0"}]
    sidecar = {"restartPolicy": "Always", "ports": [{"containerPort": 1, "hostPort": 2}]}
    spec = {"containers": [{"ports": ports}], "initContainers": [sidecar, {"ports": sidecar["ports"]}]}
    wanted = (PortMapping(5353, 53, "udp", "0.0.0.0"), PortMapping(2, 1))
    assert port_mappings({"spec": spec}) == wanted
    assert port_mappings({"spec": {**spec, "hostNetwork": True}}) == ()
