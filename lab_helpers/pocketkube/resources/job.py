"""Jobs and CronJobs: defaults and what is allowed.

Running a Job's Pods to their end, and starting Jobs by the clock, is left to the controllers.
Models pkg/apis/batch/{v1/defaults.go,validation}, pkg/registry/batch/job/strategy.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..api.selectors import compile_label_selector
from ..api.status import NIL_MAP, Cause, invalid_value, not_supported, required, too_long
from ..cron_schedule import parse_schedule
from ..go_types import go_form
from ..objects import Obj
from .causes import validate_prefixed_path
from .job_policies import (
    shown_failure_policy,
    shown_success_policy,
    validate_failure_policy,
    validate_replacement_policy,
    validate_success_policy,
)
from .label_selector import shown_selector, validate_label_selector
from .metadata import IMMUTABLE, validate_labels
from .naming import max_length_problem, subdomain_problems
from .pod_validation import validate_pod_spec
from .pod_warnings import template_warnings
from .strategy import Strategy
from .workload import default_template, validate_not_negative

UID_LABEL = "batch.kubernetes.io/controller-uid"
NAME_LABEL = "batch.kubernetes.io/job-name"

_LONGEST_CRON_NAME, _LONGEST_MANAGER = 52, 63
_MOST_INDEXED, _MANY_COMPLETIONS, _MOST_OF_MANY = 100_000, 100_000, 10_000
_COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_POLICIES = ("podFailurePolicy", "backoffLimitPerIndex", "successPolicy", "managedBy")
_NO_LIMIT = 2**31 - 1


class JobStrategy(Strategy):
    """Pods that come to an end. They stay when their Job is deleted, unless the request says otherwise."""

    tracks_generation = True
    default_propagation = "Orphan"
    propagation_warning = (
        "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them "
        "or set propagationPolicy=Orphan to suppress this warning"
    )

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_Job."""
        _default_job(obj.setdefault("spec", {}))
        obj.setdefault("status", {})

    def prepare_for_create(self, obj: Obj) -> None:
        """Unless the client chose the Pods itself, a Job knows its own by its uid. Models generateSelector."""
        obj["status"] = {}
        spec, meta = obj["spec"], obj["metadata"]
        if not spec.get("manualSelector"):
            template_meta = spec["template"]["metadata"]
            uid, name = meta["uid"], meta.get("name") or ""
            own = {UID_LABEL: uid, NAME_LABEL: name}
            old_names = {"controller-uid": uid, "job-name": name}
            template_meta["labels"] = {**own, **old_names, **(template_meta.get("labels") or {})}
            spec.setdefault("selector", {}).setdefault("matchLabels", {})[UID_LABEL] = uid
        if not meta.get("labels"):
            meta["labels"] = dict(spec["template"]["metadata"].get("labels") or {})

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateJob."""
        return _validate_generated(obj) + _validate_spec(obj["spec"])

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """A Job is not changed while it runs. Models ValidateJobSpecUpdate."""
        causes = self.validate(new) + _validate_spec(new["spec"])  # as upstream, once as a Job and once as an update
        for field in ("completions", "selector", "template", "completionMode", *_POLICIES):
            if (field == "template" and _is_waiting(old)) or (field == "completions" and _is_elastic(new)):
                continue
            value = new["spec"].get(field)
            if value != old["spec"].get(field):
                shown = _SHOWN[field](value) if field in _SHOWN else value
                causes.append(invalid_value(f"spec.{field}", shown, IMMUTABLE))
        return causes

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """See `pod_warnings`."""
        return template_warnings(new, old)

    def field_names(self) -> tuple[str, ...]:
        """Beside name and namespace."""
        return ("status.successful",)

    def fields(self, obj: Obj) -> dict[str, str]:
        """Their values."""
        return {"status.successful": str((obj.get("status") or {}).get("succeeded") or 0)}


class CronJobStrategy(Strategy):
    """Jobs by the clock."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_CronJob."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("concurrencyPolicy", "Allow")
        spec.setdefault("suspend", False)
        spec.setdefault("successfulJobsHistoryLimit", 3)
        spec.setdefault("failedJobsHistoryLimit", 1)
        template = spec.setdefault("jobTemplate", {})
        template.setdefault("metadata", {})
        # Only the Pods' defaults: a Job gets its own when it is made.
        default_template(template.setdefault("spec", {}))
        obj.setdefault("status", {})

    def name_problems(self, name: str) -> list[str]:
        """Its Jobs get eleven characters more."""
        problems = subdomain_problems(name)
        return [*problems, max_length_problem(_LONGEST_CRON_NAME)] if len(name) > _LONGEST_CRON_NAME else problems

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateCronJobSpec."""
        spec = obj["spec"]
        causes = _validate_schedule(spec)
        causes += validate_not_negative(spec, "startingDeadlineSeconds")
        policy = spec["concurrencyPolicy"]
        if policy not in ("Allow", "Forbid", "Replace"):
            causes.append(not_supported("spec.concurrencyPolicy", policy, ["Allow", "Forbid", "Replace"]))
        causes += _validate_job(spec["jobTemplate"]["spec"], "spec.jobTemplate.spec")
        return causes + validate_not_negative(spec, "successfulJobsHistoryLimit", "failedJobsHistoryLimit")


def _validate_spec(spec: Obj) -> list[Cause]:
    """Models ValidateJobSpec."""
    selector = spec.get("selector")
    causes = _validate_job(spec, "spec")
    malformed = [required("spec.selector")] if selector is None else []
    malformed += validate_label_selector(selector or {}, "spec.selector")
    causes += malformed
    labels = spec["template"]["metadata"].get("labels")
    # No selector at all selects nothing.
    if selector is None or not (malformed or compile_label_selector(selector).matches(labels or {})):
        why = "`selector` does not match template `labels`"
        causes.append(invalid_value("spec.template.metadata.labels", _shown_labels(labels), why))
    return causes


def _validate_generated(obj: Obj) -> list[Cause]:
    """Labels and selector that the server made are as it made them. Models validateGeneratedSelector."""
    spec, meta = obj["spec"], obj["metadata"]
    if spec.get("manualSelector") or spec.get("selector") is None:
        return []
    labels = spec["template"]["metadata"].get("labels") or {}
    uid, name = meta.get("uid") or "", meta.get("name") or ""
    expected = {"controller-uid": uid, "job-name": name, UID_LABEL: uid, NAME_LABEL: name}
    causes: list[Cause] = []
    for key, value in expected.items():
        path = f"spec.template.metadata.labels[{key}]"
        if key not in labels:
            causes.append(required("spec.template.metadata.labels", f"must be '{value}'"))
        elif labels[key] != value:
            causes.append(invalid_value(path, _shown_labels(labels), f"must be '{value}'"))
    selector = spec["selector"]
    if not validate_label_selector(selector, "") and not compile_label_selector(selector).matches(expected):
        causes.append(invalid_value("spec.selector", shown_selector(selector), "`selector` not auto-generated"))
    return causes


def _shown_labels(labels: Obj | None) -> Any:
    return NIL_MAP if labels is None else {key: labels[key] for key in sorted(labels)}


def _shown_template(template: Obj) -> Obj:
    """A template as messages show it: its metadata's fields beside the server's own type of the Pod."""
    meta = {key: value for key, value in template["metadata"].items() if value}
    for field in ("labels", "annotations"):
        if field in meta:
            meta[field] = _shown_labels(meta[field])
    return {**meta, "Spec": go_form("PodSpec", template["spec"])}


_SHOWN: dict[str, Callable[[Any], Any]] = {
    "podFailurePolicy": shown_failure_policy,
    "selector": lambda selector: None if selector is None else shown_selector(selector),
    "successPolicy": shown_success_policy,
    "template": _shown_template,
}


def _default_job(spec: Obj) -> None:
    default_template(spec)
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    # With a limit for each index, the Job as a whole has none.
    spec.setdefault("backoffLimit", 6 if spec.get("backoffLimitPerIndex") is None else _NO_LIMIT)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    policy = spec.get("podFailurePolicy")
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed" if policy is None else "Failed")
    for rule in (policy or {}).get("rules") or []:
        for pattern in rule.get("onPodConditions") or []:
            pattern.setdefault("status", "True")


def _is_waiting(job: Obj) -> bool:
    """A suspended Job that has not begun may still be given other Pods."""
    return bool(job["spec"].get("suspend")) and not (job.get("status") or {}).get("startTime")


def _is_elastic(job: Obj) -> bool:
    """An indexed Job may be resized, if all of its Pods run at a time."""
    spec = job["spec"]
    return bool(spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism"))


def _validate_job(spec: Obj, path: str) -> list[Cause]:
    causes = [
        invalid_value(f"{path}.{field}", spec[field], "must be greater than or equal to 0")
        for field in _COUNTS
        if (spec.get(field) or 0) < 0
    ]
    manager = spec.get("managedBy")
    if manager is not None:
        causes += validate_prefixed_path(manager, f"{path}.managedBy")
        causes += [too_long(f"{path}.managedBy", _LONGEST_MANAGER)] * (len(manager.encode()) > _LONGEST_MANAGER)
    mode = spec.get("completionMode", "NonIndexed")
    if mode not in ("NonIndexed", "Indexed"):
        causes.append(not_supported(f"{path}.completionMode", mode, ["NonIndexed", "Indexed"]))
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        causes.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    causes += _validate_indexed(spec, path) if mode == "Indexed" else _validate_unindexed(spec, path)
    if spec.get("podFailurePolicy") is not None:
        causes += validate_failure_policy(spec, f"{path}.podFailurePolicy")
    if spec.get("successPolicy") is not None and mode == "Indexed":
        causes += validate_success_policy(spec, f"{path}.successPolicy")
    elif spec.get("successPolicy") is not None:
        shown = shown_success_policy(spec["successPolicy"])
        causes.append(invalid_value(f"{path}.successPolicy", shown, "requires indexed completion mode"))
    causes += validate_replacement_policy(spec, f"{path}.podReplacementPolicy")
    template = spec["template"]
    labels = template["metadata"].get("labels") or {}
    causes += validate_labels(labels, f"{path}.template.labels")
    policy = template["spec"].get("restartPolicy")
    causes += validate_pod_spec(template["spec"], f"{path}.template.spec")
    if policy == "Always":
        causes.append(required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    elif policy not in ("OnFailure", "Never"):
        causes.append(not_supported(f"{path}.template.spec.restartPolicy", policy, ["OnFailure", "Never"]))
    elif spec.get("podFailurePolicy") and policy != "Never":
        why = 'only "Never" is supported when podFailurePolicy is specified'
        causes.append(invalid_value(f"{path}.template.spec.restartPolicy", policy, why))
    return causes


def _validate_indexed(spec: Obj, path: str) -> list[Cause]:
    completions, most, parallelism = (spec.get(field) for field in ("completions", "maxFailedIndexes", "parallelism"))
    causes: list[Cause] = []
    if completions is None:
        causes.append(required(f"{path}.completions", "when completion mode is Indexed"))
    if (parallelism or 0) > _MOST_INDEXED:
        why = f"must be less than or equal to {_MOST_INDEXED} when completion mode is Indexed"
        causes.append(invalid_value(f"{path}.parallelism", parallelism, why))
    if completions is not None and (most or 0) > completions:
        causes.append(invalid_value(f"{path}.maxFailedIndexes", most, "must be less than or equal to completions"))
    if (most or 0) > _MOST_INDEXED:
        why = f"must be less than or equal to {_MOST_INDEXED}"
        causes.append(invalid_value(f"{path}.maxFailedIndexes", most, why))
    if (completions or 0) <= _MANY_COMPLETIONS or spec.get("backoffLimitPerIndex") is None:
        return causes
    above = f"completions is above {_MANY_COMPLETIONS}"
    if most is None:
        causes.append(required(f"{path}.maxFailedIndexes", f"must be specified when {above}"))
    why = f"must be less than or equal to {_MOST_OF_MANY} when completions are above {_MANY_COMPLETIONS}"
    for field, value in (("parallelism", parallelism), ("maxFailedIndexes", most)):
        if (value or 0) > _MOST_OF_MANY:
            causes.append(invalid_value(f"{path}.{field}", value, f"{why} and used with backoff limit per index"))
    return causes


def _validate_unindexed(spec: Obj, path: str) -> list[Cause]:
    """What only indexed Jobs can have."""
    return [
        invalid_value(f"{path}.{field}", spec[field], "requires indexed completion mode")
        for field in ("backoffLimitPerIndex", "maxFailedIndexes")
        if spec.get(field) is not None
    ]


def _validate_schedule(spec: Obj) -> list[Cause]:
    """Models validateScheduleFormat and validateTimeZone."""
    schedule, zone = spec.get("schedule") or "", spec.get("timeZone")
    if not schedule:
        return [required("spec.schedule")]
    causes = []
    if "TZ" in schedule:
        why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        return [invalid_value("spec.schedule", schedule, why)]
    try:
        parse_schedule(schedule, UTC)
    except ValueError as error:
        causes.append(invalid_value("spec.schedule", schedule, str(error)))
    if zone is not None and not _is_time_zone(zone):
        why = f"unknown time zone {zone}" if zone else "timeZone must be nil or non-empty string"
        causes.append(invalid_value("spec.timeZone", zone, why))
    return causes


def _is_time_zone(name: str) -> bool:
    if not name or name.lower() == "local":
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return False
    return True
