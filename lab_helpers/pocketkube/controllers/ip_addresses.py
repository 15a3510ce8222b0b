"""The books of ClusterIPs, kept true: each address that a Service holds has an IPAddress that says so, and no other.

The allocator in the API server writes them; here is put right what others changed and what a fault left behind.
Models pkg/registry/core/service/ipallocator/controller/repairip.go (v1.36).
"""

from __future__ import annotations

import ipaddress

from ..api.status import StatusError, ignoring_not_found
from ..client import Client, EventType
from ..clock import Clock, parse_rfc3339
from ..informer import Controller, SharedInformers
from ..objects import Obj, key_of, labels_of, name_of, namespace_of
from ..resources.allocators import cluster_ips
from ..resources.service_cidr import ADDRESSES, MANAGED_BY, MANAGER, RANGES, address_of, ranges_holding
from .events import EventRecorder

_GRACE_SECONDS = 60.0


class IPAddressController(Controller):
    """Repairs IPAddresses. A key is a Service's (`namespace/name`) or an address."""

    name = "ip-addresses"

    def __init__(self, client: Client, informers: SharedInformers, recorder: EventRecorder, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._recorder = recorder
        self._ranges = informers.get(RANGES)
        informers.get("services").add_handler(self._on_service)
        informers.get(ADDRESSES).add_handler(self._on_address)

    async def reconcile(self, key: str) -> None:
        """Looks at one Service's addresses, or at one address."""
        # Asks the server rather than the informers: a Service and its addresses are written together, yet seen apart.
        namespace, slash, name = key.rpartition("/")
        if slash:
            service = await self._find("services", name, namespace)
            for address in cluster_ips(service) if service is not None else []:
                await self._sync_held(service or {}, address)
            return
        entry = await self._find(ADDRESSES, key)
        if entry is not None and labels_of(entry).get(MANAGED_BY) == MANAGER:
            await self._sync_entry(entry)

    async def _sync_held(self, service: Obj, address: str) -> None:
        """An address that a Service holds is written down as that Service's."""
        family = "IPv6" if ":" in address else "IPv4"
        if not ranges_holding(self._ranges.list(), ipaddress.ip_address(address)):
            where = "is not within any configured Service CIDR; please recreate service"
            self._warn(service, "ClusterIPOutOfRange", f"Cluster IP [{family}]: {address} {where}")
            return
        wanted = address_of(address, namespace_of(service), name_of(service))
        entry = await self._find(ADDRESSES, address)
        if entry is None:
            why = f"Cluster IP [{family}]: {address} is not allocated; repairing"
            self._warn(service, "ClusterIPNotAllocated", why)
            await self._client.create(ADDRESSES, wanted)
            return
        parent = entry["spec"]["parentRef"]
        if not _is_same_parent(parent, wanted["spec"]["parentRef"]):
            other = (
                await self._find("services", parent["name"], parent.get("namespace")) if _is_service(parent) else None
            )
            if other is not None and address in cluster_ips(other):
                why = f"Cluster IP [{family}]:{address} was assigned to multiple services; please recreate service"
                self._warn(service, "ClusterIPAlreadyAllocated", why)
                return
            why = f"the ClusterIP [{family}]: {address} for Service {key_of(service)} has a wrong reference; repairing"
            self._warn(service, "ClusterIPNotAllocated", why)
            await self._write_anew(entry, wanted)
        elif not labels_of(wanted).items() <= labels_of(entry).items():
            await self._write_anew(entry, wanted)

    async def _sync_entry(self, entry: Obj) -> None:
        """What the allocator wrote is about a Service that is there and holds the address."""
        address, parent = name_of(entry), entry["spec"]["parentRef"]
        if not _is_service(parent):
            why = f"IPAddress {address} appears to have been modified, not referencing a Service {_go_struct(parent)}"
            await self._clean_up(entry, "IPAddressNotAllocated", f"{why}: cleaning up")
            return
        service = await self._find("services", parent["name"], parent.get("namespace"))
        whose = f"IPAddress: {address} for Service {parent.get('namespace', '')}/{parent['name']}"
        if service is None:
            left = _GRACE_SECONDS - (self.clock.now() - parse_rfc3339(entry["metadata"]["creationTimestamp"]))
            if left > 0:
                self.queue.add_after(address, left)
                return
            await self._clean_up(entry, "IPAddressNotAllocated", f"{whose} appears to have leaked: cleaning up")
        elif address not in cluster_ips(service):
            await self._clean_up(entry, "IPAddressWrongReference", f"{whose} has a wrong reference; cleaning up")

    async def _clean_up(self, entry: Obj, reason: str, message: str) -> None:
        self._warn(entry, reason, message)
        with ignoring_not_found():
            await self._client.delete(ADDRESSES, name_of(entry))

    async def _write_anew(self, entry: Obj, wanted: Obj) -> None:
        with ignoring_not_found():
            await self._client.delete(ADDRESSES, name_of(entry))
        await self._client.create(ADDRESSES, wanted)

    async def _find(self, resource: str, name: str, namespace: str | None = None) -> Obj | None:
        try:
            return await self._client.get(resource, name, namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            return None

    def _warn(self, obj: Obj, reason: str, message: str) -> None:
        self._recorder.event(obj, "Warning", reason, message)

    def _on_service(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is not None and (old is None or cluster_ips(new) != cluster_ips(old)):
            self.enqueue(new)

    def _on_address(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        entry = new or old or {}
        self.enqueue(entry)
        parent = entry["spec"]["parentRef"]
        if new is None and _is_service(parent):
            self.queue.add(f"{parent.get('namespace', '')}/{parent['name']}")


def _is_service(parent: Obj) -> bool:
    return not parent.get("group") and parent["resource"] == "services"


def _is_same_parent(one: Obj, other: Obj) -> bool:
    fields = ("group", "resource", "namespace", "name")
    return all((one.get(field) or "") == (other.get(field) or "") for field in fields)


def _go_struct(parent: Obj) -> str:
    """A reference as Go prints a pointer to one."""
    return "&{" + " ".join(parent.get(field) or "" for field in ("group", "resource", "namespace", "name")) + "}"
