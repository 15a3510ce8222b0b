"""Jobs and CronJobs: defaults and what is allowed.

Running a Job's Pods to their end, and starting Jobs by the clock, is left to the controllers.
Models pkg/apis/batch/{v1/defaults.go,validation}, pkg/registry/batch/job/strategy.go (v1.36).
"""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..api.status import Cause, invalid_value, not_supported, required
from ..cron_schedule import parse_schedule
from ..objects import Obj
from .label_selector import validate_label_selector
from .metadata import validate_immutable, validate_labels
from .naming import max_length_problem, subdomain_problems
from .pod_validation import validate_pod_spec
from .pod_warnings import template_warnings
from .strategy import Strategy
from .workload import default_template, validate_not_negative

UID_LABEL = "batch.kubernetes.io/controller-uid"
NAME_LABEL = "batch.kubernetes.io/job-name"

_LONGEST_CRON_NAME = 52
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
            template_meta["labels"] = {**(template_meta.get("labels") or {}), **own, **old_names}
            spec.setdefault("selector", {}).setdefault("matchLabels", {})[UID_LABEL] = uid
        if not meta.get("labels"):
            meta["labels"] = dict(spec["template"]["metadata"].get("labels") or {})

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateJobSpec."""
        spec = obj["spec"]
        causes = _validate_job(spec, "spec")
        if spec.get("selector") is None:
            return [required("spec.selector"), *causes]
        return causes + validate_label_selector(spec["selector"], "spec.selector")

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """A Job is not changed while it runs. Models ValidateJobSpecUpdate."""
        causes = self.validate(new)
        for field in ("completions", "selector", "template", "completionMode", *_POLICIES):
            if (field == "template" and _is_waiting(old)) or (field == "completions" and _is_elastic(new)):
                continue
            causes += validate_immutable(new["spec"].get(field), old["spec"].get(field), f"spec.{field}")
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
    mode = spec.get("completionMode", "NonIndexed")
    if mode not in ("NonIndexed", "Indexed"):
        causes.append(not_supported(f"{path}.completionMode", mode, ["NonIndexed", "Indexed"]))
    causes += _validate_indexed(spec, path) if mode == "Indexed" else _validate_unindexed(spec, path)
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
    completions, most = spec.get("completions"), spec.get("maxFailedIndexes")
    causes = []
    if completions is None:
        causes.append(required(f"{path}.completions", "when completion mode is Indexed"))
    elif most is not None and most > completions:
        causes.append(invalid_value(f"{path}.maxFailedIndexes", most, "must be less than or equal to completions"))
    if most is not None and spec.get("backoffLimitPerIndex") is None:
        causes.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    policy = spec.get("successPolicy")
    if policy is not None and not policy.get("rules"):
        why = "at least one rules must be specified when the successPolicy is specified"
        causes.append(required(f"{path}.successPolicy.rules", why))
    return causes


def _validate_unindexed(spec: Obj, path: str) -> list[Cause]:
    """What only indexed Jobs can have."""
    return [
        invalid_value(f"{path}.{field}", spec[field], "requires indexed completion mode")
        for field in ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy")
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
