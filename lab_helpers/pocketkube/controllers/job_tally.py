"""How far a Job is: what its status has counted, and what its Pods add to that. Pure.

A Pod carries a finalizer until its end stands in the Job's status, so that no end is lost when the Pod is deleted,
and none is counted twice. Models pkg/controller/job/{job_controller,backoff_utils,indexed_job_utils}.go (v1.36).
"""

from __future__ import annotations

from ..clock import parse_rfc3339
from ..objects import Obj, is_deleting, uid_of
from .job_indexes import (
    FAILURES,
    IGNORED_FAILURES,
    count_in,
    fails_by_index,
    format_indexes,
    index_of,
    is_indexed,
    parse_indexes,
)
from .job_policies import judge
from .pods import deletion_order, is_active, is_finished, phase_of

TRACKED = "batch.kubernetes.io/job-tracking"

_FIRST_BACKOFF = 10.0
_LONGEST_BACKOFF = 600.0


def is_tracked(pod: Obj) -> bool:
    """True as long as the Pod's end is not counted for good."""
    return TRACKED in (pod["metadata"].get("finalizers") or [])


def is_terminating(pod: Obj) -> bool:
    """On its way out, but not there yet."""
    return is_deleting(pod) and not is_finished(pod)


def waits_for_end(job: Obj) -> bool:
    """True if a Pod is replaced when it has failed, not already when it is being deleted."""
    return bool(job["spec"].get("podReplacementPolicy") == "Failed")


def has_failed(job: Obj, pod: Obj) -> bool:
    """Failed, or deleted before it could succeed."""
    if phase_of(pod) == "Failed":
        return True
    return not waits_for_end(job) and is_terminating(pod)


