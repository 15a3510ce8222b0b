"""The books of ClusterIPs: for each address that a Service holds, an IPAddress object that says so.

Giving addresses out is left to the allocator in the API server; here the books are kept true to the Services.
Models pkg/registry/core/service/ipallocator/controller/repairip.go (v1.36).
"""

from __future__ import annotations

from ..api.status import ignoring_not_found
from ..client import Client, EventType
from ..clock import Clock
from ..informer import Controller, SharedInformers
from ..objects import Obj, key_of, labels_of, name_of, namespace_of
from ..resources.allocators import cluster_ips
from ..resources.service_cidr import MANAGED_BY, MANAGER, address_of

_RESOURCE = "ipaddresses.networking.k8s.io"


class IPAddressController(Controller):
    """Writes IPAddresses. A key is an address."""

    name = "ip-addresses"

    def __init__(self, client: Client, informers: SharedInformers, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._holders: dict[str, Obj] = {}
        self._addresses = informers.get(_RESOURCE)
        informers.get("services").add_handler(self._on_service)
        self._addresses.add_handler(self._on_address)

    async def reconcile(self, key: str) -> None:
        """Makes the entry of one address true: there, gone, or of another Service."""
        written = self._addresses.get(key)
        holder = self._holders.get(key)
        wanted = address_of(key, namespace_of(holder), name_of(holder)) if holder is not None else None
        if written is not None and (wanted is None or written["spec"] != wanted["spec"]):
            if wanted is None and labels_of(written).get(MANAGED_BY) != MANAGER:
                return  # somebody else's
            with ignoring_not_found():
                await self._client.delete(_RESOURCE, key)
            written = None
        if wanted is not None and written is None:
            await self._addresses.has_seen(await self._client.create(_RESOURCE, wanted))

    def _on_service(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        held = set(cluster_ips(new)) if new is not None else set()
        for address in (set(cluster_ips(old)) if old is not None else set()) - held:
            holder = self._holders.get(address)
            # The next Service may hold it already.
            if holder is not None and old is not None and key_of(holder) == key_of(old):
                del self._holders[address]
            self.queue.add(address)
        for address in held:
            if new is not None and address not in self._holders:
                self._holders[address] = new
                self.queue.add(address)

    def _on_address(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        self.enqueue(new or old or {})
