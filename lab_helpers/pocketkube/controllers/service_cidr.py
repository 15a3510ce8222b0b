"""The ranges of ClusterIPs: said to be ready while they are, and kept as long as an address depends on them.

Choosing addresses from them is left to `resources/allocators`. The range `kubernetes` comes back if it is deleted.
Models pkg/controller/servicecidrs and pkg/controlplane/controller/defaultservicecidr (v1.36). Upstream waits ten
seconds before it lets a range go, until all API servers know; here the one allocator knows at once.
"""

from __future__ import annotations

import ipaddress

from ..api.status import StatusError, ignoring_not_found
from ..client import Client, EventType
from ..clock import Clock
from ..informer import Controller, SharedInformers
from ..objects import Obj, condition_of, is_deleting, labels_of, name_of
from ..resources.service_cidr import (
    ADDRESSES,
    DEFAULT,
    FINALIZER,
    MANAGED_BY,
    MANAGER,
    RANGES,
    Network,
    default_service_cidr,
    ranges_holding,
    ranges_of,
)
from .events import EventRecorder

_IN_USE = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
_READY = "Kubernetes Service CIDR is ready"
_DEFAULT_READY = "Kubernetes default Service CIDR is ready"


class ServiceCIDRController(Controller):
    """Looks after ServiceCIDRs. A key is the name of one."""

    name = "service-cidr"

    def __init__(
        self, client: Client, informers: SharedInformers, recorder: EventRecorder, default_cidr: str, clock: Clock
    ) -> None:
        super().__init__(clock)
        self._client = client
        self._recorder = recorder
        self._default = default_cidr
        self._ranges = informers.get(RANGES)
        self._addresses = informers.get(ADDRESSES)
        self._ranges.add_handler(self._on_range)
        self._addresses.add_handler(self._on_address)

    async def reconcile(self, key: str) -> None:
        """Protects a range and says that it is ready; lets go of one that nothing depends on any more."""
        current = self._ranges.get(key)
        if current is None:
            if key == DEFAULT:
                await self._make_default()
            return
        if not is_deleting(current):
            await self._protect(current)
            await self._say(current, "True", "", _DEFAULT_READY if key == DEFAULT else _READY)
        elif self._is_needed(current):
            await self._say(current, "False", "Terminating", _IN_USE)
        elif FINALIZER in _finalizers(current):
            await self._set_finalizers(current, [name for name in _finalizers(current) if name != FINALIZER])

    async def _make_default(self) -> None:
        try:
            await self._client.create(RANGES, default_service_cidr(self._default))
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise

    async def _protect(self, current: Obj) -> None:
        if FINALIZER not in _finalizers(current):
            await self._set_finalizers(current, [*_finalizers(current), FINALIZER])

    async def _set_finalizers(self, current: Obj, finalizers: list[str]) -> None:
        with ignoring_not_found():
            await self._client.patch(RANGES, name_of(current), {"metadata": {"finalizers": finalizers}})

    async def _say(self, current: Obj, status: str, reason: str, message: str) -> None:
        known = condition_of(current, "Ready")
        said = {"status": status, "reason": reason, "message": message}
        if known is not None and said.items() <= known.items():
            return
        condition = {"type": "Ready", **said, "lastTransitionTime": self.clock.rfc3339()}
        with ignoring_not_found():
            patch = {"status": {"conditions": [condition]}}
            await self._client.patch(RANGES, name_of(current), patch, subresource="status")

    def _is_needed(self, current: Obj) -> bool:
        """True if an address would be left without a range. Models canDeleteCIDR."""
        if all(self._has_parent(network, current) for network in ranges_of(current)):
            return False
        for entry in self._addresses.list():
            if labels_of(entry).get(MANAGED_BY) != MANAGER:
                continue
            holding = ranges_holding(self._ranges.list(), ipaddress.ip_address(name_of(entry)))
            if [name_of(obj) for obj in holding] == [name_of(current)]:
                return True
        return False

    def _has_parent(self, network: Network, current: Obj) -> bool:
        """True if another ServiceCIDR has the range, too, or a larger one around it."""
        return any(
            other.version == network.version and other.overlaps(network) and other.prefixlen <= network.prefixlen
            for obj in self._ranges.list()
            if name_of(obj) != name_of(current)
            for other in ranges_of(obj)
        )

    def _on_range(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        # A range that comes or goes may free others, or be what their addresses now depend on.
        for obj in self._ranges.list() if new is None or old is None else [new]:
            self.enqueue(obj)
        if new is None and old is not None:
            self.enqueue(old)

    def _on_address(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is not None and old is not None:
            return
        for obj in self._ranges.list():
            if is_deleting(obj):
                self.enqueue(obj)


def _finalizers(obj: Obj) -> list[str]:
    return obj["metadata"].get("finalizers") or []
