"""The EndpointSlice controller: for every Service with a selector, the addresses of the Pods behind it.

    desired  = an endpoint for each selected Pod, grouped by the ports it offers
    observed = the slices that carry the Service's name
    act      = as few writes as possible: a slice that is right stays as it is

kube-proxy and DNS follow these slices. Models k8s.io/endpointslice/reconciler.go (v1.36).
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from ..api.status import ignoring_not_found
from ..client import Client, EventType
from ..clock import Clock
from ..informer import Controller, Informer, SharedInformers
from ..objects import (
    SERVICE_NAME_LABEL,
    Obj,
    copy,
    is_deleting,
    labels_of,
    matches_labels,
    name_of,
    namespace_of,
    new_controller_ref,
    split_key,
    uid_of,
)
from .service_backends import (
    HEADLESS_LABEL,
    TRIGGER_TIME,
    can_be_endpoint,
    conditions,
    endpoint_ports,
    hostname_for,
    is_headless,
    pod_addresses,
    pod_reference,
    selects_pods,
    services_concerned,
)

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.k8s.io"
SLICES = "endpointslices.discovery.k8s.io"

_MAX_ENDPOINTS = 100
_LONGEST_PREFIX = 58


class EndpointSliceController(Controller):
    """Keeps the slices of Services with a selector."""

    name = "endpointslice"

    def __init__(self, client: Client, informers: SharedInformers, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._services = informers.get("services")
        self._pods = informers.get("pods")
        self._nodes = informers.get("nodes")
        self._slices = informers.get(SLICES)
        self._services.add_handler(self._on_service)
        self._pods.add_handler(self._on_pod)
        self._nodes.add_handler(self._on_node)
        self._slices.add_handler(self._on_slice)

    async def reconcile(self, key: str) -> None:
        """Makes the slices of one Service agree with its Pods."""
        service = self._services.get(key)
        namespace, name = split_key(key)
        existing = slices_of(self._slices, namespace, name, CONTROLLER)
        if service is None or not selects_pods(service):
            # The slices of a deleted Service go with their owner; those of one that lost its selector go here.
            for slice_ in existing if service is not None else []:
                await delete_slice(self._client, slice_)
            return
        families = service["spec"].get("ipFamilies") or ["IPv4"]
        for family in families:
            of_family = [slice_ for slice_ in existing if slice_["addressType"] == family]
            await self._reconcile_family(service, family, [s for s in of_family if not is_deleting(s)])
        for slice_ in existing:
            if slice_["addressType"] not in families:
                await delete_slice(self._client, slice_)

    # --- desired ---

    async def _reconcile_family(self, service: Obj, family: str, existing: list[Obj]) -> None:
        wanted: dict[str, list[Obj]] = {}
        ports: dict[str, list[Obj]] = {}
        for pod in self._selected_pods(service):
            addresses = pod_addresses(pod, family)
            if not addresses or not self._node_exists(pod):
                continue
            offered = endpoint_ports(service, pod)
            ports[_ports_key(offered)] = offered
            wanted.setdefault(_ports_key(offered), []).append(self._endpoint(service, pod, addresses))
        if not wanted:
            # A placeholder tells that the Service has no endpoints; no slice at all would say "not looked at yet".
            wanted[_ports_key([])], ports[_ports_key([])] = [], []
        by_ports: dict[str, list[Obj]] = {}
        for slice_ in existing:
            by_ports.setdefault(_ports_key(slice_.get("ports") or []), []).append(slice_)
        # Slices of ports that nobody offers any more are rewritten before new ones are made.
        spare = [slice_ for key, slices in by_ports.items() if key not in wanted for slice_ in slices]
        for key, endpoints in wanted.items():
            await self._write_group(service, family, ports[key], endpoints, by_ports.get(key, []), spare)
        for slice_ in spare:
            await delete_slice(self._client, slice_)

    def _selected_pods(self, service: Obj) -> Iterable[Obj]:
        selector = service["spec"]["selector"]
        pods = self._pods.list(namespace_of(service))
        chosen = [pod for pod in pods if can_be_endpoint(pod) and matches_labels(selector, labels_of(pod))]
        return sorted(chosen, key=name_of)

    def _node_exists(self, pod: Obj) -> bool:
        node = pod["spec"].get("nodeName")
        return not node or self._nodes.get(node) is not None

    def _endpoint(self, service: Obj, pod: Obj, addresses: list[str]) -> Obj:
        endpoint: Obj = {
            "addresses": addresses[:1],
            "conditions": conditions(service, pod),
            "targetRef": pod_reference(pod),
        }
        node_name = pod["spec"].get("nodeName")
        if node_name:
            endpoint["nodeName"] = node_name
            zone = labels_of(self._nodes.get(node_name) or {"metadata": {}}).get("topology.kubernetes.io/zone")
            if zone:
                endpoint["zone"] = zone
        hostname = hostname_for(service, pod)
        if hostname:
            endpoint["hostname"] = hostname
        return endpoint

    # --- acting ---

    async def _write_group(
        self, service: Obj, family: str, ports: list[Obj], wanted: list[Obj], slices: list[Obj], spare: list[Obj]
    ) -> None:
        """Puts endpoints of equal ports into slices, each where it already is, the rest where there is room."""
        left = {_endpoint_key(endpoint): endpoint for endpoint in wanted}
        contents: list[tuple[Obj, list[Obj]]] = []
        for slice_ in slices:
            keys = [_endpoint_key(endpoint) for endpoint in slice_.get("endpoints") or []]
            contents.append((slice_, [left.pop(key) for key in keys if key in left]))
        rest = list(left.values())
        for _, kept in contents:
            room = _MAX_ENDPOINTS - len(kept)
            kept += rest[:room]
            rest = rest[room:]
        for slice_, endpoints in contents:
            if endpoints or (not wanted and slice_ is slices[0]):
                await self._update(service, slice_, ports, endpoints)
            else:
                await delete_slice(self._client, slice_)
        while rest or (not wanted and not slices):
            batch, rest = rest[:_MAX_ENDPOINTS], rest[_MAX_ENDPOINTS:]
            if spare:
                await self._update(service, spare.pop(), ports, batch)
            else:
                await self._create(service, family, ports, batch)
            if not wanted:
                return

    async def _update(self, service: Obj, slice_: Obj, ports: list[Obj], endpoints: list[Obj]) -> None:
        labels = _labels(service)
        same = (slice_.get("endpoints") or []) == endpoints and (slice_.get("ports") or []) == ports
        if same and labels_of(slice_) == labels:
            return
        changed = copy(slice_)
        changed["endpoints"] = endpoints
        changed["ports"] = ports
        changed["metadata"]["labels"] = labels
        changed["metadata"].setdefault("annotations", {})[TRIGGER_TIME] = self.clock.rfc3339()
        await self._slices.has_seen(await self._client.update(SLICES, changed))

    async def _create(self, service: Obj, family: str, ports: list[Obj], endpoints: list[Obj]) -> None:
        created = await self._client.create(
            SLICES,
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "generateName": f"{name_of(service)[:_LONGEST_PREFIX]}-",
                    "namespace": namespace_of(service),
                    "labels": _labels(service),
                    "annotations": {TRIGGER_TIME: self.clock.rfc3339()},
                    "ownerReferences": [new_controller_ref(service)],
                },
                "addressType": family,
                "ports": ports,
                "endpoints": endpoints,
            },
        )
        await self._slices.has_seen(created)

    # --- what changed ---

    def _on_service(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        self.enqueue(new or old or {})

    def _on_pod(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        for service in services_concerned(self._services, old, new):
            self.enqueue(service)

    def _on_node(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if event == "MODIFIED" and labels_of(new or {}) == labels_of(old or {}):
            return
        for service in self._services.list():
            self.enqueue(service)

    def _on_slice(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        slice_ = new or old or {}
        if labels_of(slice_).get(MANAGED_BY) == CONTROLLER and SERVICE_NAME_LABEL in labels_of(slice_):
            self.queue.add(f"{namespace_of(slice_)}/{labels_of(slice_)[SERVICE_NAME_LABEL]}")


def slices_of(slices: Informer, namespace: str, service: str, controller: str) -> list[Obj]:
    """The slices of a Service that a controller looks after."""
    return [
        slice_
        for slice_ in slices.list(namespace)
        if labels_of(slice_).get(SERVICE_NAME_LABEL) == service and labels_of(slice_).get(MANAGED_BY) == controller
    ]


async def delete_slice(client: Client, slice_: Obj) -> None:
    """Deletes a slice, if it is still the one that is meant."""
    with ignoring_not_found():
        await client.delete(SLICES, name_of(slice_), namespace_of(slice_), uid=uid_of(slice_))


def _ports_key(ports: list[Obj]) -> str:
    return json.dumps(sorted(ports, key=lambda port: json.dumps(port, sort_keys=True)), sort_keys=True)


def _endpoint_key(endpoint: Obj) -> str:
    return f"{(endpoint.get('targetRef') or {}).get('uid', '')} {endpoint['addresses'][0]}"


def _labels(service: Obj) -> dict[str, str]:
    """The Service's labels, and those by which the slice is found."""
    reserved = (SERVICE_NAME_LABEL, MANAGED_BY, HEADLESS_LABEL)
    labels = {key: value for key, value in labels_of(service).items() if key not in reserved}
    labels |= {SERVICE_NAME_LABEL: name_of(service), MANAGED_BY: CONTROLLER}
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    return labels
