"""Who belongs to whom: a controller's claim on the objects that its selector matches.

Matching objects without a controller are adopted, owned ones that match no more are released, those of others are
left alone. Models pkg/controller/controller_ref_manager.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterable

from ..api.selectors import LabelSelector
from ..api.status import StatusError
from ..client import STRATEGIC_MERGE_PATCH, Client
from ..objects import (
    Obj,
    controller_ref_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    new_controller_ref,
    uid_of,
)


class Claims:
    """The claims of one owner (a ReplicaSet on Pods, a Deployment on ReplicaSets)."""

    def __init__(
        self,
        client: Client,
        owner: Obj,
        owner_resource: str,
        selector: LabelSelector,
        claimed_resource: str,
        *,
        finalizer: str = "",
    ) -> None:
        """`finalizer`: one that every claimed object carries as long as it is claimed."""
        self._client = client
        self._owner = owner
        self._owner_resource = owner_resource
        self._selector = selector
        self._claimed_resource = claimed_resource
        self._finalizer = finalizer
        self._may_adopt: bool | None = None

    async def claim(self, candidates: Iterable[Obj]) -> list[Obj]:
        """Those of the candidates that belong to the owner, after adopting and releasing."""
        return [obj for obj in candidates if await self._claim(obj)]

    async def _claim(self, obj: Obj) -> bool:
        ref = controller_ref_of(obj)
        matches = self._selector.matches(labels_of(obj))
        if ref is not None:
            if ref["uid"] != uid_of(self._owner):
                return False
            if not matches and not is_deleting(self._owner):
                await self._release(obj)
            return matches
        if not matches or is_deleting(self._owner) or is_deleting(obj):
            return False
        return await self._adopt(obj)

    async def _adopt(self, obj: Obj) -> bool:
        if not await self._owner_still_there():
            return False
        metadata = {"ownerReferences": [new_controller_ref(self._owner)], "uid": uid_of(obj)}
        if self._finalizer:
            metadata["finalizers"] = [self._finalizer]
        return await self._patch(obj, {"metadata": metadata})

    async def _release(self, obj: Obj) -> None:
        gone = {"$patch": "delete", "uid": uid_of(self._owner)}
        metadata = {"ownerReferences": [gone], "uid": uid_of(obj)}
        if self._finalizer:
            metadata["$deleteFromPrimitiveList/finalizers"] = [self._finalizer]
        await self._patch(obj, {"metadata": metadata})

    async def _patch(self, obj: Obj, patch: Obj) -> bool:
        try:
            await self._client.patch(
                self._claimed_resource, name_of(obj), patch, namespace_of(obj), patch_type=STRATEGIC_MERGE_PATCH
            )
        except StatusError as error:
            if error.code in (404, 422):  # gone meanwhile, or made anew under the same name
                return False
            raise
        return True

    async def _owner_still_there(self) -> bool:
        """Asks the server itself: an informer may still show an owner that was deleted, perhaps orphaning its own."""
        if self._may_adopt is None:
            try:
                owner = await self._client.get(self._owner_resource, name_of(self._owner), namespace_of(self._owner))
            except StatusError as error:
                if error.code != 404:
                    raise
                self._may_adopt = False
            else:
                self._may_adopt = uid_of(owner) == uid_of(self._owner) and not is_deleting(owner)
        return self._may_adopt
