"""What a Service, a Pod and the machine outside can count on, whichever engine is below: one suite for both.

A test that only one engine can pass says why in its `only` mark.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from waiting import until

from lab_helpers.clusters import CommandResult, EmbeddedCluster
from lab_helpers.kubectl import kubectl_path
from lab_helpers.pocketkube.interception.probe import why_not

pytestmark = pytest.mark.kubectl

ENGINES = (
    pytest.param("kernel", marks=pytest.mark.kernel),
    pytest.param("userspace", marks=pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")),
)

REFUSED, TIMED_OUT, NAME_UNKNOWN = 7, 28, 6
"""Exit codes of curl; 7 also stands for a network that can't be reached."""

NAMESPACE = "behaviour"


@dataclass(frozen=True)
class Lab:
    """A cluster, with the few things that all tests do on it."""

    cluster: EmbeddedCluster
    engine: str

    def kubectl(self, *args: str, input: str | None = None) -> str:
        done = self.cluster.kubectl("-n", NAMESPACE, *args, input=input)
        assert done.ok, done.stderr
        return done.stdout

    def value(self, *args: str) -> str:
        return self.kubectl("get", *args).strip()

    def deploy(self, name: str, image: str = "whoami", replicas: int = 1, *command: str) -> None:
        self.kubectl("create", "deployment", name, f"--image={image}", f"--replicas={replicas}", *command)
        self.kubectl("rollout", "status", f"deployment/{name}", "--timeout=20s")

    def expose(self, name: str, *options: str) -> str:
        """Makes a Service for a Deployment, waits until its rules are there, and returns its ClusterIP."""
        self.kubectl("expose", "deployment", name, *options)
        address = self.value("service", name, "-o", "jsonpath={.spec.clusterIP}")
        until(lambda: f"{NAMESPACE}/{name}" in self.cluster.iptables_save(), f"the rules of {name}")
        return address

    def service(self, name: str, replicas: int = 1, *options: str) -> str:
        self.deploy(name, "whoami", replicas)
        return self.expose(name, "--port=80", *options)

    def pods(self, name: str) -> list[str]:
        return self.value("pods", "-l", f"app={name}", "-o", "jsonpath={.items[*].metadata.name}").split()

    def pod_ips(self, name: str) -> list[str]:
        return self.value("pods", "-l", f"app={name}", "-o", "jsonpath={.items[*].status.podIP}").split()

    def from_node(self, *curl: str) -> CommandResult:
        return self.cluster.node_shell(["curl", "-sS", "--max-time", "3", *curl])

    def from_outside(self, *curl: str) -> CommandResult:
        return self.cluster.outside(["curl", "-sS", "--max-time", "3", *curl])

    def in_pod(self, target: str, *argv: str) -> CommandResult:
        return self.cluster.kubectl("-n", NAMESPACE, "exec", target, "--", *argv)

    def from_pod(self, name: str, *curl: str) -> CommandResult:
        return self.in_pod(f"deployment/{name}", "curl", "-sS", "--max-time", "3", *curl)


@pytest.fixture(scope="module", params=ENGINES)
def lab(request: pytest.FixtureRequest, servicelab_home: Path) -> Iterator[Lab]:
    cluster = EmbeddedCluster(f"be-{request.param}")
    cluster.start(engine=request.param)
    cluster.kubectl("create", "namespace", NAMESPACE)
    yield Lab(cluster, request.param)
    cluster.delete()


@pytest.fixture(autouse=True)
def _only(request: pytest.FixtureRequest, lab: Lab) -> None:
    mark = request.node.get_closest_marker("only")
    if mark is not None and mark.args[0] != lab.engine:
        pytest.skip(f"Only the {mark.args[0]} engine can: {mark.args[1]}")


@pytest.fixture(autouse=True)
def _clean(lab: Lab) -> Iterator[None]:
    yield
    lab.kubectl("delete", "deployment,service,pod,configmap", "--all", "--now", "--wait=false")
    until(lambda: not lab.value("pods", "-o", "name"), "the Pods' end", seconds=20)


