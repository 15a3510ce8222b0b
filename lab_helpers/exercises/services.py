"""Findings about a Service with a virtual IP: its address, its endpoints, the node's rules for it, and its answers."""

from __future__ import annotations

from ..pocketkube.objects import Obj, is_condition_true, labels_of, name_of
from ..topology.model import nearly_selected
from . import looking
from .exercise import Finding
from .workspace import Workspace


def missing(workspace: Workspace, name: str) -> Finding:
    """There is no Service of that name."""
    others = [name_of(item) for item in workspace.reader.list("services")]
    seen = f"the Services here are: {', '.join(others)}" if others else "there is no Service here"
    return Finding(
        f"A Service named {name} exists in the namespace {workspace.namespace}.",
        seen,
        False,
        "Without a Service there is no virtual IP; the Pods have only their own addresses.",
        hints=(
            "Which Services are in your namespace?",
            f"I looked for the name {name}; {seen}.",
            "The article's second manifest has exactly this Service. It takes effect once the cluster knows it.",
        ),
    )


def has_address(service: Obj, port: int) -> Finding:
    """It has a virtual IP, and the port that clients are told to use."""
    address, ports = service["spec"].get("clusterIP"), [int(p["port"]) for p in service["spec"].get("ports") or []]
    has_address = address not in (None, "", "None")
    seen = f"type {service['spec'].get('type')}, ClusterIP {address}, ports {', '.join(map(str, ports))}"
    return Finding(
        f"It has a ClusterIP and the port {port}.",
        seen,
        has_address and port in ports,
        "There is no address to ask." if not has_address else f"Nobody is expected on port {port} of this address.",
        points=1,
        hints=(
            "Look at the Service's type, its ClusterIP and its ports.",
            f"I see: {seen}.",
            f"`port` is what clients use, and has to be {port}; `targetPort` is where the container listens. "
            "A headless Service (ClusterIP None) has no virtual IP.",
        ),
    )


def has_backends(workspace: Workspace, service: Obj, deployment: str) -> Finding:
    """Its ready endpoints are Pods of that Deployment, and of nobody else."""
    topology = looking.topology_of(workspace, name_of(service))
    endpoints, deployed = looking.ready_endpoints(topology), _deployed_addresses(workspace, deployment)
    addresses = {key.rpartition(":")[0] for key in endpoints}
    selected, near = _selected_and_near(workspace, service)
    seen = f"ready endpoints: {', '.join(sorted(endpoints)) or 'none'}; selected Pods: {looking.describe(selected)}"
    selector = topology.service.selector_text if topology.service else ""
    third = f"Letter by letter: {near}." if near else f"The selector is {selector}. Which labels do the Pods have?"
    if selected and not addresses:
        third = "The selector is right; the selected Pods are not ready. Solve that first."
    if addresses - deployed:
        third = f"{', '.join(sorted(addresses - deployed))} is no Pod of {deployment}: the selector takes in too many."
    return Finding(
        f"Its endpoints are the ready Pods of {deployment}.",
        seen,
        bool(addresses) and addresses <= deployed,
        near or "The Service has a virtual IP, but not the right Pods behind it: the selector decides which.",
        waiting=bool(selected) and not looking.is_stuck(selected) and not addresses - deployed,
        hints=(
            "A Service finds its Pods by labels. Look at its endpoints, its selector, and the labels of the Pods.",
            f"I see {seen}.",
            third,
        ),
    )


def has_rules(workspace: Workspace, name: str) -> Finding:
    """The node's rules lead to the ready endpoints; taken on trust where rules can't be read."""
    topology = looking.topology_of(workspace, name)
    read = bool(topology.rules_node)
    wanted, ruled = looking.ready_endpoints(topology), {rule.endpoint for rule in topology.rules if rule.endpoint}
    chains = ", ".join(chain for _, chain in topology.chains) or "no chain"
    return Finding(
        "kube-proxy's rules on the node lead to exactly these endpoints.",
        f"{chains} leads to {', '.join(sorted(ruled)) or 'nothing'}" if read else "this cluster's rules can't be read",
        not read or (bool(ruled) and ruled == wanted),
        "The rules follow the endpoints within a second or so.",
        points=1,
        waiting=True,
        hints=(
            "Look at the rules on the node: is there a chain for this Service?",
            f"Rules lead to {', '.join(sorted(ruled)) or 'nothing'}, endpoints are {', '.join(sorted(wanted))}.",
            "kube-proxy writes the rules on every node. If they stay behind, that is where to look.",
        ),
    )


def answers(workspace: Workspace, service: Obj, port: int, *, points: int) -> Finding:
    """Real requests from the node to the virtual IP are answered."""
    url = f"http://{service['spec']['clusterIP']}:{port}/"
    requests = workspace.request(url, n=3)
    seen = f"3 requests from the node to {url}: {looking.describe_answers(requests)}"
    targets = ", ".join(f"{p['port']} to {p.get('targetPort')}" for p in service["spec"].get("ports") or [])
    return Finding(
        f"It answers on its ClusterIP, port {port}, asked from the node.",
        seen,
        looking.answered(requests),
        "The address is there and has Pods behind it, but no answer comes back.",
        points=points,
        hints=(
            "Follow one request: virtual IP, rule, Pod address and port. Where does it end?",
            f"I see {seen}.",
            f"The Service leads port {targets}. On which port does the program in the Pod listen?",
        ),
    )


def _selected_and_near(workspace: Workspace, service: Obj) -> tuple[list[Obj], str]:
    """The selected Pods, and what keeps others from being selected where that looks like a slip."""
    selected = looking.selected(workspace, service)
    if selected:
        return selected, ""
    selector: dict[str, str] = service["spec"].get("selector") or {}
    reasons = (nearly_selected(selector, labels_of(pod)) for pod in workspace.reader.list("pods"))
    return [], next((reason for reason in reasons if reason), "")


def _deployed_addresses(workspace: Workspace, name: str) -> set[str]:
    deployment = workspace.reader.get("deployments", name)
    pods = looking.pods_of_deployment(workspace, deployment) if deployment else []
    return {looking.ip_of(pod) for pod in pods if is_condition_true(pod, "Ready")}
