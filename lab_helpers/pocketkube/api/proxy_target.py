"""What `pods/NAME/proxy`, `services/NAME/proxy` and `nodes/NAME/proxy` lead to.

A name may carry a scheme and a port: `https:web:8443`. A Service leads to one of its ready Pods, chosen by chance.
How requests get there is left to `proxy.py`.
Models ResourceLocation of pkg/registry/core/pod, service and node (v1.36), and apimachinery SplitSchemeNamePort.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from random import Random
from urllib.parse import quote

from ..objects import Obj, name_of, namespace_of
from ..resources.table import RESOURCES
from .operations import Operations
from .query import list_options
from .routes import Route
from .status import StatusError, go_quote, ignoring_not_found

KUBELET_PORT = 10250
_BROADCAST = ip_address("255.255.255.255")
_SINGULAR = {"pods": "pod", "services": "service", "nodes": "node"}


@dataclass(frozen=True)
class ProxyTarget:
    """Where a request goes."""

    dial: str
    """The path below which the kubelet's server connects to it; empty for that server itself."""
    address: str = ""
    """As errors name it."""
    secure: bool = False
    folder: str = ""
    """What is put before the path of a request."""


def find_target(operations: Operations, route: Route, random: Random) -> ProxyTarget:
    """What a route with the subresource `proxy` means; StatusError if nothing can be reached there."""
    kind = _SINGULAR[route.resource.plural]
    scheme, name, port = _split(route.name, kind)
    secure = scheme == "https"
    if kind == "node":
        return _node(operations, name, port)
    if kind == "service":
        pod, number = _backend(operations, route, name, port, random)
        return _pod(pod, number, secure)
    pod = operations.get(route.resource, route.namespace, name)
    return _pod(pod, port or _first_port(pod), secure)


def _split(text: str, kind: str) -> tuple[str, str, str]:
    parts = text.split(":")
    scheme, name, port = {1: ("", *parts, ""), 2: ("", *parts), 3: (*parts,)}.get(len(parts), ("", "", ""))
    if not name or scheme not in ("", "http", "https"):
        raise StatusError.bad_request(f"invalid {kind} request {go_quote(text)}")
    return scheme, name, port


def _node(operations: Operations, name: str, port: str) -> ProxyTarget:
    operations.get(RESOURCES["nodes"], "", name)
    if port not in ("", str(KUBELET_PORT)):
        raise unreachable(f"dial tcp {name}:{port}: connect: connection refused")
    return ProxyTarget("", folder=f"/nodes/{quote(name, safe='')}")


def _pod(pod: Obj, port: str, secure: bool) -> ProxyTarget:
    address = (pod.get("status") or {}).get("podIP") or ""
    if not _is_global_unicast(address):
        raise StatusError.bad_request("address not allowed")
    number = port or ("443" if secure else "80")
    if not (number.isascii() and number.isdigit()) or not 0 < int(number) < 65536:
        raise unreachable(f"dial tcp: lookup tcp/{number}: unknown port")
    where = "/".join(quote(part, safe="") for part in (namespace_of(pod), name_of(pod), number))
    return ProxyTarget(f"/dial/{where}", f"{address}:{number}", secure)


def _is_global_unicast(text: str) -> bool:
    """Models net.IP IsGlobalUnicast: private addresses are global, too."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if address == _BROADCAST or address.is_multicast or address.is_unspecified:
        return False
    return not (address.is_loopback or address.is_link_local)


def _first_port(pod: Obj) -> str:
    ports = (container.get("ports") or [] for container in pod["spec"].get("containers") or [])
    return next((str(listed[0]["containerPort"]) for listed in ports if listed), "")


def _backend(operations: Operations, route: Route, name: str, port: str, random: Random) -> tuple[Obj, str]:
    namespace = route.namespace
    service = operations.get(route.resource, namespace, name)
    if port.isascii() and port.isdigit():
        port = _port_name(service, port)
    operations.get(RESOURCES["endpoints"], namespace, name)
    options = list_options({"labelSelector": f"kubernetes.io/service-name={name}"})
    slices = operations.list(RESOURCES["endpointslices.discovery.k8s.io"], namespace, options)["items"]
    backends = list(_ready_backends(slices, port))
    random.shuffle(backends)
    for pod_name, addresses, number in backends:
        with ignoring_not_found():
            pod = operations.get(RESOURCES["pods"], namespace, pod_name)
            if (pod.get("status") or {}).get("podIP") in addresses:
                return pod, number
    asked = route.name if any(found.get("endpoints") for found in slices) else name
    raise StatusError.service_unavailable(f"no endpoints available for service {go_quote(asked)}")


def _port_name(service: Obj, number: str) -> str:
    for port in service["spec"].get("ports") or []:
        if port["port"] == int(number):
            return port.get("name") or ""
    why = f"no service port {number} found for service {go_quote(name_of(service))}"
    raise StatusError.service_unavailable(why)


def _ready_backends(slices: Iterable[Obj], port: str) -> Iterator[tuple[str, list[str], str]]:
    """(Pod, its addresses, port number) of the endpoints that are Pods and ready, and have a port of that name."""
    for found in slices:
        numbers = [item["port"] for item in found.get("ports") or [] if (item.get("name") or "") == port]
        for endpoint in found.get("endpoints") or []:
            ready = (endpoint.get("conditions") or {}).get("ready") is not False
            backend = endpoint.get("targetRef") or {}
            if ready and backend.get("kind") == "Pod":
                yield from ((backend["name"], endpoint["addresses"], str(number)) for number in numbers if number)


def unreachable(why: str) -> StatusError:
    """What is answered when there is no connection. Models apimachinery pkg/util/proxy Transport.RoundTrip."""
    return StatusError.service_unavailable(f"error trying to reach service: {why}")
