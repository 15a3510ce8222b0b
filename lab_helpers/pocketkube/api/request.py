"""What a request carries beside its object: who asks, the options of a verb, and the warnings collected on the way.

Reading these from a URL, headers and body is left to the HTTP layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..objects import Obj
from .status import Cause, StatusError, invalid_value, not_supported

DEFAULT_MANAGER = "unknown"
_PROPAGATION = ("Foreground", "Background", "Orphan")


@dataclass
class RequestContext:
    """One request. `warnings` travel back in `Warning: 299` headers."""

    user: str = "system:apiserver"
    groups: tuple[str, ...] = ("system:masters",)
    user_agent: str = ""
    field_manager: str = ""
    """`?fieldManager=`; see `manager`."""
    dry_run: bool = False
    field_validation: str = "Warn"
    """`Strict`, `Warn` or `Ignore`."""
    force: bool = False
    """`?force=true` of a server-side apply: take fields from their owners."""
    warnings: list[str] = field(default_factory=list)

    @property
    def manager(self) -> str:
        """The name under which written fields are owned: as given, or the user agent up to its first slash.

        Models apiserver pkg/endpoints/handlers managerOrUserAgent (v1.36).
        """
        if self.field_manager:
            return self.field_manager
        return self.user_agent.partition("/")[0][:128] or DEFAULT_MANAGER

    def warn(self, message: str) -> None:
        """Adds a warning once."""
        if message not in self.warnings:
            self.warnings.append(message)


@dataclass(frozen=True)
class ListOptions:
    """The query of a list, get or deletecollection."""

    label_selector: str = ""
    field_selector: str = ""
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    resource_version_match: str = ""
    send_initial_events: bool | None = None


@dataclass(frozen=True)
class WatchOptions:
    """The query of a watch. With a `name` it is the watch of one object."""

    label_selector: str = ""
    field_selector: str = ""
    resource_version: str = ""
    resource_version_match: str = ""
    continue_token: str = ""
    allow_bookmarks: bool = False
    send_initial_events: bool | None = None
    timeout_seconds: float | None = None


@dataclass(frozen=True)
class DeleteOptions:
    """The body and query of a delete."""

    grace_period_seconds: int | None = None
    propagation_policy: str | None = None
    orphan_dependents: bool | None = None
    uid: str | None = None
    resource_version: str | None = None

    @classmethod
    def from_body(cls, body: Obj) -> DeleteOptions:
        """Reads a metav1.DeleteOptions."""
        preconditions = body.get("preconditions") or {}
        return cls(
            grace_period_seconds=body.get("gracePeriodSeconds"),
            propagation_policy=body.get("propagationPolicy"),
            orphan_dependents=body.get("orphanDependents"),
            uid=preconditions.get("uid"),
            resource_version=preconditions.get("resourceVersion"),
        )

    def check(self) -> None:
        """StatusError 422 for a policy that does not exist or is given twice. Models ValidateDeleteOptions."""
        policy = self.propagation_policy
        causes: list[Cause] = []
        if policy is not None and self.orphan_dependents is not None:
            why = "orphanDependents and deletionPropagation cannot be both set"
            causes.append(invalid_value("propagationPolicy", policy, why))
        elif policy is not None and policy not in _PROPAGATION:
            causes.append(not_supported("propagationPolicy", policy, [*_PROPAGATION, "nil"]))
        if causes:
            raise StatusError.invalid("DeleteOptions.meta.k8s.io", "", causes)


class PatchDocument(NamedTuple):
    """The body of a patch, decoded."""

    value: Any
    strict: tuple[str, ...] = ()
    """What a strict parser says of it: keys that were given twice."""


class Written(NamedTuple):
    """The answer to a write: the object or Status, and the HTTP code it goes with."""

    object: Obj
    code: int
