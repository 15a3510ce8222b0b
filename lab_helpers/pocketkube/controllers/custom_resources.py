"""CustomResourceDefinitions on their way out: their objects go first. And names that become free are given again.

Models apiextensions-apiserver pkg/controller/{finalizer,status} (v1.36).
"""

from __future__ import annotations

from ..api.status import ignoring_not_found
from ..client import Client, EventType
from ..clock import Clock
from ..custom.definition import DEFINITIONS, is_established
from ..custom.definition_rules import CLEANUP
from ..informer import Controller, SharedInformers
from ..objects import Obj, copy, is_deleting, name_of, namespace_of

_SECONDS = 1.0


class CustomResourceController(Controller):
    """Works off the finalizer of definitions. A key is the name of one."""

    name = "custom-resources"

    def __init__(self, client: Client, informers: SharedInformers, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._definitions = informers.get(DEFINITIONS)
        self._definitions.add_handler(self._on_definition)

    async def reconcile(self, key: str) -> None:
        """Deletes the objects of a definition that is going; has a waiting one judged anew."""
        definition = self._definitions.get(key)
        if definition is None:
            return
        if not is_deleting(definition):
            if not is_established(definition):
                await self._client.update(DEFINITIONS, copy(definition))
            return
        finalizers = definition["metadata"].get("finalizers") or []
        if CLEANUP not in finalizers:
            return
        if await self._objects_left(key):
            self.queue.add_after(key, _SECONDS)
            return
        left = [name for name in finalizers if name != CLEANUP]
        version = definition["metadata"]["resourceVersion"]
        patch = {"metadata": {"finalizers": left or None, "resourceVersion": version}}
        with ignoring_not_found():
            await self._client.patch(DEFINITIONS, key, patch)

    async def _objects_left(self, resource: str) -> bool:
        """Deletes every object; True if some wait for finalizers of their own."""
        with ignoring_not_found():
            for obj in (await self._client.list(resource)).items:
                if not is_deleting(obj):
                    with ignoring_not_found():
                        await self._client.delete(resource, name_of(obj), namespace_of(obj) or None)
            return bool((await self._client.list(resource)).items)
        return False

    def _on_definition(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is not None and is_deleting(new):
            self.enqueue(new)
        if new is None:
            for definition in self._definitions.list():
                if not is_established(definition):
                    self.enqueue(definition)
