"""ReplicaSets and ReplicationControllers: the right number of Pods, the right ones, each asked for once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness import Cluster, play, pod

from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.clock import format_rfc3339
from lab_helpers.pocketkube.controllers.pods import deletion_order
from lab_helpers.pocketkube.objects import Obj, condition_of, controller_ref_of, name_of, namespace_of

SETS = {"replicasets.apps": ("apps/v1", "ReplicaSet"), "replicationcontrollers": ("v1", "ReplicationController")}


def replica_keeper(resource: str, replicas: int, **spec: Any) -> Obj:
    api_version, kind = SETS[resource]
    labels = {"app": "web"}
    selector: Any = {"matchLabels": labels} if kind == "ReplicaSet" else labels
    template = {"metadata": {"labels": labels}, "spec": pod("x")["spec"]}
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "selector": selector, "template": template, **spec},
    }


async def has(cluster: Cluster, resource: str, count: int) -> Obj | None:
    found = await cluster.get(resource, "web")
    status = (found or {}).get("status") or {}
    pods = await cluster.list("pods")
    full = status.get("replicas") == status.get("availableReplicas", 0) == count == len(pods)
    return found if full else None


@pytest.mark.parametrize("resource", SETS)
def test_pods_are_made_ended_and_replaced(resource: str, tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create(resource, replica_keeper(resource, 3))
        found = await cluster.until(lambda: has(cluster, resource, 3))
        assert found["status"]["readyReplicas"] == found["status"]["fullyLabeledReplicas"] == 3
        victim = name_of((await cluster.list("pods"))[0])
        await cluster.client.delete("pods", victim, "default")

        async def replaced() -> bool:
            names = [name_of(pod) for pod in await cluster.list("pods")]
            return victim not in names and bool(await has(cluster, resource, 3))

        await cluster.until(replaced)
        await cluster.client.patch(resource, "web", {"spec": {"replicas": 1}}, "default")
        await cluster.until(lambda: has(cluster, resource, 1))
        await cluster.settle()
        messages = await cluster.messages("web")
        assert len([message for message in messages if message.startswith("Created pod: web-")]) == 4
        assert len([message for message in messages if message.startswith("Deleted pod: web-")]) == 2

    play(tmp_path, scenario)


def test_matching_pods_are_adopted_and_relabelled_ones_released(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("pods", pod("stray"))
        await cluster.client.create("replicasets.apps", replica_keeper("replicasets.apps", 2))
        await cluster.until(lambda: has(cluster, "replicasets.apps", 2))
        stray = await cluster.get("pods", "stray")
        assert stray and (controller_ref_of(stray) or {})["name"] == "web"

        await cluster.client.patch("pods", "stray", {"metadata": {"labels": {"app": "mine"}}}, "default")

        async def released() -> bool:
            stray = await cluster.get("pods", "stray")
            pods = await cluster.list("pods", label_selector="app=web")
            return bool(stray) and controller_ref_of(stray or {}) is None and len(pods) == 2

        await cluster.until(released)

    play(tmp_path, scenario)


def test_a_surplus_pod_that_comes_along_is_ended(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("replicasets.apps", replica_keeper("replicasets.apps", 2))
        await cluster.until(lambda: has(cluster, "replicasets.apps", 2))
        await cluster.client.create("pods", pod("stray"))
        await cluster.settle()
        assert "stray" not in [name_of(each) for each in await cluster.list("pods")]

    play(tmp_path, scenario)


def test_creations_start_slowly_and_failures_are_reported(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        attempts = 0
        create = cluster.client.create

        async def refuse(resource: str, obj: Obj, namespace: str | None = None) -> Obj:
            nonlocal attempts
            if resource != "pods":
                return await create(resource, obj, namespace)
            attempts += 1
            raise StatusError.forbidden("pods", "web-", "exceeded quota: small")

        cluster.client.create = refuse  # type: ignore[method-assign]
        await cluster.client.create("replicasets.apps", replica_keeper("replicasets.apps", 50))

        async def failed() -> Obj | None:
            found = await cluster.get("replicasets.apps", "web")
            return condition_of(found or {}, "ReplicaFailure")

        condition = await cluster.until(failed)
        assert attempts < 5, "one failure must not become fifty"
        assert condition["reason"] == "FailedCreate"
        assert condition["message"] == 'pods "web-" is forbidden: exceeded quota: small'
        cluster.client.create = create  # type: ignore[method-assign]

        async def recovered() -> bool:
            found = await has(cluster, "replicasets.apps", 50)
            return found is not None and condition_of(found, "ReplicaFailure") is None

        await cluster.until(recovered)
        texts = await cluster.messages("web", "FailedCreate")
        assert texts == ['Error creating: pods "web-" is forbidden: exceeded quota: small']

    play(tmp_path, scenario)


def test_min_ready_seconds_separates_available_from_ready(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("replicasets.apps", replica_keeper("replicasets.apps", 1, minReadySeconds=2))

        async def ready() -> Obj | None:
            found = await cluster.get("replicasets.apps", "web")
            return found if (found or {}).get("status", {}).get("readyReplicas") else None

        assert "availableReplicas" not in (await cluster.until(ready))["status"]
        await cluster.until(lambda: has(cluster, "replicasets.apps", 1))

    play(tmp_path, scenario)


def listed(name: str, *, node: str = "n1", phase: str = "Running", ready: float | None = 100, **more: Any) -> Obj:
    metadata = {"name": name, "namespace": "default", "creationTimestamp": format_rfc3339(more.get("born", 0))}
    if "cost" in more:
        metadata["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": str(more["cost"])}
    conditions = (
        [] if ready is None else [{"type": "Ready", "status": "True", "lastTransitionTime": format_rfc3339(ready)}]
    )
    statuses = [{"restartCount": more.get("restarts", 0)}]
    return {
        "metadata": metadata,
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": phase, "conditions": conditions, "containerStatuses": statuses},
    }


def test_the_least_missed_pods_go_first() -> None:
    order = [
        listed("unassigned", node=""),
        listed("pending", phase="Pending", ready=None),
        listed("not-ready", ready=None),
        listed("cheap", cost=-1),
        listed("crowded", node="n2"),
        listed("ready-lately", ready=500),
        listed("restarted", restarts=3),
        listed("young", born=50),
        listed("old"),
    ]
    related = [*order, listed("other", node="n2"), *(listed(f"more-{n}", node="n2") for n in range(9))]
    assert [name_of(each) for each in deletion_order(list(reversed(order)), related)] == [name_of(p) for p in order]
    assert namespace_of(order[0]) == "default"


def test_pods_that_admission_refuses_are_told_of_by_the_prefix_of_their_names(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        keeper = replica_keeper("replicasets.apps", 1)
        keeper["spec"]["template"]["spec"]["serviceAccountName"] = "ghost"
        await cluster.client.create("replicasets.apps", keeper)

        async def failed() -> Obj | None:
            found = await cluster.get("replicasets.apps", "web")
            return condition_of(found or {}, "ReplicaFailure")

        condition = await cluster.until(failed)
        why = 'error looking up service account default/ghost: serviceaccount "ghost" not found'
        assert condition["message"] == f'pods "web-" is forbidden: {why}'
        await cluster.settle()
        assert f"Error creating: {condition['message']}" in await cluster.messages("web", "FailedCreate")

    play(tmp_path, scenario)