def hostname(answer: CommandResult) -> str:
    found = re.search(r"^Hostname: (\S+)", answer.stdout, re.MULTILINE)
    assert found, answer
    return found[1]


def client_of(answer: CommandResult) -> str:
    """The address that the server saw."""
    found = re.search(r"^RemoteAddr: ([\d.]+):\d+", answer.stdout, re.MULTILINE)
    assert found, answer
    return found[1]


# Who reaches what.


def test_a_cluster_ip_answers_on_nodes_and_in_pods_but_not_outside(lab: Lab) -> None:
    address = lab.service("web")
    (pod,) = lab.pods("web")
    assert hostname(lab.from_node(f"http://{address}/")) == pod
    assert hostname(lab.from_pod("web", f"http://{address}/")) == pod
    assert lab.from_outside(f"http://{address}/").returncode == REFUSED


def test_a_pod_answers_on_its_own_address_inside_the_cluster_alone(lab: Lab) -> None:
    lab.deploy("web")
    (ip,) = lab.pod_ips("web")
    assert lab.from_node(f"http://{ip}/").ok
    assert lab.from_pod("web", f"http://{ip}/").ok
    assert lab.from_pod("web", "http://127.0.0.1/").ok
    assert lab.from_node("http://127.0.0.1/").returncode == REFUSED
    assert lab.from_outside(f"http://{ip}/").returncode == REFUSED


def test_a_node_port_answers_from_everywhere(lab: Lab) -> None:
    lab.service("web", 1, "--type=NodePort")
    port = lab.value("service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}")
    where = f"http://{lab.cluster.config.node_ip(0)}:{port}/"
    assert lab.from_outside(where).ok
    assert lab.from_node(where).ok
    assert lab.from_node(f"http://127.0.0.1:{port}/").ok
    assert lab.from_pod("web", where).ok


def test_a_load_balancer_s_address_answers_outside(lab: Lab) -> None:
    lab.service("web", 1, "--type=LoadBalancer")
    address = "jsonpath={.status.loadBalancer.ingress[0].ip}"
    until(lambda: lab.value("service", "web", "-o", address), "the load balancer's address")
    ip = lab.value("service", "web", "-o", address)
    until(lambda: lab.from_outside(f"http://{ip}/").ok, "an answer of the load balancer")
    assert lab.from_node(f"http://{ip}/").ok


def test_another_port_of_a_service_is_not_answered(lab: Lab) -> None:
    address = lab.service("web")
    assert lab.from_node(f"http://{address}:81/").returncode in (REFUSED, TIMED_OUT)


def test_an_address_without_a_service_is_silent(lab: Lab) -> None:
    assert lab.from_node("--max-time", "1", "http://10.96.250.250/").returncode == TIMED_OUT


def test_a_port_that_nobody_listens_on_refuses(lab: Lab) -> None:
    lab.deploy("web")
    (ip,) = lab.pod_ips("web")
    assert lab.from_node(f"http://{ip}:81/").returncode == REFUSED


def test_a_pod_that_is_gone_does_not_answer(lab: Lab) -> None:
    lab.deploy("web")
    (ip,) = lab.pod_ips("web")
    lab.kubectl("delete", "deployment", "web", "--now")
    until(lambda: not lab.pods("web"), "the Pod's end")
    assert lab.from_node("--max-time", "1", f"http://{ip}/").returncode == TIMED_OUT


# Rules.


def test_a_service_without_endpoints_refuses_at_once(lab: Lab) -> None:
    address = lab.service("web")
    lab.kubectl("scale", "deployment/web", "--replicas=0")
    until(lambda: "has no endpoints" in lab.cluster.iptables_save(), "the rule that refuses")
    began = time.monotonic()
    assert lab.from_node(f"http://{address}/").returncode == REFUSED
    assert time.monotonic() - began < 1.0


