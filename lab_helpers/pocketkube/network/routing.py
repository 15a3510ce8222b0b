"""The way of a connection through a simulated network: from machine to machine, through the rules of nodes on the way.

The rules are those that kube-proxy writes, followed by `lab_helpers.iptables`; chance, counters and remembered clients
included. What stands behind the machine that is reached is left to `userspace`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from random import Random

from ...iptables import Packet
from .machines import EPHEMERAL, Arrival, Machine, SimulatedNode

_MOST_HOPS = 4
_UPLINK = "eth0"
_LOOPBACK = "127.0.0.1"


class Failure(Enum):
    """Why a connection does not come about."""

    REFUSED = "refused"
    NO_ROUTE = "no route"
    NO_NEIGHBOUR = "nobody has that address"
    LOST = "dropped without a word"


@dataclass
class Routing:
    """All machines, by address."""

    outside: Machine
    node_cidr: str
    nodes: Mapping[str, SimulatedNode]
    """By address."""
    pods: Mapping[str, Machine]
    """By address."""
    random: Random
    balanced: dict[str, list[SimulatedNode]] = field(default_factory=dict)
    """The nodes that the machine outside sends connections to for an address beside its own network's."""

    def find(self, sender: Machine, ip: str, port: int, protocol: str, sport: int = 0) -> Arrival | Failure:
        """Follows the first packet of a connection from a machine to its end."""
        sport = sport or self.random.randint(*EPHEMERAL)
        if isinstance(sender, SimulatedNode):
            source = _LOOPBACK if ip.startswith("127.") else sender.source_for(ip)
            return self._pass(sender, Packet(source, ip, port, protocol, sport))
        if sender.is_own(ip):
            return Arrival(sender, ip, port, _LOOPBACK if ip.startswith("127.") else sender.ip, sport)
        if sender.node is not None:
            return self._pass(sender.node, Packet(sender.ip, ip, port, protocol, sport, in_interface=sender.link))
        return self._from_outside(Packet(sender.ip, ip, port, protocol, sport, in_interface=_UPLINK))

    def _from_outside(self, packet: Packet) -> Arrival | Failure:
        """The machine outside knows the way to its own network alone."""
        node = self.nodes.get(packet.destination)
        if node is None and (ways := self.balanced.get(packet.destination)):
            node = self.random.choice(ways)
        if node is not None:
            return self._pass(node, packet)
        known = ipaddress.ip_address(packet.destination) in ipaddress.ip_network(self.node_cidr)
        return Failure.NO_NEIGHBOUR if known else Failure.NO_ROUTE

    def _pass(self, node: SimulatedNode, packet: Packet) -> Arrival | Failure:
        """A packet meets a node, and perhaps further ones."""
        for _ in range(_MOST_HOPS):
            outcome = node.meet(packet, self.random)
            if outcome.verdict != "ACCEPT":
                return Failure.REFUSED if outcome.verdict == "REJECT" else Failure.LOST
            packet = outcome.packet
            sport = self.random.randint(*EPHEMERAL) if outcome.snat else packet.sport
            arrival = (packet.destination, packet.dport, packet.source, sport)
            if node.is_own(packet.destination):
                return Arrival(node, *arrival)
            pod = self.pods.get(packet.destination)
            if pod is not None and pod.node is node:
                return Arrival(pod, *arrival)
            if packet.destination == self.outside.ip:
                return Arrival(self.outside, *arrival)
            following = self.nodes.get(packet.destination) or self._node_of(packet.destination)
            if following is None or following is node:
                return Failure.LOST
            node, packet = (
                following,
                Packet(packet.source, packet.destination, packet.dport, packet.protocol, sport, in_interface=_UPLINK),
            )
        return Failure.LOST

    def _node_of(self, ip: str) -> SimulatedNode | None:
        """The node that a Pod's address belongs to, whether there is such a Pod or not."""
        address = ipaddress.ip_address(ip)
        return next((node for node in self.nodes.values() if address in ipaddress.ip_network(node.pods.cidr)), None)
