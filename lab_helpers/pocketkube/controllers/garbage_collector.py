"""The garbage collector: what happens to dependents when their owner is deleted.

    background   the owner goes at once, its dependents are deleted after it
    foreground   the owner waits, with a finalizer, until its blocking dependents are gone
    orphan       the owner waits until its dependents have forgotten it

Owners and dependents are found by uid in the informers; before anything is deleted, the server itself is asked
whether the owner is really gone. Models pkg/controller/garbagecollector/garbagecollector.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

from ..api.status import ignoring_not_found
from ..client import STRATEGIC_MERGE_PATCH, Client, EventType
from ..clock import Clock
from ..custom.definition import DEFINITIONS, is_established, resources_of
from ..informer import Controller, SharedInformers
from ..objects import Obj, is_deleting, key_of, name_of, namespace_of, split_key, uid_of
from ..resources.metadata import FOREGROUND, ORPHAN
from ..resources.table import RESOURCES, Resource

_IGNORED = ("events", "events.events.k8s.io")

Standing = Literal["solid", "waiting", "gone"]


class GarbageCollector(Controller):
    """Follows owner references. A key is `resource|namespace/name`."""

    name = "garbage-collector"

    def __init__(self, client: Client, informers: SharedInformers, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        collected = [
            resource
            for resource in RESOURCES.values()
            if {"list", "watch", "delete"} <= set(resource.verbs) and resource.name not in _IGNORED
        ]
        self._informers = {resource.name: informers.get(resource.name) for resource in collected}
        self._by_kind: dict[tuple[str, str], Resource] = {
            (resource.api_version, resource.kind): resource for resource in collected
        }
        for resource in collected:
            self._informers[resource.name].add_handler(self._handler(resource))
        self._shared = informers
        self._informers[DEFINITIONS].add_handler(self._on_definition)

    async def reconcile(self, key: str) -> None:
        """Looks at one object: as an owner that is leaving, or as a dependent whose owners may have left."""
        resource_name, _, object_key = key.partition("|")
        informer = self._informers.get(resource_name)
        obj = informer.get(object_key) if informer else None
        if obj is None:
            return
        if is_deleting(obj):
            await self._leave(resource_name, obj)
        elif obj["metadata"].get("ownerReferences"):
            await self._check_owners(resource_name, obj)

    # --- an owner that is leaving ---

    async def _leave(self, resource_name: str, owner: Obj) -> None:
        finalizers = owner["metadata"].get("finalizers") or []
        dependents = self._dependents(owner)
        if ORPHAN in finalizers:
            for dependent_resource, dependent in dependents:
                await self._forget_owners(dependent_resource, dependent, [uid_of(owner)])
            await self._remove_finalizer(resource_name, owner, ORPHAN)
        elif FOREGROUND in finalizers:
            if not any(_blocks(dependent, owner) for _, dependent in dependents):
                await self._remove_finalizer(resource_name, owner, FOREGROUND)
            for dependent_resource, dependent in dependents:
                self.queue.add(f"{dependent_resource}|{key_of(dependent)}")

    async def _remove_finalizer(self, resource_name: str, owner: Obj, finalizer: str) -> None:
        left = [name for name in owner["metadata"]["finalizers"] if name != finalizer]
        version = owner["metadata"]["resourceVersion"]
        patch = {"metadata": {"finalizers": left or None, "resourceVersion": version}}
        await _unless_gone(self._client.patch(resource_name, name_of(owner), patch, namespace_of(owner)))

    # --- a dependent whose owners may have left ---

    async def _check_owners(self, resource_name: str, obj: Obj) -> None:
        references = obj["metadata"]["ownerReferences"]
        standing = {ref["uid"]: await self._standing(ref, namespace_of(obj)) for ref in references}
        useless = [uid for uid, found in standing.items() if found != "solid"]
        if not useless:
            return
        if len(useless) < len(standing):
            await self._forget_owners(resource_name, obj, useless)
            return
        finalizers = obj["metadata"].get("finalizers") or []
        policy = "Background"
        dependents = self._dependents(obj)
        if "waiting" in standing.values() and dependents:
            policy = "Foreground"
            if any(_waits_for_dependents(dependent) for _, dependent in dependents):
                # Perhaps a circle of owners, each of which would wait for the next for ever.
                await self._unblock(resource_name, obj)
        elif ORPHAN in finalizers:
            policy = "Orphan"
        elif FOREGROUND in finalizers:
            policy = "Foreground"
        deletion = self._client.delete(
            resource_name, name_of(obj), namespace_of(obj), uid=uid_of(obj), propagation_policy=policy
        )
        await _unless_gone(deletion)

    async def _standing(self, reference: Obj, namespace: str) -> Standing:
        resource = self._by_kind.get((reference["apiVersion"], reference["kind"]))
        if resource is None:
            return "solid"  # a kind we don't know: never delete on a guess
        where = namespace if resource.namespaced else ""
        key = f"{where}/{reference['name']}" if where else reference["name"]
        informer = self._informers.get(resource.name)
        owner = informer.get(key) if informer else None
        if owner is None or uid_of(owner) != reference["uid"]:
            owner = await self._live(resource, key)
        if owner is None or uid_of(owner) != reference["uid"]:
            return "gone"
        return "waiting" if _waits_for_dependents(owner) else "solid"

    async def _live(self, resource: Resource, key: str) -> Obj | None:
        namespace, name = split_key(key)
        with ignoring_not_found():
            return await self._client.get(resource.name, name, namespace or None)
        return None

    async def _unblock(self, resource_name: str, obj: Obj) -> None:
        """Lets the owners go without waiting for this object."""
        references = [{**ref, "blockOwnerDeletion": False} for ref in obj["metadata"]["ownerReferences"]]
        metadata = {"ownerReferences": references, "resourceVersion": obj["metadata"]["resourceVersion"]}
        await _unless_gone(self._client.patch(resource_name, name_of(obj), {"metadata": metadata}, namespace_of(obj)))

    async def _forget_owners(self, resource_name: str, obj: Obj, uids: list[str]) -> None:
        if resource_name not in RESOURCES:  # no strategic merge of custom kinds
            left = [ref for ref in obj["metadata"]["ownerReferences"] if ref["uid"] not in uids]
            meta = {"ownerReferences": left or None, "resourceVersion": obj["metadata"]["resourceVersion"]}
            await _unless_gone(self._client.patch(resource_name, name_of(obj), {"metadata": meta}, namespace_of(obj)))
            return
        gone = [{"$patch": "delete", "uid": uid} for uid in uids]
        patch = {"metadata": {"ownerReferences": gone, "uid": uid_of(obj)}}
        await _unless_gone(
            self._client.patch(resource_name, name_of(obj), patch, namespace_of(obj), patch_type=STRATEGIC_MERGE_PATCH)
        )

    def _dependents(self, owner: Obj) -> list[tuple[str, Obj]]:
        uid = uid_of(owner)
        return [(name, obj) for name, informer in list(self._informers.items()) for obj in informer.owned_by(uid)]

    # --- custom kinds come and go ---

    def _on_definition(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is None:  # its objects went before it, so that whoever names one as its owner has lost him
            name = name_of(old or {})
            if self._informers.pop(name, None) is not None:
                self._shared.drop(name)
            return
        for resource in resources_of(new) if is_established(new) else ():
            self._by_kind[resource.api_version, resource.kind] = resource
            if resource.name not in self._informers:
                informer = self._informers[resource.name] = self._shared.get(resource.name)
                informer.add_handler(self._handler(resource))

    # --- what changed ---

    def _handler(self, resource: Resource) -> Callable[[EventType, Obj | None, Obj | None], None]:
        def on_change(event: EventType, new: Obj | None, old: Obj | None) -> None:
            if new is None:
                self._on_deleted(old or {})
                return
            references = new["metadata"].get("ownerReferences")
            leaving = is_deleting(new) and new["metadata"].get("finalizers")
            news = old is None or references != old["metadata"].get("ownerReferences")
            if leaving or (references and news):
                self.queue.add(f"{resource.name}|{key_of(new)}")
            if old is not None and news:
                self._enqueue_owners(old)

        return on_change

    def _on_deleted(self, obj: Obj) -> None:
        for resource_name, dependent in self._dependents(obj):
            self.queue.add(f"{resource_name}|{key_of(dependent)}")
        self._enqueue_owners(obj)

    def _enqueue_owners(self, obj: Obj) -> None:
        """An owner that waits for its dependents looks again."""
        for reference in obj["metadata"].get("ownerReferences") or []:
            resource = self._by_kind.get((reference["apiVersion"], reference["kind"]))
            if resource is not None:
                where = f"{namespace_of(obj)}/" if resource.namespaced else ""
                self.queue.add(f"{resource.name}|{where}{reference['name']}")


def _waits_for_dependents(obj: Obj) -> bool:
    return is_deleting(obj) and FOREGROUND in (obj["metadata"].get("finalizers") or [])


def _blocks(dependent: Obj, owner: Obj) -> bool:
    references = dependent["metadata"].get("ownerReferences") or []
    return any(ref["uid"] == uid_of(owner) and ref.get("blockOwnerDeletion") for ref in references)


async def _unless_gone(request: Awaitable[Obj]) -> None:
    with ignoring_not_found():
        await request
