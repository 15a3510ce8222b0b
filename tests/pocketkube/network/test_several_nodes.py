"""A cluster of three nodes: who reaches whom, across nodes and from outside, and under which address.

All of it in each of kube-proxy's modes.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from lab_helpers.clusters import EmbeddedCluster
from lab_helpers.pocketkube.interception.probe import why_not

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


GROUNDS = (("iptables", "kernel"), ("nftables", "kernel"), ("iptables", "userspace"))


@pytest.fixture(scope="module", params=GROUNDS, ids="-".join)
def trio(request: pytest.FixtureRequest, servicelab_home: Path) -> Iterator[EmbeddedCluster]:
    proxy_mode, engine = request.param
    if engine == "userspace" and (why := why_not()):
        pytest.skip(why)
    cluster = EmbeddedCluster("trio")
    cluster.start(nodes=3, proxy_mode=proxy_mode, engine=engine)
    try:
        assert cluster.kubectl("apply", "-f", "-", input=WHO).ok
        assert cluster.kubectl("rollout", "status", "daemonset/who", "--timeout=20s").ok
        yield cluster
    finally:
        cluster.delete()


@pytest.fixture(autouse=True)
def _only(request: pytest.FixtureRequest, trio: EmbeddedCluster) -> None:
    mark = request.node.get_closest_marker("only")
    if mark is not None and mark.args[0] != trio.config.engine:
        pytest.skip(f"Only the {mark.args[0]} engine can: {mark.args[1]}")


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


@pytest.mark.only("kernel", "a simulated node's /proc/sys is the machine's")
def test_every_node_has_its_name_its_range_and_a_shell(trio: EmbeddedCluster) -> None:
    nodes = get(trio, "nodes")["items"]
    assert [node["metadata"]["name"] for node in nodes] == [*NODES]
    assert [node["spec"]["podCIDR"] for node in nodes] == [f"10.244.{n}.0/24" for n in range(3)]
    control_plane = "node-role.kubernetes.io/control-plane"
    assert [control_plane in node["metadata"]["labels"] for node in nodes] == [True, False, False]
    for index, name in enumerate(NODES):
        assert trio.node_shell(["hostname"], node=name).stdout.strip() == name
        assert pods(trio)[name][1].startswith(f"10.244.{index}.")
        timeouts = "nf_conntrack_tcp_timeout_established nf_conntrack_tcp_timeout_close_wait"
        sysctl = ["sh", "-c", f"cd /proc/sys/net/netfilter && cat {timeouts}"]
        assert trio.node_shell(sysctl, node=name).stdout.split() == ["86400", "3600"]
    # A new object, as another terminal would make it, knows the same nodes.
    assert EmbeddedCluster("trio").nodes() == [*NODES]


@pytest.mark.only("kernel", "a simulated node has no interfaces, and so no MTU")
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


def apply(cluster: EmbeddedCluster, name: str, **spec: Any) -> dict[str, Any]:
    """Makes a Service over the Pods of WHO, waits for a load balancer's address, and returns the Service."""
    spec = {"selector": {"app": "who"}, "ports": [{"port": 80}], **spec}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
    assert cluster.kubectl("apply", "-f", "-", input=json.dumps(service)).ok
    if spec.get("type") == "LoadBalancer":
        until(lambda: bool(get(cluster, "service", name)["status"]["loadBalancer"].get("ingress")))
    found: dict[str, Any] = get(cluster, "service", name)
    return found


def curl_code(cluster: EmbeddedCluster, place: str, address: str) -> int:
    """How curl ended: 7 if it was refused, 28 if nobody answered."""
    curl = ["curl", "-sS", "-m", "1", "-o", "/dev/null", f"http://{address}"]
    done = cluster.outside(curl) if place == "outside" else cluster.node_shell(curl, node=place)
    return done.returncode


def test_source_ranges_keep_others_from_a_load_balancer(trio: EmbeddedCluster) -> None:
    balanced = apply(trio, "ranged", type="LoadBalancer", loadBalancerSourceRanges=["203.0.113.0/24"])
    address = balanced["status"]["loadBalancer"]["ingress"][0]["ip"]
    node_port = balanced["spec"]["ports"][0]["nodePort"]
    until(lambda: "Hostname" in ask(trio, "outside", f"192.168.49.2:{node_port}"), "node ports have no ranges")
    assert curl_code(trio, "outside", address) == 28
    apply(trio, "ranged", type="LoadBalancer", loadBalancerSourceRanges=["192.168.49.1/32"])
    until(lambda: "Hostname" in ask(trio, "outside", address))
    assert curl_code(trio, "trio-m02", address) == 28


def test_an_external_ip_is_answered_where_it_arrives(trio: EmbeddedCluster) -> None:
    apply(trio, "external", externalIPs=["198.51.100.7"])
    until(lambda: "Hostname" in ask(trio, "trio-m02", "198.51.100.7"))
    assert trio.outside(["ip", "route", "add", "198.51.100.7", "via", "192.168.49.3"]).ok
    assert client_seen(ask(trio, "outside", "198.51.100.7")) in {"192.168.49.3", "10.244.1.1"}


