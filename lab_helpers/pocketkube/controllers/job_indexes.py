"""The completion indexes of an indexed Job: who has which, which are done, and the Pod for the next. Pure functions.

Sets of indexes are written as upstream writes them: `1,3-5,7`. Models pkg/controller/job/indexed_job_utils.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterable

from ..objects import Obj, annotations_of, copy, name_of

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"


def is_indexed(job: Obj) -> bool:
    """True if each of the Job's completions has a number of its own."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def fails_by_index(job: Obj) -> bool:
    """True if each index has a back-off limit of its own."""
    return job["spec"].get("backoffLimitPerIndex") is not None


def index_of(job: Obj, pod: Obj) -> int | None:
    """The Pod's index; None if it has none, or one beyond the Job's completions."""
    text = annotations_of(pod).get(INDEX, "")
    return int(text) if text.isdigit() and int(text) < int(job["spec"]["completions"]) else None


def count_in(pod: Obj, annotation: str) -> int:
    """A number of failures that a Pod inherited from those that had its index before."""
    text = annotations_of(pod).get(annotation, "")
    return int(text) if text.isdigit() else 0


def parse_indexes(text: str, completions: int) -> set[int]:
    """`1,3-5` as a set, without what the Job doesn't have."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            found.update(range(int(first), min(int(last or first), completions - 1) + 1))
    return found


def format_indexes(indexes: Iterable[int]) -> str:
    """A set as `1,3-5`; a run of two is written as two."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)


def indexed_template(job: Obj, template: Obj, index: int) -> Obj:
    """The template for one index: label, annotation, host name, and a variable that says so inside the Pod."""
    indexed: Obj = copy(template)
    meta, spec = indexed.setdefault("metadata", {}), indexed["spec"]
    for place in ("labels", "annotations"):
        meta[place] = {**(meta.get(place) or {}), INDEX: str(index)}
    spec["hostname"] = f"{name_of(job)}-{index}"
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}}
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        env = container.setdefault("env", [])
        if not any(variable["name"] == "JOB_COMPLETION_INDEX" for variable in env):
            env.append({"name": "JOB_COMPLETION_INDEX", "valueFrom": copy(source)})
    return indexed
