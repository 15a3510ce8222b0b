"""What is counted and written down: who has which ClusterIP, what of a quota is used, how many Pods may be evicted."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from harness import Cluster, deployment, play, service

from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.objects import Obj, condition_of, labels_of, name_of

ADDRESSES = "ipaddresses.networking.k8s.io"
RANGES = "servicecidrs.networking.k8s.io"
BUDGETS = "poddisruptionbudgets.policy"


async def parents(cluster: Cluster) -> dict[str, str]:
    return {name_of(each): each["spec"]["parentRef"]["name"] for each in await cluster.list(ADDRESSES, None)}


def test_every_cluster_ip_has_an_address_object_that_names_its_service(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        made = await cluster.client.create("services", service("web"))
        address = made["spec"]["clusterIP"]

        async def written(name: str) -> bool:
            return (await parents(cluster)).get(address) == name

        await cluster.until(lambda: written("web"))
        known = await parents(cluster)
        assert known["10.96.0.1"] == "kubernetes"
        assert known["10.96.0.10"] == "kube-dns"
        entry = await cluster.client.get(ADDRESSES, address)
        assert labels_of(entry)["ipaddress.kubernetes.io/managed-by"] == "ipallocator.k8s.io"
        assert entry["spec"]["parentRef"] == {"resource": "services", "namespace": "default", "name": "web"}

        await cluster.client.delete(ADDRESSES, address)
        await cluster.until(lambda: written("web"), "an entry that was deleted comes back")
        await cluster.client.delete("services", "web", "default")
        await cluster.client.create("services", service("next", clusterIP=address))
        await cluster.until(lambda: written("next"))
        await cluster.client.create("services", service("headless", clusterIP="None"))
        await cluster.client.delete("services", "next", "default")

        async def empty() -> bool:
            return set((await parents(cluster)).values()) == {"kubernetes", "kube-dns"}

        await cluster.until(empty)

    play(tmp_path, scenario)


def test_the_range_of_cluster_ips_is_an_object_too(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        async def is_ready(status: str) -> bool:
            with contextlib.suppress(StatusError):
                found = await cluster.client.get(RANGES, "kubernetes")
                return [each["status"] for each in (found.get("status") or {}).get("conditions") or []] == [status]
            return False

        await cluster.until(lambda: is_ready("True"))
        found = await cluster.client.get(RANGES, "kubernetes")
        assert found["spec"]["cidrs"] == ["10.96.0.0/16"]
        assert found["metadata"]["finalizers"] == ["networking.k8s.io/service-cidr-finalizer"]

        await cluster.client.delete(RANGES, "kubernetes")
        await cluster.until(lambda: is_ready("False"), "addresses depend on it")
        (condition,) = (await cluster.client.get(RANGES, "kubernetes"))["status"]["conditions"]
        assert condition["reason"] == "Terminating"
        assert condition["message"].startswith("There are still IPAddresses referencing the ServiceCIDR")
        with pytest.raises(StatusError, match="range is full"):
            await cluster.client.create("services", service("web"))

        wider = {"metadata": {"name": "wider"}, "spec": {"cidrs": ["10.96.0.0/12"]}}
        await cluster.client.create(RANGES, wider)
        await cluster.until(lambda: is_ready("True"), "replaced: another range holds the addresses now")
        assert (await cluster.client.create("services", service("web")))["spec"]["clusterIP"].startswith("10.")

    play(tmp_path, scenario)


def quota(**hard: str) -> Obj:
    return {"metadata": {"name": "small", "namespace": "default"}, "spec": {"hard": hard}}


def test_a_quota_tells_what_is_used(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        hard = {"pods": "2", "services": "5", "services.nodeports": "5", "count/deployments.apps": "3"}
        await cluster.client.create("resourcequotas", quota(**hard, **{"requests.memory": "1Gi"}))
        await cluster.client.create("services", service("web", type="NodePort"))
        web = deployment(replicas=3)
        asked = {"requests": {"memory": "64Mi"}}
        web["spec"]["template"]["spec"]["containers"][0]["resources"] = asked
        await cluster.client.create("deployments.apps", web)

        async def full() -> Any:
            found = await cluster.client.get("resourcequotas", "small", "default")
            used = (found.get("status") or {}).get("used") or {}
            return used if used.get("pods") == "2" else None

        used = await cluster.until(full)
        assert used == {
            "pods": "2", "services": "2", "services.nodeports": "1", "count/deployments.apps": "1",
            "requests.memory": "128Mi",
        }  # fmt: skip

    play(tmp_path, scenario)


def budget(**spec: Any) -> Obj:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec},
    }


async def evict(cluster: Cluster, pod: Obj) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name_of(pod), "namespace": "default"}}
    await cluster.client.create_subresource("pods", name_of(pod), "eviction", body, "default")


@pytest.mark.parametrize("spec", [{"minAvailable": 2}, {"maxUnavailable": 1}, {"minAvailable": "60%"}])
def test_an_eviction_spends_what_the_budget_allows(spec: dict[str, Any], tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create(BUDGETS, budget(**spec))
        await cluster.client.create("deployments.apps", deployment(replicas=3))

        async def counted() -> bool:
            status = (await cluster.client.get(BUDGETS, "web", "default"))["status"]
            return bool(status["currentHealthy"] == status["expectedPods"] == 3 and status["disruptionsAllowed"] == 1)

        await cluster.until(counted)
        status = (await cluster.client.get(BUDGETS, "web", "default"))["status"]
        assert (status["desiredHealthy"], status["disruptionsAllowed"]) == (2, 1)
        assert status["conditions"][0]["reason"] == "SufficientPods"
        first, second, _ = await cluster.list("pods")
        cluster.kubelet.holds_ready = lambda pod: True
        cluster.kubelet.holds_end = lambda pod: name_of(pod) == name_of(first)
        await evict(cluster, first)
        leaving = condition_of(await cluster.client.get("pods", name_of(first), "default"), "DisruptionTarget")
        assert leaving and leaving["reason"] == "EvictionByEvictionAPI"
        with pytest.raises(StatusError) as refused:
            await evict(cluster, second)
        assert refused.value.code == 429
        assert refused.value.message == "Cannot evict pod as it would violate the pod's disruption budget."
        assert await cluster.get("pods", name_of(second))
        cluster.kubelet.holds_ready = cluster.kubelet.holds_end = lambda pod: False
        cluster.kubelet.look_again()
        await cluster.until(counted)
        await evict(cluster, second)

    play(tmp_path, scenario)


def test_two_budgets_for_one_pod_are_one_too_many(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        other = budget(minAvailable=1)
        other["metadata"]["name"] = "other"
        await cluster.client.create(BUDGETS, budget(minAvailable=1))
        await cluster.client.create(BUDGETS, other)
        await cluster.client.create("deployments.apps", deployment(replicas=1))

        async def running() -> Obj | None:
            pods = [pod for pod in await cluster.list("pods") if pod["status"]["phase"] == "Running"]
            return pods[0] if pods else None

        with pytest.raises(StatusError, match="more than one PodDisruptionBudget"):
            await evict(cluster, await cluster.until(running))

    play(tmp_path, scenario)


def test_the_default_range_and_others_are_told_apart_by_their_conditions(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        more = {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.97.0.0/24"]}}
        await cluster.client.create("servicecidrs.networking.k8s.io", more)
        await cluster.settle()
        ranges = await cluster.list("servicecidrs.networking.k8s.io", None)
        assert {name_of(each): each["status"]["conditions"][0]["message"] for each in ranges} == {
            "kubernetes": "Kubernetes default Service CIDR is ready",
            "more": "Kubernetes Service CIDR is ready",
        }

    play(tmp_path, scenario)
