"""What every controller that keeps others' objects has in common: it looks again when it, or what it owns, changes.

A ReplicaSet's key is added to the queue when the ReplicaSet changes, when one of its Pods does, and when a Pod turns
up that belongs to nobody and that it might adopt. What to do then is left to each controller's `reconcile`; who
belongs to whom is decided by `adoption`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..api.selectors import LabelSelector, compile_label_selector
from ..client import Client, EventType
from ..clock import Clock
from ..informer import Controller, SharedInformers
from ..objects import Obj, controller_ref_of, labels_of, namespace_of, uid_of
from .adoption import Claims
from .events import EventRecorder
from .pods import seconds_until_next_available


class OwnerController(Controller):
    """Reconciles owners of one kind. A key is an owner's; a subclass says which kind owns what."""

    resource: str
    kind: str
    owned_resource = "pods"

    def __init__(self, client: Client, informers: SharedInformers, recorder: EventRecorder, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._recorder = recorder
        self._owners = informers.get(self.resource)
        self._owned = informers.get(self.owned_resource)
        self._owners.add_handler(self._on_owner)
        self._owned.add_handler(self._on_owned)

    def selector_of(self, owner: Obj) -> LabelSelector:
        """Which objects the owner wants to count. A selector that selects everything counts for nothing."""
        return compile_label_selector(owner["spec"].get("selector"))

    def may_adopt(self, owner: Obj, orphan: Obj) -> bool:
        """True if the owner should have a look at an object that belongs to nobody."""
        selector = self.selector_of(owner)
        return bool(selector.requirements) and selector.matches(labels_of(orphan))

    def owner_of(self, obj: Obj) -> Obj | None:
        """The owner of this kind that an object names, if that is still there."""
        ref = controller_ref_of(obj)
        if ref is None or ref["kind"] != self.kind:
            return None
        owner = self._owners.get(f"{namespace_of(obj)}/{ref['name']}")
        return owner if owner is not None and uid_of(owner) == ref["uid"] else None

    async def claim(self, owner: Obj, candidates: Iterable[Obj]) -> list[Obj]:
        """Those of the candidates that belong to the owner, after adopting and releasing."""
        claims = Claims(self._client, owner, self.resource, self.selector_of(owner), self.owned_resource)
        return await claims.claim(candidates)

    def look_again_when_available(self, key: str, owner: Obj, pods: list[Obj]) -> None:
        """Comes back when the next of the Pods has been ready for `minReadySeconds`: no event will say so."""
        wait = seconds_until_next_available(pods, min_ready_seconds(owner), self.clock.now())
        if wait is not None:
            self.queue.add_after(key, wait)

    def _on_owner(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        self.enqueue(new or old or {})

    def _on_owned(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        for obj in (new, old):
            owner = self.owner_of(obj) if obj is not None else None
            if owner is not None:
                self.enqueue(owner)
        if new is None or controller_ref_of(new) is not None:
            return
        if old is None or labels_of(old) != labels_of(new) or controller_ref_of(old) is not None:
            for owner in self._owners.list(namespace_of(new)):
                if self.may_adopt(owner, new):
                    self.enqueue(owner)


def min_ready_seconds(owner: Obj) -> int:
    """`spec.minReadySeconds`: how long a Pod must be ready to count as available."""
    return int(owner["spec"].get("minReadySeconds") or 0)
