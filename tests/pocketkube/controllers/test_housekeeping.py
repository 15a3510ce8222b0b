"""Namespaces, accounts, nodes, events, load balancers: what keeps a cluster in order."""

from __future__ import annotations

import asyncio
from pathlib import Path

from harness import Cluster, deployment, play, pod, ready_status, service

from lab_helpers.pocketkube.bootstrap import bootstrap
from lab_helpers.pocketkube.clock import FakeClock
from lab_helpers.pocketkube.config import ClusterConfig
from lab_helpers.pocketkube.controllers.node_lifecycle import GRACE_SECONDS
from lab_helpers.pocketkube.objects import Obj, condition_of, is_deleting

SLICES = "endpointslices.discovery.k8s.io"


def test_a_new_namespace_is_furnished_and_a_deleted_one_emptied(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}})
        await cluster.until(lambda: cluster.get("serviceaccounts", "default", "x"))
        there = deployment()
        there["metadata"]["namespace"] = "x"
        await cluster.client.create("deployments.apps", there)

        async def running() -> bool:
            phases = [(each.get("status") or {}).get("phase") for each in await cluster.list("pods", "x")]
            return phases == ["Running"] * 3

        await cluster.until(running)
        held = [True]
        cluster.kubelet.holds_end = lambda each: held[0]
        await cluster.client.delete("namespaces", "x")

        async def told() -> Obj | None:
            found = await cluster.get("namespaces", "x", None)
            return condition_of(found or {}, "NamespaceDeletionContentFailure")

        assert (await cluster.until(told))["reason"] == "ContentDeleted"
        pods = await cluster.list("pods", "x")
        assert all(is_deleting(each) for each in pods)
        assert await cluster.get("deployments.apps", "web", "x"), "Pods go first"
        held[0] = False
        cluster.kubelet.look_again()

        async def gone() -> bool:
            return await cluster.get("namespaces", "x", None) is None

        await cluster.until(gone)
        assert await cluster.list("pods", "x") == []

    play(tmp_path, scenario)


def test_a_namespace_tells_what_it_waits_for(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("namespaces", {"metadata": {"name": "x"}})
        for name, finalizers in (("a", ["e.com/one", "e.com/two"]), ("b", ["e.com/one"])):
            made = {"metadata": {"name": name, "namespace": "x", "finalizers": finalizers}}
            await cluster.client.create("configmaps", made)
        await cluster.client.delete("namespaces", "x")

        async def told() -> dict[str, tuple[str, str]]:
            found = await cluster.get("namespaces", "x", None) or {}
            conditions = (found.get("status") or {}).get("conditions") or []
            return {each["type"]: (each["status"], each["message"]) for each in conditions}

        assert await cluster.until(told) == {
            "NamespaceDeletionDiscoveryFailure": ("False", "All resources successfully discovered"),
            "NamespaceDeletionGroupVersionParsingFailure": ("False", "All legacy kube types successfully parsed"),
            "NamespaceDeletionContentFailure": (
                "False", "All content successfully deleted, may be waiting on finalization",
            ),
            "NamespaceContentRemaining": (
                "True", "Some resources are remaining: configmaps. has 2 resource instances",
            ),
            "NamespaceFinalizersRemaining": (
                "True",
                "Some content in the namespace has finalizers remaining: "
                "e.com/one in 2 resource instances, e.com/two in 1 resource instances",
            ),
        }  # fmt: skip
        for name in ("a", "b"):
            await cluster.client.patch("configmaps", name, {"metadata": {"finalizers": None}}, "x")

        async def gone() -> bool:
            return await cluster.get("namespaces", "x", None) is None

        await cluster.until(gone)

    play(tmp_path, scenario)


def test_a_deleted_default_account_comes_back(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        before = await cluster.get("serviceaccounts", "default")
        await cluster.client.delete("serviceaccounts", "default", "default")

        async def anew() -> bool:
            found = await cluster.get("serviceaccounts", "default")
            return found is not None and found["metadata"]["uid"] != (before or {})["metadata"]["uid"]

        await cluster.until(anew)

    play(tmp_path, scenario)


def test_dependents_of_an_owner_that_never_was_are_deleted(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "no-such-uid"}
        child = {"name": "child", "namespace": "default", "ownerReferences": [owner]}
        await cluster.client.create("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": child})

        async def gone() -> bool:
            return await cluster.get("configmaps", "child") is None

        await cluster.until(gone)

    play(tmp_path, scenario)


def test_a_circle_of_owners_can_be_deleted(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        names = ("a", "b", "c")
        uids = {}
        for name in names:
            made = await cluster.client.create(
                "configmaps",
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}},
            )
            uids[name] = made["metadata"]["uid"]
        for name, owner in zip(names, ("c", "a", "b"), strict=True):
            ref = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": uids[owner]}
            patch = {"metadata": {"ownerReferences": [{**ref, "controller": True, "blockOwnerDeletion": True}]}}
            await cluster.client.patch("configmaps", name, patch, "default")
        await cluster.settle()
        await cluster.client.delete("configmaps", "a", "default", propagation_policy="Foreground")

        async def left() -> bool:
            return not any(each["metadata"]["name"] in names for each in await cluster.list("configmaps"))

        await cluster.until(left)

    play(tmp_path, scenario)


