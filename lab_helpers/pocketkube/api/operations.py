"""The verbs of the API on plain JSON objects, independent of HTTP.

Every verb but `watch` is synchronous: it runs to its end on the event loop, so that no two writes interleave.
What a kind means is asked of its strategy (`resources/`); bytes, paths and headers are left to the HTTP layer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from random import Random

from ..client import WatchEvent
from ..config import ClusterConfig
from ..objects import Obj
from ..resources.table import Resource
from ..store import Store
from .request import DeleteOptions, ListOptions, RequestContext, WatchOptions, Written


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class Operations:
    """create, get, list, watch, update, patch, delete and subresources over one store. Raises StatusError.

    `namespace` is the one of the URL: None or "" for cluster-scoped objects and for lists over all namespaces.
    Objects that come back are shared: never change them. `store.json_bytes(obj)` gives their cached encoding.
    """

    def __init__(
        self,
        store: Store,
        config: ClusterConfig,
        *,
        clock: Callable[[], datetime] = utc_now,
        random: Random | None = None,
    ) -> None:
        raise NotImplementedError

    def get(self, resource: Resource, namespace: str | None, name: str, *, subresource: str = "") -> Obj:
        """One object; `subresource` is "", "status" or "scale"."""
        raise NotImplementedError

    def list(self, resource: Resource, namespace: str | None, options: ListOptions) -> Obj:
        """A `<Kind>List` with metadata.resourceVersion (and continue, remainingItemCount)."""
        raise NotImplementedError

    def watch(
        self, resource: Resource, namespace: str | None, options: WatchOptions
    ) -> AsyncIterator[WatchEvent]:
        """Events; BOOKMARKs among them if asked for. StatusError 410 when the resourceVersion is too old:
        before the first event, or later when the watcher was too slow. Bad options raise at the call."""
        raise NotImplementedError

    def create(self, ctx: RequestContext, resource: Resource, namespace: str | None, obj: Obj) -> Written:
        """POST to a collection: 201."""
        raise NotImplementedError

    def create_subresource(
        self, ctx: RequestContext, resource: Resource, namespace: str | None, name: str, subresource: str, body: Obj
    ) -> Written:
        """POST to `binding`, `eviction` (and `token`, which the HTTP layer's key signs)."""
        raise NotImplementedError

    def update(
        self,
        ctx: RequestContext,
        resource: Resource,
        namespace: str | None,
        name: str,
        obj: Obj,
        *,
        subresource: str = "",
    ) -> Written:
        """PUT: 200, or 201 where a PUT may create (Lease, Event, Node and Endpoints)."""
        raise NotImplementedError

    def patch(
        self,
        ctx: RequestContext,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch_type: str,
        patch: object,
        *,
        subresource: str = "",
    ) -> Written:
        """PATCH of any type, server-side apply among them (201 if it creates). `patch` is the decoded body."""
        raise NotImplementedError

    def delete(
        self,
        ctx: RequestContext,
        resource: Resource,
        namespace: str | None,
        name: str,
        options: DeleteOptions,
    ) -> Written:
        """DELETE of one object: the object, or a Status if it is gone."""
        raise NotImplementedError

    def delete_collection(
        self,
        ctx: RequestContext,
        resource: Resource,
        namespace: str | None,
        selection: ListOptions,
        options: DeleteOptions,
    ) -> Obj:
        """DELETE of all that is selected: the list of what was."""
        raise NotImplementedError
