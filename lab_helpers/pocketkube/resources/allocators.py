"""Allocators of ClusterIPs and NodePorts: what is taken, what is free, and the band kept for those who ask by name.

Addresses stand in the IPAddress objects; ports are read from the Services in the store when the control plane starts.
So nothing is ever given twice.
Models pkg/registry/core/service/ipallocator and portallocator (v1.36).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from random import Random
from typing import Protocol

from ..objects import Obj
from .service_cidr import Network, holds

FIRST_NODE_PORT, LAST_NODE_PORT = 30000, 32767
_FAMILY = 4  # this cluster is not dual-stack: a range of IPv6 is kept and not used
_SMALLEST_BAND, _LARGEST_BAND, _BAND_STEP = 16, 256, 16
_FULL, _TAKEN = "range is full", "provided port is already allocated"
_DUMMY_PORT = LAST_NODE_PORT + 1


class NotAllocated(Exception):
    """A number can't be given; says why in upstream's words."""


class _Range:
    """The numbers of a range. The lower band is for requests by number and is used dynamically only at the end."""

    def __init__(self, first: int, last: int, band: int, random: Random) -> None:
        self._first = first
        self._last = last
        self._band = band
        self._random = random
        self._taken: set[int] = set()

    def holds(self, number: int) -> bool:
        return self._first <= number <= self._last

    def is_taken(self, number: int) -> bool:
        return number in self._taken

    def take(self, number: int) -> None:
        self._taken.add(number)

    def release(self, number: int) -> None:
        self._taken.discard(number)

    def free_number(self) -> int:
        """A free number: from a random start in the upper part, then from the lower band."""
        upper = range(self._first + self._band, self._last + 1)
        start = self._random.randrange(len(upper)) if len(upper) else 0
        for candidates in (upper[start:], upper[:start], range(self._first, self._first + self._band)):
            for number in candidates:
                if number not in self._taken:
                    return number
        raise NotAllocated(_FULL)


class AddressBook(Protocol):
    """Where it stands which addresses there are and whose they are."""

    def ranges(self) -> list[Network]:
        """Those that addresses may be taken from now."""
        ...

    def is_taken(self, address: str) -> bool:
        """True if somebody has the address, a Service or not."""
        ...

    def enter(self, address: str, namespace: str, service: str) -> None:
        """Writes down that a Service has it."""
        ...

    def strike(self, address: str) -> None:
        """Writes down that nobody has it."""
        ...


class ServiceIPAllocator:
    """ClusterIPs: addresses of the ServiceCIDRs that no IPAddress stands for yet.

    The IPAddress is written before its Service, and goes after it: a fault between the two loses an address for a
    minute, and never gives one twice.
    """

    def __init__(self, book: AddressBook, random: Random) -> None:
        self._book = book
        self._random = random

    @property
    def preview(self) -> str:
        """What a dry run shows in place of an address."""
        ranges = [network for network in self._book.ranges() if network.version == _FAMILY]
        if not ranges:
            raise NotAllocated(_FULL)
        return str(ranges[0][0])

    def check(self, address: str, *, dry_run: bool = False) -> None:
        """NotAllocated if the address can't be had. A dry run says in other words that no range holds it."""
        asked, ranges = ipaddress.ip_address(address), self._book.ranges()
        if not any(holds(network, asked) for network in ranges):
            same = [str(network) for network in ranges if network.version == asked.version]
            if dry_run and same:
                where = f"The range of valid IPs is {same[0]}"
                raise NotAllocated(f"the provided IP ({address}) is not in the valid range. {where}")
            raise NotAllocated("the provided network does not match the current range")
        if self._book.is_taken(str(asked)):
            raise NotAllocated("provided IP is already allocated")

    def allocate(self, address: str, namespace: str, service: str) -> None:
        """Takes one address for a Service."""
        self.check(address)
        self._book.enter(str(ipaddress.ip_address(address)), namespace, service)

    def allocate_next(self, namespace: str, service: str) -> str:
        """Takes any free address for a Service."""
        address = self.find_free()
        self._book.enter(address, namespace, service)
        return address

    def find_free(self) -> str:
        """Any free address, without taking it."""
        ranges = [network for network in self._book.ranges() if network.version == _FAMILY]
        self._random.shuffle(ranges)
        for network in ranges:
            for candidates in self._candidates(network):
                for number in candidates:
                    address = str(ipaddress.ip_address(number))
                    if not self._book.is_taken(address):
                        return address
        raise NotAllocated(_FULL)

    def _candidates(self, network: Network) -> Iterator[range]:
        """Every address of a range: the upper part from anywhere, then the band for those who ask by name."""
        first, last = int(network[0]) + 1, int(network[-1]) - 1
        size = max(0, last - first + 1)
        band = 0 if size <= _SMALLEST_BAND else max(_SMALLEST_BAND, min(_LARGEST_BAND, size // _BAND_STEP))
        for part in (range(first + band, last + 1), range(first, first + band)):
            start = self._random.randrange(len(part)) if part else 0
            yield part[start:]
            yield part[:start]

    def release(self, address: str) -> None:
        """Gives an address back."""
        self._book.strike(str(ipaddress.ip_address(address)))


class NodePortAllocator:
    """Ports that every node opens for a Service, and health check ports."""

    def __init__(self, random: Random, services: Iterable[Obj] = ()) -> None:
        size = LAST_NODE_PORT - FIRST_NODE_PORT + 1
        band = max(16, min(128, size // 32))
        self._range = _Range(FIRST_NODE_PORT, LAST_NODE_PORT, band, random)
        for service in services:
            for port in node_ports(service):
                self._range.take(port)

    def allocate(self, port: int) -> None:
        """Takes one port."""
        if not self._range.holds(port):
            bounds = f"{FIRST_NODE_PORT}-{LAST_NODE_PORT}"
            raise NotAllocated(f"provided port is not in the valid range. The range of valid ports is {bounds}")
        if self._range.is_taken(port):
            raise NotAllocated(_TAKEN)
        self._range.take(port)

    def is_taken(self, port: int) -> bool:
        """True if a Service holds it."""
        return self._range.is_taken(port)

    def allocate_next(self) -> int:
        """Takes any free port."""
        port = self._range.free_number()
        self._range.take(port)
        return port

    def release(self, port: int) -> None:
        """Gives a port back."""
        self._range.release(port)


class PortOperation:
    """The ports that one write takes, or in a dry run only looks at: numbers beyond every range stand for new ones.

    Models pkg/registry/core/service/portallocator/operation.go (v1.36).
    """

    def __init__(self, ports: NodePortAllocator, *, dry_run: bool) -> None:
        self._ports = ports
        self._dry_run = dry_run
        self._got: list[int] = []

    def allocate(self, port: int) -> None:
        """Takes one port. A dry run does not ask whether the range holds it."""
        if not self._dry_run:
            self._ports.allocate(port)
        elif port in self._got or self._ports.is_taken(port):
            raise NotAllocated(_TAKEN)
        self._got.append(port)

    def allocate_next(self) -> int:
        """Takes any free port."""
        port = max(self._got, default=_DUMMY_PORT) + 1 if self._dry_run else self._ports.allocate_next()
        self._got.append(port)
        return port

    def holds(self, port: int) -> bool:
        """True if this write has taken it."""
        return port in self._got

    def undo(self) -> None:
        """Gives back what it has taken."""
        if not self._dry_run:
            for port in self._got:
                self._ports.release(port)
        self._got.clear()


def cluster_ips(service: Obj) -> list[str]:
    """The addresses that a Service holds: none if it is headless or an alias."""
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return []
    listed = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [address for address in listed if address and address != "None"]


def node_ports(service: Obj) -> set[int]:
    """The ports that a Service holds on every node."""
    spec = service.get("spec") or {}
    held = {int(port["nodePort"]) for port in spec.get("ports") or [] if port.get("nodePort")}
    return held | ({int(spec["healthCheckNodePort"])} if spec.get("healthCheckNodePort") else set())
