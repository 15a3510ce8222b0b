"""Which endpoints get the traffic of a Service port.

Ready ones; where there are none, those that are ending but still serve, so that a Service whose last Pods are being
deleted keeps answering. Under traffic policy Local only those of this node.
Models pkg/proxy/topology.go CategorizeEndpoints and pkg/proxy/endpointslicecache.go (v1.36), IPv4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..objects import Obj
from .services import ServicePort


@dataclass(frozen=True)
class Endpoint:
    """One address that serves a Service port."""

    ip: str
    port: int
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    local: bool = False
    zone_hints: frozenset[str] = frozenset()
    node_hints: frozenset[str] = frozenset()

    @property
    def address(self) -> str:
        """`IP:port`."""
        return f"{self.ip}:{self.port}"

    @property
    def serves_to_the_end(self) -> bool:
        """True if it is ending but still answers."""
        return self.serving and self.terminating


class PortKey(NamedTuple):
    """What ties a port of an EndpointSlice to a port of its Service."""

    name: str
    protocol: str


class Categories(NamedTuple):
    """The endpoints for policy Cluster, for policy Local, all that this node needs a chain for, and if any exist."""

    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    reachable: tuple[Endpoint, ...] = ()
    any: bool = False


def endpoints_by_port(slices: Iterable[Obj], node_name: str) -> dict[PortKey, tuple[Endpoint, ...]]:
    """The endpoints in the EndpointSlices of one Service, by port, sorted by address as text."""
    found: dict[PortKey, dict[str, Endpoint]] = {}
    for endpoint_slice in slices:
        if endpoint_slice.get("addressType") != "IPv4":
            continue
        for port in endpoint_slice.get("ports") or []:
            number = port.get("port")
            if number is None:
                continue
            key = PortKey(port.get("name") or "", (port.get("protocol") or "TCP").lower())
            known = found.setdefault(key, {})
            for item in endpoint_slice.get("endpoints") or []:
                _add(known, item, int(number), node_name)
    return {key: tuple(known[address] for address in sorted(known)) for key, known in found.items()}


def _add(known: dict[str, Endpoint], item: Obj, port: int, node_name: str) -> None:
    addresses = item.get("addresses")
    if not addresses:
        return
    conditions = item.get("conditions") or {}
    hints = item.get("hints") or {}
    endpoint = Endpoint(
        ip=addresses[0],
        port=port,
        ready=conditions.get("ready") is not False,
        serving=conditions.get("serving") is not False,
        terminating=conditions.get("terminating") is True,
        local=item.get("nodeName") == node_name,
        zone_hints=frozenset(hint["name"] for hint in hints.get("forZones") or []),
        node_hints=frozenset(hint["name"] for hint in hints.get("forNodes") or []),
    )
    # Two slices may hold the same endpoint for a moment.
    if endpoint.address not in known or endpoint.local:
        known[endpoint.address] = endpoint


def categorize(endpoints: Sequence[Endpoint], port: ServicePort, node_name: str, zone: str = "") -> Categories:
    """Sorts the endpoints of a Service port by what may use them."""
    fits = _topology(endpoints, node_name, zone)
    cluster: tuple[Endpoint, ...] = ()
    fell_back = False
    if port.uses_cluster_endpoints:
        cluster = tuple(e for e in endpoints if e.ready and (fits is None or fits(e)))
        if not cluster:
            cluster = tuple(e for e in endpoints if e.serves_to_the_end)
            fell_back = bool(cluster)
    if not port.uses_local_endpoints:
        return Categories(cluster, (), cluster, bool(cluster))
    local = tuple(e for e in endpoints if e.local and e.ready)
    if not local:
        local = tuple(e for e in endpoints if e.local and e.serves_to_the_end)
        fell_back = fell_back or bool(local)
    anywhere = bool(cluster) or any(e.ready or e.serves_to_the_end for e in endpoints)
    if not port.uses_cluster_endpoints:
        return Categories((), local, local, anywhere)
    if fits is None and not fell_back:
        return Categories(cluster, local, cluster, anywhere)
    union = {e.address: e for e in (*cluster, *local)}
    return Categories(cluster, local, tuple(union[address] for address in sorted(union)), anywhere)


def _topology(endpoints: Sequence[Endpoint], node_name: str, zone: str) -> Callable[[Endpoint], bool] | None:
    """The test by hints for this node, or else its zone; None unless every ready endpoint has such hints.

    Models topologyModeFromHints.
    """
    ready = [e for e in endpoints if e.ready]
    if all(e.node_hints for e in ready) and any(node_name in e.node_hints for e in ready):
        return lambda e: node_name in e.node_hints
    if zone and all(e.zone_hints for e in ready) and any(zone in e.zone_hints for e in ready):
        return lambda e: zone in e.zone_hints
    return None
