"""Jobs: Pods until enough of them have succeeded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from harness import Cluster, play

from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.controllers.job_indexes import FAILURES, INDEX, format_indexes, parse_indexes
from lab_helpers.pocketkube.controllers.job_tally import TRACKED
from lab_helpers.pocketkube.objects import Obj, annotations_of, condition_of, labels_of, name_of


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
        await cluster.client.create("jobs.batch", job(suspend=True))
        with pytest.raises(StatusError, match="spec.completions: Invalid value: 5: field is immutable"):
            await cluster.client.patch("jobs.batch", "sum", {"spec": {"completions": 5}}, "default")

    play(tmp_path, scenario)


def test_pods_count_after_they_are_gone(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("jobs.batch", job(completions=2, parallelism=1))
        await end_pods(cluster, "Succeeded", 1)
        done = next(pod for pod in await cluster.list("pods") if pod["status"]["phase"] == "Succeeded")
        await cluster.client.delete("pods", name_of(done), "default")
        await end_pods(cluster, "Succeeded", 1)
        found = await cluster.until(lambda: ended(cluster, "Complete"))
        assert found["status"]["succeeded"] == 2
        assert found["status"]["uncountedTerminatedPods"] == {}
        assert len(await cluster.list("pods")) == 1
        assert not any(pod["metadata"].get("finalizers") for pod in await cluster.list("pods"))

    play(tmp_path, scenario)


def test_pods_that_are_orphaned_or_suspended_are_let_go(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("jobs.batch", job(completions=2, parallelism=2))
        await cluster.settle()
        assert all(pod["metadata"]["finalizers"] == [TRACKED] for pod in await cluster.list("pods"))
        await cluster.client.patch("jobs.batch", "sum", {"spec": {"suspend": True}}, "default")
        await cluster.settle()
        found = await cluster.get("jobs.batch", "sum")
        assert found is not None and "failed" not in found["status"], "taken back, not failed"
        assert await cluster.list("pods") == []
        await cluster.client.patch("jobs.batch", "sum", {"spec": {"suspend": False}}, "default")
        await cluster.settle()
        await cluster.client.delete("jobs.batch", "sum", "default", propagation_policy="Orphan")
        await cluster.settle()
        pods = await cluster.list("pods")
        assert len(pods) == 2
        assert not any("finalizers" in pod["metadata"] or "ownerReferences" in pod["metadata"] for pod in pods)

    play(tmp_path, scenario)


def indexed(**spec: Any) -> Obj:
    return job(completionMode="Indexed", **spec)


async def end_index(cluster: Cluster, index: int, phase: str, exit_code: int = 1) -> None:
    """Waits for the running Pod of an index and ends it, long ago enough for the next to come at once."""

    async def running() -> list[Obj]:
        return [
            pod
            for pod in await cluster.list("pods", label_selector=f"{INDEX}={index}")
            if pod["status"]["phase"] == "Running"
        ]

    terminated = {"exitCode": exit_code, "finishedAt": "2026-01-01T00:00:00Z"}
    statuses = [{"name": "main", "state": {"terminated": terminated}}]
    status = {"phase": phase, "containerStatuses": statuses}
    for pod in await cluster.until(running):
        await cluster.client.patch("pods", name_of(pod), {"status": status}, "default", subresource="status")


def test_each_index_has_its_pod(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("jobs.batch", indexed(completions=5, parallelism=2))
        await cluster.settle()
        pods = sorted(await cluster.list("pods"), key=name_of)
        assert [pod["spec"]["hostname"] for pod in pods] == ["sum-0", "sum-1"]
        assert name_of(pods[0]).startswith("sum-0-")
        [variable] = pods[0]["spec"]["containers"][0]["env"]
        assert variable["name"] == "JOB_COMPLETION_INDEX"
        for index in (0, 1, 3, 4):
            await end_index(cluster, index, "Succeeded")
        await cluster.settle()
        found = await cluster.get("jobs.batch", "sum")
        assert found is not None
        assert (found["status"]["completedIndexes"], found["status"]["succeeded"]) == ("0,1,3,4", 4)
        await end_index(cluster, 2, "Succeeded")
        found = await cluster.until(lambda: ended(cluster, "Complete"))
        assert found["status"]["completedIndexes"] == "0-4"

    play(tmp_path, scenario)


def test_an_index_with_a_limit_of_its_own_fails_alone(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("jobs.batch", indexed(completions=2, parallelism=2, backoffLimitPerIndex=1))
        await end_index(cluster, 1, "Succeeded")
        await end_index(cluster, 0, "Failed")
        await end_index(cluster, 0, "Failed")
        found = await cluster.until(lambda: ended(cluster, "Failed"))
        assert (condition_of(found, "Failed") or {})["reason"] == "FailedIndexes"
        status = found["status"]
        assert (status["failedIndexes"], status["completedIndexes"], status["failed"]) == ("0", "1", 2)
        failures = {annotations_of(pod)[FAILURES] for pod in await cluster.list("pods", label_selector=f"{INDEX}=0")}
        assert failures == {"0", "1"}

    play(tmp_path, scenario)


def test_enough_indexes_are_enough_for_a_success_policy(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        policy = {"rules": [{"succeededIndexes": "0,3", "succeededCount": 1}]}
        await cluster.client.create("jobs.batch", indexed(completions=4, parallelism=4, successPolicy=policy))
        await end_index(cluster, 0, "Succeeded")
        found = await cluster.until(lambda: ended(cluster, "Complete"))
        condition = condition_of(found, "Complete") or {}
        assert (condition["reason"], condition["message"]) == ("SuccessPolicy", "Matched rules at index 0")
        assert "failed" not in found["status"]

    play(tmp_path, scenario)


def test_a_failure_policy_decides_what_a_failure_means(tmp_path: Path) -> None:
    rules = [
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [7]}},
        {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "NotIn", "values": [1, 7]}},
    ]

    async def scenario(cluster: Cluster) -> None:
        spec = {"backoffLimit": 0, "podFailurePolicy": {"rules": rules}}
        await cluster.client.create("jobs.batch", indexed(completions=1, **spec))
        await end_index(cluster, 0, "Failed", exit_code=7)
        await end_index(cluster, 0, "Failed", exit_code=42)
        found = await cluster.until(lambda: ended(cluster, "Failed"))
        condition = condition_of(found, "Failed") or {}
        assert condition["reason"] == "PodFailurePolicy"
        assert condition["message"].endswith("failed with exit code 42 matching FailJob rule at index 1")
        assert found["status"]["failed"] == 1, "the ignored failure does not count"

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("text", "indexes"), [("", set()), ("3", {3}), ("0,1", {0, 1}), ("1,3-5,7", {1, 3, 4, 5, 7}), ("0-9", range(10))]
)
def test_sets_of_indexes_are_written_briefly(text: str, indexes: Iterable[int]) -> None:
    assert format_indexes(indexes) == text
    assert parse_indexes(text, 100) == set(indexes)
    assert parse_indexes("0-9", 3) == {0, 1, 2}, "no more than the Job has"
