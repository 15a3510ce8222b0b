"""Starting and ending an embedded cluster: nothing stays, nothing acknowledged is lost, and errors are one sentence."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from waiting import until

from lab_helpers.clusters import EmbeddedCluster
from lab_helpers.clusters.inspection import processes_below
from lab_helpers.errors import InvalidInput
from lab_helpers.pocketkube.state import StateDir

pytestmark = pytest.mark.kernel


@dataclass(frozen=True)
class Traces:
    """What a cluster is made of on a machine, and could leave there."""

    processes: frozenset[tuple[int, str]]
    """Process id and start time."""
    namespaces: frozenset[str]
    mounts: frozenset[str]
    interfaces: frozenset[str]
    files: frozenset[str]

    def left_of(self, cluster: Traces) -> list[str]:
        """What is still here (self) of what a running cluster was made of."""
        pairs = ((getattr(self, name), getattr(cluster, name)) for name in ("processes", "namespaces", "files"))
        return [str(trace) for here, made in pairs for trace in here & made]


def traces(folder: Path, pids: Iterable[int] | None = None) -> Traces:
    """Traces of these processes (default: of all there are) and what the machine has."""
    if pids is None:
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    processes, namespaces = set(), set()
    for pid in pids:
        try:
            started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
            links = [str(link.readlink()) for link in Path(f"/proc/{pid}/ns").iterdir()]
        except OSError:
            continue
        processes.add((pid, started))
        namespaces.update(links)
    mounts = {line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()}
    interfaces = {path.name for path in Path("/sys/class/net").iterdir()}
    return Traces(
        frozenset(processes),
        frozenset(namespaces),
        frozenset(mounts),
        frozenset(interfaces),
        frozenset(map(str, folder.rglob("*"))),
    )


def traces_of(cluster: EmbeddedCluster) -> Traces:
    """What a running cluster is made of, without the namespaces that it shares with everybody."""
    made = traces(cluster.config.state_dir, processes_below(supervisor_of(cluster)))
    return replace(made, namespaces=made.namespaces - traces(cluster.config.state_dir, [os.getpid()]).namespaces)


def servicelab(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab_helpers", *args],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **(env or {})},
    )


def supervisor_of(cluster: EmbeddedCluster) -> int:
    pid = StateDir(cluster.config.state_dir).supervisor_pid()
    assert pid
    return pid


def deploy(cluster: EmbeddedCluster) -> None:
    assert cluster.kubectl("create", "deployment", "web", "--image=httpd", "--replicas=2").ok
    assert cluster.kubectl("rollout", "status", "deployment/web", "--timeout=30s").ok


@pytest.mark.parametrize(("mode", "said"), [("ipvs", "deprecated"), ("magic", "no proxy mode")])
def test_a_proxy_mode_that_there_is_not_is_refused_before_anything_starts(
    own_cluster: EmbeddedCluster, mode: str, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        own_cluster.start(proxy_mode=mode)
    assert not own_cluster.config.state_dir.exists()


def test_a_cluster_comes_up_with_everything_ready_and_leaves_nothing(own_cluster: EmbeddedCluster) -> None:
    before = traces(own_cluster.config.state_dir)
    steps = own_cluster.start()
    assert steps["ready"] > 0
    nodes = json.loads(own_cluster.kubectl("get", "nodes", "-o", "json").stdout)["items"]
    ready = [c["status"] for node in nodes for c in node["status"]["conditions"] if c["type"] == "Ready"]
    assert ready == ["True"]
    deploy(own_cluster)
    made = traces_of(own_cluster)
    assert len(made.processes) >= 8
    assert len(made.namespaces) >= 12
    assert own_cluster.delete()
    after = traces(own_cluster.config.state_dir)
    assert after.left_of(made) == []
    assert (after.mounts, after.interfaces, after.files) == (before.mounts, before.interfaces, before.files)


@pytest.mark.parametrize("victim", range(5))
def test_nothing_stays_after_a_process_was_killed(own_cluster: EmbeddedCluster, victim: int) -> None:
    """The victims, in order of start: supervisor, its children, and what is below them."""
    own_cluster.start()
    made = traces_of(own_cluster)
    processes = sorted(processes_below(supervisor_of(own_cluster)))
    os.kill(processes[victim], signal.SIGKILL)
    own_cluster.delete()
    assert traces(own_cluster.config.state_dir).left_of(made) == []
    assert not own_cluster.config.state_dir.exists()


def test_what_was_acknowledged_survives_the_end_of_the_control_plane(own_cluster: EmbeddedCluster) -> None:
    own_cluster.start()
    assert own_cluster.kubectl("create", "configmap", "kept", "--from-literal=key=value").ok
    control_plane = process_named(own_cluster, "control-plane")
    os.kill(control_plane, signal.SIGKILL)
    assert own_cluster.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.key}").stdout == "value"


def test_pods_come_back_after_the_end_of_the_node_process(own_cluster: EmbeddedCluster) -> None:
    own_cluster.start()
    deploy(own_cluster)
    own_cluster.kubectl("expose", "deployment/web", "--port=80")
    address = own_cluster.kubectl("get", "svc", "web", "-o", "jsonpath={.spec.clusterIP}").stdout
    os.kill(process_named(own_cluster, "node"), signal.SIGKILL)
    until(lambda: process_named(own_cluster, "node") > 0, "a new node process")

    def answers() -> bool:
        try:
            return own_cluster.node_shell(["curl", "-s", "--max-time", "1", f"http://{address}/"]).ok
        except Exception:  # the shell's socket is away until the node is back
            return False

    until(answers, "the Service answers again")


def process_named(cluster: EmbeddedCluster, name: str) -> int:
    """Process id of a child of the supervisor, by the log that it writes to; 0 if there is none."""
    for pid in processes_below(supervisor_of(cluster))[1:]:
        try:
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            log = Path(f"/proc/{pid}/fd/1").readlink()
        except OSError:
            continue
        if parent == supervisor_of(cluster) and log.stem == name:
            return pid
    return 0


def test_a_second_up_is_refused_in_one_sentence(own_cluster: EmbeddedCluster) -> None:
    own_cluster.start()
    second = servicelab("up", "--name", own_cluster.name)
    assert second.returncode == 4
    assert "already up" in second.stderr
    assert "Traceback" not in second.stderr
    assert own_cluster.is_running()


def test_state_of_a_dead_cluster_is_told_and_can_be_resumed(own_cluster: EmbeddedCluster) -> None:
    own_cluster.start()
    assert own_cluster.kubectl("create", "configmap", "kept").ok
    os.kill(supervisor_of(own_cluster), signal.SIGKILL)
    until(own_cluster.has_stale_state, "the supervisor is gone")
    refused = servicelab("up", "--name", own_cluster.name)
    assert refused.returncode == 5
    assert "--resume" in refused.stderr
    status = servicelab("status", "--name", own_cluster.name, "-o", "json")
    assert (status.returncode, json.loads(status.stdout)["state"]) == (3, "died")
    assert servicelab("up", "--name", own_cluster.name, "--resume").returncode == 0
    assert own_cluster.kubectl("get", "configmap", "kept").ok


def test_a_taken_port_is_named(own_cluster: EmbeddedCluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = servicelab("up", "--name", own_cluster.name, "--api-port", port)
    assert refused.returncode == 6
    assert f"Port {port}" in refused.stderr
    assert not own_cluster.config.state_dir.exists()


def test_no_user_namespaces_is_said_and_leaves_nothing(own_cluster: EmbeddedCluster) -> None:
    forbid = "echo 0 > /proc/sys/user/max_user_namespaces"
    without_rights = "setpriv --bounding-set=-all --inh-caps=-all --no-new-privs"
    command = f"{forbid}; exec {without_rights} {sys.executable} -m lab_helpers up --engine kernel --name own"
    refused = subprocess.run(["unshare", "-Ur", "sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 8, refused.stderr
    assert "max_user_namespaces" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not own_cluster.config.state_dir.exists()


def test_no_iptables_is_said_with_the_command_that_installs_it(own_cluster: EmbeddedCluster) -> None:
    hide = (
        "for f in /usr/sbin/iptables* /usr/sbin/xtables* /sbin/iptables* /sbin/xtables*; do"
        ' if [ -f "$f" ]; then mount --bind /dev/null "$(readlink -f "$f")" 2>/dev/null; fi; done;'
    )
    command = f"{hide} exec {sys.executable} -m lab_helpers up --engine kernel --name own"
    refused = subprocess.run(["unshare", "-Urm", "sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 7, refused.stderr
    assert re.search(r"iptables.*install", refused.stderr, re.DOTALL)
    assert not own_cluster.config.state_dir.exists()


def test_ctrl_c_while_starting_leaves_nothing(own_cluster: EmbeddedCluster) -> None:
    starting = subprocess.Popen(
        [sys.executable, "-m", "lab_helpers", "up", "--name", own_cluster.name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: len(processes_below(starting.pid)) > 1, "the start has begun")
    begun = processes_below(starting.pid)[1:]
    starting.send_signal(signal.SIGINT)
    _output, said = starting.communicate(timeout=60)
    assert starting.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    assert not own_cluster.config.state_dir.exists()
    assert [pid for pid in begun if Path(f"/proc/{pid}").exists()] == []


def test_clusters_of_different_names_run_side_by_side(own_cluster: EmbeddedCluster) -> None:
    other = EmbeddedCluster("other")
    try:
        own_cluster.start()
        other.start()
        assert own_cluster.kubectl("create", "configmap", "mine").ok
        assert not other.kubectl("get", "configmap", "mine").ok
    finally:
        other.delete()
    assert own_cluster.is_running()


def test_of_two_that_start_the_same_cluster_one_succeeds(own_cluster: EmbeddedCluster) -> None:
    command = [sys.executable, "-m", "lab_helpers", "up", "--name", own_cluster.name]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 4], said
    assert own_cluster.is_running()


def test_down_while_starting_ends_what_was_begun(own_cluster: EmbeddedCluster) -> None:
    command = [sys.executable, "-m", "lab_helpers", "up", "--name", own_cluster.name]
    starting = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(own_cluster.config.state_dir.exists, "the start has begun")
    assert own_cluster.delete()
    _output, said = starting.communicate(timeout=60)
    assert starting.returncode != 0
    assert "Traceback" not in said
    assert not own_cluster.config.state_dir.exists()
