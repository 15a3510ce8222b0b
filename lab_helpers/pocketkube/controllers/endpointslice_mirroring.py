"""The EndpointSlice mirroring controller: Endpoints written by hand, for a Service without a selector, as slices.

It is how a Service leads to a database outside the cluster. Subsets are brought into their one canonical form first;
then there is one slice for each set of ports and family of addresses. What does not fit into a slice is not mirrored,
and an Event says how much that is. Models pkg/controller/endpointslicemirroring (v1.36).
"""

from __future__ import annotations

import json
from collections import defaultdict

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
from .events import EventRecorder
from .service_backends import TRIGGER_TIME

CONTROLLER = "endpointslicemirroring-controller.k8s.io"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"
MAX_ENDPOINTS = 1000
"""Of one subset, and in one slice: kube-controller-manager's --mirroring-max-endpoints-per-subset."""

_LEADER = "control-plane.alpha.kubernetes.io/leader"
_MIRRORED_METADATA = ("labels", "annotations", "ownerReferences")
_NOT_COPIED = ("kubectl.kubernetes.io/last-applied-configuration", TRIGGER_TIME)


class EndpointSliceMirroringController(Controller):
    """Keeps slices that say what hand-written Endpoints say."""

    name = "endpointslicemirroring"

    def __init__(self, client: Client, informers: SharedInformers, recorder: EventRecorder, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._recorder = recorder
        self._services = informers.get("services")
        self._endpoints = informers.get("endpoints")
        self._slices = informers.get(SLICES)
        for informer in (self._services, self._endpoints):
            informer.add_handler(self._on_change)
        self._slices.add_handler(self._on_slice)

    async def reconcile(self, key: str) -> None:
        """Makes the mirrored slices of one Service agree with its Endpoints."""
        namespace, name = split_key(key)
        existing: dict[str, list[Obj]] = defaultdict(list)
        for slice_ in slices_of(self._slices, namespace, name, CONTROLLER):
            existing[_key(slice_["addressType"], slice_.get("ports") or [])].append(slice_)
        missing: list[Obj] = []
        for content in self._wanted(key):
            same_ports = existing.get(_key(content["addressType"], content["ports"]))
            if not same_ports:
                missing.append(content)
            elif not _agrees(slice_ := same_ports.pop(0), content):
                await self._rewrite(slice_, content)
        spare = [slice_ for slices in existing.values() for slice_ in slices]
        for content in missing:
            # The type of addresses never changes in a slice; everything else may.
            reused = next((slice_ for slice_ in spare if slice_["addressType"] == content["addressType"]), None)
            if reused is None:
                await self._slices.has_seen(await self._client.create(SLICES, content))
            else:
                spare.remove(reused)
                await self._rewrite(reused, content)
        for slice_ in spare:
            await delete_slice(self._client, slice_)

    def _wanted(self, key: str) -> list[Obj]:
        service, endpoints = self._services.get(key), self._endpoints.get(key)
        if service is None or endpoints is None or service["spec"].get("selector"):
            return []
        if labels_of(endpoints).get(SKIP_MIRROR) == "true" or _LEADER in annotations_of(endpoints):
            return []
        skipped = 0
        wanted = []
        for ports, addresses in _canonical_subsets(endpoints):
            skipped += max(0, len(addresses) - MAX_ENDPOINTS)
            for family in ("IPv4", "IPv6"):
                mirrored = [each for each in addresses[:MAX_ENDPOINTS] if _family(each) == family]
                if mirrored:
                    wanted.append(_mirror(endpoints, family, ports, mirrored))
        if skipped:
            text = (
                f"A max of {MAX_ENDPOINTS} addresses can be mirrored to EndpointSlices per Endpoints subset. "
                f"{skipped} addresses were skipped"
            )
            self._recorder.event(endpoints, "Warning", "TooManyAddressesToMirror", text)
        return wanted

    async def _rewrite(self, slice_: Obj, content: Obj) -> None:
        changed = copy(slice_) | {"ports": content["ports"], "endpoints": content["endpoints"]}
        for field in _MIRRORED_METADATA:
            changed["metadata"][field] = content["metadata"][field]
        await self._slices.has_seen(await self._client.update(SLICES, changed))

    def _on_change(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        self.enqueue(new or old or {})

    def _on_slice(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        slice_ = new or old or {}
        if labels_of(slice_).get(MANAGED_BY) == CONTROLLER:
            self.queue.add(f"{namespace_of(slice_)}/{labels_of(slice_).get(SERVICE_NAME_LABEL)}")


def _mirror(endpoints: Obj, family: str, ports: list[Obj], mirrored: list[Obj]) -> Obj:
    metadata: Obj = {
        "generateName": f"{name_of(endpoints)}-",
        "namespace": namespace_of(endpoints),
        "labels": {**labels_of(endpoints), SERVICE_NAME_LABEL: name_of(endpoints), MANAGED_BY: CONTROLLER},
        "annotations": {key: value for key, value in annotations_of(endpoints).items() if key not in _NOT_COPIED},
        "ownerReferences": [new_controller_ref(endpoints)],
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": family,
        "ports": ports,
        "endpoints": mirrored,
    }


def _agrees(slice_: Obj, content: Obj) -> bool:
    """True if there is nothing to write."""
    if any((slice_["metadata"].get(field) or {}) != content["metadata"][field] for field in _MIRRORED_METADATA):
        return False
    have, want = ({_text(each) for each in obj.get("endpoints") or []} for obj in (slice_, content))
    return have == want


def _canonical_subsets(endpoints: Obj) -> list[tuple[list[Obj], list[Obj]]]:
    """Sets of ports, each with the endpoints that serve exactly these. Models RepackSubsets.

    An address that is both ready and not ready at a port is not ready.
    """
    ports: dict[str, list[Obj]] = {}
    at_port: dict[str, dict[tuple[str, str], Obj]] = defaultdict(dict)
    for subset in endpoints.get("subsets") or []:
        # Addresses without ports stay together under a port that is none.
        for port in subset.get("ports") or [None]:
            described = [{"name": "", "protocol": "TCP", **port}] if port else []
            there = at_port[_text(described)]
            ports[_text(described)] = described
            for field, ready in (("addresses", True), ("notReadyAddresses", False)):
                for address in subset.get(field) or []:
                    who = (address["ip"], (address.get("targetRef") or {}).get("uid") or "")
                    if who not in there or not ready:
                        there[who] = _endpoint(address, ready)
    by_endpoints: dict[str, tuple[list[Obj], list[Obj]]] = {}
    for port_text, there in at_port.items():
        served = sorted(there.values(), key=lambda endpoint: not endpoint["conditions"]["ready"])
        same = _text([_text(there[who]) for who in sorted(there)])
        by_endpoints.setdefault(same, ([], served))[0].extend(ports[port_text])
    return list(by_endpoints.values())


def _endpoint(address: Obj, ready: bool) -> Obj:
    kept = {key: address[key] for key in ("hostname", "nodeName", "targetRef") if address.get(key)}
    return {"addresses": [address["ip"]], "conditions": {"ready": ready}, **kept}


def _family(endpoint: Obj) -> str:
    return "IPv6" if ":" in endpoint["addresses"][0] else "IPv4"


def _key(family: str, ports: list[Obj]) -> str:
    return f"{family} {_text(sorted(map(_text, ports)))}"


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)