def test_internal_policy_local_stays_on_the_node(trio: EmbeddedCluster) -> None:
    everywhere = apply(trio, "internal", internalTrafficPolicy="Local")["spec"]["clusterIP"]
    own = pods(trio)
    for node in NODES:
        until(lambda node=node: "Hostname" in ask(trio, node, everywhere))
        assert {own[node][0] in ask(trio, node, everywhere) for _ in range(4)} == {True}
    assert trio.kubectl("label", "pod", own["trio-m02"][0], "only=here").ok
    there = apply(trio, "internal", internalTrafficPolicy="Local", selector={"only": "here"})["spec"]["clusterIP"]
    until(lambda: curl_code(trio, "trio", there) == 28, "dropped where there is no endpoint")
    assert "Hostname" in ask(trio, "trio-m02", there)


def test_affinity_lasts_as_long_as_its_timeout(trio: EmbeddedCluster) -> None:
    config = {"clientIP": {"timeoutSeconds": 1}}
    address = apply(trio, "sticky", sessionAffinity="ClientIP", sessionAffinityConfig=config)["spec"]["clusterIP"]
    until(lambda: "Hostname" in ask(trio, "trio", address))
    served = Counter(ask(trio, "trio", address).partition("\n")[0] for _ in range(10))
    assert len(served) == 1, "each request renews it"

    def another() -> bool:
        time.sleep(1.1)
        return ask(trio, "trio", address).partition("\n")[0] not in served

    until(another, "another Pod")


def test_a_service_without_endpoints_refuses_and_a_foreign_port_does_as_its_mode_does(trio: EmbeddedCluster) -> None:
    empty = apply(trio, "empty", type="NodePort", selector={"app": "nobody"})
    node_port = empty["spec"]["ports"][0]["nodePort"]
    until(lambda: curl_code(trio, "trio", empty["spec"]["clusterIP"]) == 7)
    assert curl_code(trio, "outside", f"192.168.49.3:{node_port}") == 7
    full = apply(trio, "full")["spec"]["clusterIP"]
    until(lambda: "Hostname" in ask(trio, "trio", full))
    mode = trio.capabilities.proxy_mode
    assert curl_code(trio, "trio", f"{full}:81") == {"iptables": 28, "nftables": 7}[mode]
    # Node ports on localhost are a speciality of iptables mode.
    local = "Hostname" in ask(trio, "trio", "127.0.0.1:30080")
    assert local is (mode == "iptables")


UDP_SERVER = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 5353))
while True:
    _, client = server.recvfrom(100)
    server.sendto(socket.gethostname().encode(), client)
"""
UDP_CLIENT = """
import socket, sys, time
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.bind(("", 4000))
client.connect((sys.argv[1], 53))
client.settimeout(0.3)
while True:
    try:
        client.send(b"who")
        print(client.recv(100).decode(), flush=True)
    except OSError:
        print("silence", flush=True)
    time.sleep(0.1)
"""


@pytest.mark.only("kernel", "a simulated connection of UDP stays with the Pod that it was made to")
def test_a_udp_client_that_keeps_its_port_is_led_to_the_next_pod(trio: EmbeddedCluster) -> None:
    apply(trio, "udp", selector={"app": "udp"}, ports=[{"port": 53, "protocol": "UDP", "targetPort": 5353}])
    address = get(trio, "service", "udp")["spec"]["clusterIP"]
    asking = trio.launch([sys.executable, "-c", UDP_CLIENT, address])
    try:
        assert asking.stdout is not None
        lines = iter(asking.stdout)
        assert next(lines) == "silence\n"
        for name in ("udp-1", "udp-2"):
            options = ("--image=python", "--labels=app=udp", "--restart=Never")
            assert trio.kubectl("run", name, *options, "--", "python", "-c", UDP_SERVER).ok
            deadline = time.monotonic() + 20
            while next(lines) != f"{name}\n":
                assert time.monotonic() < deadline, f"{name} was never asked"
            assert trio.kubectl("delete", "pod", name, "--now").ok
    finally:
        asking.kill()
        asking.wait()


def test_the_last_pod_serves_while_it_ends(trio: EmbeddedCluster) -> None:
    slow = """
import http.server, signal, socket, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"Hostname: slow")
signal.signal(signal.SIGTERM, lambda *_: threading.Timer(3, lambda: __import__("os")._exit(0)).start())
http.server.ThreadingHTTPServer(("", 80), Handler).serve_forever()
"""
    assert trio.kubectl("run", "slow", "--image=python", "--labels=app=slow", "--", "python", "-c", slow).ok
    address = apply(trio, "slow", selector={"app": "slow"})["spec"]["clusterIP"]
    until(lambda: "slow" in ask(trio, "trio", address))
    assert trio.kubectl("delete", "pod", "slow", "--wait=false").ok

    def ending() -> bool:
        items = get(trio, "endpointslices", "-l", "kubernetes.io/service-name=slow")["items"]
        return any(e["conditions"].get("terminating") for i in items for e in i["endpoints"])

    until(ending)
    assert "slow" in ask(trio, "trio", address)
    until(lambda: curl_code(trio, "trio", address) == 7, "refused when nobody is left")
