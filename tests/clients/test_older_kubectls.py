"""The core commands through kubectl 1.32, 1.33, 1.35 and 1.36, where they are installed (`older-kubectls.txt`)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubectls import OLDER_VERSIONS, Kubectl, older

from lab_helpers.clusters import EmbeddedCluster

pytestmark = pytest.mark.older_kubectls

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: h, image: httpd, ports: [{containerPort: 80}]}]}
"""
_numbers = itertools.count(1)


@pytest.fixture(scope="module", params=OLDER_VERSIONS)
def old(request: pytest.FixtureRequest, cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    found = older(cluster, request.param, tmp_path_factory.mktemp("kubectl"))
    assert f"v1.{request.param}." in found("version", "--client")
    return found


@pytest.fixture
def k(old: Kubectl) -> Iterator[Kubectl]:
    namespace = f"older-{next(_numbers)}"
    old("create", "namespace", namespace)
    yield old.within(namespace)
    old("delete", "namespace", namespace, "--wait=false")


def test_apply_scale_roll_and_delete(k: Kubectl) -> None:
    assert k("apply", "-f", "-", input=MANIFEST % 1) == "deployment.apps/web created\n"
    assert k("apply", "-f", "-", input=MANIFEST % 1) == "deployment.apps/web unchanged\n"
    assert k("rollout", "status", "deploy/web", "--timeout=30s").endswith("successfully rolled out\n")
    k("scale", "deploy/web", "--replicas=2")
    k("wait", "--for=jsonpath={.status.readyReplicas}=2", "deploy/web", "--timeout=20s")
    k("set", "image", "deploy/web", "h=nginx")
    k("rollout", "status", "deploy/web", "--timeout=30s")
    k("rollout", "undo", "deploy/web")
    k("rollout", "status", "deploy/web", "--timeout=30s")
    assert len(k("rollout", "history", "deploy/web").splitlines()) >= 4
    assert "-  replicas: 2\n+  replicas: 5\n" in k.run("diff", "-f", "-", input=MANIFEST % 5).stdout
    k("delete", "deploy", "web", "--cascade=foreground")
    assert k("get", "rs", "-o", "name") == ""


def test_create_sends_what_the_server_reads(k: Kubectl) -> None:
    k("create", "deployment", "web", "--image=httpd")
    k("create", "configmap", "c", "--from-literal=a=b")
    k("create", "service", "clusterip", "web", "--tcp=80")
    k("expose", "deploy/web", "--name=np", "--type=NodePort", "--port=80")
    assert k("get", "svc", "-o", "name") == "service/np\nservice/web\n"
    k("patch", "cm", "c", "-p", '{"data":{"a":"z"}}')
    assert k("get", "cm", "c", "-o", "jsonpath={.data.a}") == "z"
    assert k("auth", "can-i", "create", "pods") == "yes\n"


def test_server_side_apply_conflicts(k: Kubectl) -> None:
    k("apply", "--server-side", "-f", "-", input=MANIFEST % 0)
    k("scale", "deploy/web", "--replicas=1")
    assert ".spec.replicas" in k.refused("apply", "--server-side", "-f", "-", input=MANIFEST % 2)
    k("apply", "--server-side", "--force-conflicts", "-f", "-", input=MANIFEST % 2)


def test_streams_into_pods(k: Kubectl, tmp_path: Path) -> None:
    k("run", "web", "--image=httpd")
    k("wait", "--for=condition=Ready", "pod/web", "--timeout=20s")
    assert k("exec", "web", "-i", "--", "cat", input="typed\n") == "typed\n"
    assert k.run("exec", "web", "--", "sh", "-c", "exit 7").returncode == 7
    (tmp_path / "page").write_text("hello\n")
    k("cp", str(tmp_path / "page"), "web:/tmp/page")
    assert k("exec", "web", "--", "cat", "/tmp/page") == "hello\n"
    assert "resuming normal operations" in k("logs", "web")
    with k.running("port-forward", "pod/web", ":80") as forwarding:
        assert forwarding.stdout and "Forwarding from 127.0.0.1:" in forwarding.stdout.readline()
    assert "typed" in k("run", "once", "--image=busybox", "--rm", "-i", "--restart=Never", "--", "cat", input="typed\n")


def test_look_around(k: Kubectl) -> None:
    assert "services" in k("api-resources", "-o", "name").split()
    assert "KIND:       Service" in k("explain", "service.spec.ports")
    assert "Name:" in k("describe", "svc", "kubernetes", "-n", "default")
    with k.running("get", "cm", "-w", "--output-watch-events", "--no-headers") as watching:
        assert watching.stdout and watching.stdout.readline().split()[:2] == ["ADDED", "kube-root-ca.crt"]
        k("create", "configmap", "c")
        assert watching.stdout.readline().split()[:2] == ["ADDED", "c"]
