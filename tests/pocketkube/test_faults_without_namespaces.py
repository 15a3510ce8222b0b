"""The simulated engine under faults, where no process namespace tidies up: whatever is killed, nothing is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import until

from lab_helpers.clusters import EmbeddedCluster
from lab_helpers.clusters.inspection import processes_below
from lab_helpers.pocketkube.descendants import descendants
from lab_helpers.pocketkube.interception.probe import why_not
from lab_helpers.pocketkube.state import StateDir

pytestmark = [pytest.mark.kubectl, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]

MARKER = f"sleep 27182{os.getpid()}"
STRAYS = f"setsid {MARKER} & ({MARKER} &) ; exec {MARKER}"
"""A container that leaves processes in a session of their own, and without a parent."""


@pytest.fixture
def simulated(own_cluster: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    own_cluster.start(engine="userspace")
    assert own_cluster.kubectl("create", "deployment", "strays", "--image=busybox", "--", "sh", "-c", STRAYS).ok
    assert own_cluster.kubectl("create", "deployment", "web", "--image=httpd").ok
    assert own_cluster.kubectl("rollout", "status", "deployment/strays", "deployment/web", "--timeout=30s").ok
    until(lambda: len(strays()) == 3, "the strays")
    yield own_cluster


def strays() -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if (
                entry.name.isdigit()
                and (entry / "cmdline").read_bytes().replace(b"\0", b" ").strip() == MARKER.encode()
            ):
                found.append(int(entry.name))
    return found


def supervisor_of(cluster: EmbeddedCluster) -> int:
    return StateDir(cluster.config.state_dir).supervisor_pid() or 0


def node_process_of(cluster: EmbeddedCluster) -> int:
    """The child of the supervisor that has the shell's socket."""
    children = [pid for pid in descendants(supervisor_of(cluster)) if parent_of(pid) == supervisor_of(cluster)]
    return next(pid for pid in children if any(name_of(below) == "template" for below in processes_below(pid)))


def template_of(cluster: EmbeddedCluster) -> int:
    return next(pid for pid in processes_below(node_process_of(cluster)) if name_of(pid) == "template")


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def runs(pid: int) -> bool:
    """False for a process that has ended, even if its parent has not asked how."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def name_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


@pytest.mark.parametrize("victim", [template_of, node_process_of], ids=["template", "node process"])
def test_pods_end_with_what_holds_them_and_are_started_again(simulated: EmbeddedCluster, victim) -> None:  # type: ignore[no-untyped-def]
    before = set(strays())
    os.kill(victim(simulated), signal.SIGKILL)
    until(lambda: not before & set(strays()), "the end of all that ran", seconds=10)
    until(lambda: len(strays()) == 3, "the strays' return", seconds=30)
    restarts = "jsonpath={.items[*].status.containerStatuses[0].restartCount}"
    until(lambda: simulated.kubectl("get", "pods", "-o", restarts).stdout.split() == ["1", "1"], "both restarts")


def test_nothing_is_left_when_the_supervisor_is_killed(simulated: EmbeddedCluster) -> None:
    processes = processes_below(supervisor_of(simulated))
    os.kill(processes[0], signal.SIGKILL)
    until(lambda: not strays(), "the end of all that Pods started", seconds=10)
    until(lambda: not any(runs(pid) for pid in processes), "the end of the rest", seconds=10)
    simulated.delete()
    assert not simulated.config.state_dir.exists()


def test_nothing_is_left_after_the_end(simulated: EmbeddedCluster) -> None:
    processes = processes_below(supervisor_of(simulated))
    simulated.delete()
    assert not strays()
    assert not [pid for pid in processes if runs(pid)]
    assert not simulated.config.state_dir.exists()


def test_what_has_ended_is_let_go_of(simulated: EmbeddedCluster) -> None:
    """After many commands and Pods the node process holds as many descriptors and folders as before."""
    sandbox = simulated.config.state_dir / "sandbox"

    def held() -> tuple[int, int]:
        folders = sum(1 for name in ("roots", "programs") for _ in (sandbox / name).iterdir())
        return len(list(Path(f"/proc/{node_process_of(simulated)}/fd").iterdir())), folders

    def work() -> None:
        for _ in range(5):
            assert simulated.kubectl("exec", "deployment/web", "--", "curl", "-s", "http://localhost/").ok
            assert simulated.node_shell(["curl", "-s", "--max-time", "1", "http://10.96.99.99/"]).returncode == 28
        assert simulated.kubectl("scale", "deployment/web", "--replicas=6").ok
        assert simulated.kubectl("rollout", "status", "deployment/web", "--timeout=30s").ok
        assert simulated.kubectl("scale", "deployment/web", "--replicas=1").ok
        until(lambda: simulated.kubectl("get", "pods", "-o", "name").stdout.count("web-") == 1, "the Pods' end")

    work()
    descriptors, folders = held()
    for _ in range(3):
        work()
    until(lambda: held()[1] == folders, "the end of the last folders")
    assert held()[0] <= descriptors + 3


def test_where_namespaces_are_forbidden_a_cluster_is_simulated(servicelab_home: Path, tmp_path: Path) -> None:
    """The whole way of a learner on such a machine, told by the tour."""
    forbidding = Path(__file__).parents[1] / "without_namespaces.py"
    environment = {**os.environ, "SERVICELAB_NAME": "forbidden", "PYTHONPATH": str(Path(__file__).parents[2])}

    def servicelab(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(forbidding), sys.executable, "-m", "lab_helpers", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path)

    try:
        up = servicelab("up")
        assert up.returncode == 0, up.stderr
        assert "simulated" in up.stdout
        told = servicelab("tour")
        assert told.returncode == 0, told.stdout + told.stderr
        assert told.stdout.count("It works!") == 3
        assert "Simulated" in told.stdout
        assert "SIMULATED" in (tmp_path / "servicelab-tour.svg").read_text()
        findings = servicelab("doctor").stdout
        assert "userspace, which is simulated: the sysctl user.max_user_namespaces is 0" in findings
    finally:
        assert servicelab("down").returncode == 0
