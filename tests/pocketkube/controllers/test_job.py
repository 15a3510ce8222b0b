"""Jobs: Pods until enough of them have succeeded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness import Cluster, play

from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.objects import Obj, condition_of, labels_of, name_of


def job(**spec: Any) -> Obj:
    pod_spec = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "sum", "namespace": "default"},
        "spec": {"template": {"spec": pod_spec}, **spec},
    }


async def end_pods(cluster: Cluster, phase: str, count: int) -> None:
    """Waits for some running Pods and ends them."""

    async def running() -> list[Obj]:
        found = [pod for pod in await cluster.list("pods") if pod["status"]["phase"] == "Running"]
        return found if len(found) == count else []

    for pod in await cluster.until(running):
        await cluster.client.patch("pods", name_of(pod), {"status": {"phase": phase}}, "default", subresource="status")


async def ended(cluster: Cluster, condition: str) -> Obj | None:
    found = await cluster.get("jobs.batch", "sum")
    return found if found is not None and condition_of(found, condition) else None


def test_as_many_pods_at_a_time_as_it_says_until_enough_have_succeeded(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        made = await cluster.client.create("jobs.batch", job(completions=3, parallelism=2))
        await end_pods(cluster, "Succeeded", 2)
        await end_pods(cluster, "Succeeded", 1)
        found = await cluster.until(lambda: ended(cluster, "Complete"))
        assert found["status"]["succeeded"] == 3
        assert found["status"]["completionTime"]
        assert condition_of(found, "SuccessCriteriaMet")
        pods = await cluster.list("pods")
        assert len(pods) == 3
        uid = made["metadata"]["uid"]
        assert {labels_of(pod)["batch.kubernetes.io/controller-uid"] for pod in pods} == {uid}
        assert {labels_of(pod)["job-name"] for pod in pods} == {"sum"}
        await cluster.settle()
        assert await cluster.messages("sum", "Completed") == ["Job completed"]

    play(tmp_path, scenario)


def test_too_many_failures_end_it(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("jobs.batch", job(backoffLimit=0))
        await end_pods(cluster, "Failed", 1)
        found = await cluster.until(lambda: ended(cluster, "Failed"))
        condition = condition_of(found, "Failed") or {}
        assert condition["reason"] == "BackoffLimitExceeded"
        assert condition["message"] == "Job has reached the specified backoff limit"
        assert found["status"]["failed"] == 1

    play(tmp_path, scenario)


def test_a_failure_is_followed_by_a_pause(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("jobs.batch", job())
        await end_pods(cluster, "Failed", 1)
        await cluster.settle()
        assert len(await cluster.list("pods")) == 1, "the next one is made after ten seconds"

    play(tmp_path, scenario)


def test_a_suspended_job_has_no_pods(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("jobs.batch", job(suspend=True))
        await cluster.until(lambda: ended(cluster, "Suspended"))
        assert await cluster.list("pods") == []
        await cluster.client.patch("jobs.batch", "sum", {"spec": {"suspend": False}}, "default")
        await end_pods(cluster, "Succeeded", 1)
        await cluster.until(lambda: ended(cluster, "Complete"))

    play(tmp_path, scenario)


def test_a_deadline_ends_it(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("jobs.batch", job(activeDeadlineSeconds=1))
        found = await cluster.until(lambda: ended(cluster, "Failed"))
        assert (condition_of(found, "Failed") or {})["reason"] == "DeadlineExceeded"

        async def alone() -> bool:
            return not await cluster.list("pods")

        await cluster.until(alone)

    play(tmp_path, scenario)


def test_what_is_not_allowed(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        wrong = job()
        wrong["spec"]["template"]["spec"]["restartPolicy"] = "Always"
        with pytest.raises(StatusError, match='valid values: "OnFailure", "Never"'):
            await cluster.client.create("jobs.batch", wrong)
        with pytest.raises(StatusError, match="without indexes"):
            await cluster.client.create("jobs.batch", job(completionMode="Indexed", completions=1))
        await cluster.client.create("jobs.batch", job(suspend=True))
        with pytest.raises(StatusError, match="spec.completions: Invalid value: 5: field is immutable"):
            await cluster.client.patch("jobs.batch", "sum", {"spec": {"completions": 5}}, "default")

    play(tmp_path, scenario)
