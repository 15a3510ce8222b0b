"""What a namespace on its way out says about itself: five conditions, each with its sentence for good and for bad.

Models pkg/controller/namespace/deletion/status_condition_utils.go (v1.36).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..objects import Obj

_CONTENT_FAILURE = "NamespaceDeletionContentFailure"
_CONTENT_REMAINING = "NamespaceContentRemaining"
_FINALIZERS_REMAINING = "NamespaceFinalizersRemaining"
_GOOD = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
    _CONTENT_FAILURE: ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
    _CONTENT_REMAINING: ("ContentRemoved", "All content successfully removed"),
    _FINALIZERS_REMAINING: ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


@dataclass
class Findings:
    """What one round of emptying a namespace has met."""

    errors: list[str] = field(default_factory=list)
    remaining: Counter[str] = field(default_factory=Counter)
    """Objects left, by `plural.group`."""
    finalizers: Counter[str] = field(default_factory=Counter)
    """Objects that wait, by what they wait for."""

    def conditions(self, before: list[Obj], now: str) -> list[Obj]:
        """All conditions; the same object where nothing has changed, and others' conditions as they are."""
        known = {condition["type"]: condition for condition in before}
        bad = self._bad()
        said = []
        for kind, good in _GOOD.items():
            status = "True" if kind in bad else "False"
            reason, message = bad.get(kind, good)
            old = known.get(kind) or {}
            since = old["lastTransitionTime"] if old.get("status") == status else now
            said.append(
                {"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
            )
        new = {condition["type"]: condition for condition in said}
        return [new.pop(condition["type"], condition) for condition in before] + list(new.values())

    def _bad(self) -> dict[str, tuple[str, str]]:
        bad: dict[str, tuple[str, str]] = {}
        if self.errors:
            what = (
                f"Failed to delete all resource types, {len(self.errors)} remaining: {', '.join(sorted(self.errors))}"
            )
            bad[_CONTENT_FAILURE] = "ContentDeletionFailed", what
        if self.remaining:
            left = _instances(f"{name} has {count}" for name, count in self.remaining.items())
            bad[_CONTENT_REMAINING] = "SomeResourcesRemain", f"Some resources are remaining: {left}"
        if self.finalizers:
            left = _instances(f"{name} in {count}" for name, count in self.finalizers.items())
            what = f"Some content in the namespace has finalizers remaining: {left}"
            bad[_FINALIZERS_REMAINING] = "SomeFinalizersRemain", what
        return bad


def _instances(counts: Iterable[str]) -> str:
    return ", ".join(sorted(f"{count} resource instances" for count in counts))
