"""What a component may ask of the API server, whichever way it reaches it.

`LocalClient` (api/local.py) calls the API's operations in the same process; `HttpClient` (http_client.py)
speaks HTTP over a Unix socket. Both raise `api.status.StatusError` as the server would answer it.
A resource is named as kubectl names it: `pods`, `deployments.apps`, `endpointslices.discovery.k8s.io`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from .objects import Obj

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class WatchEvent(NamedTuple):
    """One change: its type and the object after it (for DELETED: as it was last)."""

    type: EventType
    object: Obj


@dataclass(frozen=True)
class ObjList:
    """A list of objects as of one resourceVersion."""

    items: list[Obj]
    resource_version: str


class Client(Protocol):
    """The verbs of the Kubernetes API on plain JSON objects.

    Objects that come back are shared: copy before changing them. Writes use optimistic locking when
    `metadata.resourceVersion` is set. `watch` ends when the server closes it and raises StatusError 410
    when `resource_version` is too old.
    """

    async def get(self, resource: str, name: str, namespace: str | None = None) -> Obj:
        """One object, or StatusError 404."""
        ...

    async def list(
        self, resource: str, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> ObjList:
        """All objects of a resource in a namespace, or in all of them."""
        ...

    async def create(self, resource: str, obj: Obj, namespace: str | None = None) -> Obj:
        """Creates; `metadata.namespace` decides where unless given. StatusError 409 if it exists."""
        ...

    async def update(self, resource: str, obj: Obj, *, subresource: str = "") -> Obj:
        """Replaces (`subresource="status"` for the status alone)."""
        ...

    async def patch(
        self,
        resource: str,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        patch_type: str = MERGE_PATCH,
        subresource: str = "",
    ) -> Obj:
        """Changes part of an object."""
        ...

    async def create_subresource(
        self, resource: str, name: str, subresource: str, body: Obj, namespace: str | None = None
    ) -> Obj:
        """POSTs to a subresource: `binding`, `eviction`, `token`."""
        ...

    async def delete(
        self,
        resource: str,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
    ) -> Obj:
        """Deletes, or marks for deletion where a grace period or finalizers ask for it."""
        ...

    def watch(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """Changes after `resource_version`, in order, until cancelled."""
        ...
