"""The picture of a Service as SVG: client, virtual IP, rules, EndpointSlices, and Pods by node.

Few Pods stand beside each other at the bottom, more one below the other at the right.
States differ in shape and words, not in colour alone. The same model always gives the same SVG, with ids that tests
and scripts can read. `dot` lays it out if it is on PATH, else the program of the `graphviz-pure` wheel.
"""

from __future__ import annotations

import re
import shutil
import sys
from html import escape
from pathlib import Path
from typing import Any

from ..errors import ToolMissing
from .lanes import Lane, PodGroup, lanes, pod_groups
from .model import PodState, Topology

_INK = "#1f2328"
_GREY = "#57606a"
_RED = "#a40e26"
_STYLES: dict[str, dict[str, str]] = {
    "ready": {"shape": "box", "style": "rounded,filled", "fillcolor": "#dafbe1", "color": "#1a7f37"},
    "not ready": {"shape": "octagon", "style": "dashed,filled", "fillcolor": "#ffebe9", "color": "#cf222e"},
    "terminating": {"shape": "hexagon", "style": "dotted,filled", "fillcolor": "#fff8c5", "color": "#7d4e00"},
    "not selected": {"shape": "note", "style": "filled", "fillcolor": "#f0f2f4", "color": _GREY},
}
_EDGES: dict[PodState, dict[str, str]] = {
    PodState.READY: {"style": "solid", "color": "#1a7f37"},
    PodState.NOT_READY: {"style": "dashed", "color": "#cf222e"},
    PodState.TERMINATING: {"style": "dotted", "color": "#7d4e00"},
}
_SERVICE = "service"
_POINTS = "10"
"""13 px in a browser, the size of a notebook's prose: the picture is shown at this size, however wide the page is."""
_FEW_PODS = 3
"""Up to here the picture leads down, which fits on a narrow page; more Pods are a list at the right."""


def render(topology: Topology) -> str:
    """The SVG text, beginning with `<svg`. Raises ToolMissing if there is no program to lay it out."""
    import graphviz

    _choose_program()
    try:
        drawn = source(topology).pipe(format="svg", encoding="utf-8")
    except graphviz.ExecutableNotFound as error:
        raise ToolMissing(
            "There is no Graphviz to draw pictures with.", hint="Install it with: pip install graphviz-pure"
        ) from error
    return _finish(drawn, topology)


def source(topology: Topology) -> Any:
    """The graph in the DOT language, as a `graphviz.Digraph`."""
    import graphviz

    graph = graphviz.Digraph(
        "topology",
        graph_attr={
            "rankdir": "TB" if _upright(topology) else "LR",
            "ranksep": "0.35" if _upright(topology) else "0.5",
            "nodesep": "0.12",
            "bgcolor": "white",
            "pad": "0.1",
            "fontname": "Helvetica",
            "fontsize": _POINTS,
            "fontcolor": _GREY,
            "id": _id(topology, "picture"),
        },
        node_attr={
            "fontname": "Helvetica",
            "fontsize": _POINTS,
            "fontcolor": _INK,
            "color": _GREY,
            "margin": "0.1,0.06",
        },
        edge_attr={"color": _GREY, "arrowsize": "0.6"},
    )
    groups = pod_groups(topology)
    rows = lanes(topology, groups)
    _add_clients(graph, topology)
    _add_service(graph, topology)
    _add_rules(graph, topology, rows)
    _add_slices(graph, topology, rows)
    _add_pods(graph, topology, groups)
    _add_paths(graph, topology, rows, groups)
    return graph


def _upright(topology: Topology) -> bool:
    """True if the path leads down, false if it leads to the right."""
    return len(topology.pods) <= _FEW_PODS


def _choose_program() -> None:
    """Points the graphviz package at graphviz-pure where there is no dot."""
    if shutil.which("dot"):
        return
    from graphviz.backend import dot_command

    beside = Path(sys.executable).parent / "graphviz-pure"
    found = str(beside) if beside.exists() else shutil.which("graphviz-pure")
    if found:
        dot_command.DOT_BINARY = Path(found)


