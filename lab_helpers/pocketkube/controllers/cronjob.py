"""The CronJob controller: starts a Job whenever one is due.

    forget   Jobs that have ended leave the list of active ones, and the oldest of them go
    start    the latest time that is due and not yet served gets its Job, if the policy lets it
    wait     until the next time comes

A Job is named after the minute that it is for, so that no minute is served twice.
Models pkg/controller/cronjob/cronjob_controllerv2.go and utils.go (v1.36).
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..api.status import StatusError, ignoring_not_found
from ..clock import format_rfc3339, parse_rfc3339
from ..cron_schedule import Schedule, parse_schedule
from ..objects import Obj, copy, is_condition_true, is_deleting, name_of, namespace_of, new_controller_ref, uid_of
from .job import is_over
from .owner import OwnerController
from .pods import is_namespace_terminating

_RESOURCE = "cronjobs.batch"
_JOBS = "jobs.batch"
_SCHEDULED_FOR = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_MANY = 100
_A_MOMENT_LATE = 0.1
"""So that the time has come for certain when the controller looks again."""


class CronJobController(OwnerController):
    """Runs CronJobs. A key is a CronJob's."""

    name = "cronjob"
    resource = _RESOURCE
    kind = "CronJob"
    owned_resource = _JOBS

    def may_adopt(self, owner: Obj, orphan: Obj) -> bool:
        """A CronJob has no selector: a Job that nobody owns is nobody's."""
        return False

    async def reconcile(self, key: str) -> None:
        """Brings the list of active Jobs up to date, and starts one that is due."""
        cron = self._owners.get(key)
        if cron is None:
            return
        cron = copy(cron)
        status = cron.setdefault("status", {})
        before = copy(status)
        jobs = [job for job in self._owned.owned_by(uid_of(cron)) if job["metadata"]["namespace"] == namespace_of(cron)]
        await self._clean_up(cron, jobs)
        await self._see_what_ended(cron, jobs)
        try:
            if not is_deleting(cron) and not cron["spec"].get("suspend"):
                await self._start_what_is_due(key, cron)
        finally:
            if status != before:
                await self._owners.has_seen(await self._client.update(_RESOURCE, cron, subresource="status"))

    # --- Jobs that were started before ---

    async def _see_what_ended(self, cron: Obj, jobs: list[Obj]) -> None:
        status = cron["status"]
        there = {uid_of(job) for job in jobs}
        active = {ref["uid"]: ref for ref in status.get("active") or []}
        for job in jobs:
            if not is_over(job):
                if uid_of(job) not in active:
                    text = f"Saw a job that the controller did not create or forgot: {name_of(job)}"
                    self._recorder.event(cron, "Warning", "UnexpectedJob", text)
                continue
            complete = is_condition_true(job, "Complete")
            if active.pop(uid_of(job), None) is not None:
                text = f"Saw completed job: {name_of(job)}, condition: {'Complete' if complete else 'Failed'}"
                self._recorder.event(cron, "Normal", "SawCompletedJob", text)
            ended = job["status"].get("completionTime")
            # Times of this format are in order as texts, too.
            if complete and ended and ended > (status.get("lastSuccessfulTime") or ""):
                status["lastSuccessfulTime"] = ended
        for uid, ref in [*active.items()]:
            if uid not in there and not await self._exists(ref):
                del active[uid]
                self._recorder.event(cron, "Normal", "MissingJob", f"Active job went missing: {ref['name']}")
        status["active"] = [*active.values()]
        if not active:
            del status["active"]

    async def _exists(self, ref: Obj) -> bool:
        with ignoring_not_found():
            await self._client.get(_JOBS, ref["name"], ref["namespace"])
            return True
        return False

    async def _clean_up(self, cron: Obj, jobs: list[Obj]) -> None:
        for condition, field in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            limit = cron["spec"].get(field)
            ended = sorted((job for job in jobs if is_condition_true(job, condition)), key=_started_at)
            if limit is not None:
                for job in ended[: max(0, len(ended) - limit)]:
                    await self._delete(cron, job)

    async def _delete(self, cron: Obj, job: Obj) -> None:
        if is_deleting(job):
            return
        try:
            written = await self._client.delete(
                _JOBS, name_of(job), namespace_of(job), uid=uid_of(job), propagation_policy="Background"
            )
        except StatusError as error:
            if error.code == 404:
                return
            self._recorder.event(cron, "Warning", "FailedDelete", f"Deleted job: {error.message}")
            raise
        self._recorder.event(cron, "Normal", "SuccessfulDelete", f"Deleted job {name_of(job)}")
        await self._owned.has_seen(written)

    # --- the next one ---

    async def _start_what_is_due(self, key: str, cron: Obj) -> None:
        spec, now = cron["spec"], self.clock.now()
        schedule = self._schedule(cron)
        if schedule is None:
            return
        coming = schedule.next(now)
        if coming is not None:
            self.queue.add_after(key, coming - now + _A_MOMENT_LATE)
        due = self._latest_due(cron, schedule, now)
        if due is None:
            return
        deadline = spec.get("startingDeadlineSeconds")
        if deadline is not None and due + deadline < now:
            when = datetime.fromtimestamp(due, UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
            self._recorder.event(cron, "Warning", "MissSchedule", f"Missed scheduled time to start a job: {when}")
            return
        active = cron["status"].get("active") or []
        served = cron["status"].get("lastScheduleTime") == format_rfc3339(due)
        if served or any(ref["name"] == _job_name(cron, due) for ref in active):
            return
        if active and spec["concurrencyPolicy"] == "Forbid":
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._recorder.event(cron, "Normal", "JobAlreadyActive", text)
            return
        if active and spec["concurrencyPolicy"] == "Replace":
            await self._replace(cron, active)
        await self._start(cron, due)

    def _schedule(self, cron: Obj) -> Schedule | None:
        spec = cron["spec"]
        try:
            zone = zone_of(spec)
        except ZoneInfoNotFoundError:
            name = spec["timeZone"]
            text = f'invalid timeZone: "{name}": unknown time zone {name}'
            self._recorder.event(cron, "Warning", "UnknownTimeZone", text)
            return None
        try:
            return parse_schedule(spec["schedule"], zone)
        except ValueError as error:
            text = f'unparseable schedule: "{spec["schedule"]}" : {error}'
            self._recorder.event(cron, "Warning", "UnparseableSchedule", text)
            return None

    def _latest_due(self, cron: Obj, schedule: Schedule, now: float) -> float | None:
        """The latest time that has come since the last one that was served. Models mostRecentScheduleTime."""
        since = cron["status"].get("lastScheduleTime") or cron["metadata"]["creationTimestamp"]
        earliest = parse_rfc3339(since)
        deadline = cron["spec"].get("startingDeadlineSeconds")
        if deadline is not None:
            earliest = max(earliest, now - deadline)
        due = schedule.next(earliest)
        if due is None or due > now:
            return None
        second = schedule.next(due)
        if second is None or second > now:
            return due
        missed = int((now - due) // (second - due)) + 1
        if missed > _MANY:
            hint = "Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self._recorder.event(cron, "Warning", "TooManyMissedTimes", f"too many missed start times. {hint}")
        # Most of a long absence is skipped by arithmetic, the rest is walked through.
        latest: float | None = None
        moment = schedule.next(due + (missed - 2) * (second - due))
        while moment is not None and moment <= now:
            latest, moment = moment, schedule.next(moment)
        return latest

    async def _replace(self, cron: Obj, active: list[Obj]) -> None:
        for ref in active:
            with ignoring_not_found():
                await self._delete(cron, await self._client.get(_JOBS, ref["name"], ref["namespace"]))
        cron["status"].pop("active", None)

    async def _start(self, cron: Obj, due: float) -> None:
        described = _new_job(cron, due)
        try:
            job = await self._client.create(_JOBS, described)
            self._recorder.event(cron, "Normal", "SuccessfulCreate", f"Created job {name_of(job)}")
        except StatusError as error:
            if error.code != 409:
                if not is_namespace_terminating(error):
                    self._recorder.event(cron, "Warning", "FailedCreate", f"Error creating job: {error.message}")
                raise
            # Made before, when writing that down did not succeed any more.
            job = await self._client.get(_JOBS, name_of(described), namespace_of(cron))
        await self._owned.has_seen(job)
        status = cron["status"]
        status["active"] = [*(status.get("active") or []), _reference(job)]
        status["lastScheduleTime"] = format_rfc3339(due)


def zone_of(spec: Obj) -> tzinfo:
    """`spec.timeZone`; the cluster's own is UTC."""
    return ZoneInfo(spec["timeZone"]) if spec.get("timeZone") else UTC


def _job_name(cron: Obj, due: float) -> str:
    return f"{name_of(cron)}-{int(due) // 60}"


def _new_job(cron: Obj, due: float) -> Obj:
    template = copy(cron["spec"]["jobTemplate"])
    meta = template.get("metadata") or {}
    when = datetime.fromtimestamp(due, zone_of(cron["spec"])).isoformat().replace("+00:00", "Z")
    metadata: Obj = {
        "name": _job_name(cron, due),
        "namespace": namespace_of(cron),
        "annotations": {**(meta.get("annotations") or {}), _SCHEDULED_FOR: when},
        "ownerReferences": [new_controller_ref(cron)],
    }
    if meta.get("labels"):
        metadata["labels"] = meta["labels"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}


def _reference(job: Obj) -> Obj:
    return {
        "kind": "Job",
        "namespace": namespace_of(job),
        "name": name_of(job),
        "uid": uid_of(job),
        "apiVersion": "batch/v1",
        "resourceVersion": job["metadata"]["resourceVersion"],
    }


def _started_at(job: Obj) -> tuple[str, str]:
    started = (job.get("status") or {}).get("startTime")
    return started or job["metadata"]["creationTimestamp"], name_of(job)
