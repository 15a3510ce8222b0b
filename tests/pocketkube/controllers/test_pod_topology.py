"""Pods that want to be together, apart, or evenly spread."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from harness import Cluster, deployment, play, pod

from lab_helpers.pocketkube.objects import Obj, condition_of

HOST = "kubernetes.io/hostname"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def term(app: str, **more: Any) -> Obj:
    return {"topologyKey": HOST, "labelSelector": {"matchLabels": {"app": app}}, **more}


def near(name: str, app: str, **more: Any) -> Obj:
    return pod(name, {"app": name}, affinity={"podAffinity": {REQUIRED: [term(app, **more)]}})


def apart(name: str, app: str, **more: Any) -> Obj:
    return pod(name, {"app": name}, affinity={"podAntiAffinity": {REQUIRED: [term(app, **more)]}})


async def node_of(cluster: Cluster, name: str) -> str:
    return str((await cluster.get("pods", name) or {"spec": {}})["spec"].get("nodeName") or "")


async def refusal(cluster: Cluster, name: str) -> str:
    await cluster.settle()
    condition = condition_of(await cluster.get("pods", name) or {}, "PodScheduled") or {}
    assert condition.get("reason") == "Unschedulable"
    return str(condition["message"]).partition(" no new claims")[0]


def test_affinity_waits_for_company_and_joins_it(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("pods", near("cache", "web"))
        text = "0/3 nodes are available: 3 node(s) didn't match pod affinity rules."
        assert await refusal(cluster, "cache") == text
        await cluster.client.create("pods", pod("web", {"app": "web"}, nodeSelector={HOST: "test-m02"}))
        assert await cluster.until(lambda: node_of(cluster, "cache")) == "test-m02"
        # The first of a group that wants to be together may go anywhere.
        await cluster.client.create("pods", near("first", "first"))
        assert await cluster.until(lambda: node_of(cluster, "first"))

    play(tmp_path, scenario, nodes=3)


def test_anti_affinity_holds_both_ways_and_within_its_namespaces(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("pods", pod("web", {"app": "web"}))
        await cluster.until(lambda: node_of(cluster, "web"))
        await cluster.client.create("pods", apart("db", "web"))
        text = "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."
        assert await refusal(cluster, "db") == text
        elsewhere = {"matchLabels": {"kubernetes.io/metadata.name": "kube-public"}}
        await cluster.client.create("pods", apart("elsewhere", "web", namespaceSelector=elsewhere))
        assert await cluster.until(lambda: node_of(cluster, "elsewhere"))
        await cluster.client.create("pods", apart("hermit", "guest"))
        await cluster.until(lambda: node_of(cluster, "hermit"))
        await cluster.client.create("pods", pod("guest", {"app": "guest"}))
        text = "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules."
        assert await refusal(cluster, "guest") == text
        await cluster.client.delete("pods", "hermit", "default")
        assert await cluster.until(lambda: node_of(cluster, "guest"))

    play(tmp_path, scenario)


def test_pods_are_spread_over_domains(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        for name, zone in (("test", "a"), ("test-m02", "b")):
            await cluster.client.patch("nodes", name, {"metadata": {"labels": {"zone": zone}}})
        await cluster.settle()
        constraint = {
            "maxSkew": 1,
            "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}},
        }
        workload = deployment(replicas=5)
        workload["spec"]["template"]["spec"]["topologySpreadConstraints"] = [constraint]
        await cluster.client.create("deployments.apps", workload)

        async def placed() -> Counter[str] | None:
            nodes = Counter(each["spec"].get("nodeName", "") for each in await cluster.list("pods"))
            return nodes if nodes.total() == 5 and "" not in nodes else None

        spread = await cluster.until(placed)
        assert sorted(spread.values()) == [2, 3], "the node without a zone gets none"
        await cluster.client.patch("nodes", "test", {"spec": {"unschedulable": True}})
        await cluster.client.patch("nodes", "test-m02", {"spec": {"unschedulable": True}})
        await cluster.settle()
        late = pod("late", {"app": "web"}, topologySpreadConstraints=[constraint])
        await cluster.client.create("pods", late)
        rule = "node(s) didn't match pod topology spread constraints (missing required label)"
        assert await refusal(cluster, "late") == f"0/3 nodes are available: 1 {rule}, 2 node(s) were unschedulable."

    play(tmp_path, scenario, nodes=3)