def _add_clients(graph: Any, topology: Topology) -> None:
    for client in topology.clients:
        graph.node(
            f"client {client.title}",
            _label([("client", False), (client.title, True)]),
            shape="ellipse",
            margin="0.02,0.02",
            id=_id(topology, "client", client.title),
        )
        style = "solid" if topology.service else "invis"
        graph.edge(f"client {client.title}", _SERVICE, style=style)


def _add_service(graph: Any, topology: Topology) -> None:
    service = topology.service
    if service is None:
        label = _label([(f"no Service {topology.name} yet", True), ("so no virtual IP and no rules", False)])
        graph.node(_SERVICE, label, shape="box", style="dashed", id=_id(topology, "service"))
        return
    lines = [(f"Service {service.name}", True), (f"{service.type} {service.cluster_ip}", True)]
    lines += [(f"{port.title} to target port {port.target}", False) for port in service.ports]
    lines.append((f"selects {service.selector_text}", False))
    graph.node(
        _SERVICE,
        _label(lines),
        shape="box",
        peripheries="2",
        style="filled",
        fillcolor="#ddf4ff",
        color="#0969da",
        id=_id(topology, "service"),
    )


def _add_rules(graph: Any, topology: Topology, rows: list[Lane]) -> None:
    if topology.service is None:
        return
    for port, chain in _chains(topology):
        place = f"on {topology.rules_node}" if topology.rules_node else ""
        head = [f"kube-proxy rules {place}".strip(), chain] + (["SIMULATED"] if topology.simulated else [])
        body = [
            (row.key, escape(f"{row.share} to {row.endpoint_text}")) for row in rows if row.port == port and row.rules
        ]
        for rule in topology.rules:
            if rule.port == port and not rule.endpoint:
                body.append(("refused", f'<FONT COLOR="{_RED}"><B>{rule.chain}: no endpoints</B></FONT>'))
        if not body:
            body.append(("none", "not read" if not topology.rules_node else "none for this Service"))
        graph.node(
            _rules_name(port),
            _table(head, body, "#fbefff", "over" if _upright(topology) else ""),
            shape="plain",
            id=_id(topology, "rules", port),
        )
        graph.edge(_SERVICE, f"{_rules_name(port)}:head")


def _add_slices(graph: Any, topology: Topology, rows: list[Lane]) -> None:
    for name in topology.slices:
        body = [(row.key, _endpoint_label(row)) for row in rows if row.slice == name]
        body = body or [("none", f'<FONT COLOR="{_RED}">no endpoints</FONT>')]
        graph.node(
            f"slice {name}",
            _table(["EndpointSlice", name], body, "#fff1e5", "left" if _upright(topology) else ""),
            shape="plain",
            id=_id(topology, "slice", name),
        )
        for port, _chain in _chains(topology):
            if not any(row.slice == name and row.port == port and row.rules for row in rows):
                graph.edge(_rules_name(port), f"slice {name}", style="invis")


def _add_pods(graph: Any, topology: Topology, groups: list[PodGroup]) -> None:
    for node in topology.nodes:
        with graph.subgraph(name=f"cluster node {node}") as box:
            box.attr(
                label=f"node {node}" if node else "on no node yet",
                labelloc="b" if _upright(topology) else "t",
                style="rounded",
                color=_GREY,
                id=_id(topology, "node", node),
            )
            for group in (group for group in groups if group.node == node):
                kind = group.first.state.value if group.first.selected else "not selected"
                address = f"Pod {group.addresses}" if len(group.pods) == 1 else group.addresses
                lines = [(group.title, True), (address, False), (group.state_text, True)]
                lines += [(part, False) for part in re.split(r", (?=the selector)|; ", group.first.why_not) if part]
                box.node(
                    f"pod {group.key}",
                    _label(lines),
                    id=_id(topology, "pod", group.key),
                    **_STYLES[kind],
                )


