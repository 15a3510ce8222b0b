"""The rows of a picture: which rule leads to which endpoint, and that to which Pod.

Up to twelve Pods each have a row of their own; beyond that, Pods of one node in one state share one. `graph` and
`text` draw the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from .model import Endpoint, Pod, PodState, Rule, Topology

MOST_SINGLE_PODS = 12


@dataclass(frozen=True)
class PodGroup:
    """Pods that are drawn as one: usually a single one."""

    key: str
    node: str
    pods: tuple[Pod, ...]

    @property
    def first(self) -> Pod:
        """One of them, for what all have in common."""
        return self.pods[0]

    @property
    def title(self) -> str:
        """Name of the Pod, or how many there are."""
        return self.first.name if len(self.pods) == 1 else f"{len(self.pods)} Pods"

    @property
    def addresses(self) -> str:
        """The Pod's IP, or the first and the last."""
        known = [pod.ip for pod in self.pods if pod.ip]
        if not known:
            return "no IP yet"
        return known[0] if len(known) == 1 else f"{known[0]} to {known[-1]}"

    @property
    def state_text(self) -> str:
        """The state in words, with kubectl's word for it where that says more."""
        if not self.first.selected:
            return "not selected"
        if self.first.state is PodState.NOT_READY and len(self.pods) == 1:
            return f"NOT READY: {self.first.status}"
        return self.first.state.value.upper() if self.first.state is not PodState.READY else "ready"


@dataclass(frozen=True)
class Lane:
    """One row: the rules that pick it (none if it gets no traffic), its endpoints, and its Pods if there are any."""

    slice: str
    port: str
    rules: tuple[Rule, ...]
    endpoints: tuple[Endpoint, ...]
    group: PodGroup | None

    @property
    def key(self) -> str:
        """An id that stays the same from picture to picture."""
        target = self.group.key if self.group and len(self.endpoints) > 1 else self.endpoints[0].key
        return "-".join(filter(None, [self.slice, self.port, target]))

    @property
    def share(self) -> str:
        """The probability of each rule, as a percentage."""
        percent = f"{self.rules[0].probability * 100:.1f} %"
        return percent if len(self.rules) == 1 else f"{len(self.rules)} rules, {percent} each"

    @property
    def state(self) -> PodState:
        """State of the endpoints."""
        return self.endpoints[0].state

    @property
    def endpoint_text(self) -> str:
        """The address and port, or how many there are."""
        count = len(self.endpoints)
        return self.endpoints[0].key if count == 1 else f"{count} endpoints"


def pod_groups(topology: Topology) -> list[PodGroup]:
    """The Pods of a topology, each alone or grouped by node and state."""
    if len(topology.pods) <= MOST_SINGLE_PODS:
        return [PodGroup(pod.name, pod.node, (pod,)) for pod in topology.pods]
    groups: dict[tuple[str, str], list[Pod]] = {}
    for pod in topology.pods:
        state = pod.state.value if pod.selected else f"not selected {pod.why_not}"
        groups.setdefault((pod.node, state), []).append(pod)
    return [PodGroup(f"{node}-{state}".replace(" ", "-"), node, tuple(pods)) for (node, state), pods in groups.items()]


def lanes(topology: Topology, groups: list[PodGroup]) -> list[Lane]:
    """One lane for each endpoint, or for each group of them, in the order of the rules."""
    group_of = {pod.name: group for group in groups for pod in group.pods}
    rule_of = {(rule.port, rule.endpoint): rule for rule in topology.rules}
    gathered: dict[tuple[str, ...], list[Endpoint]] = {}
    for endpoint in topology.endpoints:
        group = group_of.get(endpoint.pod)
        alone = group is None or len(group.pods) == 1
        target = endpoint.key if alone or group is None else group.key
        ruled = (endpoint.port_name, endpoint.key) in rule_of
        key = (endpoint.slice, endpoint.port_name, target, endpoint.state.value, str(ruled))
        gathered.setdefault(key, []).append(endpoint)
    return [
        Lane(
            slice=slice_name,
            port=port,
            rules=tuple(
                rule_of[endpoint.port_name, endpoint.key]
                for endpoint in endpoints
                if (endpoint.port_name, endpoint.key) in rule_of
            ),
            endpoints=tuple(endpoints),
            group=group_of.get(endpoints[0].pod),
        )
        for (slice_name, port, *_), endpoints in gathered.items()
    ]
