"""StatefulSets: Pods with names that stay, made, ended and replaced in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness import Cluster, play, pod, service

from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.clock import Clock
from lab_helpers.pocketkube.objects import Obj, is_deleting, labels_of, name_of, uid_of


def stateful_set(replicas: int = 3, image: str = "httpd:2.4", **spec: Any) -> Obj:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "serviceName": "nginx",
            "selector": {"matchLabels": labels},
            "template": template,
            **spec,
        },
    }


def new_image(image: str) -> Obj:
    return {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}}


async def pods(cluster: Cluster) -> list[Obj]:
    return sorted(await cluster.list("pods"), key=name_of)


async def names(cluster: Cluster) -> list[str]:
    return [name_of(each) for each in await pods(cluster) if not is_deleting(each)]


async def images(cluster: Cluster) -> list[str]:
    return [each["spec"]["containers"][0]["image"] for each in await pods(cluster)]


async def settled(cluster: Cluster, count: int) -> Obj | None:
    found = await cluster.get("statefulsets.apps", "web")
    status = (found or {}).get("status") or {}
    done = status.get("replicas") == status.get("availableReplicas", 0) == count == len(await pods(cluster))
    return found if done and status["observedGeneration"] == (found or {})["metadata"]["generation"] else None


async def patch(cluster: Cluster, change: Obj) -> None:
    await cluster.client.patch("statefulsets.apps", "web", change, "default")


def test_pods_have_names_labels_and_host_names_of_their_own(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        headless = service("nginx", {"app": "web"}, clusterIP="None")
        await cluster.client.create("services", headless)
        await cluster.client.create("statefulsets.apps", stateful_set(2))
        found = await cluster.until(lambda: settled(cluster, 2))
        assert await names(cluster) == ["web-0", "web-1"]
        second = (await pods(cluster))[1]
        assert second["metadata"]["generateName"] == "web-"
        assert labels_of(second)["statefulset.kubernetes.io/pod-name"] == "web-1"
        assert labels_of(second)["apps.kubernetes.io/pod-index"] == "1"
        assert labels_of(second)["controller-revision-hash"] == found["status"]["updateRevision"]
        assert (second["spec"]["hostname"], second["spec"]["subdomain"]) == ("web-1", "nginx")
        status = found["status"]
        assert status["currentRevision"] == status["updateRevision"]
        assert status["currentReplicas"] == status["updatedReplicas"] == status["readyReplicas"] == 2
        assert status["collisionCount"] == 0

        async def published() -> bool:
            slices = await cluster.list("endpointslices.discovery.k8s.io")
            hosts = {endpoint.get("hostname") for each in slices for endpoint in each.get("endpoints") or []}
            return {"web-0", "web-1"} <= hosts

        await cluster.until(published)
        assert await cluster.messages("web", "SuccessfulCreate") == [
            "Create Pod web-0 in StatefulSet web successful",
            "Create Pod web-1 in StatefulSet web successful",
        ]

    play(tmp_path, scenario)


def test_each_pod_waits_for_the_one_before_it(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        cluster.kubelet.holds_ready = lambda pod: name_of(pod) == "web-1"
        await cluster.client.create("statefulsets.apps", stateful_set(3))
        await cluster.until(lambda: named(cluster, ["web-0", "web-1"]))
        await cluster.settle()
        assert await names(cluster) == ["web-0", "web-1"]
        cluster.kubelet.holds_ready = lambda pod: False
        cluster.kubelet.look_again()
        await cluster.until(lambda: settled(cluster, 3))

    play(tmp_path, scenario)


async def named(cluster: Cluster, wanted: list[str]) -> bool:
    return await names(cluster) == wanted


def test_parallel_pods_wait_for_nobody(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        cluster.kubelet.holds_ready = lambda pod: True
        await cluster.client.create("statefulsets.apps", stateful_set(3, podManagementPolicy="Parallel"))
        await cluster.until(lambda: named(cluster, ["web-0", "web-1", "web-2"]))
        await patch(cluster, {"spec": {"replicas": 0}})
        await cluster.until(lambda: settled(cluster, 0))

    play(tmp_path, scenario)


def test_scaling_down_ends_the_highest_first_and_one_at_a_time(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("statefulsets.apps", stateful_set(3))
        await cluster.until(lambda: settled(cluster, 3))
        cluster.kubelet.holds_end = lambda pod: name_of(pod) == "web-2"
        await patch(cluster, {"spec": {"replicas": 1}})
        await cluster.until(lambda: named(cluster, ["web-0", "web-1"]))
        await cluster.settle()
        assert await names(cluster) == ["web-0", "web-1"]
        cluster.kubelet.holds_end = lambda pod: False
        cluster.kubelet.look_again()
        await cluster.until(lambda: settled(cluster, 1))
        assert await names(cluster) == ["web-0"]

    play(tmp_path, scenario)


def test_a_pod_that_is_deleted_comes_back_under_its_name(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("statefulsets.apps", stateful_set(2))
        await cluster.until(lambda: settled(cluster, 2))
        before = (await pods(cluster))[0]["metadata"]["uid"]
        await cluster.client.delete("pods", "web-0", "default")

        async def replaced() -> bool:
            found = await cluster.get("pods", "web-0")
            return found is not None and found["metadata"]["uid"] != before

        await cluster.until(replaced)
        await cluster.until(lambda: settled(cluster, 2))

    play(tmp_path, scenario)


def test_a_rolling_update_goes_from_the_highest_ordinal_to_the_partition(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
        await cluster.client.create("statefulsets.apps", stateful_set(3, updateStrategy=strategy))
        await cluster.until(lambda: settled(cluster, 3))
        await patch(cluster, new_image("nginx"))

        async def canary() -> bool:
            return await images(cluster) == ["httpd:2.4", "httpd:2.4", "nginx"]

        await cluster.until(canary)

        async def counted() -> Obj | None:
            found = await settled(cluster, 3)
            return found if found and found["status"].get("updatedReplicas") else None

        status = (await cluster.until(counted))["status"]
        assert status["currentRevision"] != status["updateRevision"]
        assert (status["currentReplicas"], status["updatedReplicas"]) == (2, 1)
        # Below the partition a Pod comes back as it was.
        await cluster.client.delete("pods", "web-0", "default")
        await cluster.settle()
        assert await canary()

        await patch(cluster, {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}})

        async def finished() -> bool:
            found = await settled(cluster, 3)
            same = found is not None and found["status"]["currentRevision"] == found["status"]["updateRevision"]
            return same and await images(cluster) == ["nginx"] * 3

        await cluster.until(finished)
        ended = [text.split()[2] for text in await cluster.messages("web", "SuccessfulDelete")]
        assert ended == ["web-2", "web-1", "web-0"]

    play(tmp_path, scenario)


def test_an_update_stops_where_a_new_pod_does_not_become_ready(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("statefulsets.apps", stateful_set(3))
        await cluster.until(lambda: settled(cluster, 3))
        cluster.kubelet.holds_ready = lambda pod: pod["spec"]["containers"][0]["image"] == "broken"
        await patch(cluster, new_image("broken"))

        async def stuck() -> bool:
            return await images(cluster) == ["httpd:2.4", "httpd:2.4", "broken"]

        await cluster.until(stuck)
        await cluster.settle()
        assert await stuck()

    play(tmp_path, scenario)


def test_on_delete_leaves_it_to_the_user(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("statefulsets.apps", stateful_set(2, updateStrategy={"type": "OnDelete"}))
        await cluster.until(lambda: settled(cluster, 2))
        await patch(cluster, new_image("nginx"))
        await cluster.settle()
        assert await images(cluster) == ["httpd:2.4", "httpd:2.4"]
        await cluster.client.delete("pods", "web-1", "default")

        async def replaced() -> bool:
            return await images(cluster) == ["httpd:2.4", "nginx"]

        await cluster.until(replaced)

    play(tmp_path, scenario)


def test_the_history_has_a_revision_for_each_template(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("statefulsets.apps", stateful_set(1, revisionHistoryLimit=1))
        for image in ("two", "three", "four", "httpd:2.4", "three"):
            await cluster.until(lambda: settled(cluster, 1))
            await patch(cluster, new_image(image))

        async def done() -> bool:
            return bool(await settled(cluster, 1)) and await images(cluster) == ["three"]

        await cluster.until(done)
        await cluster.settle()
        history = await cluster.list("controllerrevisions.apps")
        assert len(history) == 2
        history.sort(key=lambda revision: int(revision["revision"]))
        templates = [revision["data"]["spec"]["template"] for revision in history]
        assert [template["spec"]["containers"][0]["image"] for template in templates] == ["httpd:2.4", "three"]
        assert all(template["$patch"] == "replace" for template in templates)

    play(tmp_path, scenario)


def test_ordinals_may_start_elsewhere(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("statefulsets.apps", stateful_set(2, ordinals={"start": 5}))
        await cluster.until(lambda: named(cluster, ["web-5", "web-6"]))

    play(tmp_path, scenario)


def test_a_stray_of_the_right_name_is_adopted(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("pods", pod("web-0"))
        await cluster.client.create("statefulsets.apps", stateful_set(1, updateStrategy={"type": "OnDelete"}))

        async def adopted() -> bool:
            stray = await cluster.get("pods", "web-0")
            return bool(stray and stray["metadata"].get("ownerReferences"))

        await cluster.until(adopted)

    play(tmp_path, scenario)


def test_claims_for_volumes_are_refused_rather_than_promised(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
        with pytest.raises(StatusError, match="no persistent volumes"):
            await cluster.client.create("statefulsets.apps", stateful_set(1, volumeClaimTemplates=[claim]))
        await cluster.client.create("statefulsets.apps", stateful_set(1))
        with pytest.raises(StatusError, match="updates to statefulset spec for fields other than 'replicas'"):
            await patch(cluster, {"spec": {"serviceName": "other"}})

    play(tmp_path, scenario)


class AdjustableClock(Clock):
    """The real time, plus what a test adds to it."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


def test_a_pod_that_its_node_refuses_is_made_anew_without_haste(tmp_path: Path) -> None:
    clock = AdjustableClock()

    async def scenario(cluster: Cluster) -> None:
        cluster.kubelet.holds_ready = lambda pod: True
        await cluster.client.create("statefulsets.apps", stateful_set(1))
        await cluster.until(lambda: named(cluster, ["web-0"]))
        (first,) = await pods(cluster)
        clock.ahead = -60.0  # as if the Pod were younger still
        refused = {"status": {"phase": "Failed", "reason": "NodePorts"}}
        await cluster.client.patch("pods", "web-0", refused, "default", subresource="status")
        await cluster.settle()
        assert [uid_of(pod) for pod in await pods(cluster)] == [uid_of(first)]
        clock.ahead = 2.0
        await patch(cluster, {"metadata": {"annotations": {"looked": "at"}}})

        async def replaced() -> bool:
            return [uid_of(pod) for pod in await pods(cluster)] not in ([], [uid_of(first)])

        await cluster.until(replaced)

    play(tmp_path, scenario, clock=clock)