def test_a_pod_reaches_itself_through_its_service(lab: Lab) -> None:
    address = lab.service("web")
    (pod,), (ip,) = lab.pods("web"), lab.pod_ips("web")
    answer = lab.from_pod("web", f"http://{address}/")
    assert hostname(answer) == pod
    assert client_of(answer) != ip, "the source has to be changed, or the answer would not come back through the node"


def test_every_pod_gets_its_share(lab: Lab) -> None:
    address = lab.service("web", 3)
    until(lambda: lab.cluster.iptables_save().count(f"{NAMESPACE}/web -> ") == 3, "rules for three Pods")
    answers = lab.cluster.node_shell(["curl", "-sS", "-H", "Connection: close", f"http://{address}/#[1-120]"])
    shares = Counter(re.findall(r"^Hostname: (\S+)", answers.stdout, re.MULTILINE))
    assert set(shares) == set(lab.pods("web"))
    assert min(shares.values()) >= 20, shares  # 40 are expected; so few happen once in a million runs


def test_a_killed_pod_is_replaced_behind_the_same_address(lab: Lab) -> None:
    address = lab.service("web")
    (before,), (old,) = lab.pods("web"), lab.pod_ips("web")
    lab.kubectl("delete", "pod", before, "--now")
    lab.kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    until(lambda: lab.from_node(f"http://{address}/").ok, "an answer of the new Pod")
    answer = lab.from_node(f"http://{address}/")
    assert hostname(answer) != before
    assert lab.pod_ips("web") != [old]


def test_session_affinity_keeps_a_client_with_its_pod(lab: Lab) -> None:
    address = lab.service("web", 3, "--session-affinity=ClientIP")
    until(lambda: lab.cluster.iptables_save().count("--rcheck") >= 3, "rules that remember clients")
    answers = lab.cluster.node_shell(["curl", "-sS", "-H", "Connection: close", f"http://{address}/#[1-20]"])
    assert len(set(re.findall(r"^Hostname: (\S+)", answers.stdout, re.MULTILINE))) == 1


def test_the_rules_count_the_connections(lab: Lab) -> None:
    address = lab.service("web")

    def counted() -> int:
        saved = lab.cluster.node_shell(["iptables-save", "-c", "-t", "nat"]).stdout
        found = re.search(rf"^\[(\d+):\d+\] -A KUBE-SERVICES -d {re.escape(address)}/32 ", saved, re.MULTILINE)
        assert found, saved
        return int(found[1])

    before = counted()
    lab.cluster.node_shell(["curl", "-sS", "-H", "Connection: close", f"http://{address}/#[1-7]"])
    assert counted() - before == 7


@pytest.mark.slow
def test_flushed_rules_come_back(lab: Lab) -> None:
    address = lab.service("web")
    assert lab.cluster.node_shell(["iptables", "-t", "nat", "-F", "KUBE-SERVICES"]).ok
    assert lab.from_node("--max-time", "1", f"http://{address}/").returncode == TIMED_OUT
    until(lambda: lab.from_node("--max-time", "1", f"http://{address}/").ok, "the rules' return", seconds=45)


def test_a_host_port_leads_to_its_pod(lab: Lab) -> None:
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "front"},
        "spec": {"containers": [
            {"name": "web", "image": "whoami", "ports": [{"containerPort": 80, "hostPort": 8088}]},
        ]},
    }  # fmt: skip
    lab.kubectl("apply", "-f", "-", input=json.dumps(pod))
    lab.kubectl("wait", "--for=condition=Ready", "pod/front", "--timeout=20s")
    assert hostname(lab.from_outside(f"http://{lab.cluster.config.node_ip(0)}:8088/")) == "front"
    lab.kubectl("delete", "pod", "front", "--now")
    assert lab.from_outside(f"http://{lab.cluster.config.node_ip(0)}:8088/").returncode == REFUSED


