"""A packet, the machine it meets, and the state of its way through the rules.

Data only; which rules match is decided in `matching`, where the packet goes in `evaluator`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, lru_cache

from ..errors import InvalidInput
from .model import Rule

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(maxsize=65536)
def address(text: str) -> Address:
    """An address from its text."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is not an IP address") from None


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection, or a later one when `state` says so."""

    source: str
    destination: str
    dport: int = 0
    protocol: str = "tcp"
    sport: int = 40000
    in_interface: str = ""
    """Where it came in; empty if a process on the machine itself sent it."""
    state: str = "NEW"
    """What conntrack says: NEW, ESTABLISHED, RELATED, INVALID or UNTRACKED."""
    mark: int = 0


@dataclass(frozen=True)
class Route:
    """One route of a machine: packets for `network` leave by `interface`, from `source` if the machine sends them."""

    network: str
    interface: str
    source: str = ""

    @cached_property
    def parsed(self) -> Network:
        """The network as an object."""
        return ipaddress.ip_network(self.network)


@dataclass(frozen=True)
class Host:
    """What the rules can ask of the machine: its addresses, its routes, whom its `recent` lists remember."""

    addresses: tuple[str, ...]
    routes: tuple[Route, ...] = ()
    recent: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """For each list of `-m recent`: how many seconds ago each address was seen."""

    def is_local(self, text: str) -> bool:
        """True for the machine's own addresses, all of 127.0.0.0/8 among them."""
        return text in self.addresses or address(text).is_loopback

    def route(self, destination: str) -> Route:
        """The most specific route to a destination; without any, one that names no interface."""
        wanted = address(destination)
        fitting = [route for route in self.routes if wanted in route.parsed]
        own = next(iter(self.addresses), "")
        return max(fitting, key=lambda route: route.parsed.prefixlen, default=Route("0.0.0.0/0", "", own))


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that the packet met: all its conditions held. `number` counts from 1, as iptables does."""

    table: str
    chain: str
    number: int
    rule: Rule


@dataclass(frozen=True, slots=True)
class Trail:
    """The rules met so far, last first, sharing their beginnings with the other ways the packet may go."""

    step: Step
    before: Trail | None


@dataclass(frozen=True, slots=True)
class Flow:
    """A packet on its way: what it looks like now and how likely it came here."""

    source: str
    destination: str
    sport: int
    dport: int
    protocol: str
    in_interface: str
    out_interface: str
    state: str
    mark: int
    probability: Fraction = Fraction(1)
    dnat: str = ""
    snat: str = ""
    remembered: tuple[tuple[str, str], ...] = ()
    trail: Trail | None = None
