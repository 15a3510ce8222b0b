"""How long to wait before trying again: 10 s, doubling to 5 min, forgotten after 10 min without trouble.

Models k8s.io/client-go/util/flowcontrol Backoff as pkg/kubelet uses it (v1.36).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..clock import Clock

FIRST_SECONDS = 10.0
LONGEST_SECONDS = 300.0


@dataclass
class _Entry:
    seconds: float
    updated: float


class Backoff:
    """Waiting times by key."""

    def __init__(self, clock: Clock, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS) -> None:
        self._clock = clock
        self._first = first
        self._longest = longest
        self._entries: dict[str, _Entry] = {}

    def seconds(self, key: str) -> float:
        """The whole waiting time that applies to a key now; 0 if it has not failed of late."""
        entry = self._entries.get(key)
        return entry.seconds if entry is not None else 0.0

    def remaining(self, key: str, since: float) -> float:
        """How much of the waiting time is left, for a failure that happened at `since`."""
        entry = self._entries.get(key)
        if entry is None:
            return 0.0
        if since - entry.updated > 2 * self._longest:
            del self._entries[key]
            return 0.0
        return max(0.0, since + entry.seconds - self._clock.now())

    def next(self, key: str) -> None:
        """It is being tried again: should it fail, the next waiting time is twice as long."""
        entry = self._entries.get(key)
        seconds = self._first if entry is None else min(entry.seconds * 2, self._longest)
        self._entries[key] = _Entry(seconds, self._clock.now())

    def forget(self, key: str) -> None:
        """Starts anew."""
        self._entries.pop(key, None)


def go_duration(seconds: float) -> str:
    """`10s`, `1m20s`, `5m0s`: a waiting time as Go prints it."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
