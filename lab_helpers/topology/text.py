"""The picture of a Service in characters: the same path, row by row, for terminals and for reading aloud."""

from __future__ import annotations

from .lanes import Lane, PodGroup, lanes, pod_groups
from .model import Topology


def render(topology: Topology) -> str:
    """The path from client to Pods as lines of text, the one-sentence summary last."""
    groups = pod_groups(topology)
    rows = lanes(topology, groups)
    lines = [f"{client.title} ─→" for client in topology.clients]
    lines += _service_lines(topology)
    for port, chain in topology.chains or (("", ""),) * bool(topology.service):
        lines += _rule_lines(topology, port, chain, rows)
    lines += _idle_lines(topology, rows)
    reached = {row.group.key for row in rows if row.group}
    lines += [f"  {_pod_text(group)}" for group in groups if group.key not in reached]
    if topology.simulated:
        lines.append("(these rules are simulated)")
    return "\n".join([*lines, topology.summary])


def _service_lines(topology: Topology) -> list[str]:
    service = topology.service
    if service is None:
        return [f"Service {topology.name}: does not exist"]
    ports = ", ".join(f"{port.title} to target port {port.target}" for port in service.ports)
    return [f"Service {service.name}  {service.type} {service.cluster_ip}  {ports}  selects {service.selector_text}"]


def _rule_lines(topology: Topology, port: str, chain: str, rows: list[Lane]) -> list[str]:
    if not topology.rules_node:
        return ["  kube-proxy rules: not read"]
    refusing = [rule for rule in topology.rules if rule.port == port and not rule.endpoint]
    head = f"  kube-proxy rules on {topology.rules_node}  {chain}".rstrip()
    if refusing:
        return [f"{head}  no endpoints: {refusing[0].chain}"]
    ruled = [row for row in rows if row.port == port and row.rules]
    if not ruled:
        return [f"{head}  none for this Service"]
    return [head] + [f"  ├─ {row.share:>7} ─→ {_row_text(row)}" for row in ruled]


def _idle_lines(topology: Topology, rows: list[Lane]) -> list[str]:
    """Endpoints that no rule leads to, and slices without endpoints."""
    lines = [f"  │  no rule ─→ {_row_text(row)}" for row in rows if not row.rules]
    used = {row.slice for row in rows}
    return lines + [f"  EndpointSlice {name}: no endpoints" for name in topology.slices if name not in used]


def _row_text(row: Lane) -> str:
    endpoint = f"EndpointSlice {row.slice}: {row.endpoint_text} {row.state.value}"
    return f"{endpoint} ─→ {_pod_text(row.group)}" if row.group else f"{endpoint} (no Pod)"


def _pod_text(group: PodGroup) -> str:
    node = f"on {group.node}" if group.node else "on no node yet"
    why = f" ({group.first.why_not})" if group.first.why_not else ""
    kind = "Pod " if len(group.pods) == 1 else ""
    return f"{kind}{group.title} {group.addresses} {node}: {group.state_text}{why}"
