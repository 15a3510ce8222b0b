"""The Job controller: Pods until enough of them have succeeded, or too many have failed.

    decide   is the Job over: failed by a limit or a policy, or has it reached what it is for
    manage   as many Pods at a time as `parallelism` says; after a failure, later and later
    count    note how Pods have ended, let them go, then count them for good

What the Pods and the status say together is worked out in `job_tally`.
Models pkg/controller/job/job_controller.go (v1.36), without gangs of Pods.
"""

from __future__ import annotations

from typing import NamedTuple

from ..api.status import ignoring_not_found
from ..client import STRATEGIC_MERGE_PATCH, Client, EventType
from ..clock import Clock, parse_rfc3339
from ..informer import Controller, SharedInformers
from ..objects import (
    Obj,
    condition_of,
    controller_ref_of,
    copy,
    is_condition_true,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from .adoption import Claims
from .events import EventRecorder
from .job_indexes import fails_by_index, indexed_template, is_indexed
from .job_policies import judge, success_rule
from .job_tally import TRACKED, Tally, has_failed, is_terminating, is_tracked
from .owner import OwnerController
from .pods import PodControl, is_active, is_ready, phase_of

_RESOURCE = "jobs.batch"
_LONGEST_PREFIX = 58


class _End(NamedTuple):
    """Why a Job is over."""

    failed: bool
    reason: str
    message: str

    @property
    def foretold(self) -> str:
        """The condition that says so while Pods are still ending."""
        return "FailureTarget" if self.failed else "SuccessCriteriaMet"

    @property
    def final(self) -> str:
        """The condition that says so once nothing is left to do."""
        return "Failed" if self.failed else "Complete"


_COMPLETE = _End(False, "CompletionsReached", "Reached expected number of succeeded pods")
_FAILED = _End(True, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
_LATE = _End(True, "DeadlineExceeded", "Job was active longer than specified deadline")
_TOO_MANY_INDEXES = "Job has exceeded the specified maximal number of failed indexes"


class JobController(OwnerController):
    """Runs Jobs. A key is a Job's."""

    name = "job"
    resource = _RESOURCE
    kind = "Job"

    def __init__(self, client: Client, informers: SharedInformers, recorder: EventRecorder, clock: Clock) -> None:
        super().__init__(client, informers, recorder, clock)
        self._pod_control = PodControl(client, recorder)

    async def reconcile(self, key: str) -> None:
        """Decides, acts, and writes down what is."""
        job = self._owners.get(key)
        if job is None or job["spec"].get("managedBy") not in (None, "kubernetes.io/job-controller"):
            return
        if is_over(job):
            await self._forget_in_time(key, job)
            return
        job = copy(job)
        job.setdefault("status", {})
        tally = Tally(job, await self._own_pods(job))
        if not job["spec"].get("suspend"):
            job["status"].setdefault("startTime", self.clock.rfc3339())
        end = self._end(key, job, tally)
        if end is not None:
            for pod in tally.active:
                await self._delete(job, pod)
        elif not is_deleting(job):
            await self._manage(key, job, tally)
            self._note_suspension(job)
        await self._count(job, tally, end)

    async def _own_pods(self, job: Obj) -> list[Obj]:
        selector = self.selector_of(job)
        if not selector.requirements:
            return []
        claims = Claims(self._client, job, _RESOURCE, selector, "pods", finalizer=TRACKED)
        return await claims.claim(self._owned.list(namespace_of(job)))

    # --- deciding ---

    def _end(self, key: str, job: Obj, tally: Tally) -> _End | None:
        """Failure is looked for first, except where success has been promised."""
        for failed, kind in ((False, "SuccessCriteriaMet"), (True, "FailureTarget")):
            if is_condition_true(job, kind):
                known = condition_of(job, kind) or {}
                return _End(failed, known.get("reason", ""), known.get("message", ""))
        failure = self._failure(key, job, tally)
        if failure is not None:
            return failure
        matched = success_rule(job, tally.completed) if is_indexed(job) else ""
        if matched:
            return _End(False, "SuccessPolicy", matched)
        if tally.active:
            return None
        wanted = job["spec"].get("completions")
        reached = tally.succeeded > 0 if wanted is None else tally.succeeded >= wanted
        return _COMPLETE if reached else None

    def _failure(self, key: str, job: Obj, tally: Tally) -> _End | None:
        spec = job["spec"]
        for pod in tally.pods:
            if spec.get("podFailurePolicy") and has_failed(job, pod):
                verdict = judge(job, pod)
                if verdict.action == "FailJob":
                    return _End(True, "PodFailurePolicy", verdict.message)
        limit = int(spec["backoffLimit"])
        restarts = sum(_restarts(pod) for pod in tally.active) if _restarts_in_place(job) else 0
        if tally.failed > limit or (restarts and restarts >= limit):
            return _FAILED
        deadline = spec.get("activeDeadlineSeconds")
        if deadline is not None and not spec.get("suspend"):
            left = parse_rfc3339(job["status"]["startTime"]) + deadline - self.clock.now()
            if left <= 0:
                return _LATE
            self.queue.add_after(key, left)
        if fails_by_index(job) and tally.failed_indexes:
            most = spec.get("maxFailedIndexes")
            if most is not None and len(tally.failed_indexes) > most:
                return _End(True, "MaxFailedIndexesExceeded", _TOO_MANY_INDEXES)
            if len(tally.failed_indexes | tally.completed) >= spec["completions"]:
                return _End(True, "FailedIndexes", "Job has failed indexes")
        return None

    # --- acting ---

    async def _manage(self, key: str, job: Obj, tally: Tally) -> None:
        surplus = tally.active if job["spec"].get("suspend") else tally.surplus()
        for pod in surplus:
            # Taken back, not failed: it is let go before it ends, so that it is never counted.
            await self._let_go(pod)
            await self._delete(job, pod)
        if surplus or job["spec"].get("suspend") or not tally.missing():
            return
        pause = 0.0 if fails_by_index(job) else tally.pause(self.clock.now())
        if pause > 0:
            self.queue.add_after(key, pause)
        elif is_indexed(job):
            await self._create_indexed(key, job, tally)
        else:
            for _ in range(tally.missing()):
                await self._create(job, _tracked(job["spec"]["template"]))

    async def _create_indexed(self, key: str, job: Obj, tally: Tally) -> None:
        missing = tally.missing()
        for index in tally.pending_indexes():
            if not missing:
                return
            pause = tally.pause_of(index, self.clock.now())
            if pause > 0:
                self.queue.add_after(key, pause)
                continue
            template = indexed_template(job, _tracked(job["spec"]["template"]), index)
            if fails_by_index(job):
                template["metadata"]["annotations"] |= tally.inherited_failures(index)
            ending = f"-{index}-"
            await self._create(job, template, name_of(job)[: _LONGEST_PREFIX - len(ending)] + ending)
            missing -= 1

    async def _create(self, job: Obj, template: Obj, generate_name: str = "") -> None:
        await self._owned.has_seen(await self._pod_control.create(template, job, generate_name=generate_name))

    async def _delete(self, job: Obj, pod: Obj) -> None:
        with ignoring_not_found():
            await self._owned.has_seen(await self._pod_control.delete(pod, job))

    async def _let_go(self, pod: Obj) -> None:
        await let_go(self._client, pod)

    async def _forget_in_time(self, key: str, job: Obj) -> None:
        """A finished Job goes when its time to live is over. Models pkg/controller/ttlafterfinished."""
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        if seconds is None or is_deleting(job):
            return
        conditions = (job.get("status") or {}).get("conditions") or []
        ended = max(parse_rfc3339(c["lastTransitionTime"]) for c in conditions if c["type"] in ("Complete", "Failed"))
        left = ended + seconds - self.clock.now()
        if left > 0:
            self.queue.add_after(key, left)
            return
        with ignoring_not_found():
            await self._client.delete(
                _RESOURCE, name_of(job), namespace_of(job), uid=uid_of(job), propagation_policy="Foreground"
            )

    # --- counting ---

    async def _count(self, job: Obj, tally: Tally, end: _End | None) -> None:
        """First the ends are noted by uid, then the Pods are let go, then the notes become counts.

        Whenever this is interrupted, the notes and the finalizers that are left say what is counted already.
        """
        leaving = tally.leaving(end.failed if end else None)
        for pod in leaving:
            tally.note(pod, end.failed if end else None)
        status = job["status"]
        status["uncountedTerminatedPods"] = {how: uids for how, uids in tally.noted.items() if uids}
        status.update(tally.progress())
        if end is not None and not is_condition_true(job, end.foretold):
            _add_condition(status, end.foretold, "True", end.reason, end.message, self.clock.rfc3339())
        written = await self._write_status(job)
        for pod in leaving:
            await self._let_go(pod)
        final = copy(written)
        status = final["status"]
        for how, uids in tally.noted.items():
            if uids:
                status[how] = int(status.get(how) or 0) + len(uids)
        status["uncountedTerminatedPods"] = {}
        finished = end is not None and not any(is_terminating(pod) for pod in self._pods_now(job))
        if end is not None and finished:
            now = self.clock.rfc3339()
            _add_condition(status, end.final, "True", end.reason, end.message, now)
            if not end.failed:
                status["completionTime"] = now
        await self._write_status(final)
        if end is not None and finished:
            self._tell_end(final, end)

    def _tell_end(self, job: Obj, end: _End) -> None:
        if end.failed:
            self._recorder.event(job, "Warning", end.reason, end.message)
        else:
            self._recorder.event(job, "Normal", "Completed", "Job completed")

    def _pods_now(self, job: Obj) -> list[Obj]:
        return self._owned.owned_by(uid_of(job))

    async def _write_status(self, job: Obj) -> Obj:
        """Writes what is in `job`, with the Pods as they are now; returns what is stored."""
        status, pods = job["status"], self._pods_now(job)
        active = [pod for pod in pods if is_active(pod)]
        # Zero counts are left out, as upstream's encoding leaves them out.
        status.pop("active", None)
        if active:
            status["active"] = len(active)
        status["ready"] = sum(is_ready(pod) for pod in active)
        status["terminating"] = sum(is_terminating(pod) for pod in pods)
        known = self._owners.get(key_of(job)) or {}
        if status == known.get("status"):
            return job
        written = await self._client.update(_RESOURCE, job, subresource="status")
        await self._owners.has_seen(written)
        return written

    def _note_suspension(self, job: Obj) -> None:
        """Says once that the Job was suspended or goes on; its time counts from then."""
        status, suspended = job["status"], bool(job["spec"].get("suspend"))
        known = condition_of(job, "Suspended")
        if suspended == is_condition_true(job, "Suspended") or (known is None and not suspended):
            return
        word = ("JobSuspended", "Job suspended") if suspended else ("JobResumed", "Job resumed")
        self._recorder.event(job, "Normal", word[0].removeprefix("Job"), word[1])
        status["conditions"] = [c for c in status.get("conditions") or [] if c["type"] != "Suspended"]
        _add_condition(status, "Suspended", "True" if suspended else "False", *word, self.clock.rfc3339())
        status.pop("startTime", None)
        if not suspended:
            status["startTime"] = self.clock.rfc3339()


class StrayJobPods(Controller):
    """Lets Pods go that no Job will ever count: their Job is gone or over, or they were orphaned. A key is a Pod's."""

    name = "stray-job-pods"

    def __init__(self, client: Client, informers: SharedInformers, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._pods = informers.get("pods")
        self._jobs = informers.get(_RESOURCE)
        self._pods.add_handler(self._on_pod)
        self._jobs.add_handler(self._on_job)

    async def reconcile(self, key: str) -> None:
        """Asks the server itself before it gives a Pod up: the informer of Jobs may lag."""
        pod = self._pods.get(key)
        if pod is None or not is_tracked(pod) or self._is_counted(pod):
            return
        ref = controller_ref_of(pod)
        if ref is not None:
            with ignoring_not_found():
                job = await self._client.get(_RESOURCE, ref["name"], split_key(key)[0])
                if uid_of(job) == ref["uid"] and not is_over(job):
                    return
        await let_go(self._client, pod)

    def _is_counted(self, pod: Obj) -> bool:
        ref = controller_ref_of(pod)
        job = self._jobs.get(f"{namespace_of(pod)}/{ref['name']}") if ref is not None else None
        return job is not None and ref is not None and uid_of(job) == ref["uid"] and not is_over(job)

    def _on_pod(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is not None and is_tracked(new) and not self._is_counted(new):
            self.enqueue(new)

    def _on_job(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        job = new or old or {}
        if new is None or is_over(job):
            for pod in self._pods.owned_by(uid_of(job)):
                self._on_pod("MODIFIED", pod, None)


async def let_go(client: Client, pod: Obj) -> None:
    """Takes the tracking finalizer off a Pod."""
    if not is_tracked(pod):
        return
    patch = {"metadata": {"uid": uid_of(pod), "$deleteFromPrimitiveList/finalizers": [TRACKED]}}
    with ignoring_not_found():
        await client.patch("pods", name_of(pod), patch, namespace_of(pod), patch_type=STRATEGIC_MERGE_PATCH)


def is_over(job: Obj) -> bool:
    """True once the Job is complete or has failed."""
    return is_condition_true(job, "Complete") or is_condition_true(job, "Failed")


def _add_condition(status: Obj, kind: str, value: str, reason: str, message: str, now: str) -> None:
    condition = {
        "type": kind,
        "status": value,
        "lastProbeTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }
    status["conditions"] = [*(status.get("conditions") or []), condition]


def _tracked(template: Obj) -> Obj:
    tracked: Obj = copy(template)
    metadata = tracked.setdefault("metadata", {})
    finalizers = metadata.get("finalizers") or []
    if TRACKED not in finalizers:
        metadata["finalizers"] = [*finalizers, TRACKED]
    return tracked


def _restarts_in_place(job: Obj) -> bool:
    return bool(job["spec"]["template"]["spec"].get("restartPolicy") == "OnFailure")


def _restarts(pod: Obj) -> int:
    if phase_of(pod) not in ("Running", "Pending"):
        return 0
    status = pod.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    return sum(int(container.get("restartCount") or 0) for container in containers)
