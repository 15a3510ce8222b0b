"""Watches: the changes after a resourceVersion that a selector lets through, with initial events and bookmarks.

Models apiserver pkg/storage/cacher (cache_watcher.go, watch_cache.go) and KEP 3157 for streamed lists (v1.36).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from ..client import WatchEvent
from ..objects import Obj
from ..resources.table import Resource
from ..store import Change, TooOld, Watch
from .listing import NOT_OLDER, Predicate, parse_revision, selection
from .registry import Registry
from .request import WatchOptions
from .status import Cause, StatusError, forbidden_field, not_supported

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
BOOKMARK_SECONDS = 60.0


def watch_objects(
    registry: Registry, resource: Resource, namespace: str | None, options: WatchOptions
) -> AsyncIterator[WatchEvent]:
    """Starts a watch: from now on no change is missed. What is wrong with the options raises here."""
    _check(options)
    selects = selection(registry, resource, options.label_selector, options.field_selector)
    asked = parse_revision(options.resource_version)
    store, shelf = registry.store, registry.shelf(resource)
    streams_list = options.send_initial_events is True
    initial: list[Obj] = []
    if streams_list and asked > store.revision:
        raise StatusError.too_large_resource_version(asked, store.revision)
    if streams_list or (asked == 0 and options.send_initial_events is None):
        initial = [obj for obj in store.list(shelf, namespace) if selects(obj)]
        asked = store.revision
    elif asked == 0:
        asked = store.revision
    try:
        watch = store.watch(shelf, namespace, asked)
    except TooOld as error:
        return _expired(error)
    return _Stream(registry, resource, options, selects, initial, watch).events(streams_list)


async def _expired(error: TooOld) -> AsyncIterator[WatchEvent]:
    """A watch that has started answers with an error event, so the error is raised by its iteration."""
    raise StatusError.gone_expired(str(error))
    yield  # makes this an iterator


class _Stream:
    def __init__(
        self,
        registry: Registry,
        resource: Resource,
        options: WatchOptions,
        selects: Predicate,
        initial: list[Obj],
        watch: Watch,
    ) -> None:
        self._registry = registry
        self._resource = resource
        self._options = options
        self._selects = selects
        self._initial = initial
        self._watch = watch

    async def events(self, streams_list: bool) -> AsyncIterator[WatchEvent]:
        """All events until the time-out; the list first."""
        loop = asyncio.get_running_loop()
        timeout = self._options.timeout_seconds
        end = loop.time() + timeout if timeout else None
        try:
            for obj in self._initial:
                yield WatchEvent("ADDED", self._registry.present(self._resource, obj))
            self._initial = []
            if streams_list and self._options.allow_bookmarks:
                yield self._bookmark({INITIAL_EVENTS_END: "true"})
            next_bookmark = loop.time() + BOOKMARK_SECONDS
            while True:
                for change in self._drain():
                    for event in self._through(change):
                        yield event
                now = loop.time()
                if end is not None and now >= end:
                    return
                if self._options.allow_bookmarks and now >= next_bookmark:
                    yield self._bookmark({})
                    next_bookmark = now + BOOKMARK_SECONDS
                await self._wait(end, next_bookmark)
        finally:
            self._watch.close()

    async def _wait(self, end: float | None, next_bookmark: float) -> None:
        deadlines = [moment for moment in (end, next_bookmark if self._options.allow_bookmarks else None) if moment]
        try:
            async with asyncio.timeout_at(min(deadlines, default=None)):
                await self._watch.wait()
        except TimeoutError:
            return

    def _drain(self) -> list[Change]:
        try:
            return self._watch.drain()
        except TooOld as error:
            raise StatusError.gone_expired(str(error)) from None

    def _through(self, change: Change) -> Iterator[WatchEvent]:
        """What a watcher with this selector sees of a change: objects come and go as they start or stop to match."""
        before = change.previous is not None and self._selects(change.previous)
        after = change.type != "DELETED" and self._selects(change.object)
        if after:
            yield WatchEvent("MODIFIED" if before else "ADDED", self._present(change.object))
        elif before:
            assert change.previous is not None
            yield WatchEvent("DELETED", self._present(_last_seen(change)))

    def _present(self, obj: Obj) -> Obj:
        return self._registry.present(self._resource, obj)

    def _bookmark(self, annotations: dict[str, str]) -> WatchEvent:
        meta: Obj = {"resourceVersion": str(self._watch.revision)}
        if annotations:
            meta["annotations"] = annotations
        resource = self._resource
        return WatchEvent("BOOKMARK", {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta})


def _last_seen(change: Change) -> Obj:
    """The object as it was when it last matched, with the revision at which it ceased to."""
    if change.type == "DELETED":
        return change.object
    assert change.previous is not None
    meta = {**change.previous["metadata"], "resourceVersion": str(change.revision)}
    return {**change.previous, "metadata": meta}


def _check(options: WatchOptions) -> None:
    causes: list[Cause] = []
    match, path = options.resource_version_match, "resourceVersionMatch"
    if options.send_initial_events is not None and match != NOT_OLDER:
        causes.append(forbidden_field(path, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
    if match and options.send_initial_events is None:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        causes.append(forbidden_field(path, why))
    if match and match != NOT_OLDER:
        causes.append(not_supported(path, match, [NOT_OLDER]))
    if match and options.continue_token:
        causes.append(forbidden_field(path, "resourceVersionMatch is forbidden when continue is provided"))
    if causes:
        raise StatusError.invalid("ListOptions.meta.k8s.io", "", causes)
