"""A cluster made of data: its API is a real HTTP server over a dictionary of objects, its node answers from a script.

No packet for a cluster address is sent: `answers` says what a request to an address would give.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lab_helpers.clusters.base import Capabilities, CommandResult
from lab_helpers.exercises.workspace import Workspace

Obj = dict[str, Any]
REFUSED = (0, 7)


class FakeCluster:
    """What the exercises ask of a cluster; change `objects`, `rules` and `answers` as the story goes."""

    name, kind = "fake", "fake"
    capabilities = Capabilities()

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.kubeconfig = folder / "kubeconfig"
        self.environment = {"KUBECONFIG": str(self.kubeconfig)}
        self.changed = threading.Condition()
        self.namespace_labels: dict[str, str] | None = None
        self.objects: dict[str, list[Obj]] = {}
        self.rules = ""
        self.answers: dict[str, tuple[int, int]] = {}
        """URL -> (HTTP status, curl's exit code); anything else is refused."""

    def api_client(self) -> Any:
        from kubernetes import client

        return client.ApiClient(client.Configuration(host=self.url))

    def nodes(self) -> list[str]:
        return ["node-0"]

    def kubectl(self, *args: str, input: str | None = None, timeout: float | None = 60) -> CommandResult:
        """Knows one namespace, and the kubeconfig."""
        if args[0] == "config":
            return CommandResult(args, 0, json.dumps({"contexts": [{"name": "fake", "context": {"cluster": "f"}}]}), "")
        if args[0] == "create":
            self.namespace_labels = json.loads(input or "{}")["metadata"]["labels"]
        if args[0] == "get" and self.namespace_labels is None:
            return CommandResult(args, 1, "", "not found")
        return CommandResult(args, 0, json.dumps({"metadata": {"labels": self.namespace_labels}}), "")

    def tell_watches(self) -> None:
        """Sends an event to everybody who watches."""
        with self.changed:
            self.changed.notify_all()

    def iptables_save(self, node: str | None = None) -> str:
        return self.rules

    def launch(self, argv: Sequence[str], *, place: str = "node", node: str | None = None) -> Any:
        count, url = int(argv[4]), argv[-1]
        status, code = self.answers.get(url, REFUSED)
        text = f"It works!\\n@@ {status:03} 0.001 {code}\\n" * count
        return subprocess.Popen(["printf", text], stdout=subprocess.PIPE, text=True)


@contextmanager
def fake_workspace(folder: Path) -> Iterator[Workspace]:
    """A workspace of the namespace lab-02 on a fake cluster."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if "watch=" in self.path:
                self.send_response(200)
                self.end_headers()
                with cluster.changed:
                    if cluster.changed.wait(5):
                        self.wfile.write(b'{"type": "MODIFIED"}\n')
                return
            resource = self.path.partition("?")[0].rsplit("/", 1)[-1]
            body = json.dumps({"items": cluster.objects.get(resource, [])}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    cluster = FakeCluster(f"http://127.0.0.1:{server.server_port}", folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield Workspace(cluster, "lab-02", folder)  # type: ignore[arg-type]
    server.shutdown()
    server.server_close()
    thread.join(5)


class Story:
    """The article's objects, step by step, in a fake cluster."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.cluster: FakeCluster = workspace.cluster  # type: ignore[assignment]
        self.objects = self.cluster.objects

    def deploy(self, *, image: str = "httpd", replicas: int = 1) -> Obj:
        """The Deployment and its ReplicaSet; the Pods come with `add_pod`."""
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "deployhttpd", "namespace": "lab-02", "uid": "d1", "generation": 1},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "c", "image": image}]}}},
            "status": {"observedGeneration": 1},
        }
        owner = {"kind": "Deployment", "name": "deployhttpd", "uid": "d1", "controller": True}
        replica_set = {"metadata": {"name": "deployhttpd-abc", "uid": "r1", "ownerReferences": [owner]}}
        self.objects.update(deployments=[deployment], replicasets=[replica_set], pods=[])
        return deployment

    def add_pod(self, number: int, *, ready: bool = True, waiting: str = "ContainerCreating") -> Obj:
        """A Pod of the Deployment with the IP 10.244.0.<number>, which answers if it is ready."""
        address = f"10.244.0.{number}"
        container = {"name": "c", "state": {"running": {}} if ready else {"waiting": {"reason": waiting}}}
        pod = {
            "metadata": {
                "name": f"deployhttpd-abc-{number:05d}",
                "namespace": "lab-02",
                "uid": f"p{number}",
                "labels": {"name": "deployment"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "deployhttpd-abc", "uid": "r1", "controller": True}],
            },
            "spec": {"nodeName": "node-0"},
            "status": {
                "phase": "Running" if ready else "Pending",
                "conditions": [{"type": "Ready", "status": str(ready)}],
                "containerStatuses": [container],
                **({"podIP": address} if ready else {}),
            },
        }
        self.objects["pods"].append(pod)
        if ready:
            self.cluster.answers[f"http://{address}:80/"] = (200, 0)
        self.settle()
        return pod

    def expose(self, *, uid: str = "s1", ip: str = "10.96.1.2", target: int = 80, **spec: Any) -> Obj:
        """The Service; the endpoints and rules come with `settle`."""
        ports = [{"port": 80, "protocol": "TCP", "targetPort": target}]
        service = {
            "metadata": {"name": "demo-service", "namespace": "lab-02", "uid": uid},
            "spec": {"type": "ClusterIP", "clusterIP": ip, "ports": ports, "selector": {"name": "deployment"}, **spec},
        }
        self.objects["services"] = [service]
        self.settle()
        return service

    def lose_pod(self, pod: Obj) -> None:
        """The Pod is gone."""
        self.objects["pods"].remove(pod)
        self.settle()

    def settle(self) -> None:
        """What controllers and kube-proxy would do: status, endpoints, rules, and answers on the ClusterIP."""
        ready = [pod for pod in self.objects.get("pods", []) if pod["status"].get("podIP")]
        for deployment in self.objects.get("deployments", []):
            count = len(ready)
            deployment["status"] = {
                "observedGeneration": 1,
                "replicas": count,
                "updatedReplicas": count,
                "availableReplicas": count,
            }
        if not self.objects.get("services"):
            return
        (service,) = self.objects["services"]
        wanted = service["spec"]["selector"]
        chosen = [pod for pod in ready if wanted.items() <= pod["metadata"]["labels"].items()]
        target = service["spec"]["ports"][0]["targetPort"]
        self._write_slice(chosen, target)
        self._write_rules(service, [f"{pod['status']['podIP']}:{target}" for pod in chosen])
        works = bool(chosen) and target == 80
        self.cluster.answers[f"http://{service['spec']['clusterIP']}:80/"] = (200, 0) if works else REFUSED

    def _write_slice(self, pods: list[Obj], port: int) -> None:
        endpoints = [
            {
                "addresses": [pod["status"]["podIP"]],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"]},
            }
            for pod in pods
        ]
        label = {"kubernetes.io/service-name": "demo-service"}
        ports = [{"name": "", "port": port, "protocol": "TCP"}]
        self.objects["endpointslices"] = [
            {"metadata": {"name": "demo-service-x", "labels": label}, "endpoints": endpoints, "ports": ports}
        ]

    def _write_rules(self, service: Obj, endpoints: list[str]) -> None:
        address = service["spec"]["clusterIP"]
        seps = [f"KUBE-SEP-{index}" for index, _ in enumerate(endpoints)]
        lines = ["*nat", ":KUBE-SERVICES - [0:0]", ":KUBE-SVC-X - [0:0]", *(f":{sep} - [0:0]" for sep in seps)]
        if endpoints:
            lines.append(
                f'-A KUBE-SERVICES -d {address}/32 -p tcp -m comment --comment "lab-02/demo-service cluster IP" '
                "-m tcp --dport 80 -j KUBE-SVC-X"
            )
        for index, sep in enumerate(seps):
            left = len(seps) - index
            chance = f"-m statistic --mode random --probability {1 / left:.11f} " if left > 1 else ""
            lines.append(f"-A KUBE-SVC-X {chance}-j {sep}")
            lines.append(f"-A {sep} -p tcp -m tcp -j DNAT --to-destination {endpoints[index]}")
        self.cluster.rules = "\n".join([*lines, "COMMIT", ""])
