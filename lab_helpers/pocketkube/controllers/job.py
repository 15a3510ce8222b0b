"""The Job controller: Pods until enough of them have succeeded, or too many have failed.

    too few succeeded   as many Pods at a time as `parallelism` says; after a failure, later and later
    enough              Complete
    too many failures   Failed, and what still runs is ended

Finished Pods stay until the Job goes, so they can be counted again at any time.
Models pkg/controller/job/job_controller.go (v1.36) for Jobs whose Pods are all alike.
"""

from __future__ import annotations

from typing import NamedTuple

from ..api.selectors import compile_label_selector
from ..api.status import ignoring_not_found
from ..client import Client, EventType
from ..clock import Clock, parse_rfc3339
from ..informer import Controller, SharedInformers
from ..objects import (
    Obj,
    controller_ref_of,
    copy,
    is_condition_true,
    is_deleting,
    name_of,
    namespace_of,
    uid_of,
)
from .adoption import Claims
from .events import EventRecorder
from .pods import PodControl, is_active, is_ready, phase_of

_RESOURCE = "jobs.batch"
_FIRST_BACKOFF = 10.0
_LONGEST_BACKOFF = 600.0


class _End(NamedTuple):
    """Why a Job is over."""

    condition: str
    reason: str
    message: str


_COMPLETE = _End("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
_FAILED = _End("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
_LATE = _End("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")


class JobController(Controller):
    """Runs Jobs. A key is a Job's."""

    name = "job"

    def __init__(self, client: Client, informers: SharedInformers, recorder: EventRecorder, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._recorder = recorder
        self._pod_control = PodControl(client, recorder)
        self._jobs = informers.get(_RESOURCE)
        self._pods = informers.get("pods")
        self._jobs.add_handler(lambda event, new, old: self.enqueue(new or old or {}))
        self._pods.add_handler(self._on_pod)

    async def reconcile(self, key: str) -> None:
        """Counts, decides, acts, and writes down what is."""
        job = self._jobs.get(key)
        if job is None or is_deleting(job):
            return
        if _is_over(job):
            await self._forget_in_time(key, job)
            return
        pods = await self._own_pods(job)
        started = (job.get("status") or {}).get("startTime")
        suspended = bool(job["spec"].get("suspend"))
        if not started and not suspended:
            started = self.clock.rfc3339()
        end = None if suspended else self._end(job, pods, started)
        if end is not None or suspended:
            for pod in pods:
                if is_active(pod):
                    with ignoring_not_found():
                        await self._pod_control.delete(pod, job)
        else:
            await self._start(key, job, pods)
        pods = await self._own_pods(job)
        await self._write_status(job, pods, None if suspended else started, end)

    async def _own_pods(self, job: Obj) -> list[Obj]:
        selector = compile_label_selector(job["spec"].get("selector"))
        if not selector.requirements:
            return []
        claims = Claims(self._client, job, _RESOURCE, selector, "pods")
        return await claims.claim(self._pods.list(namespace_of(job)))

    # --- deciding ---

    def _end(self, job: Obj, pods: list[Obj], started: str | None) -> _End | None:
        spec = job["spec"]
        succeeded, active = _count(pods, "Succeeded"), [pod for pod in pods if is_active(pod)]
        limit = int(spec.get("backoffLimit", 6))
        restarts = sum(_restarts(pod) for pod in active) if _restarts_in_place(job) else 0
        if _count(pods, "Failed") > limit or (restarts and restarts >= limit):
            return _FAILED
        deadline = spec.get("activeDeadlineSeconds")
        if deadline is not None and started and self.clock.now() - parse_rfc3339(started) >= deadline:
            return _LATE
        wanted = spec.get("completions")
        if wanted is None:
            # A work queue: the first that succeeds says that there is no more to do.
            return _COMPLETE if succeeded and not active else None
        return _COMPLETE if succeeded >= wanted else None

    # --- acting ---

    async def _start(self, key: str, job: Obj, pods: list[Obj]) -> None:
        spec = job["spec"]
        deadline = spec.get("activeDeadlineSeconds")
        if deadline is not None:
            self.queue.add_after(key, float(deadline))
        succeeded, parallel = _count(pods, "Succeeded"), int(spec.get("parallelism", 1))
        active = [pod for pod in pods if is_active(pod)]
        wanted = spec.get("completions")
        aim = min(parallel, wanted - succeeded) if wanted is not None else len(active) if succeeded else parallel
        for pod in active[aim:]:
            with ignoring_not_found():
                await self._pod_control.delete(pod, job)
        if aim <= len(active):
            return
        pause = self._backoff(pods)
        if pause > 0:
            self.queue.add_after(key, pause)
            return
        for _ in range(aim - len(active)):
            await self._pods.has_seen(await self._pod_control.create(spec["template"], job))

    def _backoff(self, pods: list[Obj]) -> float:
        """Seconds until the next Pod: none at first, then twice as many after each failure."""
        failed = [pod for pod in pods if phase_of(pod) == "Failed"]
        if not failed:
            return 0.0
        last = max(_finished_at(pod) for pod in failed)
        pause: float = min(_FIRST_BACKOFF * 2 ** (len(failed) - 1), _LONGEST_BACKOFF)
        return last + pause - self.clock.now()

    async def _forget_in_time(self, key: str, job: Obj) -> None:
        """A finished Job goes when its time to live is over. Models pkg/controller/ttlafterfinished."""
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        if seconds is None:
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

    # --- telling ---

    async def _write_status(self, job: Obj, pods: list[Obj], started: str | None, end: _End | None) -> None:
        now = self.clock.rfc3339()
        active = [pod for pod in pods if is_active(pod)]
        counts = {"active": len(active), "succeeded": _count(pods, "Succeeded"), "failed": _count(pods, "Failed")}
        status: Obj = {
            # Zero counts are left out, as upstream's encoding leaves them out.
            **{name: count for name, count in counts.items() if count},
            "ready": sum(is_ready(pod) for pod in active),
            "terminating": sum(is_deleting(pod) for pod in pods),
            "uncountedTerminatedPods": {},
        }
        if started:
            status["startTime"] = started
        conditions = self._conditions(job, end, now)
        if conditions:
            status["conditions"] = conditions
        if end is _COMPLETE:
            status["completionTime"] = now
        if status == (job.get("status") or {}):
            return
        changed = copy(job)
        changed["status"] = status
        await self._jobs.has_seen(await self._client.update(_RESOURCE, changed, subresource="status"))
        if end is _COMPLETE:
            self._recorder.event(job, "Normal", "Completed", "Job completed")
        elif end is not None:
            self._recorder.event(job, "Warning", end.reason, end.message)

    def _conditions(self, job: Obj, end: _End | None, now: str) -> list[Obj]:
        before: list[Obj] = (job.get("status") or {}).get("conditions") or []
        if end is not None:
            foretold = "SuccessCriteriaMet" if end is _COMPLETE else "FailureTarget"
            ended = [_condition(kind, "True", end.reason, end.message, now) for kind in (foretold, end.condition)]
            return [*before, *ended]
        suspended = bool(job["spec"].get("suspend"))
        if suspended == is_condition_true(job, "Suspended"):
            return before
        word = ("JobSuspended", "Job suspended") if suspended else ("JobResumed", "Job resumed")
        if not suspended and not any(condition["type"] == "Suspended" for condition in before):
            return before
        self._recorder.event(job, "Normal", word[0].removeprefix("Job"), word[1])
        others = [condition for condition in before if condition["type"] != "Suspended"]
        return [*others, _condition("Suspended", "True" if suspended else "False", *word, now)]

    # --- what changed ---

    def _on_pod(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        pod = new or old or {}
        ref = controller_ref_of(pod)
        if ref is None or ref["kind"] != "Job":
            return
        job = self._jobs.get(f"{namespace_of(pod)}/{ref['name']}")
        if job is not None and uid_of(job) == ref["uid"]:
            self.enqueue(job)


def _condition(kind: str, status: str, reason: str, message: str, now: str) -> Obj:
    return {
        "type": kind,
        "status": status,
        "lastProbeTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }


def _is_over(job: Obj) -> bool:
    return is_condition_true(job, "Complete") or is_condition_true(job, "Failed")


def _count(pods: list[Obj], phase: str) -> int:
    return sum(phase_of(pod) == phase for pod in pods)


def _restarts_in_place(job: Obj) -> bool:
    return bool(job["spec"]["template"]["spec"].get("restartPolicy") == "OnFailure")


def _restarts(pod: Obj) -> int:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return sum(int(status.get("restartCount") or 0) for status in statuses)


def _finished_at(pod: Obj) -> float:
    """When its last container ended; when it was made, if nobody says."""
    ends = [
        ((status.get("state") or {}).get("terminated") or {}).get("finishedAt")
        for status in (pod.get("status") or {}).get("containerStatuses") or []
    ]
    times = [parse_rfc3339(end) for end in ends if end]
    return max(times, default=parse_rfc3339(pod["metadata"]["creationTimestamp"]))
