"""Load balancers: an address of the node network for each Service of type LoadBalancer, as minikube's metallb gives.

Only the status is written; that packets to the address arrive is the business of kube-proxy and the network.
Models cloud-provider/controllers/service (v1.36).
"""

from __future__ import annotations

import ipaddress

from ..client import Client, EventType
from ..clock import Clock
from ..informer import Controller, SharedInformers
from ..objects import Obj, copy, is_deleting
from .events import EventRecorder

_FIRST, _LAST = 200, 250


class LoadBalancerController(Controller):
    """Hands out addresses .200 to .250 of the node network."""

    name = "service-lb"

    def __init__(
        self, client: Client, informers: SharedInformers, recorder: EventRecorder, node_cidr: str, clock: Clock
    ) -> None:
        super().__init__(clock)
        self._client = client
        self._recorder = recorder
        network = ipaddress.ip_network(node_cidr)
        self._pool = [str(network[number]) for number in range(_FIRST, _LAST + 1)]
        self._services = informers.get("services")
        self._services.add_handler(self._on_service)

    async def reconcile(self, key: str) -> None:
        """Gives an address to a Service that wants one, takes it from one that doesn't any more."""
        service = self._services.get(key)
        if service is None or is_deleting(service):
            return
        if not _wants_address(service):
            if _addresses(service) and not service["spec"].get("loadBalancerClass"):
                await self._write(service, [])
            return
        asked = service["spec"].get("loadBalancerIP")
        current = _addresses(service)
        if current and asked in (None, "", current[0]):
            return
        address = self._choose(asked)
        if address is None:
            reason = f"the address {asked} is not free in the pool" if asked else "no address is left in the pool"
            message = f"Error syncing load balancer: failed to ensure load balancer: {reason}"
            self._recorder.event(service, "Warning", "SyncLoadBalancerFailed", message)
            return
        self._recorder.event(service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer")
        await self._write(service, [{"ip": address, "ipMode": "VIP"}])
        self._recorder.event(service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer")

    def _choose(self, asked: str | None) -> str | None:
        taken = {address for service in self._services.list() for address in _addresses(service)}
        free = [address for address in self._pool if address not in taken]
        if asked:
            return asked if asked in free else None
        return free[0] if free else None

    async def _write(self, service: Obj, ingress: list[Obj]) -> None:
        changed = copy(service)
        changed["status"] = {**(service.get("status") or {}), "loadBalancer": {"ingress": ingress} if ingress else {}}
        written = await self._client.update("services", changed, subresource="status")
        await self._services.has_seen(written)

    def _on_service(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is not None:
            self.enqueue(new)
        if old is not None and _addresses(old) and not _addresses(new or {}):
            # An address has become free: somebody may be waiting for it.
            for service in self._services.list():
                if _wants_address(service) and not _addresses(service):
                    self.enqueue(service)


def _wants_address(service: Obj) -> bool:
    spec = service["spec"]
    return spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass")


def _addresses(service: Obj) -> list[str]:
    balancer = (service.get("status") or {}).get("loadBalancer") or {}
    return [entry["ip"] for entry in balancer.get("ingress") or [] if entry.get("ip")]
