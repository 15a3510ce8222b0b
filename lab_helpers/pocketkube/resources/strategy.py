"""What the operations ask of a kind, and the answers most kinds give.

A kind that is special overrides them in the module named after it; which resource has which strategy is in `registry`.
Models apiserver pkg/registry/rest strategies and admission (v1.36).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from ..api.request import RequestContext
from ..api.status import Cause
from ..objects import Obj
from .naming import subdomain_problems

Undo = Callable[[], None]


def nothing() -> None:
    """The Undo of an operation that reserved nothing."""


class Strategy:
    """One kind's own rules. Objects that may be changed are private copies; `old` is shared."""

    tracks_generation: ClassVar[bool] = False
    """`metadata.generation` counts the changes of the desired state."""
    returns_deleted: ClassVar[bool] = False
    """A delete answers with the object rather than with a Status."""
    unconditional_update: ClassVar[bool] = True
    """An update may leave out the resourceVersion."""
    creates_on_update: ClassVar[bool] = False
    """A PUT of an object that isn't there creates it."""
    default_propagation: ClassVar[str | None] = "Background"
    """What becomes of dependents unless the request says; None if the kind has none."""
    propagation_warning: ClassVar[str] = ""
    """What to warn of when the request does not say."""
    generation_fields: ClassVar[tuple[str, ...]] = ("spec",)
    status_field: ClassVar[str] = "status"
    deprecations: ClassVar[tuple[str, ...]] = ()
    """Warnings that go with every request on the kind."""

    def wants_other(self, new: Obj, old: Obj) -> bool:
        """True if the desired state differs."""
        return any(_part(new, path) != _part(old, path) for path in self.generation_fields)

    def name_problems(self, name: str) -> list[str]:
        """What is wrong with a name."""
        return subdomain_problems(name)

    def default(self, obj: Obj) -> None:
        """Fills in what was left out. Runs on every write."""

    def authorize_write(self, ctx: RequestContext, new: Obj, old: Obj | None) -> None:
        """StatusError 403 if this user may write the kind, but not this."""

    def admit(self, ctx: RequestContext, obj: Obj) -> None:
        """Changes or refuses (StatusError) a new object before it is validated."""

    def check_new(self, obj: Obj) -> None:
        """Refuses (StatusError) a new object that is valid, but not allowed where it is to be."""

    def prepare_for_create(self, obj: Obj) -> None:
        """Empties the status: a client may not set it. (A kind without one has lost it when it was decoded.)"""
        if self.status_field in obj:
            obj[self.status_field] = {}

    def prepare_for_update(self, new: Obj, old: Obj) -> None:
        """Keeps what this update may not change."""
        _keep(new, old, self.status_field)

    def prepare_for_status_update(self, new: Obj, old: Obj) -> None:
        """Keeps all but the status."""
        for field in [key for key in {**new, **old} if key not in (self.status_field, "metadata")]:
            _keep(new, old, field)

    def validate(self, obj: Obj) -> list[Cause]:
        """What is wrong with the object, metadata apart."""
        return []

    def validate_part(self, obj: Obj) -> list[Cause]:
        """As `validate`, for an object whose desired state a subresource has changed."""
        return self.validate(obj)

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """What is wrong with the object as a successor of the old one, metadata apart."""
        return self.validate(new)

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """What is wrong with the new status."""
        return []

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """What the client should know although it is allowed."""
        return []

    def fields(self, obj: Obj) -> dict[str, str]:
        """The fields that a field selector may name, beside name and namespace, with their values."""
        return {}

    def field_names(self) -> tuple[str, ...]:
        """Names of `fields`."""
        return ()

    def grace_period(self, obj: Obj, asked: int | None) -> int | None:
        """Seconds between the request to delete and the end; None if the kind ends at once."""
        return None

    def begin_create(self, obj: Obj, dry_run: bool) -> Undo:
        """Reserves what the object needs (addresses, ports) and writes it into it."""
        return nothing

    def begin_update(self, new: Obj, old: Obj, dry_run: bool) -> Undo:
        """As `begin_create`, for the difference. What `old` alone held is given back by `after_update`."""
        return nothing

    def after_update(self, new: Obj, old: Obj) -> None:
        """Gives back what the old object held and the new one doesn't."""

    def after_delete(self, obj: Obj) -> None:
        """Gives back what the object held."""


def _part(obj: Obj, path: str) -> object:
    part: object = obj
    for step in path.split("."):
        part = part.get(step) if isinstance(part, dict) else None
    return part or None


def _keep(new: Obj, old: Obj, field: str) -> None:
    if field in old:
        new[field] = old[field]
    else:
        new.pop(field, None)
