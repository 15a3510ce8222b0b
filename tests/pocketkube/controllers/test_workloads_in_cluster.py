"""StatefulSets, DaemonSets and Jobs on a running embedded cluster, through the real kubectl."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab_helpers.clusters import EmbeddedCluster

pytestmark = [pytest.mark.kernel, pytest.mark.kubectl]

NAMESPACE = "workload-tests"

STATEFUL = """
apiVersion: v1
kind: Service
metadata: {name: nginx}
spec: {clusterIP: None, selector: {app: web}, ports: [{port: 80, name: http}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  serviceName: nginx
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: "httpd:2.4", ports: [{containerPort: 80}]}]
"""

DAEMON = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: busybox, command: [sleep, "1000"]}]
"""


@pytest.fixture(scope="module")
def space(cluster: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    """The shared cluster with a namespace for this module."""
    assert cluster.kubectl("create", "namespace", NAMESPACE).ok
    yield cluster
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def run(cluster: EmbeddedCluster, *args: str, input: str | None = None) -> str:
    result = cluster.kubectl("-n", NAMESPACE, *args, input=input)
    assert result.ok, result.stderr
    return result.stdout


def test_a_stateful_set_gives_its_pods_dns_names_and_can_be_rolled_back(space: EmbeddedCluster) -> None:
    run(space, "apply", "-f", "-", input=STATEFUL)
    run(space, "rollout", "status", "statefulset/web", "--timeout=30s")
    name = f"web-1.nginx.{NAMESPACE}.svc.cluster.local"
    address = run(space, "get", "pod", "web-1", "-o", "jsonpath={.status.podIP}")
    found = run(space, "exec", "web-0", "--", "sh", "-c", f"hostname -f; getent hosts {name}").split()
    assert found == [f"web-0.nginx.{NAMESPACE}.svc.cluster.local", address, name]

    run(space, "set", "image", "statefulset/web", "main=nginx")
    run(space, "rollout", "status", "statefulset/web", "--timeout=30s")
    assert run(space, "rollout", "history", "statefulset/web").split()[-4:] == ["1", "<none>", "2", "<none>"]
    run(space, "rollout", "undo", "statefulset/web")
    run(space, "rollout", "status", "statefulset/web", "--timeout=30s")
    images = run(space, "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.containers[0].image}")
    assert images == "httpd:2.4 httpd:2.4"

    run(space, "scale", "statefulset/web", "--replicas=1")
    run(space, "wait", "--for=delete", "pod/web-1", "--timeout=20s")
    assert "1 desired | 1 total" in run(space, "describe", "statefulset", "web")
    run(space, "delete", "-f", "-", input=STATEFUL)


def test_draining_a_node_leaves_its_daemons(space: EmbeddedCluster) -> None:
    run(space, "apply", "-f", "-", input=DAEMON)
    run(space, "rollout", "status", "daemonset/agent", "--timeout=30s")
    table = run(space, "get", "all")
    assert "daemonset.apps/agent" in table and "pod/agent-" in table
    node = run(space, "get", "pods", "-l", "app=agent", "-o", "jsonpath={.items[0].spec.nodeName}")
    try:
        refused = space.kubectl("drain", node, "--pod-selector=app=agent")
        assert not refused.ok and "cannot delete DaemonSet-managed Pods" in refused.stderr
        drained = space.kubectl("drain", node, "--pod-selector=app=agent", "--ignore-daemonsets")
        assert drained.ok, drained.stderr
        assert f"ignoring DaemonSet-managed Pods: {NAMESPACE}/agent-" in drained.stderr
    finally:
        run(space, "uncordon", node)
    run(space, "rollout", "restart", "daemonset/agent")
    run(space, "rollout", "status", "daemonset/agent", "--timeout=30s")
    assert "Number of Nodes Misscheduled: 0" in run(space, "describe", "daemonset", "agent")
    run(space, "rollout", "undo", "daemonset/agent")
    run(space, "rollout", "status", "daemonset/agent", "--timeout=30s")
    run(space, "delete", "daemonset", "agent")


def test_a_job_runs_to_its_end(space: EmbeddedCluster) -> None:
    run(space, "create", "job", "sum", "--image=busybox", "--", "sh", "-c", "echo $((6*7))")
    run(space, "wait", "--for=condition=complete", "job/sum", "--timeout=30s")
    assert run(space, "logs", "job/sum") == "42\n"
    assert run(space, "get", "job", "sum", "--no-headers").split()[:3] == ["sum", "Complete", "1/1"]
    assert "Job completed" in run(space, "describe", "job", "sum")


def test_a_drain_waits_for_the_disruption_budget(space: EmbeddedCluster) -> None:
    run(space, "create", "deployment", "shop", "--image=httpd")
    run(space, "rollout", "status", "deployment/shop", "--timeout=30s")
    run(space, "create", "poddisruptionbudget", "shop", "--selector=app=shop", "--min-available=1")
    run(space, "wait", "--for=jsonpath={.status.currentHealthy}=1", "pdb/shop", "--timeout=10s")
    node = run(space, "get", "pods", "-l", "app=shop", "-o", "jsonpath={.items[0].spec.nodeName}")
    try:
        stuck = space.kubectl("drain", node, "--pod-selector=app=shop", "--timeout=1s")
        assert not stuck.ok
        assert "Cannot evict pod as it would violate the pod's disruption budget." in stuck.stderr
    finally:
        run(space, "uncordon", node)
    run(space, "delete", "deployment/shop", "pdb/shop")


def test_what_nobody_acts_on_says_so(space: EmbeddedCluster) -> None:
    made = space.kubectl("-n", NAMESPACE, "create", "ingress", "web", "--rule=a.example/*=web:80")
    assert made.ok, made.stderr
    assert "Warning: this cluster stores Ingresses but runs no ingress controller" in made.stderr
    assert run(space, "get", "ingress", "web", "--no-headers").split()[:3] == ["web", "<none>", "a.example"]


def test_a_cron_job_starts_its_jobs(space: EmbeddedCluster) -> None:
    run(space, "create", "cronjob", "tick", "--image=busybox", "--schedule=@every 1s", "--", "date")
    run(space, "wait", "cronjob/tick", "--for=jsonpath={.status.lastSuccessfulTime}", "--timeout=60s")
    assert run(space, "get", "cronjob", "tick", "--no-headers").split()[:2] == ["tick", "@every"]
    run(space, "delete", "cronjob", "tick", "--cascade=foreground")
    assert "tick" not in run(space, "get", "jobs,pods")


def test_the_books_of_addresses_can_be_read(space: EmbeddedCluster) -> None:
    assert run(space, "get", "ipaddress", "10.96.0.1", "--no-headers").split() == [
        "10.96.0.1",
        "services/default/kubernetes",
    ]
    assert run(space, "get", "servicecidr", "kubernetes", "--no-headers").split()[:2] == ["kubernetes", "10.96.0.0/16"]
    classes = run(space, "get", "priorityclasses", "--no-headers")
    assert "system-cluster-critical" in classes and "2000001000" in classes


def test_a_role_lets_a_service_account_read(space: EmbeddedCluster) -> None:
    who = f"--as=system:serviceaccount:{NAMESPACE}:default"
    assert not space.kubectl("-n", NAMESPACE, "get", "pods", who).ok
    run(space, "create", "role", "read", "--verb=get,list", "--resource=pods")
    run(space, "create", "rolebinding", "read", "--role=read", f"--serviceaccount={NAMESPACE}:default")
    run(space, "get", "pods", who)
    assert run(space, "auth", "can-i", "list", "pods", who) == "yes\n"
    assert space.kubectl("-n", NAMESPACE, "auth", "can-i", "delete", "pods", who).stdout == "no\n"
    assert "pods" in run(space, "auth", "can-i", "--list", who)
