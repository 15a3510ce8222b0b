"""Clients of other people: kr8s, lightkube, and an operator made with kopf."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import pytest
from kubectls import Kubectl, eventually

from lab_helpers.clusters import EmbeddedCluster

pytestmark = [pytest.mark.kernel, pytest.mark.kubectl]

# --- kr8s ---


def test_kr8s_makes_a_deployment_and_reads_its_pod(cluster: EmbeddedCluster, k: Kubectl) -> None:
    import kr8s
    from kr8s.objects import Deployment, Service

    api = kr8s.api(kubeconfig=str(cluster.kubeconfig), namespace=k.namespace)
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "httpd"}]}}
    meta = {"name": "web", "namespace": k.namespace}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    deployment = Deployment({"metadata": meta, "spec": spec}, api=api)
    deployment.create()
    deployment.wait("condition=Available", timeout=20)
    deployment.scale(2)
    eventually(lambda: len(deployment.pods()) == 2, "two Pods")
    (first, _second) = deployment.pods()
    first.wait("condition=Ready", timeout=20)
    assert first.exec(["echo", "hello"]).stdout == b"hello\n"
    assert any("resuming normal operations" in line for line in first.logs())
    Service({"metadata": meta, "spec": {"selector": labels, "ports": [{"port": 80}]}}, api=api).create()
    service = Service.get("web", namespace=k.namespace, api=api)
    service.label(tier="front")
    assert [found.name for found in api.get("services", label_selector="tier=front", namespace=k.namespace)] == ["web"]
    with (
        service.portforward(80, local_port="auto") as port,
        urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer,
    ):
        assert b"It works!" in answer.read()
    deployment.delete(propagation_policy="Foreground")
    eventually(lambda: not deployment.exists(), "the Deployment's end")


def test_kr8s_watches_without_blocking(cluster: EmbeddedCluster, k: Kubectl) -> None:
    from kr8s.asyncio import api as connect
    from kr8s.asyncio.objects import ConfigMap

    async def scenario() -> list[tuple[str, str]]:
        api = await connect(kubeconfig=str(cluster.kubeconfig), namespace=k.namespace)
        seen: list[tuple[str, str]] = []

        async def watch() -> None:
            async for event, found in api.watch("configmaps", namespace=k.namespace, field_selector="metadata.name=c"):
                seen.append((event, found.name))
                if event == "DELETED":
                    return

        watching = asyncio.create_task(watch())
        config_map = await ConfigMap({"metadata": {"name": "c", "namespace": k.namespace}}, api=api)
        await config_map.create()
        while not seen:
            await asyncio.sleep(0.02)
        await config_map.patch({"data": {"a": "b"}})
        await config_map.delete()
        await asyncio.wait_for(watching, 20)
        return seen

    assert asyncio.run(scenario()) == [("ADDED", "c"), ("MODIFIED", "c"), ("DELETED", "c")]


# --- lightkube ---


@pytest.fixture
def lightkube_client(cluster: EmbeddedCluster, k: Kubectl) -> Any:
    from lightkube import Client, KubeConfig

    return Client(KubeConfig.from_file(cluster.kubeconfig), namespace=k.namespace, field_manager="lightkube-test")


def test_lightkube_applies(lightkube_client: Any) -> None:
    from lightkube import ApiError
    from lightkube.models.core_v1 import ServicePort, ServiceSpec
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.core_v1 import Service

    spec = ServiceSpec(ports=[ServicePort(port=80, name="http")], selector={"app": "web"})
    service = Service(metadata=ObjectMeta(name="s"), spec=spec)
    made = lightkube_client.apply(service)
    assert made.spec.clusterIP.startswith("10.96.")
    spec.ports.append(ServicePort(port=443, name="https"))
    assert [port.port for port in lightkube_client.apply(service).spec.ports] == [80, 443]
    spec.ports.pop(0)
    with pytest.raises(ApiError) as conflict:
        lightkube_client.apply(
            Service(metadata=ObjectMeta(name="s"), spec=ServiceSpec(selector={"app": "other"})), field_manager="other"
        )
    assert conflict.value.status.code == 409
    assert [port.port for port in lightkube_client.apply(service).spec.ports] == [443]
    with pytest.raises(ApiError, match="not found"):
        lightkube_client.get(Service, "nosuch")
    lightkube_client.delete(Service, "s")


def test_lightkube_watches(lightkube_client: Any) -> None:
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.core_v1 import ConfigMap

    found = lightkube_client.list(ConfigMap)
    assert [config_map.metadata.name for config_map in found] == ["kube-root-ca.crt"]
    lightkube_client.create(ConfigMap(metadata=ObjectMeta(name="c", labels={"a": "b"})))
    lightkube_client.patch(ConfigMap, "c", {"data": {"x": "y"}})
    lightkube_client.delete(ConfigMap, "c")
    seen = []
    for event, config_map in lightkube_client.watch(ConfigMap, resource_version=found.resourceVersion):
        seen.append((event, config_map.metadata.name))
        if event == "DELETED":
            break
    assert seen == [("ADDED", "c"), ("MODIFIED", "c"), ("DELETED", "c")]


# --- kopf ---


@pytest.fixture
def operator(cluster: EmbeddedCluster, k: Kubectl, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An operator that keeps a Secret for each ConfigMap labelled `mirror`."""
    import kopf
    from kubernetes import client, config

    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    registry = kopf.OperatorRegistry()

    @kopf.on.create("", "v1", "configmaps", labels={"mirror": kopf.PRESENT}, registry=registry)
    @kopf.on.update("", "v1", "configmaps", labels={"mirror": kopf.PRESENT}, registry=registry)
    def copy(name: str, namespace: str, body: Any, **_: Any) -> None:
        child = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{name}-copy"}}
        child["stringData"] = dict(body.get("data") or {})
        kopf.info(body, reason="Copied", message="There is a copy.")
        try:
            kopf.adopt(child, owner=body)
            core.create_namespaced_secret(namespace, child)
        except client.ApiException as error:
            if error.status != 409:
                raise
            core.patch_namespaced_secret(f"{name}-copy", namespace, {"stringData": child["stringData"]})

    @kopf.on.delete("", "v1", "configmaps", labels={"mirror": kopf.PRESENT}, registry=registry)
    def forget(name: str, namespace: str, **_: Any) -> None:
        core.create_namespaced_config_map(namespace, {"metadata": {"name": f"{name}-was-here"}})

    kopf.on.login(registry=registry)(kopf.login_with_kubeconfig)
    stop, ready = threading.Event(), threading.Event()
    running = threading.Thread(
        target=kopf.run,
        kwargs={
            "registry": registry,
            "namespaces": [k.namespace],
            "standalone": True,
            "stop_flag": stop,
            "ready_flag": ready,
        },
    )
    running.start()
    assert ready.wait(20), "kopf did not start"
    yield
    stop.set()
    running.join(20)
    assert not running.is_alive()