# Who is seen as the client.


def test_a_pod_is_seen_under_its_own_address(lab: Lab) -> None:
    address = lab.service("web")
    lab.deploy("client", "curl", 1, "--", "sleep", "3600")
    (client,) = lab.pod_ips("client")
    assert client_of(lab.from_pod("client", f"http://{address}/")) == client


def test_a_node_is_seen_as_the_pods_gateway(lab: Lab) -> None:
    address = lab.service("web")
    (ip,) = lab.pod_ips("web")
    assert client_of(lab.from_node(f"http://{ip}/")) == "10.244.0.1"
    assert client_of(lab.from_node(f"http://{address}/")) == "10.244.0.1"


@pytest.mark.parametrize(("policy", "client"), [("Cluster", "10.244.0.1"), ("Local", "192.168.49.1")])
def test_the_traffic_policy_says_whether_a_client_outside_is_seen(lab: Lab, policy: str, client: str) -> None:
    lab.service("web", 1, "--type=NodePort", f'--overrides={{"spec":{{"externalTrafficPolicy":"{policy}"}}}}')
    port = lab.value("service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}")
    where = f"http://{lab.cluster.config.node_ip(0)}:{port}/"
    until(lambda: lab.from_outside(where).ok, "an answer on the node port")
    assert client_of(lab.from_outside(where)) == client


# Names.


@pytest.mark.parametrize(
    "name", ["web", f"web.{NAMESPACE}", f"web.{NAMESPACE}.svc", f"web.{NAMESPACE}.svc.cluster.local"]
)
def test_a_pod_finds_a_service_by_its_names(lab: Lab, name: str) -> None:
    lab.service("web")
    assert lab.from_pod("web", f"http://{name}/").ok


def test_a_name_that_does_not_exist_is_not_found(lab: Lab) -> None:
    lab.deploy("web")
    assert lab.from_pod("web", "http://no-such-service/").returncode == NAME_UNKNOWN


def test_a_node_does_not_know_the_cluster_s_names(lab: Lab) -> None:
    lab.service("web")
    assert lab.from_node(f"http://web.{NAMESPACE}.svc.cluster.local/").returncode == NAME_UNKNOWN


def test_a_headless_service_s_name_stands_for_all_its_pods(lab: Lab) -> None:
    lab.deploy("web", "whoami", 3)
    lab.kubectl("expose", "deployment", "web", "--port=80", "--cluster-ip=None")
    until(
        lambda: (
            len(set(lab.in_pod("deployment/web", "getent", "ahostsv4", "web").stdout.split()) & set(lab.pod_ips("web")))
            == 3
        ),
        "all addresses behind the name",
    )


def test_a_pod_knows_itself_by_its_name(lab: Lab) -> None:
    lab.deploy("web")
    (pod,), (ip,) = lab.pods("web"), lab.pod_ips("web")
    assert lab.in_pod(pod, "hostname").stdout.strip() == pod
    assert ip in lab.in_pod(pod, "getent", "hosts", pod).stdout


# Programs and files.


def test_a_program_that_opens_its_own_port_is_served(lab: Lab) -> None:
    lab.deploy("web", "python", 1, "--", "python3", "-m", "http.server", "8000")
    address = lab.expose("web", "--port=80", "--target-port=8000")
    until(lambda: lab.from_node(f"http://{address}/").ok, "an answer of Python's own server")
    assert "Directory listing" in lab.from_node(f"http://{address}/").stdout


def test_two_pods_use_the_same_port_but_one_pod_can_not_twice(lab: Lab) -> None:
    lab.deploy("web", "python", 2, "--", "python3", "-m", "http.server", "8000")
    first, second = lab.pod_ips("web")
    until(lambda: lab.from_node(f"http://{first}:8000/").ok, "an answer of the first")
    until(lambda: lab.from_node(f"http://{second}:8000/").ok, "an answer of the second")
    again = lab.in_pod(lab.pods("web")[0], "python3", "-m", "http.server", "8000")
    assert "Address already in use" in again.stderr


