"""The Endpoints controller: the same addresses as in EndpointSlices, in the form that older clients read.

Ready and not-ready addresses are kept apart; terminating Pods are left out. Deprecated since v1.33, still written.
Models pkg/controller/endpoint/endpoints_controller.go (v1.36).
"""

from __future__ import annotations

import json

from ..api.status import ignoring_not_found
from ..client import Client, EventType
from ..clock import Clock
from ..informer import Controller, SharedInformers
from ..objects import Obj, copy, is_deleting, key_of, labels_of, matches_labels, name_of, namespace_of, split_key
from .pods import is_ready
from .service_backends import (
    HEADLESS_LABEL,
    TRIGGER_TIME,
    can_be_endpoint,
    endpoint_ports,
    hostname_for,
    is_headless,
    pod_addresses,
    pod_reference,
    selects_pods,
    services_concerned,
)

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
CONTROLLER = "endpoint-controller"
_OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
_MAX_ADDRESSES = 1000


class EndpointsController(Controller):
    """Keeps the Endpoints object of Services with a selector."""

    name = "endpoints"

    def __init__(self, client: Client, informers: SharedInformers, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._services = informers.get("services")
        self._pods = informers.get("pods")
        self._endpoints = informers.get("endpoints")
        self._services.add_handler(self._on_service)
        self._pods.add_handler(self._on_pod)
        self._endpoints.add_handler(self._on_endpoints)

    async def reconcile(self, key: str) -> None:
        """Makes the Endpoints object of one Service agree with its Pods."""
        service = self._services.get(key)
        current = self._endpoints.get(key)
        if service is None:
            if current is not None:
                await self._delete(key)
            return
        if not selects_pods(service):
            return
        wanted = self._wanted(service)
        if current is None:
            metadata = {"name": name_of(service), "namespace": namespace_of(service)}
            current = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}
            written = await self._client.create("endpoints", self._merged(current, wanted))
        elif _is_same(current, wanted):
            return
        else:
            written = await self._client.update("endpoints", self._merged(current, wanted))
        await self._endpoints.has_seen(written)

    def _wanted(self, service: Obj) -> Obj:
        """Labels, subsets, and whether addresses had to be left out."""
        labels = {key: value for key, value in labels_of(service).items() if key != HEADLESS_LABEL}
        labels[MANAGED_BY] = CONTROLLER
        if is_headless(service):
            labels[HEADLESS_LABEL] = ""
        subsets, truncated = _truncated(_repacked(service, self._selected_pods(service)))
        return {"labels": labels, "subsets": subsets, "truncated": truncated}

    def _selected_pods(self, service: Obj) -> list[Obj]:
        selector = service["spec"]["selector"]
        keep_terminating = bool(service["spec"].get("publishNotReadyAddresses"))
        return [
            pod
            for pod in self._pods.list(namespace_of(service))
            if can_be_endpoint(pod)
            and matches_labels(selector, labels_of(pod))
            and (keep_terminating or not is_deleting(pod))
        ]

    def _merged(self, current: Obj, wanted: Obj) -> Obj:
        changed = copy(current)
        changed["metadata"]["labels"] = wanted["labels"]
        annotations = changed["metadata"].setdefault("annotations", {})
        annotations[TRIGGER_TIME] = self.clock.rfc3339()
        annotations.pop(_OVER_CAPACITY, None)
        if wanted["truncated"]:
            annotations[_OVER_CAPACITY] = "truncated"
        changed["subsets"] = wanted["subsets"]
        return changed

    async def _delete(self, key: str) -> None:
        namespace, name = split_key(key)
        with ignoring_not_found():
            await self._client.delete("endpoints", name, namespace)

    # --- what changed ---

    def _on_service(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        self.enqueue(new or old or {})

    def _on_endpoints(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        endpoints = new or old or {}
        # Endpoints written by hand may come before their Service; they go when that goes.
        if self._services.get(key_of(endpoints)) is not None or labels_of(endpoints).get(MANAGED_BY) == CONTROLLER:
            self.enqueue(endpoints)

    def _on_pod(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        for service in services_concerned(self._services, old, new):
            self.enqueue(service)


def _is_same(current: Obj, wanted: Obj) -> bool:
    truncated = _OVER_CAPACITY in (current["metadata"].get("annotations") or {})
    return bool(
        labels_of(current) == wanted["labels"]
        and (current.get("subsets") or []) == wanted["subsets"]
        and truncated == wanted["truncated"]
    )


def _repacked(service: Obj, pods: list[Obj]) -> list[Obj]:
    """Subsets: addresses that offer the same ports stand together, in a stable order."""
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    family = (service["spec"].get("ipFamilies") or ["IPv4"])[0]
    groups: dict[str, tuple[list[Obj], list[Obj], list[Obj]]] = {}
    for pod in pods:
        addresses = pod_addresses(pod, family)
        ports = sorted(endpoint_ports(service, pod), key=_port_order)
        if not addresses or (not ports and not is_headless(service)):
            continue
        for port in ports:
            if not port["name"]:
                del port["name"]
        address: Obj = {"ip": addresses[0], "targetRef": pod_reference(pod)}
        if pod["spec"].get("nodeName"):
            address["nodeName"] = pod["spec"]["nodeName"]
        if hostname_for(service, pod):
            address["hostname"] = hostname_for(service, pod)
        key = json.dumps(ports, sort_keys=True)
        offered, ready, not_ready = groups.setdefault(key, (ports, [], []))
        (ready if publish or is_ready(pod) else not_ready).append(address)
    subsets = []
    for _, (ports, ready, not_ready) in sorted(groups.items()):
        subset: Obj = {}
        if ready:
            subset["addresses"] = sorted(ready, key=_address_order)
        if not_ready:
            subset["notReadyAddresses"] = sorted(not_ready, key=_address_order)
        if ports:
            subset["ports"] = ports
        subsets.append(subset)
    return subsets


def _truncated(subsets: list[Obj]) -> tuple[list[Obj], bool]:
    """At most a thousand addresses, ready ones first."""
    left = _MAX_ADDRESSES
    truncated = False
    for field in ("addresses", "notReadyAddresses"):
        for subset in subsets:
            addresses = subset.get(field) or []
            if len(addresses) > left:
                truncated = True
                subset[field] = addresses = addresses[:left]
            left -= len(addresses)
    return subsets, truncated


def _port_order(port: Obj) -> tuple[str, int, str]:
    return port["name"], port["port"], port["protocol"]


def _address_order(address: Obj) -> tuple[str, str]:
    return address["ip"], address["targetRef"]["uid"]