@pytest.mark.usefixtures("operator")
def test_a_kopf_operator_reconciles(k: Kubectl) -> None:
    def copied() -> str:
        return k.run("get", "secret", "c-copy", "-o", "go-template={{.data.a | base64decode}}").stdout

    k("create", "configmap", "c", "--from-literal=a=one")
    k("label", "configmap", "c", "mirror=yes")
    eventually(lambda: copied() == "one", "the copy")
    assert "kopf.zalando.org/KopfFinalizerMarker" in k("get", "cm", "c", "-o", "jsonpath={.metadata.finalizers}")
    k("patch", "configmap", "c", "-p", '{"data":{"a":"two"}}')
    eventually(lambda: copied() == "two", "the copy's update")
    k("delete", "configmap", "c")
    assert k("get", "cm", "c-was-here", "-o", "name") == "configmap/c-was-here\n"
    eventually(lambda: k.run("get", "secret", "c-copy").returncode != 0, "garbage collection of the copy")
    eventually(lambda: "There is a copy." in k("events", "--for", "configmap/c"), "the operator's Events")


DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: greetings.lab.example.com}
spec:
  group: lab.example.com
  scope: Namespaced
  names: {plural: greetings, kind: Greeting}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns: [{name: Said, type: string, jsonPath: .status.said}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {to: {type: string}, times: {type: integer, default: 1}}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""


@pytest.fixture
def greeter(cluster: EmbeddedCluster, k: Kubectl, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An operator of a kind of its own, which answers in the status."""
    import kopf

    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    k("apply", "-f", "-", input=DEFINITION)
    registry = kopf.OperatorRegistry()

    @kopf.on.create("lab.example.com", "v1", "greetings", registry=registry)
    @kopf.on.update("lab.example.com", "v1", "greetings", registry=registry)
    def greet(spec: Any, patch: Any, **_: Any) -> None:
        patch.status["said"] = " ".join(["hello", *[spec["to"]] * spec["times"]])

    kopf.on.login(registry=registry)(kopf.login_with_kubeconfig)
    stop, ready = threading.Event(), threading.Event()
    options = {"registry": registry, "namespaces": [k.namespace], "stop_flag": stop, "ready_flag": ready}
    running = threading.Thread(target=kopf.run, kwargs={**options, "standalone": True})
    running.start()
    assert ready.wait(20), "kopf did not start"
    yield
    stop.set()
    running.join(20)
    assert not running.is_alive()
    k("delete", "crd", "greetings.lab.example.com")


@pytest.mark.usefixtures("greeter")
def test_a_kopf_operator_serves_a_kind_of_its_own(cluster: EmbeddedCluster, k: Kubectl) -> None:
    from kubernetes import client, config

    api = client.CustomObjectsApi(config.new_client_from_config(str(cluster.kubeconfig)))
    where = ("lab.example.com", "v1", k.namespace, "greetings")

    def said() -> str:
        return str((api.get_namespaced_custom_object(*where, "one").get("status") or {}).get("said"))

    greeting = {"apiVersion": "lab.example.com/v1", "kind": "Greeting", "metadata": {"name": "one"}}
    api.create_namespaced_custom_object(*where, {**greeting, "spec": {"to": "world"}})
    eventually(lambda: said() == "hello world", "the answer")
    assert k("get", "greeting", "one", "--no-headers").split() == ["one", "hello", "world"]
    api.patch_namespaced_custom_object(*where, "one", {"spec": {"to": "you", "times": 2}})
    eventually(lambda: said() == "hello you you", "the answer to the change")
    api.delete_namespaced_custom_object(*where, "one")
    eventually(lambda: not api.list_namespaced_custom_object(*where)["items"], "the end")
