"""Events are news, not records: an hour after the last time something happened, its Event is deleted.

Models kube-apiserver's --event-ttl, which upstream leaves to etcd's leases (v1.36).
"""

from __future__ import annotations

from ..api.status import ignoring_not_found
from ..client import Client, EventType
from ..clock import Clock, parse_rfc3339
from ..informer import Controller, SharedInformers
from ..objects import Obj, name_of, namespace_of, uid_of

EVENT_TTL_SECONDS = 3600.0
_SWEEP = "sweep"
_SHORTEST_PAUSE = 60.0


class EventTTLController(Controller):
    """Deletes old Events. Its one key stands for all of them."""

    name = "event-ttl"

    def __init__(self, client: Client, informers: SharedInformers, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._events = informers.get("events")
        self._events.add_handler(self._on_event)

    async def reconcile(self, key: str) -> None:
        """Deletes what has expired, and comes back for the next."""
        now = self.clock.now()
        next_expiry: float | None = None
        for event in self._events.list():
            expiry = last_seen(event) + EVENT_TTL_SECONDS
            if expiry > now:
                next_expiry = min(expiry, next_expiry or expiry)
                continue
            with ignoring_not_found():
                await self._client.delete("events", name_of(event), namespace_of(event), uid=uid_of(event))
        if next_expiry is not None:
            # Not more often than once a minute, however many there are.
            self.queue.add_after(_SWEEP, max(next_expiry - now, _SHORTEST_PAUSE))

    def _on_event(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if event == "ADDED" and new is not None:
            self.queue.add_after(_SWEEP, max(last_seen(new) + EVENT_TTL_SECONDS - self.clock.now(), _SHORTEST_PAUSE))


def last_seen(event: Obj) -> float:
    """When it happened last."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    known = next((time for time in times if time), event["metadata"]["creationTimestamp"])
    return parse_rfc3339(known)
