"""DaemonSets: one Pod on every node that should have one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import Cluster, node, play, ready_status

from lab_helpers.pocketkube.objects import Obj, is_deleting, labels_of


def daemon_set(image: str = "httpd:2.4", pod: Obj | None = None, **spec: Any) -> Obj:
    labels = {"app": "agent"}
    pod_spec = {"containers": [{"name": "main", "image": image}], **(pod or {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec},
            **spec,
        },
    }


def new_image(image: str) -> Obj:
    return {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}}


async def placed(cluster: Cluster) -> dict[str, str]:
    """Image by node, of the Pods that stay."""
    return {
        pod["spec"].get("nodeName", ""): pod["spec"]["containers"][0]["image"]
        for pod in await cluster.list("pods")
        if not is_deleting(pod)
    }


async def settled(cluster: Cluster, count: int) -> Obj | None:
    found = await cluster.get("daemonsets.apps", "agent")
    status = (found or {}).get("status") or {}
    numbers = {
        status.get(field, 0) for field in ("desiredNumberScheduled", "numberAvailable", "updatedNumberScheduled")
    }
    return found if numbers == {count} and len(await cluster.list("pods")) == count else None


def test_every_node_gets_one_and_new_nodes_too(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("daemonsets.apps", daemon_set())
        found = await cluster.until(lambda: settled(cluster, 2))
        assert sorted(await placed(cluster)) == ["test", "test-m02"]
        assert found["status"] == {
            "currentNumberScheduled": 2, "desiredNumberScheduled": 2, "numberAvailable": 2, "numberMisscheduled": 0,
            "numberReady": 2, "observedGeneration": 1, "updatedNumberScheduled": 2,
        }  # fmt: skip
        assert found["metadata"]["annotations"] == {"deprecated.daemonset.template.generation": "1"}
        await cluster.client.create("nodes", node("third"))
        await cluster.client.patch("nodes", "third", {"status": ready_status()}, subresource="status")
        await cluster.until(lambda: settled(cluster, 3))
        first = (await cluster.list("pods"))[0]
        assert {"controller-revision-hash", "pod-template-generation"} <= set(labels_of(first))
        tolerated = {toleration["key"] for toleration in first["spec"]["tolerations"]}
        assert {"node.kubernetes.io/unschedulable", "node.kubernetes.io/disk-pressure"} <= tolerated

    play(tmp_path, scenario, nodes=2)


def test_a_cordoned_node_keeps_its_daemon_and_a_tainted_one_loses_it(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.patch("nodes", "test", {"spec": {"unschedulable": True}})
        await cluster.client.create("daemonsets.apps", daemon_set())
        await cluster.until(lambda: settled(cluster, 2))
        taint = {"key": "mine", "value": "x", "effect": "NoExecute"}
        await cluster.client.patch("nodes", "test-m02", {"spec": {"taints": [taint]}})
        await cluster.until(lambda: settled(cluster, 1))
        assert sorted(await placed(cluster)) == ["test"]

    play(tmp_path, scenario, nodes=2)


def test_a_node_selector_chooses_and_a_label_that_goes_ends_the_pod(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("daemonsets.apps", daemon_set(pod={"nodeSelector": {"disk": "fast"}}))
        await cluster.settle()
        assert await placed(cluster) == {}
        await cluster.client.patch("nodes", "test-m02", {"metadata": {"labels": {"disk": "fast"}}})
        await cluster.until(lambda: settled(cluster, 1))
        assert sorted(await placed(cluster)) == ["test-m02"]
        await cluster.client.patch("nodes", "test-m02", {"metadata": {"labels": {"disk": None}}})
        await cluster.until(lambda: settled(cluster, 0))

    play(tmp_path, scenario, nodes=2)


def test_a_rolling_update_takes_one_node_at_a_time(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("daemonsets.apps", daemon_set())
        await cluster.until(lambda: settled(cluster, 3))
        cluster.kubelet.holds_ready = lambda pod: pod["spec"]["containers"][0]["image"] == "slow"
        await cluster.client.patch("daemonsets.apps", "agent", new_image("slow"), "default")

        async def one() -> bool:
            return sorted((await placed(cluster)).values()) == ["httpd:2.4", "httpd:2.4", "slow"]

        await cluster.until(one)
        await cluster.settle()
        assert await one()
        cluster.kubelet.holds_ready = lambda pod: False
        cluster.kubelet.look_again()
        found = await cluster.until(lambda: settled(cluster, 3))
        assert set((await placed(cluster)).values()) == {"slow"}
        assert found["metadata"]["annotations"]["deprecated.daemonset.template.generation"] == "2"
        assert sorted(int(r["revision"]) for r in await cluster.list("controllerrevisions.apps")) == [1, 2]

    play(tmp_path, scenario, nodes=3)


def test_with_a_surge_the_new_pod_comes_first(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        await cluster.client.create("daemonsets.apps", daemon_set(updateStrategy=rolling))
        await cluster.until(lambda: settled(cluster, 2))
        cluster.kubelet.holds_ready = lambda pod: pod["spec"]["containers"][0]["image"] == "slow"
        await cluster.client.patch("daemonsets.apps", "agent", new_image("slow"), "default")

        async def surging() -> bool:
            return len(await cluster.list("pods")) == 3

        await cluster.until(surging)
        await cluster.settle()
        found = await cluster.list("pods")
        assert sorted(pod["spec"]["containers"][0]["image"] for pod in found) == ["httpd:2.4", "httpd:2.4", "slow"]
        cluster.kubelet.holds_ready = lambda pod: False
        cluster.kubelet.look_again()
        await cluster.until(lambda: settled(cluster, 2))
        assert set((await placed(cluster)).values()) == {"slow"}

    play(tmp_path, scenario, nodes=2)


def test_on_delete_leaves_it_to_the_user(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("daemonsets.apps", daemon_set(updateStrategy={"type": "OnDelete"}))
        await cluster.until(lambda: settled(cluster, 1))
        await cluster.client.patch("daemonsets.apps", "agent", new_image("nginx"), "default")
        await cluster.settle()
        (old,) = await cluster.list("pods")
        assert old["spec"]["containers"][0]["image"] == "httpd:2.4"
        await cluster.client.delete("pods", old["metadata"]["name"], "default")
        await cluster.until(lambda: settled(cluster, 1))
        assert set((await placed(cluster)).values()) == {"nginx"}

    play(tmp_path, scenario)


def test_a_daemon_that_ended_is_replaced(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("daemonsets.apps", daemon_set())
        await cluster.until(lambda: settled(cluster, 1))
        name = (await cluster.list("pods"))[0]["metadata"]["name"]
        await cluster.client.patch("pods", name, {"status": {"phase": "Failed"}}, "default", subresource="status")

        async def replaced() -> bool:
            found = await cluster.list("pods")
            return len(found) == 1 and found[0]["metadata"]["name"] != name

        await cluster.until(replaced)
        (text,) = await cluster.messages("agent", "FailedDaemonPod")
        assert text == f"Found failed daemon pod default/{name} on node test, will try to kill it"

    play(tmp_path, scenario)
