"""What the operations ask of a custom kind: its schema answers.

Models apiextensions-apiserver pkg/registry/customresource/{strategy,validator}.go (v1.36).
"""

from __future__ import annotations

from typing import Any

from ..api.request import RequestContext
from ..api.status import Cause, StatusError, required
from ..objects import Obj
from ..resources.strategy import Strategy
from .columns import value_at
from .definition import CustomResource
from .structural import embedded_places
from .values import validate


class CustomStrategy(Strategy):
    """The rules of one version of a custom kind."""

    tracks_generation = True

    def __init__(self, resource: CustomResource) -> None:
        self._resource = resource
        self.deprecations = (resource.deprecation,) if resource.deprecation else ()  # type: ignore[misc]

    def admit(self, ctx: RequestContext, obj: Obj) -> None:
        """Nothing new comes of a definition that is going."""
        if self._resource.is_leaving:
            why = "create not allowed while custom resource definition is terminating"
            raise StatusError.method_not_allowed(why)

    def wants_other(self, new: Obj, old: Obj) -> bool:
        """True if anything but metadata (and the status, where that is written by itself) differs."""
        apart = {"metadata", "status"} if self._resource.has_status else {"metadata"}
        return any(new.get(name) != old.get(name) for name in {*new, *old} - apart)

    def prepare_for_create(self, obj: Obj) -> None:
        """The status is not the client's, where it is written by itself."""
        if self._resource.has_status:
            obj.pop("status", None)

    def prepare_for_update(self, new: Obj, old: Obj) -> None:
        """As for a new object: the status stays."""
        if self._resource.has_status:
            super().prepare_for_update(new, old)

    def validate(self, obj: Obj) -> list[Cause]:
        """What the schema says."""
        schema = self._resource.schema
        body = {name: value for name, value in obj.items() if name not in ("apiVersion", "kind", "metadata")}
        known = {**schema, "required": [name for name in schema.get("required") or () if name not in obj]}
        causes = validate({**body, "metadata": {}}, known)
        for inner, path in embedded_places(obj, schema):
            causes += [required(f"{path}.{name}", "must not be empty") for name in _missing(inner)]
        return causes

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """A status may not break the schema either."""
        return self.validate(new)

    def field_names(self) -> tuple[str, ...]:
        """What the definition lets clients select by."""
        return tuple(path.removeprefix(".") for path in self._resource.selectable)

    def fields(self, obj: Obj) -> dict[str, str]:
        """The values at those paths."""
        found = {path.removeprefix("."): value_at(obj, path) for path in self._resource.selectable}
        return {name: _text(value) for name, value in found.items()}


def _missing(obj: Obj) -> list[str]:
    return [name for name in ("apiVersion", "kind") if not obj.get(name)]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
