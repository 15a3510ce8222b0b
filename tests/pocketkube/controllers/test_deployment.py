"""Deployments: rollouts as a learner sees them, in Pods, ReplicaSets, conditions and events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import Cluster, deployment, play

from lab_helpers.pocketkube.objects import Obj, condition_of, is_condition_true, is_deleting, name_of

DEPLOYMENTS, SETS = "deployments.apps", "replicasets.apps"


async def is_complete(cluster: Cluster, name: str = "web") -> Obj | None:
    found = await cluster.get(DEPLOYMENTS, name)
    if found is None:
        return None
    status = found.get("status") or {}
    wanted = found["spec"]["replicas"]
    counts = (status.get("updatedReplicas", 0), status.get("availableReplicas", 0), status.get("replicas", 0))
    fresh = status.get("observedGeneration") == found["metadata"]["generation"]
    return found if fresh and counts == (wanted, wanted, wanted) else None


async def active_sets(cluster: Cluster) -> dict[str, int]:
    return {name_of(rs): rs["spec"]["replicas"] for rs in await cluster.list(SETS) if rs["spec"]["replicas"]}


async def set_image(cluster: Cluster, image: str, name: str = "web") -> None:
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}}
    kind = "application/strategic-merge-patch+json"
    await cluster.client.patch(DEPLOYMENTS, name, patch, "default", patch_type=kind)


async def change(cluster: Cluster, spec: Any, name: str = "web") -> None:
    await cluster.client.patch(DEPLOYMENTS, name, {"spec": spec}, "default")


def test_a_new_deployment_becomes_available_and_says_so(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create(DEPLOYMENTS, deployment(replicas=3))
        done = await cluster.until(lambda: is_complete(cluster))
        (rs,) = await cluster.list(SETS)
        suffix = name_of(rs).removeprefix("web-")
        assert set(suffix) <= set("bcdf456789")
        assert rs["metadata"]["labels"]["pod-template-hash"] == suffix
        assert rs["spec"]["selector"]["matchLabels"]["pod-template-hash"] == suffix
        assert done["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
        assert rs["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"] == "3"
        assert rs["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"] == "4"
        available, progressing = condition_of(done, "Available"), condition_of(done, "Progressing")
        assert available and (available["status"], available["reason"]) == ("True", "MinimumReplicasAvailable")
        assert progressing and progressing["reason"] == "NewReplicaSetAvailable"
        assert progressing["message"] == f'ReplicaSet "web-{suffix}" has successfully progressed.'
        await cluster.settle()
        assert await cluster.messages("web") == [f"Scaled up replica set web-{suffix} from 0 to 3"]
        pods = await cluster.list("pods")
        assert sorted(await cluster.messages(name_of(rs))) == sorted(f"Created pod: {name_of(pod)}" for pod in pods)

    play(tmp_path, scenario)


def test_a_rolling_update_moves_all_pods_and_keeps_its_history(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create(DEPLOYMENTS, deployment(replicas=2))
        await cluster.until(lambda: is_complete(cluster))
        (first,) = await cluster.list(SETS)
        await set_image(cluster, "httpd:2.4.62")
        done = await cluster.until(lambda: is_complete(cluster))
        assert done["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
        await cluster.settle()
        (second,) = [rs for rs in await cluster.list(SETS) if name_of(rs) != name_of(first)]
        assert await active_sets(cluster) == {name_of(second): 2}
        assert await cluster.messages("web") == [
            f"Scaled up replica set {name_of(first)} from 0 to 2",
            f"Scaled up replica set {name_of(second)} from 0 to 1",
            f"Scaled down replica set {name_of(first)} from 2 to 1",
            f"Scaled up replica set {name_of(second)} from 1 to 2",
            f"Scaled down replica set {name_of(first)} from 1 to 0",
        ]

        await set_image(cluster, "httpd:2.4")  # as `kubectl rollout undo` does
        await cluster.until(lambda: is_complete(cluster))
        await cluster.settle()
        assert await active_sets(cluster) == {name_of(first): 2}
        reused = await cluster.get(SETS, name_of(first))
        assert reused
        assert reused["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
        assert reused["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"

    play(tmp_path, scenario)


def test_recreate_ends_every_old_pod_before_it_starts_a_new_one(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        images: set[tuple[str, ...]] = set()

        def watch(event: str, new: Obj | None, old: Obj | None) -> None:
            pods = cluster.informers.get("pods").list("default")
            images.add(tuple(sorted({pod["spec"]["containers"][0]["image"] for pod in pods})))

        cluster.informers.get("pods").add_handler(watch)
        await cluster.client.create(DEPLOYMENTS, deployment(replicas=2, strategy={"type": "Recreate"}))
        await cluster.until(lambda: is_complete(cluster))
        await set_image(cluster, "httpd:2")
        await cluster.until(lambda: is_complete(cluster))
        assert images == {(), ("httpd:2.4",), ("httpd:2",)}

    play(tmp_path, scenario)


def test_scaling_adds_and_removes_pods(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create(DEPLOYMENTS, deployment(replicas=1))
        await cluster.until(lambda: is_complete(cluster))
        (rs,) = await cluster.list(SETS)
        for size in (5, 0, 2):
            await change(cluster, {"replicas": size})
            await cluster.until(lambda: is_complete(cluster))
        await cluster.settle()
        assert len(await cluster.list("pods")) == 2
        assert await cluster.messages("web") == [
            f"Scaled up replica set {name_of(rs)} from 0 to 1",
            f"Scaled up replica set {name_of(rs)} from 1 to 5",
            f"Scaled down replica set {name_of(rs)} from 5 to 0",
            f"Scaled up replica set {name_of(rs)} from 0 to 2",
        ]

    play(tmp_path, scenario)


def test_a_deployment_resized_in_mid_rollout_keeps_proportions(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        strategy = {"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
        await cluster.client.create(DEPLOYMENTS, deployment(replicas=10, strategy=strategy))
        await cluster.until(lambda: is_complete(cluster))
        cluster.kubelet.holds_ready = lambda pod: pod["spec"]["containers"][0]["image"] == "broken"
        await set_image(cluster, "broken")

        async def stuck() -> bool:
            return sorted((await active_sets(cluster)).values()) == [5, 8]

        await cluster.until(stuck)
        await change(cluster, {"replicas": 15})

        async def resized() -> bool:  # the example of the Kubernetes documentation: 8+5 becomes 11+7
            return sorted((await active_sets(cluster)).values()) == [7, 11]

        await cluster.until(resized)

    play(tmp_path, scenario)


def test_a_paused_deployment_scales_but_does_not_roll(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create(DEPLOYMENTS, deployment(replicas=1))
        await cluster.until(lambda: is_complete(cluster))
        await change(cluster, {"paused": True})
        await set_image(cluster, "httpd:2")
        await change(cluster, {"replicas": 2})

        async def scaled() -> bool:
            return list((await active_sets(cluster)).values()) == [2]

        await cluster.until(scaled)
        await cluster.settle()
        found = await cluster.get(DEPLOYMENTS, "web")
        assert found
        assert len(await cluster.list(SETS)) == 1
        paused = condition_of(found, "Progressing")
        assert paused and (paused["status"], paused["reason"]) == ("Unknown", "DeploymentPaused")
        await change(cluster, {"paused": None})
        await cluster.until(lambda: is_complete(cluster))
        assert len(await cluster.list(SETS)) == 2

    play(tmp_path, scenario)


def test_a_rollout_that_gets_nowhere_misses_its_deadline(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        cluster.kubelet.holds_ready = lambda pod: True
        await cluster.client.create(DEPLOYMENTS, deployment(replicas=1, progressDeadlineSeconds=1))

        async def timed_out() -> Obj | None:
            found = await cluster.get(DEPLOYMENTS, "web")
            condition = condition_of(found or {}, "Progressing")
            return found if condition and condition["reason"] == "ProgressDeadlineExceeded" else None

        found = await cluster.until(timed_out)
        assert not is_condition_true(found, "Progressing")
        assert not is_condition_true(found, "Available")
        unavailable = condition_of(found, "Available")
        assert unavailable and unavailable["reason"] == "MinimumReplicasUnavailable"

    play(tmp_path, scenario)


def test_history_is_kept_to_its_limit(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create(DEPLOYMENTS, deployment(replicas=1, revisionHistoryLimit=1))
        for image in ("httpd:2.4", "httpd:2.4.1", "httpd:2.4.2", "httpd:2.4.3"):
            await set_image(cluster, image)
            await cluster.until(lambda: is_complete(cluster))
            await cluster.settle()
        annotations = [rs["metadata"]["annotations"] for rs in await cluster.list(SETS)]
        assert {found["deployment.kubernetes.io/revision"] for found in annotations} == {"3", "4"}

    play(tmp_path, scenario)


def test_deleting_a_deployment_takes_everything_below_it(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        for policy in ("Background", "Foreground"):
            await cluster.client.create(DEPLOYMENTS, deployment(replicas=2))
            await cluster.until(lambda: is_complete(cluster))
            await cluster.client.delete(DEPLOYMENTS, "web", "default", propagation_policy=policy)

            async def empty() -> bool:
                kinds = ("deployments.apps", "replicasets.apps", "pods")
                return not any([await cluster.list(kind) for kind in kinds])

            await cluster.until(empty, policy)

    play(tmp_path, scenario)


def test_orphaned_replicasets_live_on_and_are_adopted_again(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create(DEPLOYMENTS, deployment(replicas=2))
        await cluster.until(lambda: is_complete(cluster))
        before = {pod["metadata"]["uid"] for pod in await cluster.list("pods")}
        await cluster.client.delete(DEPLOYMENTS, "web", "default", propagation_policy="Orphan")

        async def orphaned() -> bool:
            sets = await cluster.list(SETS)
            return not await cluster.get(DEPLOYMENTS, "web") and not sets[0]["metadata"].get("ownerReferences")

        await cluster.until(orphaned)
        await cluster.client.create(DEPLOYMENTS, deployment(replicas=2))
        await cluster.until(lambda: is_complete(cluster))
        await cluster.settle()
        assert {pod["metadata"]["uid"] for pod in await cluster.list("pods")} == before
        assert not any(is_deleting(pod) for pod in await cluster.list("pods"))

    play(tmp_path, scenario)
