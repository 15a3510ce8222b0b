"""The official Python client: models, watches, informers, streams, the dynamic client, YAML files, leader election."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kubectls import eventually

from lab_helpers.clusters import EmbeddedCluster

pytestmark = pytest.mark.kernel

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def api(cluster: EmbeddedCluster) -> Iterator[Any]:
    client = cluster.api_client()
    yield client
    client.close()


@pytest.fixture
def core(api: Any) -> Any:
    from kubernetes.client import CoreV1Api

    return CoreV1Api(api)


@pytest.fixture
def namespace(core: Any) -> Iterator[str]:
    name = f"official-{next(_numbers)}"
    core.create_namespace({"metadata": {"name": name}})
    eventually(lambda: core.list_namespaced_service_account(name).items, "the default service account")
    yield name
    core.delete_namespace(name)


@pytest.fixture
def web(core: Any, namespace: str) -> str:
    """A running Pod in the namespace."""
    container = {"name": "main", "image": "httpd", "ports": [{"containerPort": 80}]}
    core.create_namespaced_pod(namespace, {"metadata": {"name": "web"}, "spec": {"containers": [container]}})

    def ready() -> bool:
        conditions = core.read_namespaced_pod("web", namespace).status.conditions or []
        return any(condition.type == "Ready" and condition.status == "True" for condition in conditions)

    eventually(ready, "the Pod's readiness")
    return "web"


def test_models_make_the_round_trip(api: Any, namespace: str) -> None:
    from kubernetes import client

    apps = client.AppsV1Api(api)
    container = client.V1Container(name="c", image="httpd", ports=[client.V1ContainerPort(container_port=80)])
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"app": "web"}), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(
        replicas=1, selector=client.V1LabelSelector(match_labels={"app": "web"}), template=template
    )
    made = apps.create_namespaced_deployment(
        namespace, client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec)
    )
    assert made.spec.strategy.rolling_update.max_surge == "25%"
    made.spec.replicas = 0
    with pytest.raises(client.ApiException) as stale:
        made.metadata.resource_version = "1"
        apps.replace_namespaced_deployment("web", namespace, made)
    assert (stale.value.status, stale.value.reason) == (409, "Conflict")
    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 2}})
    assert apps.read_namespaced_deployment_scale("web", namespace).spec.replicas == 2
    eventually(lambda: apps.read_namespaced_deployment("web", namespace).status.ready_replicas == 2, "two Pods")
    patch = [{"op": "replace", "path": "/spec/replicas", "value": 0}]
    assert apps.patch_namespaced_deployment("web", namespace, patch).spec.replicas == 0
    apps.delete_namespaced_deployment("web", namespace, propagation_policy="Foreground")
    eventually(lambda: not apps.list_namespaced_deployment(namespace).items, "the Deployment's end")
    assert not apps.list_namespaced_replica_set(namespace).items


def test_lists_come_in_pages_of_one_moment(core: Any, namespace: str) -> None:
    for number in range(5):
        core.create_namespaced_config_map(namespace, {"metadata": {"name": f"c{number}", "labels": {"app": "x"}}})
    first = core.list_namespaced_config_map(namespace, limit=2, label_selector="app=x")
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "c5", "labels": {"app": "x"}}})
    names = [item.metadata.name for item in first.items]
    page = first
    while page.metadata._continue:
        page = core.list_namespaced_config_map(
            namespace, limit=2, label_selector="app=x", _continue=page.metadata._continue
        )
        names += [item.metadata.name for item in page.items]
    assert names == ["c0", "c1", "c2", "c3", "c4"]
    assert core.delete_collection_namespaced_config_map(namespace, label_selector="app=x")
    assert [item.metadata.name for item in core.list_namespaced_config_map(namespace).items] == ["kube-root-ca.crt"]


def test_a_watch_goes_on_where_it_stopped(core: Any, namespace: str) -> None:
    from kubernetes import watch

    def events(count: int, since: str) -> tuple[list[tuple[str, str]], str]:
        watching, seen = watch.Watch(), []
        for event in watching.stream(
            core.list_namespaced_config_map, namespace, resource_version=since, timeout_seconds=20
        ):
            seen.append((event["type"], event["object"].metadata.name))
            if len(seen) == count:
                watching.stop()
        return seen, watching.resource_version

    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "c"}})
    core.patch_namespaced_config_map("c", namespace, {"data": {"a": "b"}})
    seen, middle = events(2, start)
    assert seen == [("ADDED", "c"), ("MODIFIED", "c")]
    core.delete_namespaced_config_map("c", namespace)
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "d"}})
    assert events(2, middle)[0] == [("DELETED", "c"), ("ADDED", "d")]


def test_an_informer_keeps_a_copy(core: Any, namespace: str) -> None:
    informer_module = pytest.importorskip("kubernetes.informer", reason="This client has no informers.")
    informer = informer_module.SharedInformer(list_func=core.list_namespaced_config_map, namespace=namespace)
    informer.start()
    try:
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "c"}})
        eventually(lambda: "c" in {item.metadata.name for item in informer.cache.list()}, "the informer's copy")
    finally:
        informer.stop()


def test_commands_run_through_stream(core: Any, namespace: str, web: str) -> None:
    from kubernetes.stream import stream

    call = core.connect_get_namespaced_pod_exec
    said = stream(call, web, namespace, command=["sh", "-c", "echo out; echo err >&2"], stdout=True, stderr=True)
    assert said == "out\nerr\n"
    shell = stream(call, web, namespace, command=["sh"], stdin=True, stdout=True, stderr=True, _preload_content=False)
    shell.write_stdin("echo $((6*7)); exit 3\n")
    shell.run_forever(timeout=10)
    assert (shell.read_stdout(), shell.returncode) == ("42\n", 3)


def test_ports_are_forwarded(core: Any, namespace: str, web: str) -> None:
    from kubernetes.stream import portforward

    forwarded = portforward(core.connect_get_namespaced_pod_portforward, web, namespace, ports="80")
    connection = forwarded.socket(80)
    connection.settimeout(10)
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    received = b""
    while more := connection.recv(4096):
        received += more
    assert b"It works!" in received
    assert forwarded.error(80) is None


def test_logs_and_proxies(core: Any, namespace: str, web: str) -> None:
    assert "resuming normal operations" in core.read_namespaced_pod_log(web, namespace)
    assert "It works!" in core.connect_get_namespaced_pod_proxy(web, namespace)


def test_the_dynamic_client(api: Any, namespace: str) -> None:
    from kubernetes.dynamic import DynamicClient

    services = DynamicClient(api).resources.get(api_version="v1", kind="Service")
    body = {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    made = services.create(body=body, namespace=namespace)
    assert made.spec.clusterIP.startswith("10.96.")
    applied = services.server_side_apply(
        body={**body, "metadata": {"name": "s", "labels": {"a": "b"}}}, namespace=namespace, field_manager="me"
    )
    assert applied.metadata.labels.a == "b"
    assert [item.metadata.name for item in services.get(namespace=namespace).items] == ["s"]
    assert [event["type"] for event in services.watch(namespace=namespace, timeout=1)] == ["ADDED"]
    services.delete(name="s", namespace=namespace)


def test_files_are_created(api: Any, core: Any, namespace: str) -> None:
    from kubernetes import utils

    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    utils.create_from_yaml(api, yaml_objects=[service, config_map], namespace=namespace)
    assert core.read_namespaced_service("s", namespace).spec.cluster_ip
    with pytest.raises(utils.FailToCreateError, match="already exists"):
        utils.create_from_yaml(api, yaml_objects=[config_map], namespace=namespace)


def test_one_leader_is_elected(cluster: EmbeddedCluster, core: Any, namespace: str) -> None:
    from kubernetes import config
    from kubernetes.leaderelection import electionconfig, leaderelection
    from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock

    config.load_kube_config(str(cluster.kubeconfig))
    leading: list[str] = []

    def run(name: str) -> None:
        lead = lambda: (leading.append(name), time.sleep(0.1))  # noqa: E731
        lock = ConfigMapLock("lock", namespace, name)
        leaderelection.LeaderElection(
            electionconfig.Config(lock, 3, 2, 1, onstarted_leading=lead, onstopped_leading=lambda: None)
        ).run()

    for name in ("one", "two"):
        threading.Thread(target=run, args=(name,), daemon=True).start()
    eventually(lambda: leading, "a leader")
    record = core.read_namespaced_config_map("lock", namespace).metadata.annotations
    assert leading[0] in record["control-plane.alpha.kubernetes.io/leader"]
    assert len(leading) == 1
