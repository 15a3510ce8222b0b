"""kubectl looks around, waits, and works inside Pods and on nodes."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubectls import Kubectl, eventually

from lab_helpers.clusters import EmbeddedCluster

pytestmark = [pytest.mark.kernel, pytest.mark.kubectl]

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: %s}}
spec: {terminationGracePeriodSeconds: 1, containers: [{name: main, image: httpd}]}
"""


@pytest.fixture(scope="module")
def web(kubectl: Kubectl) -> Iterator[Kubectl]:
    """A namespace with a ready Pod `web` and a Service for it, for tests that only look."""
    kubectl("create", "namespace", "clients-looks")
    looking = kubectl.within("clients-looks")
    looking("run", "web", "--image=httpd", "--labels=app=web,tier=front", "--port=80", "--expose")
    looking("wait", "--for=condition=Ready", "pod/web", "--timeout=20s")
    yield looking
    kubectl("delete", "namespace", "clients-looks", "--wait=false")


# --- discovery ---


def test_api_resources_and_versions(web: Kubectl) -> None:
    listed = {line.split()[0]: line.split()[1:] for line in web("api-resources", "--no-headers").splitlines()}
    assert listed["services"] == ["svc", "v1", "true", "Service"]
    assert listed["endpointslices"] == ["discovery.k8s.io/v1", "true", "EndpointSlice"]
    assert "pods" in web("api-resources", "--verbs=list,watch", "--namespaced", "-o", "name").split()
    assert {"v1", "apps/v1", "discovery.k8s.io/v1", "networking.k8s.io/v1"} <= set(web("api-versions").split())


def test_explain(web: Kubectl) -> None:
    tree = web("explain", "service", "--recursive")
    assert re.search(r"^  spec\t<ServiceSpec>\n", tree, re.MULTILINE)
    assert re.search(r"^      nodePort\t<integer>\n", tree, re.MULTILINE)
    assert "label selector" in web("explain", "deploy.spec.selector").lower()
    assert "ENUM:\n    ClusterIP\n" in web("explain", "service.spec.type")
    assert web("explain", "pod.spec").count("PodSpec is a description of a pod.") == 1
    older = web("explain", "pod.spec.containers", "--output=plaintext-openapiv2")
    assert re.search(r"^RESOURCE: containers <\[\]Object>\n", older, re.MULTILINE)
    assert 'field "nosuch" does not exist' in web.refused("explain", "service.spec.nosuch")


def test_cluster_info_and_version(web: Kubectl) -> None:
    info = web.within("default")("cluster-info")
    assert "Kubernetes control plane" in info and "services/kube-dns:dns/proxy" in info
    version = json.loads(web("version", "-o", "json"))["serverVersion"]
    assert (version["major"], version["gitVersion"].split(".")[1]) == ("1", version["minor"])
    assert web("get", "--raw", "/livez") == "ok"
    assert "readyz check passed" in web("get", "--raw", "/readyz?verbose")


def test_who_may_do_what(web: Kubectl) -> None:
    assert web("auth", "can-i", "create", "pods") == "yes\n"
    account = "--as=system:serviceaccount:clients-looks:default"
    assert web.run("auth", "can-i", "delete", "nodes", account).stdout == "no\n"
    assert "[*]" in web("auth", "can-i", "--list")
    assert "Username" in web("auth", "whoami")
    assert "cannot list resource" in web.refused("get", "pods", account)


# --- getting ---


@pytest.mark.parametrize(
    ("form", "printed"),
    [
        ("jsonpath={.items[*].metadata.name}", "web"),
        ("jsonpath={range .items[*]}{.spec.containers[0].image}{'\\n'}{end}", "httpd\n"),
        ("jsonpath={.items[?(@.status.phase=='Running')].metadata.labels.tier}", "front"),
        ("custom-columns=N:.metadata.name,I:.spec.containers[*].image", "N     I\nweb   httpd\n"),
        ("go-template={{range .items}}{{.metadata.name}}{{end}}", "web"),
        ("name", "pod/web\n"),
    ],
)
def test_output_forms(web: Kubectl, form: str, printed: str) -> None:
    assert web("get", "pods", "-o", form) == printed


