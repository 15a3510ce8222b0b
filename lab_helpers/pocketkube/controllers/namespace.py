"""The namespace controller: a namespace that is being deleted is emptied first, its Pods before all else, then let go.

Models pkg/controller/namespace/deletion/namespaced_resources_deleter.go (v1.36).
"""

from __future__ import annotations

from ..api.status import StatusError, ignoring_not_found
from ..client import Client, EventType
from ..clock import Clock, parse_rfc3339
from ..custom.definition import DEFINITIONS, is_established, resources_of
from ..informer import Controller, SharedInformers
from ..objects import Obj, copy, is_deleting, name_of, namespace_of
from ..resources.namespace import FINALIZER
from ..resources.table import RESOURCES, Resource
from .namespace_conditions import Findings
from .pods import is_finished

_FINALIZER_SECONDS = 15.0


class NamespaceController(Controller):
    """Empties namespaces on their way out."""

    name = "namespace"

    def __init__(self, client: Client, informers: SharedInformers, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._contents = contained_resources()
        self._definitions = informers.get(DEFINITIONS)
        self._namespaces = informers.get("namespaces")
        self._namespaces.add_handler(self._on_namespace)
        for resource in self._contents:
            informers.get(resource.name).add_handler(self._on_content)

    async def reconcile(self, key: str) -> None:
        """Deletes all content; once nothing is left, takes the finalizer away, which ends the namespace."""
        namespace = self._namespaces.get(key)
        if namespace is None or not is_deleting(namespace):
            return
        if FINALIZER not in _finalizers(namespace):
            return
        found = Findings()
        wait = await self._empty(namespace, found)
        namespace = await self._say(namespace, found)
        if wait is not None:
            # What is left brings us back when it goes; what changes meanwhile is told at times.
            self.queue.add_after(key, wait / 2 + 1)
            return
        if found.errors:
            self.queue.add_rate_limited(key)
            return
        changed = copy(namespace)
        changed["spec"]["finalizers"] = [name for name in _finalizers(namespace) if name != FINALIZER]
        with ignoring_not_found():
            await self._client.update("namespaces", changed, subresource="finalize")

    async def _empty(self, namespace: Obj, found: Findings) -> float | None:
        """Deletes what can be; how many seconds it may take until the rest is gone, None if nothing is left."""
        name = name_of(namespace)
        # Pods first: while they end they may need their configuration, accounts and addresses.
        patience = await self._patience(namespace)
        pods = await self._delete_all(RESOURCES["pods"], name, found)
        if pods:
            if not patience and not any(_metadata_finalizers(pod) for pod in pods):
                found.errors.append(_unexpected(name, RESOURCES["pods"]))
            return patience or _FINALIZER_SECONDS
        waits = False
        for resource in [*self._contents, *self._custom_contents()]:
            if resource.name == "pods":
                continue
            left = await self._delete_all(resource, name, found)
            if not left:
                continue
            waits = True
            finalizers = [each for obj in left for each in _metadata_finalizers(obj)]
            found.remaining[f"{resource.plural}.{resource.group}"] += len(left)
            found.finalizers.update(finalizers)
            if not finalizers:
                found.errors.append(_unexpected(name, resource))
        return _FINALIZER_SECONDS if waits else None

    def _custom_contents(self) -> list[Resource]:
        """Custom kinds that live in namespaces."""
        established = (each for each in self._definitions.list() if is_established(each))
        resources = (resource for definition in established for resource in resources_of(definition))
        return list({each.name: each for each in resources if each.namespaced}.values())

    async def _delete_all(self, resource: Resource, namespace: str, found: Findings) -> list[Obj]:
        """Deletes every object of a resource; returns those that are still there."""
        listed = await self._client.list(resource.name, namespace)
        for obj in listed.items:
            if is_deleting(obj):
                continue
            try:
                with ignoring_not_found():
                    await self._client.delete(resource.name, name_of(obj), namespace, propagation_policy="Background")
            except StatusError as error:
                found.errors.append(str(error))
        return (await self._client.list(resource.name, namespace)).items if listed.items else []

    async def _patience(self, namespace: Obj) -> float:
        """For how long Pods may still be there. Models estimateGracefulTermination."""
        graces = [
            pod["spec"].get("terminationGracePeriodSeconds") or 0
            for pod in (await self._client.list("pods", name_of(namespace))).items
            if not is_finished(pod)
        ]
        longest = float(max(graces, default=0))
        since = self.clock.now() - parse_rfc3339(namespace["metadata"]["deletionTimestamp"])
        return longest if since < longest else 0.0

    async def _say(self, namespace: Obj, found: Findings) -> Obj:
        before = (namespace.get("status") or {}).get("conditions") or []
        conditions = found.conditions(before, self.clock.rfc3339())
        if conditions == before:
            return namespace
        patch = {"status": {"conditions": conditions}}
        return await self._client.patch("namespaces", name_of(namespace), patch, subresource="status")

    def _on_namespace(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is not None and is_deleting(new):
            self.enqueue(new)

    def _on_content(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if event != "DELETED" or old is None:
            return
        namespace = self._namespaces.get(namespace_of(old))
        if namespace is not None and is_deleting(namespace):
            self.enqueue(namespace)


def _finalizers(namespace: Obj) -> list[str]:
    return (namespace.get("spec") or {}).get("finalizers") or []


def _metadata_finalizers(obj: Obj) -> list[str]:
    return obj["metadata"].get("finalizers") or []


def _unexpected(namespace: str, resource: Resource) -> str:
    what = f"{resource.group}/{resource.version}, Resource={resource.plural}"
    return f"unexpected items still remain in namespace: {namespace} for gvr: {what}"


def contained_resources() -> list[Resource]:
    """Every resource whose objects live in namespaces and can be listed, watched and deleted."""
    return [
        resource
        for resource in RESOURCES.values()
        if resource.namespaced
        and {"list", "watch", "delete"} <= set(resource.verbs)
        and resource.group != "events.k8s.io"  # the same objects as the core group's events
    ]