def _add_paths(graph: Any, topology: Topology, rows: list[Lane], groups: list[PodGroup]) -> None:
    """Edges from each rule to its endpoint, and on to its Pod; invisible ones keep the columns."""
    out, into = (":s", ":n") if _upright(topology) else ("", "")
    reached = set()
    for row in rows:
        endpoint = f"slice {row.slice}:{_port_id(row.key)}"
        if row.rules:
            graph.edge(
                f"{_rules_name(row.port)}:{_port_id(row.key)}{out}",
                f"{endpoint}{into}",
                id=_id(topology, "path", row.key),
                **_EDGES[PodState.READY],
            )
        if row.group:
            reached.add(row.group.key)
            graph.edge(
                f"{endpoint}{out}",
                f"pod {row.group.key}{into}",
                id=_id(topology, "target", row.key),
                weight="2",
                **_EDGES[row.state],
            )
    last = f"slice {topology.slices[-1]}" if topology.slices else _SERVICE
    for group in groups:
        if group.key not in reached:
            graph.edge(last, f"pod {group.key}", style="invis")


def _chains(topology: Topology) -> tuple[tuple[str, str], ...]:
    """Port and chain of each box of rules: at least one box while there is a Service."""
    return topology.chains or ((("", ""),) if topology.service else ())


def _endpoint_label(row: Lane) -> str:
    if row.state is not PodState.READY:
        return f"<B>{escape(row.endpoint_text)} {row.state.value.upper()}</B>"
    return escape(f"{row.endpoint_text} ready" + ("" if row.rules else ", no rule"))


def _label(lines: list[tuple[str, bool]]) -> str:
    """An HTML-like label: lines of text, some of them bold.

    All begin at the left: centred lines would drift where the reader's font is not the one that was measured.
    """
    parts = (f"<B>{escape(text)}</B>" if bold else escape(text) for text, bold in lines)
    return "<" + "".join(f'{part}<BR ALIGN="LEFT"/>' for part in parts) + ">"


def _table(head: list[str], body: list[tuple[str, str]], fill: str, beside: str) -> str:
    """An HTML-like label: a box with a heading and one cell, with a port for edges, for each row.

    The cells stand one below the other; in an upright picture beside each other, with the heading over them or to the
    left of them, out of the way of edges that come from above.
    """
    heading = _label([(line, index == 0) for index, line in enumerate(head) if line])[1:-1]
    span = len(body) if beside == "over" else 1
    first = f'<TD PORT="head" COLSPAN="{span}" ALIGN="LEFT" BALIGN="LEFT" BGCOLOR="{fill}">{heading}</TD>'
    cells = [f'<TD PORT="{_port_id(key)}" ALIGN="LEFT" BGCOLOR="white">{text}</TD>' for key, text in body]
    rows = {"over": [first, "".join(cells)], "left": [first + "".join(cells)]}.get(beside, [first, *cells])
    return (
        f'<<TABLE BORDER="0" CELLBORDER="1" CELLSPACING="0" CELLPADDING="5" COLOR="{_GREY}">'
        + "".join(f"<TR>{row}</TR>" for row in rows)
        + "</TABLE>>"
    )


def _rules_name(port: str) -> str:
    return f"rules {port}".strip()


def _port_id(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", key)


def _id(topology: Topology, *parts: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", "-".join([topology.name, *filter(None, parts)]))


def _finish(svg: str, topology: Topology) -> str:
    """Leaves out the prologue, keeps the size on pages of any width, and names it for those who can't see it.

    A page that is too narrow scrolls: text that shrinks with the page can't be read.
    """
    body = svg[svg.index("<svg") :]
    opening, rest = body.split(">", 1)
    opening = re.sub(r'="(\d+)pt"', lambda size: f'="{round(int(size[1]) * 4 / 3)}"', opening)
    opening = opening.replace("<svg", '<svg style="max-width:none"', 1)
    rest = re.sub(r"<!--.*?-->\n?", "", rest, flags=re.DOTALL)
    title = f"<title>Service {escape(topology.name)}</title>\n<desc>{escape(topology.summary)}</desc>"
    return f'{opening} role="img" aria-label="{escape(topology.summary)}">\n{title}{rest}'
