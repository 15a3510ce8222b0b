"""CronJobs: a Job whenever one is due."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from harness import Cluster, play

from lab_helpers.pocketkube.clock import Clock
from lab_helpers.pocketkube.objects import Obj, name_of


class AdjustableClock(Clock):
    """The real time, plus what a test adds to it."""

    ahead = 0.0

    def now(self) -> float:
        return time.time() + self.ahead


def cronjob(**spec: Any) -> Obj:
    containers = [{"name": "main", "image": "busybox"}]
    job = {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": containers}}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "tick", "namespace": "default"},
        "spec": {"schedule": "* * * * *", "jobTemplate": job, **spec},
    }


async def minutes_later(cluster: Cluster, clock: AdjustableClock, minutes: int) -> None:
    """Moves time, and has the controller look at the CronJob."""
    clock.ahead += 60.0 * minutes
    patch = {"metadata": {"annotations": {"looked-at": str(clock.ahead)}}}
    await cluster.client.patch("cronjobs.batch", "tick", patch, "default")
    await cluster.settle()


async def jobs(cluster: Cluster) -> list[str]:
    return sorted(name_of(job) for job in await cluster.list("jobs.batch"))


def test_each_minute_is_served_once_and_long_absence_makes_one_job(tmp_path: Path) -> None:
    clock = AdjustableClock()

    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("cronjobs.batch", cronjob())
        await minutes_later(cluster, clock, 1)
        first = await jobs(cluster)
        assert len(first) == 1
        await minutes_later(cluster, clock, 30)
        both = await jobs(cluster)
        assert len(both) == 2
        minute = int(clock.now()) // 60
        assert both[-1] in (f"tick-{minute}", f"tick-{minute - 1}"), "the latest that was due"
        found = await cluster.get("cronjobs.batch", "tick")
        assert found is not None
        assert [ref["name"] for ref in found["status"]["active"]] == both
        assert await cluster.messages("tick", "SuccessfulCreate") == [f"Created job {name}" for name in both]

    play(tmp_path, scenario, clock=clock)


def test_what_a_job_that_still_runs_means_for_the_next(tmp_path: Path) -> None:
    clock = AdjustableClock()

    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("cronjobs.batch", cronjob(concurrencyPolicy="Forbid"))
        await minutes_later(cluster, clock, 1)
        first = await jobs(cluster)
        await minutes_later(cluster, clock, 1)
        assert await jobs(cluster) == first
        assert "policy is Forbid" in (await cluster.messages("tick", "JobAlreadyActive"))[0]
        policy = {"spec": {"concurrencyPolicy": "Replace"}}
        await cluster.client.patch("cronjobs.batch", "tick", policy, "default")
        await cluster.settle()
        second = await jobs(cluster)
        assert len(second) == 1 and second != first
        assert await cluster.messages("tick", "SuccessfulDelete") == [f"Deleted job {first[0]}"]

    play(tmp_path, scenario, clock=clock)


def test_suspended_or_too_late_it_starts_nothing(tmp_path: Path) -> None:
    clock = AdjustableClock()

    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("cronjobs.batch", cronjob(suspend=True))
        await minutes_later(cluster, clock, 5)
        assert await jobs(cluster) == []
        resumed = {"spec": {"suspend": False, "startingDeadlineSeconds": 10, "schedule": "0 0 1 1 *"}}
        await cluster.client.patch("cronjobs.batch", "tick", resumed, "default")
        await cluster.settle()
        assert await jobs(cluster) == []

    play(tmp_path, scenario, clock=clock)


def test_ended_jobs_are_noticed_and_the_oldest_forgotten(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = AdjustableClock()

    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("cronjobs.batch", cronjob(successfulJobsHistoryLimit=1))
        for _ in range(2):
            await minutes_later(cluster, clock, 1)
            for pod in await cluster.list("pods"):
                ended = {"status": {"phase": "Succeeded"}}
                await cluster.client.patch("pods", name_of(pod), ended, "default", subresource="status")
            await cluster.settle()
        found = await cluster.get("cronjobs.batch", "tick")
        assert found is not None
        assert "active" not in found["status"]
        assert found["status"]["lastSuccessfulTime"]
        left = await jobs(cluster)
        assert len(left) == 1
        assert f"Saw completed job: {left[0]}, condition: Complete" in await cluster.messages("tick", "SawCompletedJob")
        await cluster.client.delete("cronjobs.batch", "tick", "default")
        await cluster.settle()
        assert await jobs(cluster) == [], "a CronJob takes its Jobs with it"
        assert await cluster.list("pods") == []

    play(tmp_path, scenario, clock=clock)
    assert [record for record in caplog.records if record.exc_info] == []
