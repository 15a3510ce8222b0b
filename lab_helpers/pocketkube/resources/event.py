"""Events: one kind of object that two API groups show with different field names.

Stored as the core group's v1; `events.k8s.io` is a view of the same objects.
Models pkg/apis/events/v1/conversion.go and core/event/strategy.go (v1.36).
"""

from __future__ import annotations

from ..api.status import Cause, invalid_value
from ..objects import Obj
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
_SELECTABLE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def to_events_group(obj: Obj) -> Obj:
    """A stored Event as events.k8s.io/v1 shows it."""
    shown = {_TO_GROUP.get(field, field): value for field, value in obj.items()}
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

    def validate(self, obj: Obj) -> list[Cause]:
        """The namespace of what it is about is its own."""
        about = (obj.get("involvedObject") or {}).get("namespace") or ""
        own = obj["metadata"].get("namespace")
        if about == own or (not about and own in ("default", "kube-system")):
            return []
        why = "does not match event.namespace" if about else "not required for cluster-scoped objects"
        return [invalid_value("involvedObject.namespace", about, why)]

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
