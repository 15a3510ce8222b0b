"""A cluster of three nodes: who reaches whom, across nodes and from outside, and under which address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from lab_helpers.clusters import EmbeddedCluster

pytestmark = [pytest.mark.kernel, pytest.mark.kubectl]

NODES = ("trio", "trio-m02", "trio-m03")

WHO = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: who}
spec:
  selector: {matchLabels: {app: who}}
  template:
    metadata: {labels: {app: who}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: traefik/whoami, ports: [{containerPort: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: who}
spec: {type: NodePort, selector: {app: who}, ports: [{port: 80, nodePort: 30080}]}
"""


@pytest.fixture(scope="module")
def trio(servicelab_home: Path) -> Iterator[EmbeddedCluster]:
    cluster = EmbeddedCluster("trio")
    cluster.start(nodes=3)
    try:
        assert cluster.kubectl("apply", "-f", "-", input=WHO).ok
        assert cluster.kubectl("rollout", "status", "daemonset/who", "--timeout=20s").ok
        yield cluster
    finally:
        cluster.delete()


def get(cluster: EmbeddedCluster, *what: str) -> Any:
    return json.loads(cluster.kubectl("get", *what, "-o", "json").stdout)


def pods(cluster: EmbeddedCluster) -> dict[str, tuple[str, str]]:
    """The name and the address of the Pod on each node."""
    items = get(cluster, "pods", "-l", "app=who")["items"]
    return {i["spec"]["nodeName"]: (i["metadata"]["name"], i["status"]["podIP"]) for i in items}


def client_seen(answer: str) -> str:
    """The client's address as the web server saw it."""
    return answer.partition("RemoteAddr: ")[2].partition(":")[0]


def ask(cluster: EmbeddedCluster, place: str, address: str) -> str:
    curl = ["curl", "-sS", "-m", "3", f"http://{address}"]
    if place == "outside":
        return cluster.outside(curl).stdout
    if place in NODES:
        return cluster.node_shell(curl, node=place).stdout
    return cluster.kubectl("exec", place, "--", *curl).stdout


def test_every_node_has_its_name_its_range_and_a_shell(trio: EmbeddedCluster) -> None:
    nodes = get(trio, "nodes")["items"]
    assert [node["metadata"]["name"] for node in nodes] == [*NODES]
    assert [node["spec"]["podCIDR"] for node in nodes] == [f"10.244.{n}.0/24" for n in range(3)]
    control_plane = "node-role.kubernetes.io/control-plane"
    assert [control_plane in node["metadata"]["labels"] for node in nodes] == [True, False, False]
    for index, name in enumerate(NODES):
        assert trio.node_shell(["hostname"], node=name).stdout.strip() == name
        assert pods(trio)[name][1].startswith(f"10.244.{index}.")
    # A new object, as another terminal would make it, knows the same nodes.
    assert EmbeddedCluster("trio").nodes() == [*NODES]


def test_a_pod_keeps_its_address_on_the_way_to_another_node_s_pod(trio: EmbeddedCluster) -> None:
    there = pods(trio)
    for here, (name, own) in there.items():
        for node, (_, ip) in there.items():
            assert client_seen(ask(trio, name, ip)) == own, (here, node)
    # Not so to the world outside: the node stands in for its Pods.
    name, ip = there["trio-m03"]
    assert client_seen(ask(trio, "trio-m02", ip)) == "192.168.49.3"
    big = trio.kubectl("exec", name, "--", "cat", "/sys/class/net/eth0/mtu").stdout
    assert big.strip() == trio.node_shell(["cat", "/sys/class/net/eth0/mtu"]).stdout.strip() == "1500"


def test_any_node_answers_for_a_service_with_its_own_address(trio: EmbeddedCluster) -> None:
    cluster_ip = get(trio, "service", "who")["spec"]["clusterIP"]
    there = pods(trio)
    addresses = {ip for _, ip in there.values()}
    name, own = there["trio-m02"]
    seen = {client_seen(ask(trio, name, cluster_ip)) for _ in range(12)}
    # Hairpin: the Pod that meets itself sees the node instead.
    assert seen <= {own, "10.244.1.1"} and own in seen
    for index in range(3):
        node = f"192.168.49.{2 + index}"
        # Over another node's Pod the entry node's address, over its own Pod the address of its Pod network.
        assert client_seen(ask(trio, "outside", f"{node}:30080")) in {node, f"10.244.{index}.1"}
    assert ask(trio, "outside", cluster_ip) == ""
    assert not addresses & {client_seen(ask(trio, "outside", "192.168.49.2:30080"))}
    until(lambda: "Hostname" in ask(trio, "trio", f"{cluster_ip}"))


def test_a_load_balancer_spreads_connections_over_the_nodes(trio: EmbeddedCluster) -> None:
    selector = '{"spec": {"selector": {"app": "who"}}}'
    assert trio.kubectl("create", "service", "loadbalancer", "lb", "--tcp=80").ok
    assert trio.kubectl("patch", "service", "lb", "-p", selector).ok
    until(lambda: bool(get(trio, "service", "lb")["status"]["loadBalancer"].get("ingress")))
    address = get(trio, "service", "lb")["status"]["loadBalancer"]["ingress"][0]["ip"]
    until(lambda: "Hostname" in ask(trio, "outside", address))
    entries = {client_seen(ask(trio, "outside", address)) for _ in range(30)}
    # The node that a connection came in by stands for the client.
    assert {"192.168.49.2", "192.168.49.3", "192.168.49.4"} <= entries


def test_under_policy_local_only_nodes_with_endpoints_are_asked_and_see_the_client(trio: EmbeddedCluster) -> None:
    assert trio.kubectl("label", "pod", pods(trio)["trio-m02"][0], "role=chosen").ok
    local = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "local"},
        "spec": {
            "type": "LoadBalancer",
            "externalTrafficPolicy": "Local",
            "selector": {"role": "chosen"},
            "ports": [{"port": 80, "nodePort": 30081}],
        },
    }
    assert trio.kubectl("apply", "-f", "-", input=json.dumps(local)).ok
    until(lambda: bool(get(trio, "service", "local")["status"]["loadBalancer"].get("ingress")))
    service = get(trio, "service", "local")
    address = service["status"]["loadBalancer"]["ingress"][0]["ip"]
    until(lambda: "Hostname" in ask(trio, "outside", address))
    assert {client_seen(ask(trio, "outside", address)) for _ in range(5)} == {"192.168.49.1"}
    assert client_seen(ask(trio, "outside", "192.168.49.3:30081")) == "192.168.49.1"
    assert ask(trio, "outside", "192.168.49.2:30081") == "", "dropped where there is no endpoint"
    check = service["spec"]["healthCheckNodePort"]
    health = {ip: json.loads(ask(trio, "outside", f"{ip}:{check}")) for ip in ("192.168.49.2", "192.168.49.3")}
    assert [health[ip]["localEndpoints"] for ip in sorted(health)] == [0, 1]
    # A Pod takes the short cut to all endpoints, wherever it is, and the node itself is masqueraded.
    elsewhere = pods(trio)["trio-m03"]
    assert client_seen(ask(trio, elsewhere[0], address)) == elsewhere[1]
    assert client_seen(ask(trio, "trio-m03", address)) == "192.168.49.4"
