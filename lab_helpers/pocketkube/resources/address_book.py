"""The books of ClusterIPs: ServiceCIDRs say which there are, IPAddresses whose they are.

Choosing an address is left to `allocators`, keeping the books true to the Services to `controllers/ip_addresses`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from ..objects import Obj
from ..store import Store
from .service_cidr import ADDRESSES, DEFAULT, RANGES, Network, address_of, can_allocate, ranges_of


class IPAddressBook:
    """Reads the store; writes through the rules of the kind (`create`, `remove`)."""

    def __init__(
        self, store: Store, default_cidr: str, create: Callable[[Obj], None], remove: Callable[[Obj], None]
    ) -> None:
        self._store = store
        self._default = default_cidr
        self._create = create
        self._remove = remove

    def ranges(self) -> list[Network]:
        """Those of ServiceCIDRs that are ready, each once. The cluster's own is there before its object is."""
        found = [network for obj in self._store.list(RANGES) if can_allocate(obj) for network in ranges_of(obj)]
        if self._store.get(RANGES, "", DEFAULT) is None:
            found.append(ipaddress.ip_network(self._default))
        return list(dict.fromkeys(found))

    def is_taken(self, address: str) -> bool:
        """True if there is an IPAddress, whoever made it."""
        return self._store.get(ADDRESSES, "", address) is not None

    def enter(self, address: str, namespace: str, service: str) -> None:
        """Writes the IPAddress of a Service."""
        self._create(address_of(address, namespace, service))

    def strike(self, address: str) -> None:
        """Deletes the IPAddress."""
        entry = self._store.get(ADDRESSES, "", address)
        if entry is not None:
            self._remove(entry)
