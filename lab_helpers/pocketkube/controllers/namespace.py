"""The namespace controller: a namespace that is being deleted is emptied first, then let go.

Models pkg/controller/namespace/deletion/namespaced_resources_deleter.go (v1.36).
"""

from __future__ import annotations

from ..api.status import ignoring_not_found
from ..client import Client, EventType
from ..clock import Clock
from ..informer import Controller, SharedInformers
from ..objects import Obj, copy, is_deleting, name_of, namespace_of
from ..resources.namespace import FINALIZER
from ..resources.table import RESOURCES, Resource


class NamespaceController(Controller):
    """Empties namespaces on their way out."""

    name = "namespace"

    def __init__(self, client: Client, informers: SharedInformers, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._contents = contained_resources()
        self._namespaces = informers.get("namespaces")
        self._namespaces.add_handler(self._on_namespace)
        for resource in self._contents:
            informers.get(resource.name).add_handler(self._on_content)

    async def reconcile(self, key: str) -> None:
        """Deletes all content; once nothing is left, takes the finalizer away, which ends the namespace."""
        namespace = self._namespaces.get(key)
        if namespace is None or not is_deleting(namespace):
            return
        finalizers = (namespace.get("spec") or {}).get("finalizers") or []
        if FINALIZER not in finalizers:
            return
        remaining = {resource.name: await self._delete_all(resource, key) for resource in self._contents}
        left = {name: count for name, count in remaining.items() if count}
        if left:
            # What is left (Pods within their grace period, objects with finalizers) brings us back when it goes.
            await self._say_what_remains(namespace, left)
            return
        changed = copy(namespace)
        changed["spec"]["finalizers"] = [name for name in finalizers if name != FINALIZER]
        await self._client.update("namespaces", changed, subresource="finalize")

    async def _delete_all(self, resource: Resource, namespace: str) -> int:
        """Deletes every object of a resource; returns how many are still there."""
        listed = await self._client.list(resource.name, namespace)
        for obj in listed.items:
            if is_deleting(obj):
                continue
            with ignoring_not_found():
                await self._client.delete(resource.name, name_of(obj), namespace, propagation_policy="Background")
        return len((await self._client.list(resource.name, namespace)).items)

    async def _say_what_remains(self, namespace: Obj, left: dict[str, int]) -> None:
        listed = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(left.items()))
        condition = {
            "type": "NamespaceContentRemaining",
            "status": "True",
            "reason": "SomeResourcesRemain",
            "message": f"Some resources are remaining: {listed}",
        }
        before = (namespace.get("status") or {}).get("conditions") or []
        same = next((c for c in before if c["type"] == condition["type"]), None)
        if same is not None and same["message"] == condition["message"]:
            return
        since = same["lastTransitionTime"] if same is not None else self.clock.rfc3339()
        others = [c for c in before if c["type"] != condition["type"]]
        status = {"conditions": [*others, {**condition, "lastTransitionTime": since}]}
        await self._client.patch("namespaces", name_of(namespace), {"status": status}, subresource="status")

    def _on_namespace(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is not None and is_deleting(new):
            self.enqueue(new)

    def _on_content(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if event != "DELETED" or old is None:
            return
        namespace = self._namespaces.get(namespace_of(old))
        if namespace is not None and is_deleting(namespace):
            self.enqueue(namespace)


def contained_resources() -> list[Resource]:
    """Every resource whose objects live in namespaces and can be listed, watched and deleted."""
    return [
        resource
        for resource in RESOURCES.values()
        if resource.namespaced
        and {"list", "watch", "delete"} <= set(resource.verbs)
        and resource.group != "events.k8s.io"  # the same objects as the core group's events
    ]
