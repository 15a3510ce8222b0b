"""The Pod addresses of one node: hands out the next free one, as the CNI plugin `host-local` does.

A Pod that replaces another gets a new address even if the old one is free again. Models
plugins/ipam/host-local (containernetworking/plugins v1.9).
"""

from __future__ import annotations

import ipaddress


class NoFreeAddress(Exception):
    """Every address of the node is in use."""


class PodAddresses:
    """The addresses of one node's Pod CIDR; the first is the gateway's."""

    def __init__(self, cidr: str) -> None:
        network = ipaddress.ip_network(cidr)
        self.cidr = cidr
        self.gateway = str(network[1])
        self._first = int(network[2])
        self._last = int(network[-2])
        self._next = self._first
        self._used: set[int] = set()

    def allocate(self) -> str:
        """The next higher free address, beginning anew after the last. Raises NoFreeAddress."""
        for _ in range(self._last - self._first + 1):
            candidate = self._next
            self._next = candidate + 1 if candidate < self._last else self._first
            if candidate not in self._used:
                self._used.add(candidate)
                return str(ipaddress.ip_address(candidate))
        raise NoFreeAddress(f"no IP addresses available in range set: {self.cidr}")

    def release(self, address: str) -> None:
        """Gives an address back; nothing if it was not in use."""
        self._used.discard(int(ipaddress.ip_address(address)))
