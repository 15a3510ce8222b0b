"""What a picture of a Service shows, as plain data.

`build` makes it from Kubernetes objects and from the rules of a node. Reading those from a cluster is left to
`gather`, drawing to `graph` and `text`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Any

from ..pocketkube.objects import (
    SERVICE_NAME_LABEL,
    Obj,
    is_condition_true,
    is_deleting,
    labels_of,
    matches_labels,
    name_of,
)

_ALIKE = 0.75
"""From this likeness on, a label is a slip of the pen and not another word."""


class PodState(StrEnum):
    """What matters of a Pod for a Service: whether it may get traffic."""

    READY = "ready"
    NOT_READY = "not ready"
    TERMINATING = "terminating"


@dataclass(frozen=True)
class Client:
    """Someone who sends requests: a node, a Pod, or the machine outside."""

    place: str
    name: str = ""

    @property
    def title(self) -> str:
        """Such as `node minikube`, or `outside`."""
        return f"{self.place} {self.name}".strip()


@dataclass(frozen=True)
class Port:
    """One port of a Service."""

    name: str
    port: int
    protocol: str
    target: str
    node_port: int = 0

    @property
    def title(self) -> str:
        """As kubectl prints it: `80/TCP`, `80:30080/TCP`."""
        node_port = f":{self.node_port}" if self.node_port else ""
        return f"{self.port}{node_port}/{self.protocol}"


@dataclass(frozen=True)
class Service:
    """A Service: its virtual IP, its ports and what it selects."""

    name: str
    namespace: str
    uid: str
    type: str
    cluster_ip: str
    ports: tuple[Port, ...]
    selector: tuple[tuple[str, str], ...]

    @property
    def selector_text(self) -> str:
        """As kubectl prints it: `app=web,tier=front`."""
        return ",".join(f"{key}={value}" for key, value in self.selector) or "none"


@dataclass(frozen=True)
class Rule:
    """What kube-proxy's rules do with a share of the new connections to a Service's port.

    `probability` is exact over the whole chain: with three endpoints each has a third. An empty `endpoint` means that
    the node refuses the connection (`chain` is then the verdict, such as REJECT).
    """

    port: str
    endpoint: str
    probability: float
    chain: str


@dataclass(frozen=True)
class Endpoint:
    """One address of an EndpointSlice, with the port that this slice gives."""

    slice: str
    address: str
    port_name: str
    port: int
    ready: bool
    serving: bool
    terminating: bool
    pod: str
    node: str

    @property
    def key(self) -> str:
        """`address:port`, as the rules name it."""
        return f"{self.address}:{self.port}"

    @property
    def state(self) -> PodState:
        """The same three words as for a Pod."""
        if self.terminating:
            return PodState.TERMINATING
        return PodState.READY if self.ready else PodState.NOT_READY


@dataclass(frozen=True)
class Pod:
    """A Pod that the Service selects, or nearly does."""

    name: str
    ip: str
    node: str
    state: PodState
    status: str
    selected: bool
    why_not: str = ""


@dataclass(frozen=True)
class Topology:
    """The whole path, in a fixed order."""

    name: str
    namespace: str
    service: Service | None
    clients: tuple[Client, ...]
    rules: tuple[Rule, ...]
    chains: tuple[tuple[str, str], ...]
    """Port name and KUBE-SVC chain."""
    rules_node: str
    """The node whose rules these are; empty if rules could not be read."""
    slices: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    pods: tuple[Pod, ...]
    simulated: bool = False

    @property
    def nodes(self) -> tuple[str, ...]:
        """Nodes on which the Pods are; the empty name stands for Pods that no node has yet."""
        return tuple(sorted({pod.node for pod in self.pods}))

    def pods_in(self, state: PodState) -> tuple[Pod, ...]:
        """The selected Pods in that state."""
        return tuple(pod for pod in self.pods if pod.selected and pod.state is state)

    @property
    def summary(self) -> str:
        """The picture in one sentence."""
        if self.service is None:
            return f"There is no Service {self.name} yet; {_count(len(self.pods), 'Pod')} in {self.namespace}."
        counts = [f"{len(self.pods_in(state))} {state.value}" for state in PodState if self.pods_in(state)]
        pods = ", ".join(counts) or "none"
        refused = any(not rule.endpoint for rule in self.rules)
        shares = len([rule for rule in self.rules if rule.endpoint])
        rules = "refuse every connection" if refused else f"spread connections over {_count(shares, 'endpoint')}"
        if not self.rules:
            rules = "have nothing for it" if self.rules_node else "were not read"
        return (
            f"Service {self.name} ({self.service.type}, {self.service.cluster_ip}): "
            f"the kube-proxy rules {rules}; selected Pods: {pods}."
        )


def build(
    name: str,
    namespace: str,
    *,
    service: Obj | None,
    slices: Sequence[Obj],
    pods: Sequence[Obj],
    rules: Sequence[Rule] = (),
    chains: Sequence[tuple[str, str]] = (),
    rules_node: str = "",
    clients: Sequence[Client] = (),
    simulated: bool = False,
) -> Topology:
    """The model of one Service from the objects of its namespace.

    `rules` keep their order, which is the chain's, and the endpoints follow it.
    """
    own_slices = sorted(
        (item for item in slices if labels_of(item).get(SERVICE_NAME_LABEL) == name),
        key=name_of,
    )
    shown = _service(service) if service else None
    endpoints = [endpoint for item in own_slices for endpoint in _endpoints(item)]
    place = {(rule.port, rule.endpoint): index for index, rule in enumerate(rules)}
    endpoints.sort(
        key=lambda endpoint: (
            endpoint.slice,
            endpoint.port_name,
            place.get((endpoint.port_name, endpoint.key), len(place)),
            _by_address(endpoint.address),
        )
    )
    return Topology(
        name=name,
        namespace=namespace,
        service=shown,
        clients=tuple(clients),
        rules=tuple(rules),
        chains=tuple(chains),
        rules_node=rules_node,
        slices=tuple(name_of(item) for item in own_slices),
        endpoints=tuple(endpoints),
        pods=tuple(sorted(_pods(shown, pods, {endpoint.pod for endpoint in endpoints}), key=_pod_order)),
        simulated=simulated,
    )


def status_text(pod: Obj) -> str:
    """The word in kubectl's STATUS column.

    Models pkg/printers/internalversion/printers.go:printPod (v1.36).
    """
    if is_deleting(pod):
        return "Terminating"
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or []:
        state = container.get("state") or {}
        reason = (state.get("waiting") or {}).get("reason") or (state.get("terminated") or {}).get("reason")
        if reason:
            return str(reason)
    return str(status.get("reason") or status.get("phase") or "Pending")


def pod_state(pod: Obj) -> PodState:
    """Whether a Pod may get traffic."""
    if is_deleting(pod):
        return PodState.TERMINATING
    return PodState.READY if is_condition_true(pod, "Ready") else PodState.NOT_READY


def nearly_selected(selector: dict[str, str], labels: dict[str, str]) -> str:
    """Why labels that look as if they were meant for a selector don't match it; empty if they don't look so."""
    near = []
    for key, wanted in selector.items():
        if key in labels and labels[key] != wanted:
            near.append(f"label {key}={labels[key]}, the selector asks for {key}={wanted}")
        if key in labels:
            continue
        alike = [other for other, value in sorted(labels.items()) if value == wanted or _alike(other, key)]
        near.extend(f"label {other}={labels[other]}, the selector asks for {key}={wanted}" for other in alike[:1])
        if not alike and len(selector) > 1 and any(labels.get(k) == v for k, v in selector.items()):
            near.append(f"no label {key}, the selector asks for {key}={wanted}")
    return "; ".join(near)


def _alike(one: str, other: str) -> bool:
    return SequenceMatcher(None, one.lower(), other.lower()).ratio() >= _ALIKE


def _service(service: Obj) -> Service:
    spec: dict[str, Any] = service["spec"]
    cluster_ip = "headless" if spec.get("clusterIP") == "None" else str(spec.get("clusterIP") or "no IP")
    return Service(
        name=name_of(service),
        namespace=str(service["metadata"]["namespace"]),
        uid=str(service["metadata"].get("uid") or ""),
        type=str(spec.get("type") or "ClusterIP"),
        cluster_ip=cluster_ip,
        ports=tuple(_port(port) for port in spec.get("ports") or []),
        selector=tuple(sorted((spec.get("selector") or {}).items())),
    )


def _port(port: Obj) -> Port:
    return Port(
        name=str(port.get("name") or ""),
        port=int(port["port"]),
        protocol=str(port.get("protocol") or "TCP"),
        target=str(port.get("targetPort", port["port"])),
        node_port=int(port.get("nodePort") or 0),
    )


def _endpoints(item: Obj) -> list[Endpoint]:
    """Every address of a slice, once for each of its ports. Unset conditions mean ready (v1.36 API)."""
    found = []
    for endpoint in item.get("endpoints") or []:
        conditions = endpoint.get("conditions") or {}
        ready = conditions.get("ready") is not False
        reference = endpoint.get("targetRef") or {}
        for port in item.get("ports") or []:
            found.append(
                Endpoint(
                    slice=name_of(item),
                    address=str(endpoint["addresses"][0]),
                    port_name=str(port.get("name") or ""),
                    port=int(port.get("port") or 0),
                    ready=ready,
                    serving=conditions.get("serving", ready) is not False,
                    terminating=bool(conditions.get("terminating")),
                    pod=str(reference.get("name") or "") if reference.get("kind") == "Pod" else "",
                    node=str(endpoint.get("nodeName") or ""),
                )
            )
    return found


def _pods(service: Service | None, pods: Sequence[Obj], targets: set[str]) -> list[Pod]:
    """Selected and nearly selected Pods; all of the namespace while there is no Service to select."""
    selector = dict(service.selector) if service else {}
    shown = []
    for pod in pods:
        selected = name_of(pod) in targets or bool(selector) and matches_labels(selector, labels_of(pod))
        why_not = "" if selected else nearly_selected(selector, labels_of(pod))
        if service is None:
            why_not = "no Service selects it"
        if selected or why_not:
            shown.append(_pod(pod, selected, why_not))
    return shown


def _pod(pod: Obj, selected: bool, why_not: str) -> Pod:
    return Pod(
        name=name_of(pod),
        ip=str((pod.get("status") or {}).get("podIP") or ""),
        node=str(pod["spec"].get("nodeName") or ""),
        state=pod_state(pod),
        status=status_text(pod),
        selected=selected,
        why_not=why_not,
    )


def _pod_order(pod: Pod) -> tuple[Any, ...]:
    return (pod.node, not pod.selected, _by_address(pod.ip), pod.name)


def _by_address(address: str) -> tuple[Any, ...]:
    """Addresses in the order people read them: .2 before .10."""
    parts = address.split(".")
    return (0, *map(int, parts)) if len(parts) == 4 and all(part.isdigit() for part in parts) else (1, address)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
