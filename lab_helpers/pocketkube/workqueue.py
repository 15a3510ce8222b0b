"""The queue between watching and reconciling: keys that need attention, each at most once, with delays and retries.

A key added while it waits is there once. A key added while it is being processed comes back once, after `done`;
so two workers never hold the same key. What a key means is left to the controller.
Models k8s.io/client-go/util/workqueue (v1.36).
"""

from __future__ import annotations

import asyncio
from collections import deque

from .clock import Clock


class WorkQueue:
    """Keys to reconcile. All methods but `get` return at once; all belong to one event loop."""

    def __init__(self, clock: Clock | None = None, *, base_delay: float = 0.005, max_delay: float = 60.0) -> None:
        """`max_delay` bounds the back-off; upstream's 1000 s would outlive a lesson."""
        self._clock = clock or Clock()
        self._base_delay = base_delay
        self._max_delay = max_delay
        self._order: deque[str] = deque()
        self._dirty: set[str] = set()
        self._processing: set[str] = set()
        self._failures: dict[str, int] = {}
        self._delayed: dict[str, tuple[float, asyncio.Task[None]]] = {}
        self._getters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """How many keys are ready to be taken."""
        return len(self._order)

    def add(self, key: str) -> None:
        """Asks for a key to be processed, soon."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key in self._processing:
            return
        self._order.append(key)
        self._wake_one()

    def add_after(self, key: str, delay: float) -> None:
        """Adds a key when `delay` seconds have passed; of several delays for one key, the shortest counts."""
        if delay <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + delay
        waiting = self._delayed.get(key)
        if waiting is not None:
            if waiting[0] <= due:
                return
            waiting[1].cancel()
        self._delayed[key] = (due, asyncio.get_running_loop().create_task(self._add_when_due(key, delay)))

    def add_rate_limited(self, key: str) -> None:
        """Adds a key after a delay that doubles with every failure since the last `forget`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # The exponent is bounded: a key that fails for hours must not overflow a float.
        self.add_after(key, min(self._base_delay * 2 ** min(failures, 32), self._max_delay))

    def forget(self, key: str) -> None:
        """Success: the next failure of this key starts with the shortest delay."""
        self._failures.pop(key, None)

    async def get(self) -> str:
        """Waits for a key and takes it. The caller must call `done` with it."""
        while not self._order:
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake_one()
                raise
        key = self._order.popleft()
        self._processing.add(key)
        self._dirty.discard(key)
        return key

    def done(self, key: str) -> None:
        """Processing has ended; if the key was added meanwhile, it is ready again."""
        self._processing.discard(key)
        if key in self._dirty:
            self._order.append(key)
            self._wake_one()

    def close(self) -> None:
        """Forgets everything that waits for its time."""
        for _, task in self._delayed.values():
            task.cancel()
        self._delayed.clear()

    async def _add_when_due(self, key: str, delay: float) -> None:
        await self._clock.sleep(delay)
        del self._delayed[key]
        self.add(key)

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
