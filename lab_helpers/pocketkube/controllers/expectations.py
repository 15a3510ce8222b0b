"""What a controller has asked for and its informer has not shown yet.

Without it, a controller that created three Pods and looked at its informer an instant too early would create three
more. Models pkg/controller/controller_utils.go ControllerExpectations (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..clock import Clock

_EXPECTATIONS_TIMEOUT = 300.0


@dataclass
class _Expected:
    creations: int = 0
    deletions: set[str] = field(default_factory=set)
    since: float = 0.0


class Expectations:
    """Creations counted, deletions by key, for each object that a controller manages."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expected: dict[str, _Expected] = {}

    def satisfied(self, key: str) -> bool:
        """True if everything asked for has been seen, or was asked for too long ago to wait any more."""
        expected = self._expected.get(key)
        if expected is None or (expected.creations <= 0 and not expected.deletions):
            return True
        return self._clock.monotonic() - expected.since > _EXPECTATIONS_TIMEOUT

    def expect_creations(self, key: str, count: int) -> None:
        """From now on, `count` new objects are awaited."""
        self._expected[key] = _Expected(creations=count, since=self._clock.monotonic())

    def expect_deletions(self, key: str, deleted: Iterable[str]) -> None:
        """From now on, the end of these objects is awaited."""
        self._expected[key] = _Expected(deletions=set(deleted), since=self._clock.monotonic())

    def creation_observed(self, key: str) -> None:
        """A new object was seen, or could not be made."""
        if key in self._expected:
            self._expected[key].creations -= 1

    def deletion_observed(self, key: str, deleted: str) -> None:
        """An object's end was seen, or could not be brought about."""
        if key in self._expected:
            self._expected[key].deletions.discard(deleted)

    def forget(self, key: str) -> None:
        """The managing object is gone."""
        self._expected.pop(key, None)