class Tally:
    """One look at a Job and its Pods."""

    def __init__(self, job: Obj, pods: list[Obj]) -> None:
        self.job = job
        self.pods = pods
        self.active = [pod for pod in pods if is_active(pod)]
        self.terminating = [pod for pod in pods if is_terminating(pod)]
        status = job.get("status") or {}
        noted = status.get("uncountedTerminatedPods") or {}
        self.noted: dict[str, list[str]] = {how: [*(noted.get(how) or [])] for how in ("succeeded", "failed")}
        """Uids of Pods whose end is written down, but whose finalizer may still be there."""
        self.fresh = [pod for pod in pods if is_tracked(pod) and self._is_valid(pod) and not self.is_noted(pod)]
        """Pods of which the status knows nothing yet."""
        self.new_failed = [pod for pod in self.fresh if has_failed(job, pod)]
        self.failed = int(status.get("failed") or 0) + len(self.noted["failed"])
        self.failed += sum(self.counts_as_failed(pod) for pod in self.new_failed)
        self.completed: set[int] = set()
        self.failed_indexes: set[int] = set()
        new_succeeded = [pod for pod in self.fresh if phase_of(pod) == "Succeeded"]
        if is_indexed(job):
            self._read_indexes(status, new_succeeded)
            self.succeeded = len(self.completed)
        else:
            self.succeeded = int(status.get("succeeded") or 0) + len(self.noted["succeeded"]) + len(new_succeeded)

    def is_noted(self, pod: Obj) -> bool:
        """True if the Pod's end stands among the uncounted ones of the status."""
        return any(uid_of(pod) in uids for uids in self.noted.values())

    def _is_valid(self, pod: Obj) -> bool:
        return not is_indexed(self.job) or index_of(self.job, pod) is not None

    def _read_indexes(self, status: Obj, new_succeeded: list[Obj]) -> None:
        completions = int(self.job["spec"]["completions"])
        self.completed = parse_indexes(status.get("completedIndexes") or "", completions)
        self.completed |= self._indexes(new_succeeded)
        if fails_by_index(self.job):
            self.failed_indexes = parse_indexes(status.get("failedIndexes") or "", completions)
            self.failed_indexes |= self._indexes([pod for pod in self.new_failed if self._ends_index(pod)])

    def _indexes(self, pods: list[Obj]) -> set[int]:
        return {index for pod in pods if (index := index_of(self.job, pod)) is not None}

    def counts_as_failed(self, pod: Obj) -> bool:
        """False if the Job's failure policy ignores this failure."""
        return judge(self.job, pod).action != "Ignore"

    def _ends_index(self, pod: Obj) -> bool:
        action = judge(self.job, pod).action
        if action == "FailIndex":
            return True
        return action != "Ignore" and count_in(pod, FAILURES) >= int(self.job["spec"]["backoffLimitPerIndex"])

    def progress(self) -> Obj:
        """The indexes as the status writes them."""
        if not is_indexed(self.job):
            return {}
        written = {"succeeded": self.succeeded, "completedIndexes": format_indexes(self.completed)}
        known: Obj = {field: value for field, value in written.items() if value}
        if fails_by_index(self.job):
            known["failedIndexes"] = format_indexes(self.failed_indexes)
        return known

    # --- what to do next ---

    def wanted(self) -> int:
        """How many Pods there should be at a time, now."""
        spec = self.job["spec"]
        parallel, completions = int(spec["parallelism"]), spec.get("completions")
        if completions is None:
            # A work queue: after the first success the others may finish, and no more are made.
            return len(self.active) if self.succeeded else parallel
        return max(0, min(parallel, int(completions) - self.succeeded))

    def surplus(self) -> list[Obj]:
        """Active Pods to be taken back: without a valid index, second ones for an index, beyond the wanted number."""
        taken: set[int] = set()
        double: list[Obj] = []
        keep: list[Obj] = []
        for pod in self.active:
            index = index_of(self.job, pod) if is_indexed(self.job) else None
            if is_indexed(self.job) and (index is None or index in taken):
                double.append(pod)
                continue
            keep.append(pod)
            if index is not None:
                taken.add(index)
        return double + deletion_order(keep, [])[: max(0, len(keep) - self.wanted())]

    def missing(self) -> int:
        """How many Pods should be made."""
        leaving = len(self.terminating) if waits_for_end(self.job) else 0
        return max(0, self.wanted() - leaving - len(self.active))

    def pending_indexes(self) -> list[int]:
        """The indexes that are neither done, nor failed, nor being worked on."""
        busy = self._indexes(self.active) | self.completed | self.failed_indexes
        if waits_for_end(self.job):
            busy |= self._indexes(self.terminating)
        return [index for index in range(int(self.job["spec"]["completions"])) if index not in busy]

    def held_back(self) -> dict[int, Obj]:
        """By index, the failed Pod whose successor is to inherit its count of failures: it stays until that is made."""
        if not fails_by_index(self.job):
            return {}
        held: dict[int, Obj] = {}
        pending = set(self.pending_indexes())
        for pod in self.new_failed:
            index = index_of(self.job, pod)
            if index is not None and index in pending:
                known = held.get(index)
                if known is None or _failures(pod) > _failures(known):
                    held[index] = pod
        return held

    def inherited_failures(self, index: int) -> dict[str, str]:
        """The annotations of the next Pod of an index: how often it failed before."""
        before = self.held_back().get(index)
        if before is None:
            return {FAILURES: "0"}
        failures, ignored = count_in(before, FAILURES), count_in(before, IGNORED_FAILURES)
        if self.counts_as_failed(before):
            failures += 1
        else:
            ignored += 1
        return {FAILURES: str(failures), **({IGNORED_FAILURES: str(ignored)} if ignored else {})}

    def pause(self, now: float) -> float:
        """Seconds until the next Pod: none after a success, then twice as many with each failure."""
        last_success = max((_ended_at(pod) for pod in self.pods if phase_of(pod) == "Succeeded"), default=0.0)
        ends = [end for pod in self.pods if has_failed(self.job, pod) and (end := _ended_at(pod)) > last_success]
        return _pause(len(ends), max(ends), now) if ends else 0.0

    def pause_of(self, index: int, now: float) -> float:
        """The same for one index that has a limit of its own."""
        before = self.held_back().get(index)
        return _pause(_failures(before) + 1, _ended_at(before), now) if before is not None else 0.0

    def leaving(self, end_failed: bool | None) -> list[Obj]:
        """Pods whose end may be counted now; all of them once the Job has failed (True) or succeeded (False)."""
        held = {uid_of(pod) for pod in self.held_back().values()}
        if end_failed is not None or is_deleting(self.job):
            return [pod for pod in self.pods if is_tracked(pod)]
        over = [pod for pod in self.pods if phase_of(pod) == "Succeeded" or has_failed(self.job, pod)]
        return [pod for pod in over if is_tracked(pod) and uid_of(pod) not in held]

    def note(self, pod: Obj, end_failed: bool | None) -> None:
        """Writes down how a Pod that leaves has ended; of indexes that are done, `progress` tells."""
        if self.is_noted(pod) or not self._is_valid(pod):
            return
        if phase_of(pod) == "Succeeded":
            if not is_indexed(self.job):
                self.noted["succeeded"].append(uid_of(pod))
        elif (has_failed(self.job, pod) or end_failed) and self.counts_as_failed(pod):
            self.noted["failed"].append(uid_of(pod))


def _failures(pod: Obj) -> int:
    return count_in(pod, FAILURES) + count_in(pod, IGNORED_FAILURES)


def _pause(failures: int, last: float, now: float) -> float:
    pause: float = min(_FIRST_BACKOFF * 2 ** min(failures - 1, 10), _LONGEST_BACKOFF)
    return last + pause - now


def _ended_at(pod: Obj) -> float:
    """When its last container ended; else when it was told to, or was made."""
    ends = [
        ((status.get("state") or {}).get("terminated") or {}).get("finishedAt")
        for status in (pod.get("status") or {}).get("containerStatuses") or []
    ]
    times = [parse_rfc3339(end) for end in ends if end]
    meta = pod["metadata"]
    return max(times, default=parse_rfc3339(meta.get("deletionTimestamp") or meta["creationTimestamp"]))
