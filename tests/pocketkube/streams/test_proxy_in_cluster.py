"""Pods, Services and nodes through the API server's proxy, and through `kubectl proxy`."""

from __future__ import annotations

import json
import urllib.request

import pytest
from streaming_cluster import Kubectl

pytestmark = [pytest.mark.kernel, pytest.mark.kubectl]

HERE = "/api/v1/namespaces/streams"
WORKS = "<html><body><h1>It works!</h1></body></html>\n"


@pytest.mark.parametrize(
    "path",
    [
        "pods/web/proxy/",
        "pods/web:80/proxy/",
        "pods/http:web:80/proxy/index.html",
        "services/web:8080/proxy/",
        "services/web:http/proxy/",
        "services/http:web:http/proxy/",
    ],
)
def test_a_pod_answers(one_kubectl: Kubectl, path: str) -> None:
    assert one_kubectl("get", "--raw", f"{HERE}/{path}") == WORKS


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("services/empty:http/proxy/", '(ServiceUnavailable): no endpoints available for service "empty"'),
        ("services/web:nosuch/proxy/", '(ServiceUnavailable): no endpoints available for service "web:nosuch"'),
        ("services/web:81/proxy/", '(ServiceUnavailable): no service port 81 found for service "web"'),
        ("services/nosuch/proxy/", '(NotFound): services "nosuch" not found'),
        ("services/nosuch:80/proxy/", '(NotFound): services "nosuch" not found'),
        ("services/a:b:c:d/proxy/", '(BadRequest): invalid service request "a:b:c:d"'),
        ("pods/nosuch/proxy/", '(NotFound): pods "nosuch" not found'),
        ("pods/ftp:web:80/proxy/", '(BadRequest): invalid pod request "ftp:web:80"'),
        ("pods/https:web:80/proxy/", "error trying to reach service: http: server gave HTTP response to HTTPS client"),
    ],
)
def test_what_can_not_be_reached_is_said(one_kubectl: Kubectl, path: str, error: str) -> None:
    assert error in one_kubectl.fails("get", "--raw", f"{HERE}/{path}")


def test_a_closed_port_refuses(one_kubectl: Kubectl) -> None:
    said = one_kubectl.fails("get", "--raw", f"{HERE}/pods/web:81/proxy/")
    assert "error trying to reach service: dial tcp 10.244." in said and said.endswith("connect: connection refused\n")


def test_a_node_shows_its_kubelet(one_kubectl: Kubectl) -> None:
    node = one_kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    path = f"/api/v1/nodes/{node}"
    assert one_kubectl("get", "--raw", f"{path}/proxy/healthz") == "ok"
    pods = json.loads(one_kubectl("get", "--raw", f"{path}:10250/proxy/pods"))
    assert "web" in [pod["metadata"]["name"] for pod in pods["items"]]
    metrics = one_kubectl("get", "--raw", f"{path}/proxy/metrics")
    assert f'kubelet_node_name{{node="{node}"}} 1\n' in metrics and "kubelet_running_pods " in metrics
    settings = json.loads(one_kubectl("get", "--raw", f"{path}/proxy/configz"))
    assert settings["kubeletconfig"]["clusterDNS"] == ["10.96.0.10"]
    assert 'nodes "nosuch" not found' in one_kubectl.fails("get", "--raw", "/api/v1/nodes/nosuch/proxy/healthz")


def test_kubectl_proxy_opens_the_api_and_what_is_behind_it(kubectl: Kubectl) -> None:
    proxy = kubectl.start("proxy", "--port=0", "--address=127.0.0.1")
    try:
        assert proxy.stdout is not None
        root = "http://" + proxy.stdout.readline().decode().rsplit(" ", 1)[1].strip()
        with urllib.request.urlopen(f"{root}/version", timeout=10) as answer:
            assert json.load(answer)["gitVersion"].startswith("v1.")
        # Without its last slash the address is redirected, which a client follows.
        for path in ("services/web:http/proxy/", "pods/web:80/proxy"):
            with urllib.request.urlopen(f"{root}{HERE}/{path}", timeout=10) as answer:
                assert answer.read().decode() == WORKS
    finally:
        proxy.kill()
        proxy.communicate()
