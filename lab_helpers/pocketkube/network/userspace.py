"""The network engine that is simulated: no namespaces, no interfaces, no rights; the same rules, evaluated by us.

A Pod's address is an entry in a table, and behind each port on which it listens stands a socket of the loopback. The
text that kube-proxy renders is kept by `lab_helpers.iptables` and followed for every connection. How programs come to
use this network is left to `interception`, which Pods exist to the kubelet.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
from collections.abc import Sequence
from random import Random

from ...errors import InvalidInput
from ...iptables import Route
from ..config import ClusterConfig
from .connections import Connections, as_error
from .engine import EngineError
from .flows import Flow
from .ipam import PodAddresses
from .machines import TCP, Machine, SimulatedNode
from .masquerade import masquerade_rules
from .routing import Failure, Routing

OUTSIDE = "outside"
MANY_RULES = 2000
"""Reading so many takes too long for the processes that wait for answers meanwhile."""

_LOOPBACK = "127.0.0.1"


class UserspaceEngine:
    """The network of all nodes of one cluster, and the machine outside it."""

    simulated = True

    def __init__(self, config: ClusterConfig, random: Random | None = None) -> None:
        self.nfacct: frozenset[str] = frozenset()
        self._config = config
        self.outside = Machine(OUTSIDE, config.outside_ip, OUTSIDE)
        self._nodes = {config.node_name(index): _node(config, index) for index in range(config.nodes)}
        self._pods: dict[str, Machine] = {}
        by_address = {node.ip: node for node in self._nodes.values()}
        self._routing = Routing(self.outside, config.node_cidr, by_address, self._pods, random or Random())
        self.connections = Connections(self._routing)
        self._links = 0
        for node in self._nodes.values():
            node.restore(masquerade_rules(config, node.pods.cidr))

    def machine(self, place: str) -> Machine:
        """A node by its name, or `outside`. Raises KeyError."""
        return self.outside if place == OUTSIDE else self._nodes[place]

    def places(self) -> list[str]:
        """The names that `machine` knows."""
        return [*self._nodes, OUTSIDE]

    def attach(self, node: str, hostname: str) -> Machine:
        """Gives a Pod an address on a node. Raises NoFreeAddress."""
        place = self._nodes[node]
        self._links += 1
        pod = Machine(hostname, place.pods.allocate(), hostname, place, f"veth{self._links:08x}")
        self._pods[pod.ip] = pod
        return pod

    def detach(self, pod: Machine) -> None:
        """Takes a Pod off the network and gives its address back; its processes have ended."""
        if self._pods.pop(pod.ip, None) is None or pod.node is None:
            return
        pod.close()
        pod.node.pods.release(pod.ip)

    def listen(self, node: str, ip: str, port: int) -> socket.socket:
        """A listening TCP socket on a node; it may be handed to another process."""
        real = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        real.bind((_LOOPBACK, 0))
        real.listen(512)
        shown = real.dup()
        listener = self._nodes[node].listen(TCP, ip, port, real)
        listener.holder = (os.getpid(), shown.fileno())
        return shown

    def balance(self, address: str, nodes: Sequence[str]) -> None:
        """Lets the outside machine send connections to an address to these nodes in turn, or to nobody."""
        self._routing.balanced[address] = [self._routing.nodes[ip] for ip in nodes]

    async def dial(self, place: str, ip: str, port: int) -> socket.socket:
        """A TCP connection from a node or from outside. Raises OSError."""
        return await self.dial_from(self.machine(place), ip, port)

    async def dial_from(self, machine: Machine, ip: str, port: int) -> socket.socket:
        """A TCP connection from a machine, made here. Raises OSError."""
        found = self.connections.connect(machine, ip, port)
        if isinstance(found, Failure):
            raise as_error(found)
        try:
            await _until_connected(found.real)
        except BaseException:
            found.real.close()
            raise
        return found.real

    async def restore(self, node: str, text: str) -> None:
        """Applies one iptables-restore input. Raises EngineError with the words of what is wrong."""
        try:
            if text.count("\n") > MANY_RULES:
                await asyncio.to_thread(self._nodes[node].restore, text)
            else:
                self._nodes[node].restore(text)
        except InvalidInput as error:
            raise EngineError(f"iptables-restore (simulated): {error}") from error

    async def save(self, node: str, table: str = "", *, counters: bool = False) -> str:
        """What `iptables-save` of a node prints."""
        return self._nodes[node].tables.save(table, counters=counters)

    async def command(self, node: str, argv: Sequence[str], *, input: str = "") -> str:
        """There are no administration commands; what they would forget or show is not kept here."""
        raise EngineError(f"{shlex.join(argv)}: not part of the simulated network")

    async def generation(self, node: str) -> int | None:
        """Nothing is counted: reading the rules costs little here."""
        return None

    async def udp_flows(self, node: str) -> list[Flow]:
        """None are kept: each datagram of a program that does not connect is looked at as the first."""
        return []

    async def forget_flows(self, node: str, flows: Sequence[Flow]) -> None:
        """There is nothing to forget."""

    def route_outside(self, address: str, gateway: str) -> None:
        """Makes the machine outside send connections to an address to a node; with no gateway not any more.

        Raises InvalidInput where the gateway is no node.
        """
        if gateway and gateway not in self._routing.nodes:
            raise InvalidInput(f"{gateway} is no node of the cluster.")
        self._routing.balanced[address] = [self._routing.nodes[gateway]] if gateway else []

    def routes_of(self, machine: Machine) -> list[str]:
        """What `ip route` shows on a machine of the kernel engine."""
        if machine.node is not None:
            return ["default via 169.254.1.1 dev eth0", "169.254.1.1 dev eth0 scope link"]
        link = f"{self._config.node_cidr} dev eth0 proto kernel scope link src {machine.ip}"
        if not isinstance(machine, SimulatedNode):
            ways = [(address, node) for address, nodes in self._routing.balanced.items() for node in nodes]
            return [*(f"{address} via {node.ip} dev eth0" for address, node in ways), link]
        others = [node for node in self._nodes.values() if node is not machine]
        pods = [pod for pod in self._pods.values() if pod.node is machine]
        return [
            f"default via {self.outside.ip} dev eth0",
            *(f"{pod.ip} dev {pod.link} scope link" for pod in pods),
            *(f"{node.pods.cidr} via {node.ip} dev eth0" for node in others),
            link,
        ]

    def close(self) -> None:
        """Closes all sockets."""
        for machine in (*self._pods.values(), *self._nodes.values(), self.outside):
            machine.close()
        self.connections.close()


def _node(config: ClusterConfig, index: int) -> SimulatedNode:
    name, ip = config.node_name(index), config.node_ip(index)
    pods = PodAddresses(config.node_pod_cidr(index))
    others = [Route(config.node_pod_cidr(other), "eth0", ip) for other in range(config.nodes) if other != index]
    routes = (
        Route("0.0.0.0/0", "eth0", ip), Route(config.node_cidr, "eth0", ip), Route(pods.cidr, "veth0", pods.gateway),
        *others,
    )  # fmt: skip
    return SimulatedNode(name, ip, name, pods=pods, routes=routes)


async def _until_connected(end: socket.socket) -> None:
    """Waits for a connection that was begun. Raises OSError."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def on_ready() -> None:
        if not done.done():
            done.set_result(None)

    loop.add_writer(end, on_ready)
    try:
        await done
    finally:
        loop.remove_writer(end)
    problem = end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if problem:
        raise OSError(problem, "connect")