def test_selecting_and_sorting(web: Kubectl) -> None:
    assert web("get", "pods", "--field-selector=status.phase=Running,metadata.name=web", "-o", "name") == "pod/web\n"
    assert web("get", "pods", "--field-selector=spec.nodeName=nosuch", "-o", "name") == ""
    assert "field label not supported: spec.nosuch" in web.refused("get", "pods", "--field-selector=spec.nosuch=1")
    assert web("get", "pods", "--show-labels", "--no-headers").split()[-1] == "app=web,tier=front"
    named = web("get", "cm,svc", "--sort-by=.metadata.creationTimestamp", "-o", "name").split()
    assert named == ["configmap/kube-root-ca.crt", "service/web"]
    system = web("get", "pods", "-A", "--sort-by=.metadata.namespace", "--no-headers").splitlines()
    assert [line.split()[0] for line in system] == sorted(line.split()[0] for line in system)
    assert web.run("get", "pods", "nosuch").stderr == 'Error from server (NotFound): pods "nosuch" not found\n'
    assert web("get", "pods", "nosuch", "--ignore-not-found") == ""
    assert web("get", "deploy", "-l", "app=nosuch") == ""


def test_watching_tells_each_event(k: Kubectl) -> None:
    with k.running("get", "configmaps", "-w", "--output-watch-events", "--no-headers") as watching:
        assert watching.stdout
        assert watching.stdout.readline().split()[:2] == ["ADDED", "kube-root-ca.crt"]
        k("create", "configmap", "c")
        k("label", "configmap", "c", "a=b")
        k("delete", "configmap", "c")
        seen = [watching.stdout.readline().split()[:2] for _ in range(3)]
    assert seen == [["ADDED", "c"], ["MODIFIED", "c"], ["DELETED", "c"]]


def test_events(web: Kubectl) -> None:
    said = web("events", "--for", "pod/web")
    assert all(reason in said for reason in ("Scheduled", "Pulled", "Created", "Started"))
    assert "Scheduled" in web("get", "events", "--field-selector=involvedObject.name=web,reason=Scheduled")
    assert web("events", "--types=Warning").strip() == ""
    assert "Successfully assigned" in web("describe", "pod", "web")


@pytest.mark.parametrize("kind", ["pod", "svc", "endpointslices", "endpoints", "cm", "sa", "ns", "node", "events"])
def test_describe_has_something_to_say(web: Kubectl, kind: str) -> None:
    assert re.search(r"^Name: +\S", web("describe", kind), re.MULTILINE)


# --- waiting ---


def test_wait(k: Kubectl) -> None:
    with k.running("wait", "--for=create", "pod/late", "--timeout=20s") as waiting:
        k("apply", "-f", "-", input=POD % ("late", "late"))
        assert waiting.wait(20) == 0
    assert k("wait", "--for=condition=Ready", "pod/late", "--timeout=20s") == "pod/late condition met\n"
    assert k("wait", "--for=jsonpath={.status.phase}=Running", "pod/late") == "pod/late condition met\n"
    assert "timed out waiting for the condition" in k.refused("wait", "--for=delete", "pod/late", "--timeout=0.2s")
    k("delete", "pod", "late", "--wait=false")
    k("wait", "--for=delete", "pod/late", "--timeout=20s")
    assert k("get", "pods", "-o", "name") == ""
    assert 'pods "late" not found' in k.refused("wait", "--for=condition=Ready", "pod/late", "--timeout=1s")


# --- inside Pods ---


