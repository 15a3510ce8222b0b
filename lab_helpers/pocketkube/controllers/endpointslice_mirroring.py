"""The EndpointSlice mirroring controller: Endpoints written by hand, for a Service without a selector, as slices.

It is how a Service leads to a database outside the cluster. One slice for each subset.
Models pkg/controller/endpointslicemirroring (v1.36).
"""

from __future__ import annotations

from ..client import Client, EventType
from ..clock import Clock
from ..informer import Controller, SharedInformers
from ..objects import (
    SERVICE_NAME_LABEL,
    Obj,
    annotations_of,
    copy,
    labels_of,
    name_of,
    namespace_of,
    new_controller_ref,
    split_key,
)
from .endpointslice import MANAGED_BY, SLICES, delete_slice, slices_of
from .service_backends import TRIGGER_TIME

CONTROLLER = "endpointslicemirroring-controller.k8s.io"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"

_LEADER = "control-plane.alpha.kubernetes.io/leader"
_NOT_COPIED = ("kubectl.kubernetes.io/last-applied-configuration", TRIGGER_TIME)


class EndpointSliceMirroringController(Controller):
    """Keeps slices that say what hand-written Endpoints say."""

    name = "endpointslicemirroring"

    def __init__(self, client: Client, informers: SharedInformers, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._services = informers.get("services")
        self._endpoints = informers.get("endpoints")
        self._slices = informers.get(SLICES)
        for informer in (self._services, self._endpoints):
            informer.add_handler(self._on_change)
        self._slices.add_handler(self._on_slice)

    async def reconcile(self, key: str) -> None:
        """Makes the mirrored slices of one Service agree with its Endpoints."""
        namespace, name = split_key(key)
        existing = slices_of(self._slices, namespace, name, CONTROLLER)
        wanted = self._wanted(key)
        for slice_, content in zip(existing, wanted, strict=False):
            if any(slice_.get(field) != value for field, value in content.items() if field != "metadata") or (
                labels_of(slice_) != content["metadata"]["labels"]
            ):
                await self._rewrite(slice_, content)
        for content in wanted[len(existing) :]:
            await self._slices.has_seen(await self._client.create(SLICES, content))
        for slice_ in existing[len(wanted) :]:
            await delete_slice(self._client, slice_)

    def _wanted(self, key: str) -> list[Obj]:
        service, endpoints = self._services.get(key), self._endpoints.get(key)
        if service is None or endpoints is None or service["spec"].get("selector"):
            return []
        if labels_of(endpoints).get(SKIP_MIRROR) == "true" or _LEADER in annotations_of(endpoints):
            return []
        return [
            _mirror(endpoints, subset, family)
            for subset in endpoints.get("subsets") or []
            for family in ("IPv4", "IPv6")
            if _addresses(subset, family)
        ]

    async def _rewrite(self, slice_: Obj, content: Obj) -> None:
        if slice_["addressType"] != content["addressType"]:  # it never changes in a slice
            await delete_slice(self._client, slice_)
            await self._slices.has_seen(await self._client.create(SLICES, content))
            return
        changed = copy(slice_) | {"ports": content["ports"], "endpoints": content["endpoints"]}
        changed["metadata"]["labels"] = content["metadata"]["labels"]
        await self._slices.has_seen(await self._client.update(SLICES, changed))

    def _on_change(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        self.enqueue(new or old or {})

    def _on_slice(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        slice_ = new or old or {}
        if labels_of(slice_).get(MANAGED_BY) == CONTROLLER:
            self.queue.add(f"{namespace_of(slice_)}/{labels_of(slice_).get(SERVICE_NAME_LABEL)}")


def _mirror(endpoints: Obj, subset: Obj, family: str) -> Obj:
    annotations = {key: value for key, value in annotations_of(endpoints).items() if key not in _NOT_COPIED}
    metadata: Obj = {
        "generateName": f"{name_of(endpoints)}-",
        "namespace": namespace_of(endpoints),
        "labels": {**labels_of(endpoints), SERVICE_NAME_LABEL: name_of(endpoints), MANAGED_BY: CONTROLLER},
        "ownerReferences": [new_controller_ref(endpoints)],
    }
    if annotations:
        metadata["annotations"] = annotations
    ports = [{"name": "", "protocol": "TCP", **port} for port in subset.get("ports") or []]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": family,
        "ports": ports,
        "endpoints": _addresses(subset, family),
    }


def _addresses(subset: Obj, family: str) -> list[Obj]:
    found = []
    for field, ready in (("addresses", True), ("notReadyAddresses", False)):
        for address in subset.get(field) or []:
            if (":" in address["ip"]) != (family == "IPv6"):
                continue
            endpoint: Obj = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
            endpoint |= {key: address[key] for key in ("hostname", "nodeName", "targetRef") if address.get(key)}
            found.append(endpoint)
    return found
