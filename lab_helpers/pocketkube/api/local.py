"""The Client that calls the operations in the same process: for controllers, scheduler and bootstrap."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from ..client import MERGE_PATCH, ObjList, WatchEvent
from ..objects import Obj, name_of
from ..resources.table import Resource
from .fields import decode_body
from .operations import Operations
from .request import DeleteOptions, ListOptions, RequestContext, WatchOptions
from .status import StatusError


def _stored_form(resource: Resource, obj: Obj, subresource: str = "") -> Obj:
    """What would come out of the decoder if the object had come over HTTP."""
    return decode_body(obj, (), resource, "Ignore", [], subresource)


class LocalClient:
    """`client.Client` over `Operations`. `manager` is who owns the fields it writes."""

    def __init__(
        self,
        operations: Operations,
        *,
        manager: str = "kube-controller-manager",
        user: str = "system:kube-controller-manager",
        groups: tuple[str, ...] = ("system:masters", "system:authenticated"),
    ) -> None:
        self._operations = operations
        self._manager = manager
        self._user = user
        self._groups = groups

    def _context(self) -> RequestContext:
        return RequestContext(
            user=self._user, groups=self._groups, field_manager=self._manager, field_validation="Ignore"
        )

    def _resource(self, name: str) -> Resource:
        found = self._operations.catalogue.served.get(name)
        if found is None:
            raise StatusError.no_such_path()
        return found

    async def get(self, resource: str, name: str, namespace: str | None = None) -> Obj:
        """One object, or StatusError 404."""
        return self._operations.get(self._resource(resource), namespace, name)

    async def list(
        self, resource: str, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> ObjList:
        """All objects of a resource in a namespace, or in all of them."""
        options = ListOptions(label_selector=label_selector, field_selector=field_selector)
        answer = self._operations.list(self._resource(resource), namespace, options)
        return ObjList(items=answer["items"], resource_version=answer["metadata"]["resourceVersion"])

    async def create(self, resource: str, obj: Obj, namespace: str | None = None) -> Obj:
        """Creates; `metadata.namespace` decides where unless given."""
        kind = self._resource(resource)
        where = namespace or obj["metadata"].get("namespace")
        return self._operations.create(self._context(), kind, where, _stored_form(kind, obj)).object

    async def update(self, resource: str, obj: Obj, *, subresource: str = "") -> Obj:
        """Replaces (`subresource="status"` for the status alone)."""
        kind = self._resource(resource)
        where = obj["metadata"].get("namespace")
        stored = _stored_form(kind, obj, subresource)
        written = self._operations.update(self._context(), kind, where, name_of(obj), stored, subresource=subresource)
        return written.object

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
        written = self._operations.patch(
            self._context(), self._resource(resource), namespace, name, patch_type, patch, subresource=subresource
        )
        return written.object

    async def create_subresource(
        self, resource: str, name: str, subresource: str, body: Obj, namespace: str | None = None
    ) -> Obj:
        """POSTs to a subresource: `binding`, `eviction`."""
        written = self._operations.create_subresource(
            self._context(), self._resource(resource), namespace, name, subresource, body
        )
        return written.object

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
        options = DeleteOptions(
            uid=uid, grace_period_seconds=grace_period_seconds, propagation_policy=propagation_policy
        )
        return self._operations.delete(self._context(), self._resource(resource), namespace, name, options).object

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
        options = WatchOptions(
            label_selector=label_selector,
            field_selector=field_selector,
            resource_version=resource_version,
            allow_bookmarks=True,
        )
        return self._operations.watch(self._resource(resource), namespace, options)
