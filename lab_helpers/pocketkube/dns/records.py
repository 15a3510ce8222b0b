"""What a cluster's DNS server knows: namespaces, Services and their endpoints, by name and by address.

Models the object index of CoreDNS's kubernetes plugin (plugin/kubernetes/controller.go). What is answered to whom is
left to `answer`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ..client import EventType
from ..objects import SERVICE_NAME_LABEL, Obj, key_of, labels_of, name_of, namespace_of


class ServiceKey(NamedTuple):
    """The namespace and the name of a Service."""

    namespace: str
    name: str


@dataclass(frozen=True)
class Port:
    """A port with its name and its protocol in lower case; number -1 stands for "no ports at all"."""

    name: str
    protocol: str
    number: int


@dataclass(frozen=True)
class Service:
    """What DNS says about a Service by itself."""

    key: ServiceKey
    cluster_ips: tuple[str, ...] = ()
    external_name: str = ""
    ports: tuple[Port, ...] = ()

    @property
    def headless(self) -> bool:
        """True if its name stands for its endpoints."""
        return not self.cluster_ips and not self.external_name


@dataclass(frozen=True)
class Endpoint:
    """One ready address behind a Service."""

    ip: str
    hostname: str
    """The first label of its own name: the Pod's hostname, or the address with dashes."""
    ports: tuple[Port, ...]


_NO_PORTS = (Port("", "", -1),)


class Records:
    """The current state of all names. `handle_*` are handlers for informers."""

    def __init__(self) -> None:
        self.namespaces: set[str] = set()
        self.services: dict[ServiceKey, Service] = {}
        self.serial = int(time.time())
        """The zone's serial number: when it last changed."""
        self._slices: dict[ServiceKey, dict[str, tuple[Endpoint, ...]]] = {}
        self._by_cluster_ip: dict[str, ServiceKey] = {}
        self._by_endpoint_ip: dict[str, dict[ServiceKey, Endpoint]] = {}

    def endpoints(self, key: ServiceKey) -> Iterator[Endpoint]:
        """The ready endpoints of a Service, each address once."""
        seen = set()
        for endpoints in self._slices.get(key, {}).values():
            for endpoint in endpoints:
                if (endpoint.ip, endpoint.ports) not in seen:
                    seen.add((endpoint.ip, endpoint.ports))
                    yield endpoint

    def service_of_ip(self, ip: str) -> ServiceKey | None:
        """The Service with that cluster IP."""
        return self._by_cluster_ip.get(ip)

    def endpoints_of_ip(self, ip: str) -> Iterable[tuple[ServiceKey, Endpoint]]:
        """The Services with an endpoint at that address."""
        return self._by_endpoint_ip.get(ip, {}).items()

    def handle_namespace(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        """Takes in a change of a Namespace."""
        if old is not None:
            self.namespaces.discard(name_of(old))
        if new is not None:
            self.namespaces.add(name_of(new))
        self._changed()

    def handle_service(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        """Takes in a change of a Service."""
        if old is not None:
            before = self.services.pop(ServiceKey(namespace_of(old), name_of(old)), None)
            for ip in before.cluster_ips if before else ():
                self._by_cluster_ip.pop(ip, None)
        if new is not None:
            service = service_from(new)
            self.services[service.key] = service
            self._by_cluster_ip.update(dict.fromkeys(service.cluster_ips, service.key))
        self._changed()

    def handle_slice(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        """Takes in a change of an EndpointSlice."""
        touched = set()
        for obj in (old, new):
            name = labels_of(obj).get(SERVICE_NAME_LABEL) if obj is not None else None
            if obj is None or not name:
                continue
            key = ServiceKey(namespace_of(obj), name)
            touched.add(key)
            slices = self._slices.setdefault(key, {})
            for endpoint in slices.pop(key_of(obj), ()):
                self._unindex(key, endpoint.ip)
            if obj is new:
                slices[key_of(obj)] = endpoints_from(obj)
        for key in touched:
            self._index(key)
        self._changed()

    def _index(self, key: ServiceKey) -> None:
        if not self._slices.get(key):
            self._slices.pop(key, None)
        for endpoint in self.endpoints(key):
            self._by_endpoint_ip.setdefault(endpoint.ip, {})[key] = endpoint

    def _unindex(self, key: ServiceKey, ip: str) -> None:
        services = self._by_endpoint_ip.get(ip, {})
        services.pop(key, None)
        if not services:
            self._by_endpoint_ip.pop(ip, None)

    def _changed(self) -> None:
        self.serial = int(time.time())


def service_from(obj: Obj) -> Service:
    """What DNS needs of a Service."""
    spec = obj["spec"]
    key = ServiceKey(namespace_of(obj), name_of(obj))
    if spec.get("type") == "ExternalName":
        return Service(key, external_name=str(spec.get("externalName") or "").rstrip("."))
    ips = spec.get("clusterIPs") or [spec.get("clusterIP") or "None"]
    ports = tuple(
        Port(port.get("name") or "", (port.get("protocol") or "TCP").lower(), int(port["port"]))
        for port in spec.get("ports") or []
    )
    return Service(key, tuple(ip for ip in ips if ip not in ("None", "")), ports=ports)


def endpoints_from(endpoint_slice: Obj) -> tuple[Endpoint, ...]:
    """The ready endpoints of an EndpointSlice."""
    ports = tuple(
        Port(port.get("name") or "", (port.get("protocol") or "TCP").lower(), int(port["port"]))
        for port in endpoint_slice.get("ports") or []
        if port.get("port") is not None
    )
    return tuple(
        Endpoint(ip, endpoint.get("hostname") or _dashed(ip), ports or _NO_PORTS)
        for endpoint in endpoint_slice.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for ip in endpoint.get("addresses") or []
    )


def _dashed(ip: str) -> str:
    return ip.replace(".", "-").replace(":", "-")
