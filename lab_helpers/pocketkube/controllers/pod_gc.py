"""The Pod garbage collector: Pods of a node that no longer exists are forgotten, since no kubelet will ever end them.

Models pkg/controller/podgc/gc_controller.go (v1.36).
"""

from __future__ import annotations

from ..api.status import ignoring_not_found
from ..client import Client, EventType
from ..clock import Clock
from ..informer import Controller, SharedInformers
from ..objects import Obj, is_deleting, key_of, name_of, split_key, uid_of
from .pods import announce_disruption, is_finished

QUARANTINE_SECONDS = 40.0


class PodGarbageCollector(Controller):
    """Deletes Pods that nobody looks after. A key is a Pod's."""

    name = "pod-garbage-collector"

    def __init__(self, client: Client, informers: SharedInformers, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._pods = informers.get("pods")
        self._nodes = informers.get("nodes")
        self._pods.add_handler(self._on_pod)
        self._nodes.add_handler(self._on_node)

    async def reconcile(self, key: str) -> None:
        """Deletes a Pod at once if its node is gone, or if it was to be deleted before it got one."""
        pod = self._pods.get(key)
        if pod is None:
            return
        node = pod["spec"].get("nodeName")
        unscheduled = not node and is_deleting(pod)
        if not unscheduled and (not node or await self._node_exists(node)):
            return
        if node and not is_finished(pod):
            # Nobody else will ever say how it ended.
            why = "PodGC: node no longer exists"
            await announce_disruption(self._client, self.clock, pod, "DeletionByPodGC", why, phase="Failed")
        namespace, name = split_key(key)
        with ignoring_not_found():
            await self._client.delete("pods", name, namespace, uid=uid_of(pod), grace_period_seconds=0)

    async def _node_exists(self, name: str) -> bool:
        if self._nodes.get(name) is not None:
            return True
        with ignoring_not_found():
            await self._client.get("nodes", name)
            return True
        return False

    def _on_pod(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is None:
            return
        if is_deleting(new) and not new["spec"].get("nodeName"):
            self.enqueue(new)
        elif event == "ADDED" and new["spec"].get("nodeName"):
            # A node that is about to register itself gets its time.
            self._look_later(new)

    def _on_node(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if event != "DELETED" or old is None:
            return
        for pod in self._pods.list():
            if pod["spec"].get("nodeName") == name_of(old):
                self._look_later(pod)

    def _look_later(self, pod: Obj) -> None:
        if self._nodes.get(pod["spec"]["nodeName"]) is None:
            self.queue.add_after(key_of(pod), QUARANTINE_SECONDS)
