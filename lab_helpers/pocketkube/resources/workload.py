"""Deployments, ReplicaSets and ReplicationControllers: defaults and what is allowed.

Making Pods of their templates is left to the controllers.
Models pkg/apis/apps/{v1/defaults.go,validation} and core's for the ReplicationController (v1.36).
"""

from __future__ import annotations

from typing import Any

from ..api.selectors import compile_label_selector
from ..api.status import NIL_MAP, Cause, forbidden_field, invalid_value, not_supported, required
from ..objects import Obj, matches_labels
from .label_selector import shown_selector, validate_kept_selector, validate_label_selector
from .pod_defaults import default_pod_spec
from .pod_validation import validate_template
from .pod_warnings import template_warnings
from .strategy import Strategy

_NOT_NEGATIVE = "must be greater than or equal to 0"
_LABELS = "spec.template.metadata.labels"
_MISMATCH = "`selector` does not match template `labels`"
_PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
    "regex used for validation is '[0-9]+%')"
)
_DEFAULT_SHARE = "25%"


def default_template(spec: Obj) -> None:
    """The defaults of the Pods to come."""
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    default_pod_spec(template.setdefault("spec", {}))


def validate_not_negative(spec: Obj, *fields: str) -> list[Cause]:
    """Numbers of the spec that count something."""
    return [
        invalid_value(f"spec.{field}", spec[field], _NOT_NEGATIVE) for field in fields if (spec.get(field) or 0) < 0
    ]


def validate_counts(
    status: Obj, counts: tuple[str, ...], parts: tuple[str, ...] = (), ready: str = "readyReplicas"
) -> list[Cause]:
    """A status whose counts are none, and whose parts of the Pods are more than there are.

    `ready` is what the text calls the Pods that are ready.
    """
    given = {field: status.get(field) or 0 for field in {"replicas", *counts, *parts}}
    causes = [invalid_value(f"status.{field}", given[field], _NOT_NEGATIVE) for field in counts if given[field] < 0]
    causes += [
        invalid_value(f"status.{field}", given[field], "cannot be greater than status.replicas")
        for field in parts
        if given[field] > given["replicas"]
    ]
    available = given.get("availableReplicas", 0)
    if parts and available > given["readyReplicas"]:
        causes.append(invalid_value("status.availableReplicas", available, f"cannot be greater than {ready}"))
    return causes


def validate_selected(
    spec: Obj,
    *,
    owner: str = "ReplicaSet",
    empty: str = "empty selector is invalid for deployment",
    malformed_too: str | None = "invalid label selector",
) -> list[Cause]:
    """Selector and template, and that the one selects the Pods of the other. `owner` and `empty` go into the texts.

    `malformed_too` is said of the whole of a malformed selector, too; None says nothing.
    """
    selector = spec.get("selector")
    malformed = validate_label_selector(selector or {}, "spec.selector")
    causes = list(malformed)
    if selector is None:
        causes.append(required("spec.selector"))
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        causes.append(invalid_value("spec.selector", shown_selector(selector), empty))
    if malformed:
        if malformed_too is not None:
            causes.append(invalid_value("spec.selector", shown_selector(selector or {}), malformed_too))
        return causes
    labels = _template_labels(spec["template"])
    if selector is None or not compile_label_selector(selector).matches(labels or {}):
        causes.append(invalid_value(_LABELS, NIL_MAP if labels is None else labels, _MISMATCH))
    return causes + validate_template(spec["template"], "spec.template", owner)


def _template_labels(template: Obj) -> dict[str, str] | None:
    labels: dict[str, str] | None = (template.get("metadata") or {}).get("labels")
    return labels


class ReplicaSetStrategy(Strategy):
    """A number of Pods that look the same."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_ReplicaSet."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        default_template(spec)
        obj.setdefault("status", {}).setdefault("replicas", 0)

    def prepare_for_create(self, obj: Obj) -> None:
        """Without Pods yet."""
        obj["status"] = {"replicas": 0}

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateReplicaSetSpec."""
        spec = obj["spec"]
        return validate_not_negative(spec, "replicas", "minReadySeconds") + validate_selected(spec)

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The selector is for life."""
        return self.validate(new) + validate_kept_selector(new["spec"].get("selector"), old["spec"].get("selector"))

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Models ValidateReplicaSetStatus."""
        parts = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
        counts = ("replicas", *parts, "observedGeneration", "terminatingReplicas")
        return validate_counts(new.get("status") or {}, counts, parts)

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """See `pod_warnings`."""
        return template_warnings(new, old)

    def field_names(self) -> tuple[str, ...]:
        """Beside name and namespace."""
        return ("status.replicas",)

    def fields(self, obj: Obj) -> dict[str, str]:
        """Their values."""
        return {"status.replicas": str((obj.get("status") or {}).get("replicas") or 0)}


