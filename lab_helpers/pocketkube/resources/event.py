"""Events: one kind of object that two API groups show with different field names.

Stored as the core group's v1; `events.k8s.io` is a view of the same objects.
Models pkg/apis/events/v1/conversion.go, pkg/apis/core/validation/events.go and core/event/strategy.go (v1.36).
"""

from __future__ import annotations

from ..api.status import Cause, invalid_value, required
from ..objects import Obj
from .metadata import validate_immutable
from .naming import label_key_problems, path_segment_problems, subdomain_problems
from .strategy import Strategy

GROUP = "events.k8s.io"

_TO_GROUP = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_FROM_GROUP = {theirs: ours for ours, theirs in _TO_GROUP.items()}
_LONGEST = {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}
_FOR_LIFE = (
    "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "reason", "type",
    "eventTime", "action", "related", "reportingComponent", "reportingInstance",
)  # fmt: skip
_OMITTED_IF_EMPTY = ("reportingController", "reportingInstance")
_SELECTABLE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def to_events_group(obj: Obj) -> Obj:
    """A stored Event as events.k8s.io/v1 shows it."""
    shown = {_TO_GROUP.get(field, field): value for field, value in obj.items()}
    shown = {field: value for field, value in shown.items() if value or field not in _OMITTED_IF_EMPTY}
    return {**shown, "apiVersion": f"{GROUP}/v1"}


def from_events_group(obj: Obj) -> Obj:
    """An events.k8s.io/v1 Event as it is stored."""
    stored = {_FROM_GROUP.get(field, field): value for field, value in obj.items()}
    return {**stored, "apiVersion": "v1"}


class EventStrategy(Strategy):
    """Events have no dependents and may be created by PUT."""

    creates_on_update = True
    default_propagation = None

    def default(self, obj: Obj) -> None:
        """The fields kubectl expects to be there."""
        for field in ("source", "involvedObject"):
            obj.setdefault(field, {})
        for field in ("firstTimestamp", "lastTimestamp", "eventTime"):
            obj.setdefault(field, None)
        for field in ("reportingComponent", "reportingInstance"):
            obj.setdefault(field, "")

    def name_problems(self, name: str) -> list[str]:
        """Anything that fits into a path: Events were there before names were checked."""
        return path_segment_problems(name)

    def validate(self, obj: Obj) -> list[Cause]:
        """Models legacyValidateEvent: only an Event with an eventTime must be complete."""
        return _validate_legacy(obj, "reportingComponent")

    def field_names(self) -> tuple[str, ...]:
        """What `kubectl describe` selects by."""
        about = tuple(f"involvedObject.{field}" for field in _SELECTABLE)
        return (*about, "reason", "reportingComponent", "source", "type")

    def fields(self, obj: Obj) -> dict[str, str]:
        """Their values."""
        about = obj.get("involvedObject") or {}
        source = (obj.get("source") or {}).get("component") or ""
        values = {f"involvedObject.{field}": str(about.get(field) or "") for field in _SELECTABLE}
        values["reason"] = obj.get("reason") or ""
        values["reportingComponent"] = obj.get("reportingComponent") or ""
        values["source"] = source or values["reportingComponent"]
        values["type"] = obj.get("type") or ""
        return values


class GroupEventStrategy(EventStrategy):
    """Events as `events.k8s.io` wants them: complete, and unchanged but for their series."""

    def name_problems(self, name: str) -> list[str]:
        """As most names."""
        return subdomain_problems(name)

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateEventCreate."""
        causes = _validate_legacy(obj, "reportingController") + _validate_series(obj)
        if not obj.get("eventTime"):
            causes.append(required("eventTime"))
        if obj.get("type") not in ("Normal", "Warning"):
            causes.append(invalid_value("type", "", f"has invalid value: {obj.get('type') or ''}"))
        set_fields = [field for field in ("firstTimestamp", "lastTimestamp", "count", "source") if obj.get(field)]
        return causes + [invalid_value(field, "", "needs to be unset") for field in set_fields]

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Models ValidateEventUpdate."""
        causes = _validate_legacy(new, "reportingController")
        if new.get("series") != old.get("series"):
            causes += _validate_series(new)
        for field in _FOR_LIFE:
            shown = _TO_GROUP[field] if field == "reportingComponent" else field
            causes += validate_immutable(new.get(field) or None, old.get(field) or None, shown)
        return causes

    def field_names(self) -> tuple[str, ...]:
        """Under the names of this group."""
        return (*(f"regarding.{field}" for field in _SELECTABLE), "reason", "reportingController", "type")

    def fields(self, obj: Obj) -> dict[str, str]:
        """Their values."""
        core = super().fields(obj)
        about = {f"regarding.{field}": core[f"involvedObject.{field}"] for field in _SELECTABLE}
        component = core["reportingComponent"]
        return {**about, "reason": core["reason"], "reportingController": component, "type": core["type"]}


def _validate_legacy(obj: Obj, reporter_field: str) -> list[Cause]:
    about = (obj.get("involvedObject") or {}).get("namespace") or ""
    own = obj["metadata"].get("namespace")
    mismatch = [invalid_value("involvedObject.namespace", about, "does not match event.namespace")]
    if not obj.get("eventTime"):
        return [] if about == own or (not about and own == "default") else mismatch
    causes = mismatch if not about and own not in ("default", "kube-system") else []
    reporter = obj.get("reportingComponent") or ""
    if not reporter:
        causes.append(required(reporter_field))
    causes += [invalid_value(reporter_field, reporter, problem) for problem in label_key_problems(reporter)]
    for field, limit in _LONGEST.items():
        text = obj.get(field) or ""
        if not text and field != "message":
            causes.append(required(field))
        if len(text.encode()) > limit:
            causes.append(invalid_value(field, "", f"can have at most {limit} characters"))
    return causes


def _validate_series(obj: Obj) -> list[Cause]:
    series = obj.get("series")
    if series is None:
        return []
    causes: list[Cause] = []
    if (series.get("count") or 0) < 2:
        causes.append(invalid_value("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        causes.append(required("series.lastObservedTime"))
    return causes
