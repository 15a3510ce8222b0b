"""Jobs and CronJobs: defaults and what is allowed.

Running a Job's Pods to their end is left to the controller. Nothing starts the Jobs of a CronJob here, and each write
of one says so. Models pkg/apis/batch/{v1/defaults.go,validation}, pkg/registry/batch/job/strategy.go (v1.36).
"""

from __future__ import annotations

from ..api.status import Cause, forbidden_field, invalid_value, not_supported, required
from ..objects import Obj
from .label_selector import validate_label_selector
from .metadata import validate_immutable, validate_labels
from .naming import max_length_problem, subdomain_problems
from .pod_validation import validate_pod_spec
from .strategy import Strategy
from .workload import default_template, validate_not_negative

UID_LABEL = "batch.kubernetes.io/controller-uid"
NAME_LABEL = "batch.kubernetes.io/job-name"

_NO_CRON = "this cluster stores CronJobs but does not run them: no Job is ever started from one"
_LONGEST_CRON_NAME = 52
_COUNTS = ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished")


class JobStrategy(Strategy):
    """Pods that come to an end."""

    tracks_generation = True

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
        for field in ("completions", "selector", "template", "completionMode"):
            if field == "template" and _is_waiting(old):
                continue
            causes += validate_immutable(new["spec"].get(field), old["spec"].get(field), f"spec.{field}")
        return causes

    def field_names(self) -> tuple[str, ...]:
        """Beside name and namespace."""
        return ("status.successful",)

    def fields(self, obj: Obj) -> dict[str, str]:
        """Their values."""
        return {"status.successful": str((obj.get("status") or {}).get("succeeded") or 0)}


class CronJobStrategy(Strategy):
    """Jobs by the clock: kept, but not run."""

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
        causes = _validate_schedule(spec.get("schedule") or "")
        causes += validate_not_negative(spec, "startingDeadlineSeconds")
        policy = spec["concurrencyPolicy"]
        if policy not in ("Allow", "Forbid", "Replace"):
            causes.append(not_supported("spec.concurrencyPolicy", policy, ["Allow", "Forbid", "Replace"]))
        causes += _validate_job(spec["jobTemplate"]["spec"], "spec.jobTemplate.spec")
        return causes + validate_not_negative(spec, "successfulJobsHistoryLimit", "failedJobsHistoryLimit")

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """That nobody acts on it."""
        return [_NO_CRON]


def _default_job(spec: Obj) -> None:
    default_template(spec)
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")


def _is_waiting(job: Obj) -> bool:
    """A suspended Job that has not begun may still be given other Pods."""
    return bool(job["spec"].get("suspend")) and not (job.get("status") or {}).get("startTime")


def _validate_job(spec: Obj, path: str) -> list[Cause]:
    causes = [
        invalid_value(f"{path}.{field}", spec[field], "must be greater than or equal to 0")
        for field in _COUNTS
        if (spec.get(field) or 0) < 0
    ]
    mode = spec.get("completionMode", "NonIndexed")
    if mode not in ("NonIndexed", "Indexed"):
        causes.append(not_supported(f"{path}.completionMode", mode, ["Indexed", "NonIndexed"]))
    elif mode == "Indexed":
        causes.append(forbidden_field(f"{path}.completionMode", "this cluster runs Jobs without indexes only"))
    template = spec["template"]
    labels = template["metadata"].get("labels") or {}
    causes += validate_labels(labels, f"{path}.template.labels")
    policy = template["spec"].get("restartPolicy")
    causes += validate_pod_spec(template["spec"], f"{path}.template.spec")
    if policy not in ("OnFailure", "Never"):
        causes.append(required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    return causes


def _validate_schedule(schedule: str) -> list[Cause]:
    if not schedule:
        return [required("spec.schedule")]
    if schedule.startswith("@"):
        known = schedule.split(" ")[0] in (
            "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "@every",
        )  # fmt: skip
        return [] if known else [invalid_value("spec.schedule", schedule, f"unrecognized descriptor: {schedule}")]
    fields = schedule.split()
    if len(fields) != 5:
        shown = "[" + " ".join(fields) + "]"
        why = f"expected exactly 5 fields, found {len(fields)}: {shown}"
        return [invalid_value("spec.schedule", schedule, why)]
    return []
