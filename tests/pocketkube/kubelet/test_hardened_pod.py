"""A Pod as careful authors write it: a user of its own, a read-only root, volumes of a group, an image of one's own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from waiting import until

from lab_helpers.clusters import EmbeddedCluster

pytestmark = [pytest.mark.kernel, pytest.mark.kubectl]

NAMESPACE = "hardened"
POD = """
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {app.conf: "one"}
---
apiVersion: v1
kind: Pod
metadata: {name: careful}
spec:
  hostname: careful
  subdomain: pods
  setHostnameAsFQDN: true
  hostAliases: [{ip: 10.1.2.3, hostnames: [friend]}]
  securityContext: {runAsUser: 1234, runAsGroup: 2345, fsGroup: 3456, runAsNonRoot: true}
  containers:
  - name: app
    image: registry.k8s.io/e2e-test-images/agnhost:2.63.0
    args: [netexec, --http-port=80]
    readinessProbe: {httpGet: {path: /readyz, port: 80}}
    envFrom: [{configMapRef: {name: conf}}]
    securityContext:
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL]}
    volumeMounts: [{name: work, mountPath: /work}, {name: conf, mountPath: /conf}]
  - name: second
    image: busybox
    command: [sh, -c, "env | grep app.conf; exec sleep 1000"]
    envFrom: [{configMapRef: {name: conf}}]
    volumeMounts: [{name: host, mountPath: /host}]
  volumes:
  - {name: work, emptyDir: {}}
  - {name: conf, configMap: {name: conf, defaultMode: 0400}}
  - {name: host, hostPath: {path: /etc}}
"""


@pytest.fixture(scope="module")
def pod(cluster: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    assert cluster.kubectl("create", "namespace", NAMESPACE).ok
    assert cluster.kubectl("-n", NAMESPACE, "apply", "-f", "-", input=POD).ok
    ready = cluster.kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", "pod/careful", "--timeout=20s")
    assert ready.ok, cluster.kubectl("-n", NAMESPACE, "describe", "pod", "careful").stdout
    yield cluster
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def inside(cluster: EmbeddedCluster, script: str, container: str = "app") -> str:
    done = cluster.kubectl("-n", NAMESPACE, "exec", "careful", "-c", container, "--", "sh", "-c", script)
    return done.stdout + done.stderr


def test_it_serves_a_low_port_as_its_own_user(pod: EmbeddedCluster) -> None:
    assert inside(pod, "id -u; id -g").split() == ["1234", "2345"]
    assert inside(pod, "hostname").strip() == f"careful.pods.{NAMESPACE}.svc.cluster.local"
    assert inside(pod, "grep CapBnd /proc/self/status").split()[1] == "0" * 16


def test_only_its_volumes_can_be_written_to(pod: EmbeddedCluster) -> None:
    assert "Read-only file system" in inside(pod, "touch /tmp/x")
    assert inside(pod, "touch /work/x && cat /conf/app.conf") == "one"
    if os.geteuid() == 0:
        assert inside(pod, "stat -c '%u %g' /work/x").split() == ["1234", "3456"]


def test_a_changed_config_map_reaches_its_volume(pod: EmbeddedCluster) -> None:
    patch = json.dumps({"data": {"app.conf": "two"}})
    assert pod.kubectl("-n", NAMESPACE, "patch", "configmap", "conf", "-p", patch).ok
    until(lambda: inside(pod, "cat /conf/app.conf") == "two", "the volume changes")


def test_its_containers_share_one_hosts_file_and_see_nothing_of_the_machine(pod: EmbeddedCluster) -> None:
    assert "10.1.2.3\tfriend" in inside(pod, "cat /etc/hosts", "second")
    assert inside(pod, "ls /host", "second").split() == ["hosts"]
    assert len(inside(pod, "cat /etc/passwd", "second").splitlines()) < 10


def test_variables_may_have_any_name(pod: EmbeddedCluster) -> None:
    until(lambda: pod.kubectl("-n", NAMESPACE, "logs", "careful", "-c", "second").stdout == "app.conf=one\n")