def test_cp(web: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "page").write_text("hello\n" * 10_000)
    web("cp", str(tmp_path / "page"), "web:/tmp/page")
    web("cp", "web:/tmp/page", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == (tmp_path / "page").read_text()


def test_attach_ends_with_its_input_where_the_container_keeps_its_own_open(k: Kubectl) -> None:
    k("run", "open", "-i", "--leave-stdin-open", "--image=busybox", "--restart=Never", "--", "cat", input="word\n")
    assert k("get", "pod", "open", "-o", "jsonpath={.status.phase}") == "Running"
    eventually(lambda: k("logs", "open") == "word\n", "the input in the log")
    k("delete", "pod", "open", "--now")


def test_attach(k: Kubectl) -> None:
    script = "stdin: true, command: [sh, -c, 'read x; echo heard $x; sleep 0.2']"
    k("apply", "-f", "-", input=POD.replace("image: httpd", f"image: busybox, {script}") % ("echo", "echo"))
    k("wait", "--for=condition=Ready", "pod/echo", "--timeout=20s")
    assert "heard word\n" in k("attach", "echo", "-i", input="word\n")


def test_debug_with_a_container_and_with_a_copy(k: Kubectl) -> None:
    k("apply", "-f", "-", input=POD % ("main", "main"))
    k("wait", "--for=condition=Ready", "pod/main", "--timeout=20s")
    k("debug", "main", "--image=busybox", "-c", "look", "--target=main", "--", "sh", "-c", "echo looked")
    eventually(lambda: k.run("logs", "main", "-c", "look").stdout == "looked\n", "the debug container's log")
    k("debug", "main", "--image=busybox", "--copy-to=copy", "-c", "look", "--", "sleep", "100")
    containers = k("get", "pod", "copy", "-o", "jsonpath={.spec.containers[*].name}")
    assert containers.split() == ["main", "look"]


@pytest.mark.parametrize("target", ["pod/web", "svc/web"])
def test_port_forward(web: Kubectl, target: str) -> None:
    with web.running("port-forward", target, ":80") as forwarding:
        assert forwarding.stdout
        port = re.search(r"127\.0\.0\.1:(\d+)", forwarding.stdout.readline())
        assert port
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/", timeout=10) as answer:
                assert b"It works!" in answer.read()


def test_proxy(web: Kubectl) -> None:
    with web.running("proxy", "--port=0") as proxying:
        assert proxying.stdout
        port = re.search(r"127\.0\.0\.1:(\d+)", proxying.stdout.readline())
        assert port
        base = f"http://127.0.0.1:{port[1]}/api/v1/namespaces/clients-looks"
        for path in ("pods/web/proxy/", "services/web/proxy/", "services/web:80/proxy/"):
            with urllib.request.urlopen(f"{base}/{path}", timeout=10) as answer:
                assert b"It works!" in answer.read()


def test_run_with_a_terminal_and_removal(k: Kubectl) -> None:
    said = k("run", "once", "--image=busybox", "--rm", "-i", "--restart=Never", "--", "cat", input="typed\n")
    assert "typed\n" in said
    assert k("get", "pods", "-o", "name") == ""


def test_logs_of_several(web: Kubectl) -> None:
    prefixed = web("logs", "-l", "app=web", "--prefix", "--tail=1")
    assert prefixed.startswith("[pod/web/web] ")
    assert re.match(r"\d{4}-\d\d-\d\dT", web("logs", "web", "--timestamps", "--tail=1"))
    assert web("logs", "web", "--since=1h") == web("logs", "web", "--since-time=2000-01-01T00:00:00Z") != ""


# --- on nodes ---


def test_cordon_taint_drain(own_cluster: EmbeddedCluster) -> None:
    from kubectls import newest

    own_cluster.start()
    k = newest(own_cluster)
    (node,) = own_cluster.nodes()
    k("create", "deployment", "web", "--image=httpd")
    k("rollout", "status", "deploy/web")
    assert k("cordon", node) == f"node/{node} cordoned\n"
    assert "SchedulingDisabled" in k("get", "node", node)
    k("apply", "-f", "-", input=POD % ("bare", "bare"))
    eventually(lambda: "FailedScheduling" in k("events", "--for", "pod/bare"), "the scheduler's word")
    k("uncordon", node)
    k("wait", "--for=condition=Ready", "pod/bare", "--timeout=20s")
    assert "cannot delete" in k.refused("drain", node, "--ignore-daemonsets")
    drained = k("drain", node, "--ignore-daemonsets", "--force", "--delete-emptydir-data", "--timeout=60s")
    assert "evicting pod default/bare" in drained and f"node/{node} drained" in drained
    k("uncordon", node)
    k("rollout", "status", "deploy/web", "--timeout=30s")
    assert k("taint", "nodes", node, "a=b:NoExecute") == f"node/{node} tainted\n"
    eventually(lambda: "web" not in k("get", "pods", "--field-selector=status.phase=Running"), "the eviction")
    assert k("taint", "nodes", node, "a-") == f"node/{node} untainted\n"
    k("rollout", "status", "deploy/web", "--timeout=30s")
