"""Allocators of ClusterIPs and NodePorts: what is taken, what is free, and the band kept for those who ask by name.

Rebuilt from the Services in the store when the control plane starts, so nothing is ever given twice.
Models pkg/registry/core/service/ipallocator and portallocator (v1.36).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from random import Random

from ..objects import Obj

FIRST_NODE_PORT, LAST_NODE_PORT = 30000, 32767


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
        raise NotAllocated("range is full")


class ServiceIPAllocator:
    """ClusterIPs: the range without its network and broadcast addresses."""

    def __init__(self, cidr: str, random: Random, services: Iterable[Obj] = ()) -> None:
        network = ipaddress.ip_network(cidr)
        size = network.num_addresses
        band = 0 if size <= 16 else max(16, min(256, size // 16))
        self._network = network
        self.preview = str(network[0])
        """What a dry run shows in place of an address."""
        self._range = _Range(int(network[1]), int(network[-2]), band, random)
        for service in services:
            for address in cluster_ips(service):
                self._range.take(int(ipaddress.ip_address(address)))

    def allocate(self, address: str) -> None:
        """Takes one address."""
        number = int(ipaddress.ip_address(address))
        if ipaddress.ip_address(address) not in self._network:
            raise NotAllocated("the provided network does not match the current range")
        if not self._range.holds(number):
            bounds = f"The range of valid IPs is {self._network}"
            raise NotAllocated(f"the provided IP ({address}) is not in the valid range. {bounds}")
        if self._range.is_taken(number):
            raise NotAllocated("provided IP is already allocated")
        self._range.take(number)

    def allocate_next(self) -> str:
        """Takes any free address."""
        number = self._range.free_number()
        self._range.take(number)
        return str(ipaddress.ip_address(number))

    def release(self, address: str) -> None:
        """Gives an address back."""
        self._range.release(int(ipaddress.ip_address(address)))


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
            raise NotAllocated("provided port is already allocated")
        self._range.take(port)

    def allocate_next(self) -> int:
        """Takes any free port."""
        port = self._range.free_number()
        self._range.take(port)
        return port

    def release(self, port: int) -> None:
        """Gives a port back."""
        self._range.release(port)


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
