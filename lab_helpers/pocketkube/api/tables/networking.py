"""The rows of Services and all that stands behind and before them.

Models upstream's pkg/printers/internalversion/printers.go (v1.36).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ...objects import Obj
from .duration import object_age
from .text import NONE, clipped, labels_text, selector_text, spec_of, status_of


def service_cells(obj: Obj, now: datetime) -> list[Any]:
    """Type, addresses, ports."""
    spec = spec_of(obj)
    cluster_ips = spec.get("clusterIPs") or []
    return [
        obj["metadata"]["name"],
        spec.get("type", ""),
        cluster_ips[0] if cluster_ips else NONE,
        _external_ip(obj, spec),
        ",".join(_service_port(port) for port in spec.get("ports") or []) or NONE,
        object_age(obj, now),
        labels_text(spec.get("selector")),
    ]


def endpoints_cells(obj: Obj, now: datetime) -> list[Any]:
    """Every ready address with every port."""
    return [obj["metadata"]["name"], _endpoints_text(obj.get("subsets") or []), object_age(obj, now)]


def endpoint_slice_cells(obj: Obj, now: datetime) -> list[Any]:
    """Ports and addresses."""
    ports = [str(port.get("port") or port.get("name") or "*") for port in obj.get("ports") or []]
    addresses = [address for endpoint in obj.get("endpoints") or [] for address in endpoint.get("addresses") or []]
    name = obj["metadata"]["name"]
    return [name, obj.get("addressType", ""), clipped(ports), clipped(addresses), object_age(obj, now)]


def ingress_cells(obj: Obj, now: datetime) -> list[Any]:
    """Class, hosts, address, ports."""
    spec = spec_of(obj)
    hosts = [rule["host"] for rule in spec.get("rules") or [] if rule.get("host")]
    return [
        obj["metadata"]["name"],
        spec.get("ingressClassName") or NONE,
        clipped(hosts, empty="*"),
        _load_balancer_text(obj),
        "80, 443" if spec.get("tls") else "80",
        object_age(obj, now),
    ]


def ingress_class_cells(obj: Obj, now: datetime) -> list[Any]:
    """Controller and parameters."""
    spec = spec_of(obj)
    parameters = spec.get("parameters")
    text = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        text = f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"
    return [obj["metadata"]["name"], spec.get("controller", ""), text, object_age(obj, now)]


def network_policy_cells(obj: Obj, now: datetime) -> list[Any]:
    """Which Pods it holds for."""
    return [obj["metadata"]["name"], selector_text(spec_of(obj).get("podSelector")), object_age(obj, now)]


def service_cidr_cells(obj: Obj, now: datetime) -> list[Any]:
    """The ranges."""
    return [obj["metadata"]["name"], ",".join(spec_of(obj).get("cidrs") or []), object_age(obj, now)]


def ip_address_cells(obj: Obj, now: datetime) -> list[Any]:
    """What the address was given to."""
    parent = spec_of(obj).get("parentRef") or {}
    parts = [parent.get("resource", ""), parent.get("namespace", ""), parent.get("name", "")]
    group = f"{parent['group']}." if parent.get("group") else ""
    return [obj["metadata"]["name"], group + "/".join(part for part in parts if part)]


def _load_balancer_text(obj: Obj) -> str:
    ingress = (status_of(obj).get("loadBalancer") or {}).get("ingress") or []
    return ",".join(sorted({point.get("ip") or point.get("hostname") or "" for point in ingress} - {""}))


def _external_ip(obj: Obj, spec: Obj) -> str:
    kind, external = spec.get("type"), spec.get("externalIPs") or []
    if kind == "ExternalName":
        return str(spec.get("externalName", ""))
    if kind == "LoadBalancer":
        balanced = _load_balancer_text(obj)
        return ",".join([*([balanced] if balanced else []), *external]) or "<pending>"
    return ",".join(external) or NONE


def _service_port(port: Obj) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node_port}/{port.get('protocol', 'TCP')}"


def _endpoints_text(subsets: list[Obj]) -> str:
    if not subsets:
        return NONE
    items: list[str] = []
    for subset in subsets:
        addresses = [address.get("ip", "") for address in subset.get("addresses") or []]
        ports = [port.get("port") for port in subset.get("ports") or []]
        if not ports:
            items += addresses
        for port in ports:
            items += [f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}" for ip in addresses]
    return clipped(items, empty="")