def test_a_node_that_fails_is_tainted_and_its_pods_leave_the_services(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("services", service("web"))
        await cluster.client.create("deployments.apps", deployment(replicas=1))

        async def serving(count: int) -> bool:
            found = await cluster.list(SLICES, label_selector="kubernetes.io/service-name=web")
            endpoints = [e for each in found for e in each.get("endpoints") or []]
            return sum(e["conditions"]["ready"] for e in endpoints) == count

        await cluster.until(lambda: serving(1))
        cluster.kubelet.holds_ready = lambda each: True
        await cluster.client.patch("nodes", "test", {"status": ready_status("False")}, subresource="status")
        await cluster.until(lambda: serving(0))
        await cluster.settle()
        sick = await cluster.get("nodes", "test", None)
        assert sorted((t["key"], t["effect"]) for t in (sick or {})["spec"]["taints"]) == [
            ("node.kubernetes.io/not-ready", "NoExecute"),
            ("node.kubernetes.io/not-ready", "NoSchedule"),
        ]
        intolerant = pod("intolerant", nodeName="test", tolerations=[])
        await cluster.client.create("pods", intolerant)
        assert not any(is_deleting(each) for each in await cluster.list("pods")), "300 s of grace by default"

        await cluster.client.patch("nodes", "test", {"status": ready_status()}, subresource="status")

        async def healthy() -> bool:
            found = await cluster.get("nodes", "test", None)
            return not (found or {})["spec"].get("taints")

        await cluster.until(healthy)

    play(tmp_path, scenario)


def test_a_cordoned_node_is_tainted(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.patch("nodes", "test", {"spec": {"unschedulable": True}})

        async def tainted() -> bool:
            found = await cluster.get("nodes", "test", None)
            taints = (found or {})["spec"].get("taints") or []
            return [(t["key"], t["effect"]) for t in taints] == [("node.kubernetes.io/unschedulable", "NoSchedule")]

        await cluster.until(tainted)

    play(tmp_path, scenario)


def test_an_intolerant_pod_is_evicted_from_a_tainted_node(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("pods", pod("p"))

        async def running() -> bool:
            return ((await cluster.get("pods", "p") or {}).get("status") or {}).get("phase") == "Running"

        await cluster.until(running)
        taint = {"key": "maintenance", "effect": "NoExecute"}
        await cluster.client.patch("nodes", "test", {"spec": {"taints": [taint]}})

        async def gone() -> bool:
            return await cluster.get("pods", "p") is None

        await cluster.until(gone)
        await cluster.settle()
        assert "Marking for deletion Pod default/p" in await cluster.messages("p")

    play(tmp_path, scenario)


def test_load_balancers_get_addresses_and_give_them_back(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        async def address(name: str) -> str:
            found = await cluster.get("services", name)
            ingress = ((found or {}).get("status") or {}).get("loadBalancer", {}).get("ingress") or [{}]
            return str(ingress[0].get("ip", ""))

        for name in ("one", "two"):
            await cluster.client.create("services", service(name, type="LoadBalancer"))
            await cluster.until(lambda name=name: address(name))
        assert [await address("one"), await address("two")] == ["192.168.49.200", "192.168.49.201"]
        await cluster.settle()
        assert await cluster.messages("one") == ["Ensuring load balancer", "Ensured load balancer"]
        plain = {"spec": {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": None}]}}
        await cluster.client.patch("services", "one", plain, "default")

        async def returned() -> bool:
            return not await address("one")

        await cluster.until(returned)
        await cluster.client.create("services", service("three", type="LoadBalancer"))
        assert await cluster.until(lambda: address("three")) == "192.168.49.200"

    play(tmp_path, scenario)


def test_pods_of_a_vanished_node_are_forgotten(tmp_path: Path) -> None:
    clock = FakeClock(1_900_000_000.0)

    async def scenario(cluster: Cluster) -> None:
        cluster.kubelet.holds_end = lambda each: True
        await cluster.client.create("pods", pod("p", nodeName="test"))
        await cluster.settle()
        await cluster.client.delete("nodes", "test")
        await cluster.settle()
        assert await cluster.get("pods", "p")
        clock.advance(41)

        async def gone() -> bool:
            return await cluster.get("pods", "p") is None

        await cluster.until(gone)

    play(tmp_path, scenario, clock=clock)


def test_a_silent_node_becomes_unknown_and_old_events_go(tmp_path: Path) -> None:
    clock = FakeClock(1_900_000_000.0)

    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("deployments.apps", deployment(replicas=1))

        async def told() -> bool:
            return bool(await cluster.messages("web"))

        await cluster.until(told)
        await cluster.settle()
        clock.advance(GRACE_SECONDS - 1)
        await cluster.settle()
        found = await cluster.get("nodes", "test", None)
        assert (condition_of(found or {}, "Ready") or {})["status"] == "True"
        clock.advance(2)

        async def unknown() -> Obj | None:
            found = await cluster.get("nodes", "test", None)
            ready = condition_of(found or {}, "Ready") or {}
            return found if ready["status"] == "Unknown" else None

        found = await cluster.until(unknown)
        assert (condition_of(found, "Ready") or {})["message"] == "Kubelet stopped posting node status."
        clock.advance(3700)

        async def silent() -> bool:
            return not await cluster.messages("web")

        await cluster.until(silent)

    play(tmp_path, scenario, clock=clock)


def test_the_kubernetes_service_cannot_be_lost(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        for resource in ("services", "endpoints", SLICES):
            await cluster.client.delete(resource, "kubernetes", "default")
            await cluster.settle()
        found = await cluster.get("services", "kubernetes")
        assert (found or {})["spec"]["clusterIP"] == "10.96.0.1"
        endpoints = await cluster.get("endpoints", "kubernetes")
        assert (endpoints or {})["subsets"][0]["addresses"][0]["ip"] == "192.168.49.2"
        assert (await cluster.get(SLICES, "kubernetes") or {})["ports"][0]["port"] == 8443

    play(tmp_path, scenario)


def test_bootstrap_may_run_again_and_heals(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.settle()
        await cluster.client.delete("services", "kubernetes", "default")
        stale = {"endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}]}
        await cluster.client.patch(SLICES, "kubernetes", stale, "default")
        await cluster.client.patch("configmaps", "coredns", {"data": {"Corefile": "mine"}}, "kube-system")
        await bootstrap(cluster.client, ClusterConfig("test", tmp_path))
        found = await cluster.get("services", "kubernetes")
        assert (found or {})["spec"]["clusterIP"] == "10.96.0.1"
        healed = await cluster.get(SLICES, "kubernetes")
        assert (healed or {})["endpoints"][0]["addresses"] == ["192.168.49.2"]
        kept = await cluster.get("configmaps", "coredns", "kube-system")
        assert (kept or {})["data"] == {"Corefile": "mine"}

    play(tmp_path, scenario)


def test_idle_controllers_write_nothing(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("services", service("web"))
        await cluster.client.create("deployments.apps", deployment(replicas=2))
        await cluster.settle()
        before = (await cluster.client.list("pods")).resource_version
        await asyncio.sleep(0.3)
        assert (await cluster.client.list("pods")).resource_version == before

    play(tmp_path, scenario, nodes=2)


def test_a_role_gathers_the_rules_of_those_that_are_part_of_it(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        resource = "clusterroles.rbac.authorization.k8s.io"
        rule = {"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["cows"]}
        part = {"name": "cows", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}
        before = {name: (await cluster.client.get(resource, name))["rules"] for name in ("view", "edit", "admin")}
        await cluster.client.create(resource, {"metadata": part, "rules": [rule]})

        async def reached(name: str, *, there: bool) -> bool:
            return (rule in (await cluster.client.get(resource, name))["rules"]) is there

        for name in before:
            await cluster.until(lambda name=name: reached(name, there=True))
        await cluster.client.delete(resource, "cows")
        for name, rules in before.items():
            await cluster.until(lambda name=name: reached(name, there=False))
            assert (await cluster.client.get(resource, name))["rules"] == rules, "as the bootstrap had written it"

    play(tmp_path, scenario)
