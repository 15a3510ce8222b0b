"""`servicelab tour`: the article's story in the terminal, in under fifteen seconds.

Each step is one sentence, the real command, and its real output. The steps are data; running them is all this does.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .clusters import CommandResult, EmbeddedCluster
from .errors import ClusterError
from .paths import chapters_dir, name_option

SELECTOR = "name=deployment"
REQUESTS_DEADLINE = 10.0
"""Seconds to wait for the first answer of the Service."""


@dataclass
class Tour:
    """One telling of the story on one cluster."""

    cluster: EmbeddedCluster
    say: Callable[[str], None]

    def step(self, sentence: str, argv: Sequence[str], *, expect_ok: bool = True, lines: int = 12) -> str:
        """Says a sentence, shows a command, runs it, shows what it printed."""
        self.say(f"\n[bold]{sentence}[/]")
        self.say(f"[cyan]$ {_escape(shlex.join(argv))}[/]")
        done = self._run(argv)
        output = (done.stdout + done.stderr).strip()
        self.say(_escape(_shortened(output, lines)) if output else f"[dim](no output; exit code {done.returncode})[/]")
        if expect_ok and not done.ok:
            raise ClusterError(
                f"The tour stops here: {argv[0]} ended with {done.returncode}.", hint="Look with: servicelab status"
            )
        return output

    def _run(self, argv: Sequence[str]) -> CommandResult:
        program, *rest = argv
        if program == "kubectl":
            return self.cluster.kubectl(*rest)
        separator = rest.index("--")
        command = rest[separator + 1 :]
        if rest[0] == "outside":
            return self.cluster.outside(command)
        return self.cluster.node_shell(command)

    def value(self, *args: str) -> str:
        """What kubectl prints, without showing it."""
        return self.cluster.kubectl(*args).stdout.strip()


def run_tour(cluster: EmbeddedCluster, svg: Path) -> None:
    """Tells the story and writes the picture to `svg`. Raises ClusterError where a step fails."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    began = time.monotonic()
    tour = Tour(cluster, console.print)
    console.print("[bold]How a Kubernetes Service keeps one address while Pods come and go[/]")
    _deploy(tour)
    address = _meet_the_service(tour)
    _kill_the_pod(tour, address)
    _look_inside(tour, address)
    picture = _draw(cluster, svg)
    seconds = time.monotonic() - began
    option = name_option(cluster.name)
    console.print(f"\n[bold]That was it, in {seconds:.1f} s.[/] The picture of what you built is in {picture}")
    console.print(f"Go on in JupyterLab:        servicelab lab{option}")
    console.print(f"Or by hand:                 servicelab kubectl{option} get all")
    console.print(f"When you have had enough:   servicelab down{option}")


def _deploy(tour: Tour) -> None:
    manifests = chapters_dir() / "manifests"
    tour.step(
        "1. A Deployment asks for one Pod that runs the web server httpd.",
        ["kubectl", "apply", "-f", str(manifests / "deployHttpd.yml")],
    )
    tour.step(
        "2. The Deployment made a ReplicaSet, the ReplicaSet made the Pod, and it is ready.",
        ["kubectl", "rollout", "status", "deployment/deployhttpd", "--timeout=20s"],
    )
    tour.step("3. The Pod has an IP of its own, which lives as long as the Pod.", _get_pods())
    tour.step(
        "4. A Service of type ClusterIP selects the Pod by its label.",
        ["kubectl", "apply", "-f", str(manifests / "service.yml")],
    )


def _meet_the_service(tour: Tour) -> str:
    tour.step(
        "5. The Service got a virtual IP: no machine and no Pod has it.",
        ["kubectl", "get", "service", "demo-service"],
    )
    address = tour.value("get", "service", "demo-service", "-o", "jsonpath={.spec.clusterIP}")
    _await_answer(tour.cluster, address)
    tour.step(
        "6. From a node, the virtual IP answers.", ["servicelab", "node", "--", "curl", "-s", f"http://{address}/"]
    )
    tour.step(
        "7. From inside a Pod, so does the Service's name: cluster DNS knows it.",
        ["kubectl", "exec", "deploy/deployhttpd", "--", "curl", "-s", "http://demo-service/"],
    )
    tour.step(
        "8. From outside the cluster nothing answers there: a ClusterIP is for the inside.",
        ["servicelab", "outside", "--", "curl", "-sS", "--max-time", "1", f"http://{address}/"],
        expect_ok=False,
    )
    return address


def _kill_the_pod(tour: Tour, address: str) -> None:
    tour.step("9. Now the Pod is killed.", ["kubectl", "delete", "pod", "-l", SELECTOR])
    tour.step(
        "10. The ReplicaSet makes another at once.",
        ["kubectl", "wait", "--for=condition=Available", "deployment/deployhttpd", "--timeout=20s"],
    )
    tour.step("11. It is a new Pod with a new IP.", _get_pods())
    _await_answer(tour.cluster, address)
    tour.step(
        "12. The virtual IP is the old one, and it answers as before.",
        ["servicelab", "node", "--", "curl", "-s", f"http://{address}/"],
    )


def _look_inside(tour: Tour, address: str) -> None:
    tour.step(
        "13. Two more Pods share the work.",
        ["kubectl", "scale", "deployment/deployhttpd", "--replicas=3"],
    )
    tour.value("rollout", "status", "deployment/deployhttpd", "--timeout=20s")
    chain = _service_chain(tour.cluster, address, endpoints=3)
    where = "" if tour.cluster.capabilities.simulated else " in the kernel"
    tour.step(
        f"14. This is all a Service is: rules{where} that send 1 of 3 connections to each Pod.",
        ["servicelab", "node", "--", "iptables", "-t", "nat", "-S", chain],
    )


def _get_pods() -> list[str]:
    return ["kubectl", "get", "pods", "-l", SELECTOR, "-o", "wide"]


def _await_answer(cluster: EmbeddedCluster, address: str) -> None:
    deadline = time.monotonic() + REQUESTS_DEADLINE
    while not cluster.node_shell(["curl", "-s", "-o", "/dev/null", "--max-time", "1", f"http://{address}/"]).ok:
        if time.monotonic() > deadline:
            raise ClusterError(f"The Service does not answer on {address}.", hint="Look with: servicelab status")


def _service_chain(cluster: EmbeddedCluster, address: str, *, endpoints: int) -> str:
    """Name of the Service's chain in the nat table, once it has that many endpoints."""
    deadline = time.monotonic() + REQUESTS_DEADLINE
    while True:
        rules = cluster.iptables_save()
        jump = re.search(rf"-A KUBE-SERVICES -d {re.escape(address)}/32 .* -j (KUBE-SVC-\w+)", rules)
        if jump and len(re.findall(rf"-A {jump[1]} .*-j KUBE-SEP-", rules)) == endpoints:
            return jump[1]
        if time.monotonic() > deadline:
            raise ClusterError("The Service's rules did not appear on the node.", hint="Look with: servicelab status")


def _draw(cluster: EmbeddedCluster, svg: Path) -> Path:
    from .topology import draw

    picture = draw(cluster, service="demo-service", namespace="default")
    try:
        svg.write_text(picture.svg, encoding="utf-8")
    except OSError:
        svg = cluster.config.state_dir / svg.name
        svg.write_text(picture.svg, encoding="utf-8")
    return svg.absolute()


def _shortened(text: str, lines: int) -> str:
    found = text.splitlines()
    if len(found) <= lines:
        return text
    return "\n".join([*found[:lines], f"... ({len(found) - lines} more lines)"])


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
