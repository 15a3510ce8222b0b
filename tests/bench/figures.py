"""Prints the embedded cluster's figures beside those of a real one: start, first answer, memory, idle CPU.

    python tests/bench/figures.py [--runs 5] [--quick] [-o json]

Wall-clock seconds as a client sees them, kubectl's own start included; medians with the range. The real cluster
(Kubernetes 1.36.2, one node, 2 shared cores) was measured the same way on a machine of the same kind.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from lab_helpers.clusters import EmbeddedCluster
from lab_helpers.clusters.inspection import memory_of_tree, processes_below
from lab_helpers.paths import chapters_dir
from lab_helpers.pocketkube.state import StateDir

DEADLINE = 30.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Figure:
    """One figure: what, its runs, its unit, the bound we hold ourselves to, and a real cluster's median."""

    name: str
    runs: list[float]
    unit: str
    bound: float
    real: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    def line(self) -> str:
        span = f"{min(self.runs):.2f}-{max(self.runs):.2f} ({len(self.runs)})"
        real = "-" if self.real is None else f"{self.real:g}"
        ratio = "-" if self.real is None else f"{self.median / self.real:.2f}"
        verdict = "within" if self.median <= self.bound else "ABOVE"
        measured = f"{self.name:<44} {self.median:>8.2f} {self.unit:<4} {span:<18}"
        return f"{measured} {verdict} {self.bound:<6g} {real:>8} {ratio:>6}"


def until(done: Callable[[], bool]) -> None:
    """Waits for a condition of the cluster; the condition itself takes the time."""
    deadline = time.monotonic() + DEADLINE
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError("the cluster did not get there")


def timed(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def command(*args: str) -> None:
    subprocess.run([sys.executable, "-m", "lab_helpers", *args], check=True, stdout=subprocess.DEVNULL)


def answers(cluster: EmbeddedCluster, address: str) -> bool:
    done = cluster.node_shell(["curl", "-s", "--max-time", "1", f"http://{address}/"])
    return "It works!" in done.stdout


def address_of_service(cluster: EmbeddedCluster) -> str:
    return cluster.kubectl("get", "svc", "demo-service", "-o", "jsonpath={.spec.clusterIP}").stdout


def first_answer(cluster: EmbeddedCluster) -> float:
    manifests = chapters_dir() / "manifests"

    def act() -> None:
        applied = cluster.kubectl(
            "apply", "-f", str(manifests / "deployHttpd.yml"), "-f", str(manifests / "service.yml")
        )
        assert applied.ok, applied.stderr
        address = address_of_service(cluster)
        until(lambda: answers(cluster, address))

    return timed(act)


def remove_everything(cluster: EmbeddedCluster) -> None:
    cluster.kubectl("delete", "deployment/deployhttpd", "service/demo-service", "--wait=true")
    until(lambda: not cluster.kubectl("get", "pods", "-o", "name").stdout.strip())


def out_of_the_rules(cluster: EmbeddedCluster) -> float:
    """From `kubectl delete pod` to the moment that the node's rules don't have its address any more."""
    pod_ip = cluster.kubectl("get", "pods", "-o", "jsonpath={.items[0].status.podIP}").stdout
    name = cluster.kubectl("get", "pods", "-o", "jsonpath={.items[0].metadata.name}").stdout

    def act() -> None:
        assert cluster.kubectl("delete", "pod", name, "--wait=false").ok
        until(lambda: f"--to-destination {pod_ip}:80" not in cluster.iptables_save())

    return timed(act)


def all_ready(cluster: EmbeddedCluster, replicas: int) -> float:
    def act() -> None:
        assert cluster.kubectl("scale", "deployment/deployhttpd", f"--replicas={replicas}").ok
        assert cluster.kubectl("rollout", "status", "deployment/deployhttpd").ok

    return timed(act)


def cpu_seconds(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def idle_cpu(supervisor: int, seconds: float) -> float:
    """Percent of one core that the whole cluster uses while nobody asks anything of it."""
    pids = processes_below(supervisor)
    before = cpu_seconds(pids)
    time.sleep(seconds)
    return 100 * (cpu_seconds(pids) - before) / seconds


def measure(runs: int, idle_seconds: float) -> list[Figure]:
    start, cli_start, answer, gone, scale, memory, idle = [], [], [], [], [], [], []
    cluster = EmbeddedCluster("bench")
    for _ in range(runs):
        cli_start.append(timed(lambda: command("up", "--name", "bench")))
        start.append(json.loads((cluster.config.state_dir / "info.json").read_text())["startSeconds"])
        answer.append(first_answer(cluster))
        memory.append(memory_of_tree(StateDir(cluster.config.state_dir).supervisor_pid() or 0) / 1e6)
        gone.append(out_of_the_rules(cluster))
        remove_everything(cluster)
        first_answer(cluster)
        scale.append(all_ready(cluster, 10))
        command("down", "--name", "bench")
    command("up", "--name", "bench")
    first_answer(cluster)
    supervisor = StateDir(cluster.config.state_dir).supervisor_pid() or 0
    idle.append(idle_cpu(supervisor, idle_seconds))
    command("down", "--name", "bench")
    return [
        Figure("servicelab up -> API, node, DNS ready", cli_start, "s", 2.0, 11.4),
        Figure("  of that, the supervisor's own part", start, "s", 1.5),
        Figure("apply of both manifests -> It works!", answer, "s", 1.0, 1.46),
        Figure("delete a Pod -> out of the rules", gone, "s", 1.0, 0.32),
        Figure("scale 1 -> 10, all Ready", scale, "s", 3.0, 3.08),
        Figure("memory with one Pod (PSS)", memory, "MB", 150, 774 * 1.048576),
        Figure(f"CPU when idle, over {idle_seconds:g} s", idle, "%", 1.0, 6.3),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one run, 5 s of idling")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="sl-bench-"))
    os.environ["SERVICELAB_HOME"] = str(home)
    try:
        figures = measure(1 if options.quick else options.runs, 5 if options.quick else 30)
    finally:
        EmbeddedCluster("bench").delete()
        shutil.rmtree(home, ignore_errors=True)
    if options.output == "json":
        print(json.dumps([asdict(figure) for figure in figures], indent=1))
        return
    print(f"{'figure':<44} {'median':>8}      {'range (runs)':<18} bound         real   ratio")
    for figure in figures:
        print(figure.line())


if __name__ == "__main__":
    main()
