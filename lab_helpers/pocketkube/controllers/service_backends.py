"""From a Service and a Pod to an endpoint: which Pods count, and what port they listen on.

Shared by the controllers of EndpointSlices and of Endpoints.
Models endpointslice/utils.go and pkg/controller/endpoint (v1.36).
"""

from __future__ import annotations

from ..informer import Informer
from ..objects import Obj, is_deleting, is_sidecar, labels_of, matches_labels, name_of, namespace_of, uid_of
from .pods import is_finished, is_ready

HEADLESS_LABEL = "service.kubernetes.io/headless"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"


def selects_pods(service: Obj) -> bool:
    """True if Pods stand behind the Service: it has a selector and is no mere name."""
    return bool(service["spec"].get("selector")) and service["spec"].get("type") != "ExternalName"


def is_headless(service: Obj) -> bool:
    """True if the Service has no address of its own."""
    return bool(service["spec"].get("clusterIP") == "None")


def can_be_endpoint(pod: Obj) -> bool:
    """True if the Pod has an address and has not ended. Terminating Pods still count."""
    return bool((pod.get("status") or {}).get("podIP")) and not is_finished(pod)


def pod_addresses(pod: Obj, family: str) -> list[str]:
    """The Pod's addresses of one family, `IPv4` or `IPv6`."""
    status = pod.get("status") or {}
    known = [entry["ip"] for entry in status.get("podIPs") or [] if entry.get("ip")] or [status["podIP"]]
    return [ip for ip in known if (":" in ip) == (family == "IPv6")]


def target_port(pod: Obj, port: Obj) -> int | None:
    """The number behind a Service port's targetPort: itself, or the container port of that name and protocol."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target
    protocol = port.get("protocol", "TCP")
    containers = [*(pod["spec"].get("containers") or [])]
    # Sidecars, init containers that stay, may serve too.
    containers += [c for c in pod["spec"].get("initContainers") or [] if is_sidecar(c)]
    for container in containers:
        for offered in container.get("ports") or []:
            if offered.get("name") == target and offered.get("protocol", "TCP") == protocol:
                return int(offered["containerPort"])
    return None


def endpoint_ports(service: Obj, pod: Obj) -> list[Obj]:
    """The ports that the Pod offers for the Service. A named port that the Pod doesn't have is left out."""
    ports = []
    for port in service["spec"].get("ports") or []:
        number = target_port(pod, port)
        if number is None:
            continue
        # kubectl reads the name without asking whether there is one, so it is written even when empty.
        entry: Obj = {"name": port.get("name") or "", "port": number, "protocol": port.get("protocol", "TCP")}
        if port.get("appProtocol"):
            entry["appProtocol"] = port["appProtocol"]
        ports.append(entry)
    return ports


def conditions(service: Obj, pod: Obj) -> dict[str, bool]:
    """`ready`, `serving` and `terminating` of an endpoint."""
    serving = is_ready(pod)
    terminating = is_deleting(pod)
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    return {"ready": publish or (serving and not terminating), "serving": serving, "terminating": terminating}


def pod_reference(pod: Obj) -> Obj:
    """`targetRef` of an endpoint."""
    return {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)}


def hostname_for(service: Obj, pod: Obj) -> str:
    """The Pod's own name below a headless Service, if it asks for one."""
    spec = pod["spec"]
    if spec.get("hostname") and spec.get("subdomain") == name_of(service):
        return str(spec["hostname"])
    return ""


def services_concerned(services: Informer, old: Obj | None, new: Obj | None) -> list[Obj]:
    """The Services whose endpoints a change of a Pod may change: they select it as it was or as it is."""
    if old is not None and new is not None and _relevant(old) == _relevant(new):
        return []
    pods = [pod for pod in (old, new) if pod is not None]
    return [
        service
        for service in services.list(namespace_of(pods[0]))
        if (selector := service["spec"].get("selector")) and any(matches_labels(selector, labels_of(p)) for p in pods)
    ]


def _relevant(pod: Obj) -> tuple[object, ...]:
    status = pod.get("status") or {}
    spec = pod["spec"]
    return (
        pod["metadata"].get("labels"),
        is_deleting(pod),
        is_finished(pod),
        is_ready(pod),
        status.get("podIP"),
        status.get("podIPs"),
        spec.get("nodeName"),
        spec.get("hostname"),
        spec.get("subdomain"),
    )
