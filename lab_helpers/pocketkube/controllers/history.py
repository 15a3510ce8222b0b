"""ControllerRevisions: what a StatefulSet's or a DaemonSet's Pod template was before, so that it can be again.

`kubectl rollout history` and `undo` read nothing but these objects. Each holds a patch that puts its template back.
Models pkg/controller/history/controller_history.go and pkg/controller/daemon/update.go (v1.36).
"""

from __future__ import annotations

import json
from typing import Any

from ..api.selectors import LabelSelector
from ..api.status import StatusError, ignoring_not_found
from ..client import Client
from ..clock import parse_rfc3339
from ..informer import Informer
from ..objects import Obj, annotations_of, copy, name_of, namespace_of, new_controller_ref
from .adoption import Claims
from .revisions import template_hash

RESOURCE = "controllerrevisions.apps"
REVISION_HASH = "controller-revision-hash"
"""The label that says of which revision a Pod is."""

_MOST_COLLISIONS = 10


def revision_number(revision: Obj) -> int:
    """Its place in the history."""
    return int(revision.get("revision") or 0)


def template_of(revision: Obj) -> Obj:
    """The Pod template that a revision holds."""
    template: Obj = copy(revision["data"]["spec"]["template"])
    template.pop("$patch", None)
    return template


def _patch_to(template: Obj) -> Obj:
    """The strategic merge patch that puts this template back. kubectl compares it as text, so its keys are sorted."""
    patch = {"spec": {"template": {**template, "$patch": "replace"}}}
    sorted_patch: Obj = json.loads(json.dumps(patch, sort_keys=True))
    return sorted_patch


class RevisionHistory:
    """The revisions of one kind of owner. `hash_label` is the label under which a revision carries its own hash."""

    def __init__(self, client: Client, revisions: Informer, owner_resource: str, hash_label: str) -> None:
        self._client = client
        self._revisions = revisions
        self._owner_resource = owner_resource
        self._hash_label = hash_label

    async def of(self, owner: Obj, selector: LabelSelector) -> list[Obj]:
        """The owner's revisions, oldest first."""
        claims = Claims(self._client, owner, self._owner_resource, selector, RESOURCE)
        claimed = await claims.claim(self._revisions.list(namespace_of(owner)))
        return sorted(claimed, key=_age)

    async def latest(self, owner: Obj, known: list[Obj]) -> tuple[Obj, int]:
        """The revision of the owner's present template, which becomes the newest; and how many names collided."""
        template = owner["spec"]["template"]
        collisions = int((owner.get("status") or {}).get("collisionCount") or 0)
        equal = [revision for revision in known if template_of(revision) == template]
        if not equal:
            return await self._create(owner, _next(known), collisions)
        found = equal[-1]
        if found is known[-1]:
            return found, collisions
        renumbered = {**found, "revision": _next(known)}
        written = await self._client.update(RESOURCE, renumbered)
        await self._revisions.has_seen(written)
        return written, collisions

    async def truncate(self, owner: Obj, known: list[Obj], live: set[str]) -> None:
        """Forgets the oldest revisions that nobody needs any more. `live` are the names of those that are needed."""
        limit = int(owner["spec"].get("revisionHistoryLimit", 10))
        past = [revision for revision in known if name_of(revision) not in live]
        for revision in past[: max(0, len(past) - limit)]:
            with ignoring_not_found():
                await self._client.delete(RESOURCE, name_of(revision), namespace_of(revision))

    async def _create(self, owner: Obj, number: int, collisions: int) -> tuple[Obj, int]:
        template = owner["spec"]["template"]
        for attempt in range(collisions, collisions + _MOST_COLLISIONS):
            hash_ = template_hash(template, attempt)
            try:
                written = await self._client.create(RESOURCE, self._revision(owner, hash_, number))
            except StatusError as error:
                if error.code != 409:
                    raise
                continue
            await self._revisions.has_seen(written)
            return written, attempt
        raise StatusError.internal(f"no free name for a revision of {name_of(owner)}")

    def _revision(self, owner: Obj, hash_: str, number: int) -> Obj:
        template: dict[str, Any] = owner["spec"]["template"]
        labels = {**((template.get("metadata") or {}).get("labels") or {}), self._hash_label: hash_}
        metadata: Obj = {
            "name": f"{name_of(owner)}-{hash_}",
            "namespace": namespace_of(owner),
            "labels": labels,
            "ownerReferences": [new_controller_ref(owner)],
        }
        if annotations_of(owner):
            metadata["annotations"] = dict(annotations_of(owner))
        return {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": metadata,
            "data": _patch_to(template),
            "revision": number,
        }


def _next(known: list[Obj]) -> int:
    return max((revision_number(revision) for revision in known), default=0) + 1


def _age(revision: Obj) -> tuple[int, float, str]:
    return revision_number(revision), parse_rfc3339(revision["metadata"]["creationTimestamp"]), name_of(revision)
