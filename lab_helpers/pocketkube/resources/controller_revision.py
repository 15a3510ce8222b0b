"""ControllerRevisions: what a StatefulSet or DaemonSet was before. They are written once.

Models pkg/apis/apps/validation ValidateControllerRevision (v1.36).
"""

from __future__ import annotations

from ..api.status import Cause, invalid_value, required
from ..objects import Obj
from .metadata import validate_immutable
from .strategy import Strategy


class ControllerRevisionStrategy(Strategy):
    """Data that never changes, and a number that may."""

    def validate(self, obj: Obj) -> list[Cause]:
        """Data, and a number that isn't negative."""
        causes = [] if obj.get("data") is not None else [required("data", "data is mandatory")]
        revision = obj.get("revision") or 0
        if revision < 0:
            causes.append(invalid_value("revision", revision, "must be greater than or equal to 0"))
        return causes

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The data is for life."""
        return self.validate(new) + validate_immutable(new.get("data"), old.get("data"), "data")
