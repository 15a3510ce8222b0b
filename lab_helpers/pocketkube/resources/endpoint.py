"""EndpointSlices and the old Endpoints: where the traffic of a Service goes.

Filling them from Pods is left to the controllers.
Models pkg/apis/discovery/validation and core/validation ValidateEndpoints (v1.36).
"""

from __future__ import annotations

from ..api.status import Cause, duplicate, forbidden_field, invalid_value, not_supported, required, too_many
from ..objects import Obj
from .addresses import special_address_problem
from .metadata import validate_immutable
from .naming import (
    ip_problems,
    label_key_problems,
    label_problems,
    label_value_problems,
    port_number_problems,
    subdomain_problems,
)
from .service_validation import PROTOCOLS
from .strategy import Strategy

_MOST_ENDPOINTS, _MOST_PORTS, _MOST_ADDRESSES, _MOST_ZONES = 1000, 20000, 100, 8
_DEPRECATED = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"


class EndpointSliceStrategy(Strategy):
    """Part of the endpoints of one Service."""

    tracks_generation = True
    generation_fields = ("endpoints", "ports", "metadata.labels", "metadata.annotations", "metadata.ownerReferences")

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_EndpointPort."""
        for port in obj.get("ports") or []:
            port.setdefault("name", "")
            port.setdefault("protocol", "TCP")
        for endpoint in obj.setdefault("endpoints", []) or []:
            endpoint.setdefault("conditions", {})

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateEndpointSlice."""
        kind = obj.get("addressType") or ""
        causes: list[Cause] = []
        if not kind:
            causes.append(required("addressType"))
        elif kind not in ("IPv4", "IPv6", "FQDN"):
            causes.append(not_supported("addressType", kind, ["FQDN", "IPv4", "IPv6"]))
        endpoints, ports = obj.get("endpoints") or [], obj.get("ports") or []
        if len(endpoints) > _MOST_ENDPOINTS:
            return [*causes, too_many("endpoints", len(endpoints), _MOST_ENDPOINTS)]
        for index, endpoint in enumerate(endpoints):
            causes += _validate_endpoint(endpoint, kind, f"endpoints[{index}]")
        if len(ports) > _MOST_PORTS:
            return [*causes, too_many("ports", len(ports), _MOST_PORTS)]
        return causes + _validate_ports(ports)

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The kind of addresses is for life."""
        fixed = validate_immutable(new.get("addressType"), old.get("addressType"), "addressType")
        return self.validate(new) + fixed

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """Models core/util warnings for FQDN slices."""
        return ["FQDN endpoints are deprecated"] if new.get("addressType") == "FQDN" and old is None else []


def _validate_endpoint(endpoint: Obj, kind: str, path: str) -> list[Cause]:
    causes: list[Cause] = []
    addresses = endpoint.get("addresses") or []
    if not addresses:
        causes.append(required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(addresses) > _MOST_ADDRESSES:
        causes.append(too_many(f"{path}.addresses", len(addresses), _MOST_ADDRESSES))
    for index, address in enumerate(addresses):
        causes += _validate_address(address, kind, f"{path}.addresses[{index}]")
    if endpoint.get("nodeName") is not None:
        name = endpoint["nodeName"]
        causes += [invalid_value(f"{path}.nodeName", name, problem) for problem in subdomain_problems(name)]
    if endpoint.get("deprecatedTopology"):
        causes.append(forbidden_field(f"{path}.deprecatedTopology", "may not be set"))
    causes += _validate_hints(endpoint.get("hints") or {}, f"{path}.hints")
    if endpoint.get("hostname") is not None:
        name = endpoint["hostname"]
        causes += [invalid_value(f"{path}.hostname", name, problem) for problem in label_problems(name)]
    return causes


def _validate_hints(hints: Obj, path: str) -> list[Cause]:
    """The zones that an endpoint is meant for."""
    causes: list[Cause] = []
    zones = [zone.get("name") or "" for zone in hints.get("forZones") or []]
    if len(zones) > _MOST_ZONES:
        return [too_many(f"{path}.forZones", len(zones), _MOST_ZONES)]
    for index, zone in enumerate(zones):
        where = f"{path}.forZones[{index}].name"
        causes += [duplicate(where, zone)] if zone in zones[:index] else []
        causes += [invalid_value(where, zone, problem) for problem in label_value_problems(zone)]
    return causes


def _validate_address(address: str, kind: str, path: str) -> list[Cause]:
    if kind == "FQDN":
        return [invalid_value(path, address, problem) for problem in subdomain_problems(address)]
    if ip_problems(address):
        return [invalid_value(path, address, problem) for problem in ip_problems(address)]
    if kind and (":" in address) != (kind == "IPv6"):
        example = "IPv6 address" if kind == "IPv6" else "IPv4 address"
        return [invalid_value(path, address, f"must be an {example}")]
    special = special_address_problem(address)
    return [invalid_value(path, address, special)] if special else []


def _validate_ports(ports: list[Obj]) -> list[Cause]:
    causes: list[Cause] = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f"ports[{index}]", port.get("name") or ""
        if name:
            causes += [invalid_value(f"{path}.name", name, problem) for problem in label_problems(name)]
        if name in names:
            causes.append(duplicate(f"{path}.name", name))
        names.add(name)
        if port["protocol"] not in PROTOCOLS:
            causes.append(not_supported(f"{path}.protocol", port["protocol"], PROTOCOLS))
        if port.get("appProtocol") is not None:
            value = port["appProtocol"]
            causes += [invalid_value(f"{path}.appProtocol", value, problem) for problem in label_key_problems(value)]
    return causes


class EndpointsStrategy(Strategy):
    """All endpoints of one Service in one object, as it was before slices."""

    creates_on_update = True
    deprecations = (_DEPRECATED,)

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_Endpoints."""
        for subset in obj.get("subsets") or []:
            for port in subset.get("ports") or []:
                port.setdefault("protocol", "TCP")

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateEndpoints."""
        causes: list[Cause] = []
        for index, subset in enumerate(obj.get("subsets") or []):
            causes += _validate_subset(subset, f"subsets[{index}]")
        return causes

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """Deprecated, says every write."""
        return list(self.deprecations)


def _validate_endpoint_address(address: Obj, path: str) -> list[Cause]:
    text, host, node = address.get("ip") or "", address.get("hostname") or "", address.get("nodeName")
    problems = ip_problems(text)
    causes = [invalid_value(f"{path}.ip", text, problem) for problem in problems]
    if host:
        causes += [invalid_value(f"{path}.hostname", host, problem) for problem in label_problems(host)]
    if node is not None:
        causes += [invalid_value(f"{path}.nodeName", node, problem) for problem in subdomain_problems(node)]
    special = "must be a valid IP address" if problems else special_address_problem(text)
    return [*causes, invalid_value(f"{path}.ip", text, special)] if special else causes


def _validate_subset(subset: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if not subset.get("addresses") and not subset.get("notReadyAddresses"):
        causes.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
    for field in ("addresses", "notReadyAddresses"):
        for index, address in enumerate(subset.get(field) or []):
            causes += _validate_endpoint_address(address, f"{path}.{field}[{index}]")
    ports = subset.get("ports") or []
    for index, port in enumerate(ports):
        where, name = f"{path}.ports[{index}]", port.get("name") or ""
        if len(ports) > 1 and not name:
            causes.append(required(f"{where}.name"))
        elif name:
            causes += [invalid_value(f"{where}.name", name, problem) for problem in label_problems(name)]
        number = port.get("port", 0)
        causes += [invalid_value(f"{where}.port", number, problem) for problem in port_number_problems(number)]
        if port["protocol"] not in PROTOCOLS:
            causes.append(not_supported(f"{where}.protocol", port["protocol"], PROTOCOLS))
    return causes
