"""The machine behind the addresses of Services of type LoadBalancer: sends their traffic on to the nodes.

As a cloud's load balancer does it, connections are spread over all nodes; under external traffic policy Local only
over those whose health check node port says that they have endpoints. Which address a Service gets is left to
`controllers.load_balancer`, and what a node does with a packet to kube-proxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..client import EventType
from ..informer import SharedInformers
from ..objects import SERVICE_NAME_LABEL, Obj, key_of, labels_of, namespace_of

Balance = Callable[[str, Sequence[str]], None]
"""Sends what is meant for an address to these nodes (their addresses), or to nobody."""


class LoadBalancers:
    """Follows Services and EndpointSlices, and tells the network when the nodes behind an address change."""

    def __init__(self, informers: SharedInformers, balance: Balance, nodes: Mapping[str, str]) -> None:
        """`nodes`: the names and addresses of all of them."""
        self._balance = balance
        self._nodes = dict(nodes)
        self._told: dict[str, dict[str, tuple[str, ...]]] = {}
        self._services = informers.get("services")
        self._slices = informers.get("endpointslices.discovery.k8s.io")
        self._services.add_handler(self._on_service)
        self._slices.add_handler(self._on_slice)

    def _on_service(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        service = new or old
        if service is not None:
            self._follow(key_of(service))

    def _on_slice(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        changed = new or old
        name = labels_of(changed).get(SERVICE_NAME_LABEL) if changed is not None else None
        if changed is not None and name:
            self._follow(f"{namespace_of(changed)}/{name}")

    def _follow(self, key: str) -> None:
        service = self._services.get(key)
        addresses = _addresses(service)
        told = self._told.pop(key, {})
        if not addresses and not told:
            return
        nodes = self._nodes_for(service) if service is not None else ()
        wanted = {address: nodes for address in addresses}
        for address in [*told, *wanted]:
            if told.get(address, ()) != wanted.get(address, ()):
                self._balance(address, wanted.get(address, ()))
                told[address] = wanted.get(address, ())
        if wanted:
            self._told[key] = wanted

    def _nodes_for(self, service: Obj) -> tuple[str, ...]:
        if service["spec"].get("externalTrafficPolicy") != "Local":
            return tuple(self._nodes.values())
        serving = set(self._nodes_with_endpoints(service))
        return tuple(ip for name, ip in self._nodes.items() if name in serving)

    def _nodes_with_endpoints(self, service: Obj) -> Iterable[str]:
        name = service["metadata"]["name"]
        for endpoint_slice in self._slices.list(namespace_of(service)):
            if labels_of(endpoint_slice).get(SERVICE_NAME_LABEL) != name:
                continue
            for endpoint in endpoint_slice.get("endpoints") or []:
                if (endpoint.get("conditions") or {}).get("ready") is not False:
                    yield endpoint.get("nodeName") or ""


def _addresses(service: Obj | None) -> list[str]:
    if service is None or service["spec"].get("type") != "LoadBalancer":
        return []
    balancer = (service.get("status") or {}).get("loadBalancer") or {}
    return [entry["ip"] for entry in balancer.get("ingress") or [] if _is_ipv4(entry.get("ip") or "")]


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
