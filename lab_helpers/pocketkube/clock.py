"""Time, behind one door: what o'clock it is, how long something took, and waiting.

Components take a `Clock`, so that a test can hand them a `FakeClock` and move time by hand. The formats are those
that Kubernetes writes into objects: `metav1.Time` (seconds) and `metav1.MicroTime` (microseconds).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime


def format_rfc3339(seconds: float) -> str:
    """`2026-01-31T12:00:00Z`, the metav1.Time of that many seconds since the epoch."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def format_rfc3339_micro(seconds: float) -> str:
    """`2026-01-31T12:00:00.000000Z`, the metav1.MicroTime of that many seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> float:
    """Seconds since the epoch of a metav1.Time or metav1.MicroTime."""
    return datetime.fromisoformat(text).timestamp()


class Clock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Waits; nothing for a negative number."""
        await asyncio.sleep(max(0.0, seconds))

    def rfc3339(self) -> str:
        """Now, as metav1.Time."""
        return format_rfc3339(self.now())

    def rfc3339_micro(self) -> str:
        """Now, as metav1.MicroTime."""
        return format_rfc3339_micro(self.now())


class FakeClock(Clock):
    """A clock that stands still until a test advances it."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def monotonic(self) -> float:
        """The same as `now`: this clock never goes back either."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Waits until a test has advanced the clock that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), woken))
        await woken

    def advance(self, seconds: float) -> None:
        """Moves time on and wakes everybody whose time has come."""
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
