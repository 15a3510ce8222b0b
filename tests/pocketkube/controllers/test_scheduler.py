"""Which node a Pod gets, and what is said when there is none."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from harness import Cluster, deployment, play, pod

from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.objects import Obj, condition_of, name_of

ONE_NODE = "0/1 nodes are available: {}. no new claims to deallocate, preemption: 0/1 nodes are available: 1 {}."
HELPLESS = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"


async def node_of(cluster: Cluster, name: str) -> str:
    return str((await cluster.get("pods", name) or {"spec": {}})["spec"].get("nodeName") or "")


async def refusal(cluster: Cluster, name: str) -> Obj | None:
    condition = condition_of(await cluster.get("pods", name) or {}, "PodScheduled")
    return condition if condition and condition.get("reason") == "Unschedulable" else None


def asking(name: str, **requests: str) -> Obj:
    container = {"name": "main", "image": "httpd", "resources": {"requests": requests}}
    return pod(name, containers=[container])


def test_a_pod_is_assigned_and_that_is_told(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("pods", pod("p"))
        assert await cluster.until(lambda: node_of(cluster, "p")) == "test"
        await cluster.settle()
        assert await cluster.messages("p", "Scheduled") == ["Successfully assigned default/p to test"]
        scheduled = condition_of(await cluster.get("pods", "p") or {}, "PodScheduled")
        assert scheduled and scheduled["status"] == "True"

    play(tmp_path, scenario)


def test_replicas_spread_over_nodes(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("deployments.apps", deployment(replicas=6))

        async def placed() -> Counter[str] | None:
            pods = await cluster.list("pods")
            nodes = Counter(each["spec"].get("nodeName", "") for each in pods)
            return nodes if len(pods) == 6 and "" not in nodes else None

        assert await cluster.until(placed) == {"test": 2, "test-m02": 2, "test-m03": 2}

    play(tmp_path, scenario, nodes=3)


def test_a_selector_that_no_node_meets_waits_for_a_label(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("pods", pod("p", nodeSelector={"disk": "ssd"}))
        condition = await cluster.until(lambda: refusal(cluster, "p"))
        text = ONE_NODE.format("1 node(s) didn't match Pod's node affinity/selector", HELPLESS)
        assert condition["message"] == text
        await cluster.settle()
        assert await cluster.messages("p", "FailedScheduling") == [text]
        await cluster.client.patch("nodes", "test", {"metadata": {"labels": {"disk": "ssd"}}})
        assert await cluster.until(lambda: node_of(cluster, "p")) == "test"

    play(tmp_path, scenario)


def test_taints_and_cordons_keep_pods_away_unless_tolerated(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        taint = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
        await cluster.client.patch("nodes", "test", {"spec": {"taints": [taint]}})
        await cluster.settle()
        await cluster.client.create("pods", pod("p"))
        condition = await cluster.until(lambda: refusal(cluster, "p"))
        assert condition["message"] == ONE_NODE.format("1 node(s) had untolerated taint(s)", HELPLESS)
        tolerant = pod("tolerant", tolerations=[{"key": "dedicated", "operator": "Equal", "value": "db"}])
        await cluster.client.create("pods", tolerant)
        assert await cluster.until(lambda: node_of(cluster, "tolerant")) == "test"

        await cluster.client.patch("nodes", "test", {"spec": {"taints": None, "unschedulable": True}})
        await cluster.settle()
        await cluster.client.create("pods", pod("late"))
        condition = await cluster.until(lambda: refusal(cluster, "late"))
        assert condition["message"] == ONE_NODE.format("1 node(s) were unschedulable", HELPLESS)
        await cluster.client.patch("nodes", "test", {"spec": {"unschedulable": None}})
        assert await cluster.until(lambda: node_of(cluster, "late")) == "test"

    play(tmp_path, scenario)


def test_requests_fill_a_node_and_an_ended_pod_makes_room(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("pods", asking("big", cpu="1500m"))
        await cluster.until(lambda: node_of(cluster, "big"))
        await cluster.client.create("pods", asking("next", cpu="1"))
        condition = await cluster.until(lambda: refusal(cluster, "next"))
        assert condition["message"] == ONE_NODE.format("1 Insufficient cpu", NO_VICTIMS)
        await cluster.client.create("pods", asking("huge", cpu="3", memory="1Ti"))
        condition = await cluster.until(lambda: refusal(cluster, "huge"))
        assert "1 Insufficient cpu, 1 Insufficient memory." in condition["message"]
        assert HELPLESS in condition["message"]
        await cluster.client.delete("pods", "big", "default")
        assert await cluster.until(lambda: node_of(cluster, "next")) == "test"

    play(tmp_path, scenario)


def test_a_host_port_is_free_once_on_a_node(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        container: Any = {"name": "main", "image": "httpd", "ports": [{"containerPort": 80, "hostPort": 8080}]}
        for name in ("one", "two"):
            await cluster.client.create("pods", pod(name, containers=[container]))
        condition = await cluster.until(lambda: refusal(cluster, "two"))
        assert "1 node(s) didn't have free ports for the requested pod ports." in condition["message"]

    play(tmp_path, scenario)


def test_without_nodes_that_is_said(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("pods", pod("p"))
        condition = await cluster.until(lambda: refusal(cluster, "p"))
        assert condition["message"] == "no nodes available to schedule pods"

    play(tmp_path, scenario, nodes=0)


def test_a_pod_with_a_node_name_or_another_scheduler_is_left_alone(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("pods", pod("preset", nodeName="test"))
        await cluster.client.create("pods", pod("foreign", schedulerName="mine"))
        await cluster.settle()
        assert await node_of(cluster, "foreign") == ""
        assert await cluster.messages("preset", "Scheduled") == []
        assert [name_of(each) for each in await cluster.list("pods")] == ["foreign", "preset"]

    play(tmp_path, scenario)


def test_a_pod_behind_gates_waits_for_the_last_of_them(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        held = asking("held")
        held["spec"]["schedulingGates"] = [{"name": "a.io/one"}, {"name": "a.io/two"}]
        made = await cluster.client.create("pods", held)
        (condition,) = made["status"]["conditions"]
        assert (condition["status"], condition["reason"]) == ("False", "SchedulingGated")
        await cluster.client.create("pods", asking("free"))
        await cluster.until(lambda: node_of(cluster, "free"))

        async def patch(spec: dict[str, Any]) -> Obj:
            return await cluster.client.patch("pods", "held", {"spec": spec}, "default")

        with pytest.raises(StatusError, match="only deletion is allowed, but found new scheduling gate 'a.io/three'"):
            await patch({"schedulingGates": [*held["spec"]["schedulingGates"], {"name": "a.io/three"}]})
        await patch({"schedulingGates": [{"name": "a.io/two"}], "nodeSelector": {"kubernetes.io/os": "linux"}})
        with pytest.raises(StatusError, match="only additions to spec.nodeSelector are allowed"):
            await patch({"nodeSelector": {"kubernetes.io/os": "plan9"}})
        assert not await node_of(cluster, "held")
        await patch({"schedulingGates": None})
        await cluster.until(lambda: node_of(cluster, "held"))
        with pytest.raises(StatusError, match="pod updates may not change fields other than"):
            await patch({"nodeSelector": {"more": "true"}})

    play(tmp_path, scenario)
