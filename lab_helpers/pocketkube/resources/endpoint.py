"""EndpointSlices and the old Endpoints: where the traffic of a Service goes.

Filling them from Pods is left to the controllers.
Models pkg/apis/discovery/validation and core/validation ValidateEndpoints (v1.36).
"""

from __future__ import annotations

from ..api.status import Cause, duplicate, invalid_value, not_supported, required, too_many
from ..objects import Obj
from .addresses import address_warnings, canonical_problems, special_address_problem
from .metadata import validate_immutable, validate_labels
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

_MOST_ENDPOINTS, _MOST_PORTS, _MOST_ADDRESSES, _MOST_HINTS = 1000, 20000, 100, 8
_MOST_TOPOLOGY = 16
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
        for endpoint in obj.setdefault("endpoints", None) or []:
            endpoint.setdefault("conditions", {})
        obj.setdefault("ports", None)

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateEndpointSlice."""
        kind = obj.get("addressType") or ""
        causes: list[Cause] = []
        if not kind:
            causes.append(required("addressType"))
        elif kind not in ("IPv4", "IPv6", "FQDN"):
            causes.append(not_supported("addressType", kind, ["FQDN", "IPv4", "IPv6"]))
        endpoints, ports = obj.get("endpoints") or [], obj.get("ports") or []
        if len(ports) > _MOST_PORTS:
            causes.append(too_many("ports", len(ports), _MOST_PORTS))
        else:
            causes += _validate_ports(ports)
        if len(endpoints) > _MOST_ENDPOINTS:
            return [*causes, too_many("endpoints", len(endpoints), _MOST_ENDPOINTS)]
        for index, endpoint in enumerate(endpoints):
            causes += _validate_endpoint(endpoint, kind, f"endpoints[{index}]")
        return causes

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The kind of addresses is for life."""
        fixed = validate_immutable(new.get("addressType"), old.get("addressType"), "addressType")
        return self.validate(new) + fixed

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """Names instead of addresses, and addresses in an unusual form."""
        kind = new.get("addressType")
        found = ["spec.addressType: FQDN endpoints are deprecated"] if kind == "FQDN" and old is None else []
        for index, endpoint in enumerate(new.get("endpoints") or []):
            for number, address in enumerate(endpoint.get("addresses") or [] if kind != "FQDN" else []):
                found += address_warnings(address, f"endpoints[{index}].addresses[{number}]")
        return found


def _validate_endpoint(endpoint: Obj, kind: str, path: str) -> list[Cause]:
    causes: list[Cause] = []
    addresses = endpoint.get("addresses") or []
    if not addresses:
        causes.append(required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(addresses) > _MOST_ADDRESSES:
        causes.append(too_many(f"{path}.addresses", len(addresses), _MOST_ADDRESSES))
    for index, address in enumerate(addresses):
        causes += _validate_address(address, kind, f"{path}.addresses", index)
    if endpoint.get("nodeName") is not None:
        name = endpoint["nodeName"]
        causes += [invalid_value(f"{path}.nodeName", name, problem) for problem in subdomain_problems(name)]
    topology = endpoint.get("deprecatedTopology") or {}
    if len(topology) > _MOST_TOPOLOGY:
        causes.append(too_many(f"{path}.deprecatedTopology", len(topology), _MOST_TOPOLOGY))
    causes += validate_labels(topology, f"{path}.deprecatedTopology")
    if endpoint.get("hostname") is not None:
        name = endpoint["hostname"]
        causes += [invalid_value(f"{path}.hostname", name, problem) for problem in label_problems(name)]
    return causes + _validate_hints(endpoint.get("hints") or {}, f"{path}.hints")


def _validate_hints(hints: Obj, path: str) -> list[Cause]:
    """The zones and nodes that an endpoint is meant for."""
    causes: list[Cause] = []
    for field, check in (("forZones", label_value_problems), ("forNodes", subdomain_problems)):
        names = [hint.get("name") or "" for hint in hints.get(field) or []]
        if len(names) > _MOST_HINTS:
            return [*causes, too_many(f"{path}.{field}", len(names), _MOST_HINTS)]
        for index, name in enumerate(names):
            where = f"{path}.{field}[{index}].name"
            causes += [duplicate(where, name)] if name in names[:index] else []
            causes += [invalid_value(where, name, problem) for problem in check(name)]
    return causes


def _validate_address(address: str, kind: str, path: str, index: int) -> list[Cause]:
    where = f"{path}[{index}]"
    if kind == "FQDN":
        return _validate_domain(address, where)
    if kind not in ("IPv4", "IPv6"):
        return []
    problems = ip_problems(address)
    if not problems and kind == "IPv6":
        problems = canonical_problems(address)
    if problems:
        return [invalid_value(where, address, problem) for problem in problems]
    causes: list[Cause] = []
    if (":" in address) != (kind == "IPv6"):
        # Upstream names the list, not the address.
        causes.append(invalid_value(path, address, f"must be an {kind} address"))
    special = special_address_problem(address)
    return [*causes, invalid_value(where, address, special)] if special else causes


def _validate_domain(text: str, path: str) -> list[Cause]:
    """Models IsFullyQualifiedDomainName."""
    if not text:
        return [required(path)]
    name = text.removesuffix(".")
    problems = subdomain_problems(name)
    if problems:
        return [invalid_value(path, name, ",".join(problems))]
    if "." not in name:
        return [invalid_value(path, name, "should be a domain with at least two segments separated by dots")]
    wrong = [(label, label_problems(label)) for label in name.split(".") if label_problems(label)]
    return [invalid_value(path, wrong[0][0], ",".join(wrong[0][1]))] if wrong else []


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
        found = list(self.deprecations)
        for index, subset in enumerate(new.get("subsets") or []):
            for field in ("addresses", "notReadyAddresses"):
                for number, address in enumerate(subset.get(field) or []):
                    found += address_warnings(address.get("ip") or "", f"subsets[{index}].{field}[{number}].ip")
        return found


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
        protocol = port.get("appProtocol")
        if protocol is not None:
            where = f"{where}.appProtocol"
            causes += [invalid_value(where, protocol, problem) for problem in label_key_problems(protocol)]
    return causes