def test_a_host_port_leads_to_its_pod_as_long_as_that_lives(lab: Lab) -> None:
    container = {"name": "main", "image": "whoami", "ports": [{"containerPort": 80, "hostPort": 8088}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ported"}, "spec": {"containers": [container]}}
    lab.kubectl("apply", "-f", "-", input=json.dumps(pod))
    lab.kubectl("wait", "--for=condition=Ready", "pod/ported", "--timeout=20s")
    node = lab.cluster.config.node_ip(0)
    assert "Hostname: ported" in lab.from_outside(f"http://{node}:8088").stdout
    assert "Hostname: ported" in lab.from_node("http://127.0.0.1:8088").stdout
    lab.kubectl("delete", "pod", "ported", "--now")
    until(lambda: lab.from_outside(f"http://{node}:8088").returncode == REFUSED, "nobody's port")


def test_a_program_that_stops_listening_refuses(lab: Lab) -> None:
    script = (
        "import socket, time; s = socket.create_server(('', 9000)); c = s.accept()[0]; "
        r"c.sendall(b'HTTP/1.0 200 OK\r\n\r\nonce'); c.close(); s.close(); time.sleep(3600)"
    )
    lab.deploy("web", "python", 1, "--", "python3", "-c", script)
    (ip,) = lab.pod_ips("web")
    until(lambda: lab.from_node(f"http://{ip}:9000/").stdout == "once", "its only answer")
    assert lab.from_node(f"http://{ip}:9000/").returncode == REFUSED


def test_containers_of_a_pod_share_its_network(lab: Lab) -> None:
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pair"},
        "spec": {"containers": [
            {"name": "web", "image": "whoami"}, {"name": "shell", "image": "curl", "command": ["sleep", "3600"]},
        ]},
    }  # fmt: skip
    lab.kubectl("apply", "-f", "-", input=json.dumps(pod))
    lab.kubectl("wait", "--for=condition=Ready", "pod/pair", "--timeout=20s")
    done = lab.cluster.kubectl("-n", NAMESPACE, "exec", "pair", "-c", "shell", "--", "curl", "-sS", "http://localhost/")
    assert hostname(done) == "pair"


def test_what_a_pod_writes_is_its_own(lab: Lab) -> None:
    lab.deploy("web", "httpd", 2)
    address = lab.expose("web", "--port=80")
    first, second = lab.pods("web")
    page = "/usr/local/apache2/htdocs/index.html"
    assert lab.in_pod(first, "sh", "-c", f"echo changed > {page} && echo x > /tmp/mine && echo x > /etc/mine").ok
    assert lab.in_pod(first, "sh", "-c", f"cd {page.rpartition('/')[0]} && cat index.html").stdout == "changed\n"
    assert "works" in lab.in_pod(second, "cat", page).stdout
    assert not lab.in_pod(second, "cat", "/tmp/mine").ok
    assert not lab.in_pod(second, "cat", "/etc/mine").ok
    assert not Path("/etc/mine").exists()
    assert not Path(page).exists()
    served = {lab.from_node(f"http://{address}/").stdout for _ in range(20)}
    assert served == {"changed\n", "<html><body><h1>It works!</h1></body></html>\n"}


def test_a_config_map_is_seen_as_files(lab: Lab) -> None:
    lab.kubectl("create", "configmap", "settings", "--from-literal=colour=green")
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "reader"},
        "spec": {
            "containers": [{
                "name": "main", "image": "busybox", "command": ["sleep", "3600"],
                "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}],
            }],
            "volumes": [{"name": "settings", "configMap": {"name": "settings"}}],
        },
    }  # fmt: skip
    lab.kubectl("apply", "-f", "-", input=json.dumps(pod))
    lab.kubectl("wait", "--for=condition=Ready", "pod/reader", "--timeout=20s")
    assert lab.in_pod("reader", "cat", "/etc/settings/colour").stdout == "green"
    assert "colour" in lab.in_pod("reader", "ls", "/etc/settings").stdout
    assert not lab.in_pod("reader", "sh", "-c", "echo red > /etc/settings/colour").ok


