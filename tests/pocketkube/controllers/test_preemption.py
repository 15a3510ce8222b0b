"""More important Pods find a place, at the cost of less important ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import Cluster, play, pod

from lab_helpers.pocketkube.objects import Obj, condition_of, is_deleting


def asking(name: str, cpu: str, importance: str = "", **spec: Any) -> Obj:
    container = {"name": "main", "image": "httpd", "resources": {"requests": {"cpu": cpu}}}
    if importance:
        spec["priorityClassName"] = importance
    return pod(name, containers=[container], **spec)


async def classes(cluster: Cluster) -> None:
    for name, value in (("low", 1), ("middle", 10), ("high", 100)):
        made = {"kind": "PriorityClass", "metadata": {"name": name}, "value": value}
        await cluster.client.create("priorityclasses.scheduling.k8s.io", {"apiVersion": "scheduling.k8s.io/v1", **made})


async def node_of(cluster: Cluster, name: str) -> str:
    return str((await cluster.get("pods", name) or {"spec": {}})["spec"].get("nodeName") or "")


async def place(cluster: Cluster, *pods: Obj) -> None:
    for each in pods:
        await cluster.client.create("pods", each)
        await cluster.until(lambda name=each["metadata"]["name"]: node_of(cluster, name))  # type: ignore[misc]


def test_the_least_important_pod_goes_and_its_place_is_kept(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await classes(cluster)
        await place(cluster, asking("small", "500m", "low"), asking("other", "1", "middle"))
        cluster.kubelet.holds_end = lambda leaving: True
        await cluster.client.create("pods", asking("urgent", "900m", "high"))
        await cluster.settle()
        victim, other = await cluster.get("pods", "small"), await cluster.get("pods", "other")
        assert victim and is_deleting(victim)
        assert other and not is_deleting(other), "more important than it needs to be"
        condition = condition_of(victim, "DisruptionTarget")
        assert condition and condition["reason"] == "PreemptionByScheduler"
        urgent = await cluster.get("pods", "urgent")
        assert urgent and urgent["status"]["nominatedNodeName"] == "test"
        uid = urgent["metadata"]["uid"]
        assert await cluster.messages("small", "Preempted") == [f"Preempted by pod {uid} on node test"]
        assert await cluster.messages("urgent", "FailedScheduling") == ["0/1 nodes are available: 1 Insufficient cpu."]
        # Nobody less important gets the room that is being made.
        await cluster.client.create("pods", asking("thief", "500m", "low"))
        cluster.kubelet.holds_end = lambda leaving: False
        cluster.kubelet.look_again()
        assert await cluster.until(lambda: node_of(cluster, "urgent")) == "test"
        await cluster.settle()
        assert not await node_of(cluster, "thief")

    play(tmp_path, scenario)


def test_the_node_with_the_less_important_victims_is_chosen(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await classes(cluster)
        await place(cluster, asking("a", "2", "middle"), asking("b", "2", "low"))
        where = await node_of(cluster, "b")
        await place(cluster, asking("urgent", "1", "high"))
        assert await node_of(cluster, "urgent") == where
        assert await node_of(cluster, "a")

    play(tmp_path, scenario, nodes=2)


def test_who_may_not_preempt_waits(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        polite = {"metadata": {"name": "polite"}, "value": 100, "preemptionPolicy": "Never"}
        await cluster.client.create(
            "priorityclasses.scheduling.k8s.io",
            {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", **polite},
        )
        await place(cluster, asking("first", "2"))
        await cluster.client.create("pods", asking("second", "1", "polite"))
        await cluster.settle()
        [message] = await cluster.messages("second", "FailedScheduling")
        assert message.endswith("preemption: not eligible due to preemptionPolicy=Never.")
        assert await node_of(cluster, "first")

    play(tmp_path, scenario)
