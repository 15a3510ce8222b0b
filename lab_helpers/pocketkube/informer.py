"""A local, always current copy of one resource, and the loop that every controller is made of.

An `Informer` lists, then watches; it tells its handlers what changed. When the server is away it tries again with
growing pauses; when its place in the history is gone (410) it lists anew and reports the difference, so a handler
never misses an end state. `SharedInformers` hands out one informer a resource. A `Controller` turns changes into
keys and keys into calls of `reconcile`. What there is to reconcile is left to `controllers/`.
Models k8s.io/client-go/tools/cache (v1.36).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from .api.status import StatusError
from .client import Client, EventType
from .clock import Clock
from .objects import Obj, key_of, namespace_of
from .workqueue import WorkQueue

log = logging.getLogger(__name__)

ChangeHandler = Callable[[EventType, Obj | None, Obj | None], None]
Objects = list[Obj]

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 2.0


class Informer:
    """All objects of a resource (or of one namespace, or of a selector) as of the last event."""

    def __init__(
        self,
        client: Client,
        resource: str,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        clock: Clock | None = None,
    ) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        """Set once the first list is in; stays set."""
        self._client = client
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._clock = clock or Clock()
        self._objects: dict[str, Obj] = {}
        self._by_namespace: dict[str, dict[str, Obj]] = {}
        self._by_owner: dict[str, dict[str, Obj]] = {}
        self._handlers: list[ChangeHandler] = []
        self._resource_version = ""
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def get(self, key: str) -> Obj | None:
        """The object with that key (`namespace/name` or `name`). Shared: copy before changing."""
        return self._objects.get(key)

    def list(self, namespace: str | None = None) -> Objects:
        """All objects, or those of one namespace."""
        if namespace is None:
            return [*self._objects.values()]
        return [*self._by_namespace.get(namespace, {}).values()]

    def owned_by(self, uid: str) -> Objects:
        """The objects that name this uid in one of their owner references."""
        return [*self._by_owner.get(uid, {}).values()]

    def add_handler(self, on_change: ChangeHandler) -> None:
        """Calls `on_change(type, new, old)` for every change, and ADDED for each object that is there already."""
        self._handlers.append(on_change)
        for obj in self.list():
            on_change("ADDED", obj, None)

    async def has_seen(self, written: Obj) -> None:
        """Waits until this copy is as new as an object that was just written: reading one's own writes.

        Models pkg/controller/util/consistency (v1.36): resourceVersions of one store are numbers in one order.
        The answer to a deletion may be a Status, which has none: then there is nothing to wait for.
        """
        if written.get("kind") == "Status":
            return
        revision = int(written["metadata"]["resourceVersion"])
        if revision <= int(self._resource_version or 0):
            return
        seen: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, seen))
        await seen

    async def run(self) -> None:
        """Follows the server until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            started = self._clock.monotonic()
            try:
                if not self._resource_version:
                    await self._relist()
                await self._follow()
                pause = _FIRST_PAUSE
            except (StatusError, OSError) as error:
                if isinstance(error, StatusError) and error.code == 410:
                    log.debug("%s: history is gone, listing anew", self.resource)
                    self._resource_version = ""
                else:
                    if self._clock.monotonic() - started > _LONGEST_PAUSE:
                        pause = _FIRST_PAUSE
                    log.info("%s: %s; trying again in %.2f s", self.resource, error, pause)
            # Also after an orderly end: a server that closes every watch at once must not make this loop spin.
            await self._clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _relist(self) -> None:
        listed = await self._client.list(
            self.resource,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
        )
        current = {key_of(obj) for obj in listed.items}
        for key in [key for key in self._objects if key not in current]:
            self._remove(self._objects[key])
        for obj in listed.items:
            self._put(obj)
        self._reach(listed.resource_version)
        self.synced.set()

    async def _follow(self) -> None:
        events = self._client.watch(
            self.resource,
            self._namespace,
            resource_version=self._resource_version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
        )
        async for event in events:
            if event.type == "DELETED":
                self._remove(event.object)
            elif event.type != "BOOKMARK":
                self._put(event.object)
            self._reach(event.object["metadata"]["resourceVersion"])

    def _reach(self, resource_version: str) -> None:
        self._resource_version = resource_version
        if not self._waiting:
            return
        revision = int(resource_version)
        still_waiting = []
        for wanted, seen in self._waiting:
            if wanted > revision:
                still_waiting.append((wanted, seen))
            elif not seen.done():
                seen.set_result(None)
        self._waiting = still_waiting

    def _put(self, obj: Obj) -> None:
        key = key_of(obj)
        old = self._objects.get(key)
        if old is not None and old["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"]:
            return
        if old is not None and old["metadata"]["uid"] != obj["metadata"]["uid"]:
            # Deleted and made anew while nobody watched: handlers must see both.
            self._remove(old)
            old = None
        if old is not None:
            self._unindex(key, old)
        self._objects[key] = obj
        self._by_namespace.setdefault(namespace_of(obj), {})[key] = obj
        for uid in _owner_uids(obj):
            self._by_owner.setdefault(uid, {})[key] = obj
        self._notify("MODIFIED" if old is not None else "ADDED", obj, old)

    def _remove(self, last: Obj) -> None:
        key = key_of(last)
        old = self._objects.pop(key, None)
        if old is None:
            return
        self._unindex(key, old)
        self._notify("DELETED", None, last)

    def _unindex(self, key: str, obj: Obj) -> None:
        _drop(self._by_namespace, namespace_of(obj), key)
        for uid in _owner_uids(obj):
            _drop(self._by_owner, uid, key)

    def _notify(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        for handler in self._handlers:
            handler(event, new, old)


class SharedInformers:
    """One informer a resource, over all namespaces, for everybody in this process who asks."""

    def __init__(self, client: Client, clock: Clock | None = None) -> None:
        self._client = client
        self._clock = clock or Clock()
        self._informers: dict[str, Informer] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def get(self, resource: str) -> Informer:
        """The informer of that resource. One that is asked for late, for a custom kind, starts at once."""
        if resource not in self._informers:
            self._informers[resource] = Informer(self._client, resource, clock=self._clock)
            if self._group is not None:
                self._start(resource, self._group)
        return self._informers[resource]

    def drop(self, resource: str) -> None:
        """Ends the informer of a resource that is served no more."""
        self._informers.pop(resource, None)
        task = self._running.pop(resource, None)
        if task is not None:
            task.cancel()

    def _start(self, resource: str, group: asyncio.TaskGroup) -> None:
        self._running[resource] = group.create_task(self._informers[resource].run(), name=f"informer {resource}")

    async def wait_synced(self) -> None:
        """Waits until every informer has its first list."""
        for informer in list(self._informers.values()):
            await informer.synced.wait()

    async def run(self) -> None:
        """Runs them all until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for resource in self._informers:
                self._start(resource, group)


class Controller:
    """Watch, queue, reconcile: the skeleton of every controller.

    A subclass sets `name`, adds handlers that call `enqueue`, and says in `reconcile` what to do about a key.
    """

    name = "controller"

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.queue = WorkQueue(self.clock)

    def enqueue(self, obj: Obj) -> None:
        """Asks for an object to be reconciled."""
        self.queue.add(key_of(obj))

    async def reconcile(self, key: str) -> None:
        """Compares what is wanted with what is there, and acts. Raising means: try again later."""
        raise NotImplementedError

    async def run(self, workers: int = 1) -> None:
        """Works off the queue until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(), name=f"controller {self.name}")
        finally:
            self.queue.close()

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self.reconcile(key)
            except StatusError as error:
                # Conflicts and things that vanished meanwhile are everyday life: look again, with fresh eyes.
                log.debug("%s: %s: %s", self.name, key, error)
                self.queue.add_rate_limited(key)
            except Exception:
                # A mistake in one controller, met by one object, must not take the others down.
                log.exception("%s: %s", self.name, key)
                self.queue.add_rate_limited(key)
            else:
                self.queue.forget(key)
            finally:
                self.queue.done(key)
            # A client in the same process never waits; others want their turn between two keys.
            await asyncio.sleep(0)


def _owner_uids(obj: Obj) -> Iterable[str]:
    return [ref["uid"] for ref in obj["metadata"].get("ownerReferences") or []]


def _drop(index: dict[str, dict[str, Obj]], value: str, key: str) -> None:
    keys = index.get(value)
    if keys is None:
        return
    keys.pop(key, None)
    if not keys:
        del index[value]
