"""`kubectl logs` with its options, debug containers, copies and terminals, on a running cluster."""

from __future__ import annotations

import hashlib
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from streaming_cluster import Kubectl, until

pytestmark = [pytest.mark.kernel, pytest.mark.kubectl]

LOGS = "/api/v1/namespaces/streams/pods/talker/log?container=a"
TALKER = """
apiVersion: v1
kind: Pod
metadata: {name: talker, labels: {app: talker}}
spec:
  initContainers: [{name: prep, image: busybox, command: [sh, -c, "echo prepared"]}]
  containers:
  - {name: a, image: busybox, command: [sh, -c, "echo a1; echo a2; sleep 0.3; echo a3 >&2; exec sleep 100000"]}
  - {name: b, image: busybox, command: [sh, -c, "echo b1; exec sleep 100000"]}
"""


@pytest.fixture
def talker(kubectl: Kubectl) -> Kubectl:
    """The Pod `talker`, whose containers have said something."""
    kubectl("apply", "-f", "-", stdin=TALKER)
    kubectl("wait", "--for=condition=Ready", "pod/talker", "--timeout=20s")
    until(lambda: kubectl("logs", "talker", "-c", "b") == "b1\n" and "a3" in kubectl("logs", "talker", "-c", "a"))
    return kubectl


def unique(kubectl: Kubectl, prefix: str) -> str:
    """A name for this kubectl's own Pod."""
    return f"{prefix}-{hashlib.sha256(kubectl.binary.encode()).hexdigest()[:6]}"


def test_logs_are_chosen_by_container_label_and_length(talker: Kubectl) -> None:
    assert talker("logs", "talker", "-c", "prep") == "prepared\n"
    assert talker("logs", "talker", "--tail=1") == "a3\n"
    everything = talker("logs", "talker", "--all-containers", "--prefix").splitlines()
    of_a = [f"[pod/talker/a] a{number}" for number in (1, 2, 3)]
    assert sorted(everything) == [*of_a, "[pod/talker/b] b1", "[pod/talker/prep] prepared"]
    labelled = talker("logs", "-l", "app=talker", "--all-containers", "--tail=1").split()
    assert sorted(labelled) == ["a3", "b1", "prepared"]
    assert talker("logs", "talker", "-c", "a", "--limit-bytes=4") == "a1\na"
    assert talker("logs", "talker", "-c", "a", "--since-time=2100-01-01T00:00:00Z") == ""
    assert talker("logs", "talker", "-c", "a", "--since=1h") == "a1\na2\na3\n"
    assert talker("logs", "talker", "-c", "b", "--timestamps").split()[1] == "b1"
    assert talker("get", "--raw", f"{LOGS}&stream=Stderr") == "a3\n"


def test_what_logs_can_not_show_is_said(talker: Kubectl) -> None:
    assert "container nosuch is not valid for pod talker" in talker.fails("logs", "talker", "-c", "nosuch")
    assert talker.fails("logs", "talker", "-c", "a", "--previous") == (
        'Error from server (BadRequest): previous terminated container "a" in pod "talker" not found\n'
    )
    assert talker.fails("get", "--raw", f"{LOGS}&tailLines=-1") == (
        'The PodLogOptions "talker" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0\n'
    )
    said = talker.fails("get", "--raw", LOGS.partition("?")[0])
    assert "a container name must be specified for pod talker, choose one of: [prep a b]" in said


def test_a_debug_container_joins_a_pod(kubectl: Kubectl) -> None:
    name = unique(kubectl, "debug")
    kubectl("debug", "web", "--image=busybox", "-c", name, "--attach=false", "--", "sh", "-c", "wget -qO- localhost")
    until(lambda: "It works!" in kubectl("logs", "web", "-c", name))


def test_a_debug_pod_sees_the_node(kubectl: Kubectl) -> None:
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    script = "hostname; ls /host"
    kubectl("debug", f"node/{node}", "--image=busybox", "--attach=false", "--", "sh", "-c", script)
    names = kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.name}").split()
    pod = next(name for name in names if name.startswith("node-debugger-"))
    until(lambda: "etc" in kubectl("logs", pod))
    assert kubectl("logs", pod).splitlines()[0] == node
    kubectl("delete", "pod", pod, "--grace-period=1")


def test_files_are_copied_both_ways(kubectl: Kubectl, tmp_path: Path) -> None:
    data = os.urandom(1_000_000)
    folder = tmp_path / "folder" / "deep"
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(data)
    there = f"/tmp/{unique(kubectl, 'copy')}"
    kubectl("cp", str(tmp_path / "folder"), f"shell:{there}", "-c", "shell")
    kubectl("cp", f"shell:{there}/deep/file", str(tmp_path / "back"), "-c", "shell")
    assert (tmp_path / "back").read_bytes() == data


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    for end in (ours, theirs):
        os.close(end)


def test_a_terminal_is_attached_to_a_pod_that_goes_with_it(kubectl: Kubectl, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    name = unique(kubectl, "session")
    command = kubectl.command("run", name, "-it", "--rm", "--restart=Never", "--image=busybox", "--", "sh")
    running = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=kubectl.environment)
    seen = b""

    def typed(line: bytes, answer: bytes) -> None:
        nonlocal seen
        os.write(ours, line)
        while answer not in seen:
            seen += os.read(ours, 4096)

    typed(b"", b"If you don't see a command prompt")
    typed(b"echo $((6 * 7))$(tty)\r", b"42/dev/pts/")
    os.write(ours, b"exit\r")
    assert running.wait(timeout=30) == 0
    assert f'"{name}" not found' in kubectl.fails("get", "pod", name)