class ReplicationControllerStrategy(ReplicaSetStrategy):
    """The ReplicaSet's ancestor: its selector is a plain map, by default the template's labels."""

    default_propagation = "Orphan"

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_ReplicationController."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        if "template" in spec:
            default_template(spec)
        obj.setdefault("status", {}).setdefault("replicas", 0)
        labels = _template_labels(spec.get("template") or {})
        if labels and not spec.get("selector"):
            spec["selector"] = dict(labels)
        if labels and not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateReplicationControllerSpec."""
        spec = obj["spec"]
        causes = validate_not_negative(spec, "minReadySeconds")
        selector = spec.get("selector") or {}
        causes += [] if selector else [required("spec.selector")]
        causes += validate_not_negative(spec, "replicas")
        if "template" not in spec:
            return [*causes, required("spec.template")]
        labels = _template_labels(spec["template"])
        if selector and not matches_labels(selector, labels or {}):
            causes.append(invalid_value(_LABELS, NIL_MAP if labels is None else labels, _MISMATCH))
        return causes + validate_template(spec["template"], "spec.template", "ReplicationController")

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Its selector may change."""
        return self.validate(new)


class DeploymentStrategy(Strategy):
    """ReplicaSets that replace one another step by step."""

    tracks_generation = True
    generation_fields = ("spec", "metadata.annotations")

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_Deployment."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        default_template(spec)
        strategy = spec.setdefault("strategy", {})
        strategy.setdefault("type", "RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxUnavailable", _DEFAULT_SHARE)
            rolling.setdefault("maxSurge", _DEFAULT_SHARE)
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("progressDeadlineSeconds", 600)
        obj.setdefault("status", {})

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """See `pod_warnings`."""
        return template_warnings(new, old)

    def prepare_for_create(self, obj: Obj) -> None:
        """Without ReplicaSets yet."""
        obj["status"] = {}

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateDeploymentSpec."""
        spec = obj["spec"]
        causes = validate_not_negative(spec, "replicas") + validate_selected(spec)
        causes += _validate_strategy(spec["strategy"])
        causes += validate_not_negative(spec, "minReadySeconds", "revisionHistoryLimit")
        deadline = spec["progressDeadlineSeconds"]
        causes += validate_not_negative(spec, "progressDeadlineSeconds")
        if deadline <= (spec.get("minReadySeconds") or 0):
            why = "must be greater than minReadySeconds"
            causes.append(invalid_value("spec.progressDeadlineSeconds", deadline, why))
        return causes

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The selector is for life."""
        return self.validate(new) + validate_kept_selector(new["spec"].get("selector"), old["spec"].get("selector"))

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Models ValidateDeploymentStatus."""
        parts = ("updatedReplicas", "readyReplicas", "availableReplicas")
        counts = ("observedGeneration", "replicas", *parts, "unavailableReplicas", "terminatingReplicas")
        return validate_counts(new.get("status") or {}, (*counts, "collisionCount"), parts)


def _validate_strategy(strategy: Obj) -> list[Cause]:
    kind, rolling = strategy["type"], strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is None:
            return []
        why = "may not be specified when strategy `type` is 'Recreate'"
        return [forbidden_field("spec.strategy.rollingUpdate", why)]
    if kind != "RollingUpdate":
        internal = {"MaxUnavailable": 0, "MaxSurge": 0}
        internal |= {field[0].upper() + field[1:]: value for field, value in (rolling or {}).items()}
        shown = {"Type": kind, "RollingUpdate": None if rolling is None else internal}
        return [not_supported("spec.strategy", shown, ["Recreate", "RollingUpdate"])]
    path = "spec.strategy.rollingUpdate"
    unavailable, surge = (rolling or {}).get("maxUnavailable", 0), (rolling or {}).get("maxSurge", 0)
    causes = validate_share(unavailable, f"{path}.maxUnavailable") + validate_share(surge, f"{path}.maxSurge")
    if _number(unavailable) == 0 and _number(surge) == 0:
        causes.append(invalid_value(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0"))
    return causes + validate_percentage(unavailable, f"{path}.maxUnavailable")


def validate_percentage(value: Any, path: str) -> list[Cause]:
    """A share that is more than the whole."""
    if isinstance(value, str) and value.endswith("%") and _number(value) > 100:
        return [invalid_value(path, value, "must not be greater than 100%")]
    return []


def validate_share(value: Any, path: str) -> list[Cause]:
    """A number of Pods or a percentage."""
    if isinstance(value, int):
        return [invalid_value(path, value, _NOT_NEGATIVE)] if value < 0 else []
    return [] if value.endswith("%") and value[:-1].isdigit() else [invalid_value(path, value, _PERCENT)]


def _number(value: Any) -> int:
    text = str(value).removesuffix("%")
    return int(text) if text.lstrip("-").isdigit() else -1