def test_the_user_s_own_files_are_not_seen(lab: Lab) -> None:
    lab.deploy("web")
    for path in (str(Path.home() / ".bashrc"), str(lab.cluster.kubeconfig)):
        assert not lab.in_pod("deployment/web", "cat", path).ok


def test_a_pod_ends_with_all_that_it_started(lab: Lab) -> None:
    marker = "31415926"
    lab.kubectl("run", "many", "--image=busybox", "--", "sh", "-c", f"setsid sleep {marker} & sleep 3600")
    until(lambda: bool(_processes(f"sleep {marker}")), "the process in the background")
    lab.kubectl("delete", "pod", "many", "--now")
    assert not _processes(f"sleep {marker}")


def _processes(command: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if (
                entry.name.isdigit()
                and (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip() == command
            ):
                found.append(entry.name)
    return found


# The ways through the API server.


def test_a_pod_reaches_the_api_server(lab: Lab) -> None:
    lab.deploy("web")
    answer = lab.from_pod("web", "-k", "https://kubernetes.default.svc/version")
    assert json.loads(answer.stdout)["major"] == "1"


def test_the_service_proxy_leads_to_a_pod(lab: Lab) -> None:
    lab.service("web")
    raw = lab.kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/services/web:80/proxy/")
    assert "Hostname: web-" in raw


def test_port_forwarding_leads_into_the_pod(lab: Lab) -> None:
    lab.deploy("web")
    command = [str(kubectl_path()), "-n", NAMESPACE, "port-forward", "deployment/web", ":80"]
    with subprocess.Popen(command, env={**lab.cluster.environment}, stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout is not None
            port = re.search(r"127.0.0.1:(\d+)", forward.stdout.readline())
            assert port
            done = subprocess.run(
                ["curl", "-sS", f"http://127.0.0.1:{port[1]}/"], capture_output=True, text=True, check=True
            )
            assert "Hostname: web-" in done.stdout
        finally:
            forward.terminate()


def test_a_probe_decides_who_is_an_endpoint(lab: Lab) -> None:
    address = lab.service("web", 2)
    probe = '{"httpGet":{"path":"/nowhere","port":81},"periodSeconds":1,"failureThreshold":1}'
    patch = f'{{"spec":{{"template":{{"spec":{{"containers":[{{"name":"whoami","readinessProbe":{probe}}}]}}}}}}}}'
    assert lab.from_node(f"http://{address}/").ok
    lab.kubectl("patch", "deployment", "web", "-p", patch)
    ready = "jsonpath={.items[*].status.containerStatuses[0].ready}"
    until(lambda: "false" in lab.value("pods", "-o", ready), "a Pod that is not ready")
    assert len(lab.pods("web")) >= 2


# What one engine alone can do.


@pytest.mark.only("kernel", "a simulated network has connections, but no packets of its own to send")
def test_ping_reaches_a_pod(lab: Lab) -> None:
    lab.deploy("web")
    (ip,) = lab.pod_ips("web")
    assert lab.cluster.node_shell(["ping", "-c", "1", "-W", "2", ip]).ok


@pytest.mark.only("userspace", "where the network is real, nothing has to say that it is not")
def test_what_is_simulated_says_so(lab: Lab) -> None:
    assert "Simulated" in lab.cluster.node_shell(["iptables-save"]).stdout.splitlines()[0]
    assert lab.cluster.capabilities.simulated
    refused = lab.cluster.node_shell(["ping", "-c", "1", "10.96.0.1"])
    assert not refused.ok
    assert "simulated" in refused.stderr
