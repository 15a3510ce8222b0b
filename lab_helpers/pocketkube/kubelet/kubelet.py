"""The kubelet: makes the Pods of one node run, and tells the API how they are.

It registers its node, follows the Pods that are bound to it, and gives each a worker. A Pod's life is left to
`pod_worker.py`, exec, logs and the like to `server.py`, namespaces and processes to the runtime.
Models pkg/kubelet/kubelet.go (v1.36).
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from ..client import Client, EventType
from ..clock import Clock
from ..config import ClusterConfig
from ..informer import Informer
from ..objects import Obj, is_deleting, key_of, name_of, namespace_of, uid_of
from .admission import Refusal, refusal_of
from .configs import WatchedConfigs
from .image_catalogue import ImageCatalogue
from .image_manager import ImageManager
from .node_context import NodeContext
from .node_registration import NodeRegistration
from .pod_worker import PodWorker
from .recorder import Recorder
from .runtime import Runtime

log = logging.getLogger(__name__)

LOG_CHECK_SECONDS = 10.0
"""Seconds between two looks at the sizes of the container logs (containerLogMonitorInterval)."""


class Kubelet:
    """The kubelet of one node."""

    def __init__(
        self,
        client: Client,
        runtime: Runtime,
        config: ClusterConfig,
        node_name: str,
        node_ip: str,
        clock: Clock,
        recorder: Recorder,
        *,
        services: Informer | None = None,
        root: Path | None = None,
    ) -> None:
        """`services` is an informer that somebody else runs; `root` a folder that the containers' mounts may show."""
        index = next((i for i in range(config.nodes) if config.node_name(i) == node_name), 0)
        self.node_name = node_name
        self.registered = asyncio.Event()
        """Set once the Node is Ready."""
        self._own_services = services is None
        self._services = services or Informer(client, "services", clock=clock)
        self._node = NodeContext(
            client=client,
            runtime=runtime,
            config=config,
            name=node_name,
            ip=node_ip,
            clock=clock,
            recorder=recorder,
            images=ImageManager(clock, ImageCatalogue.of(config)),
            configs=WatchedConfigs(client, clock),
            services=self._services,
            root=root or config.state_dir / "kubelet" / node_name,
        )
        self._registration = NodeRegistration(
            client,
            node_name,
            node_ip,
            config.node_pod_cidr(index),
            clock,
            control_plane=index == 0,
            catalogue=self._node.images.catalogue,
            simulated=config.engine != "kernel",
        )
        self._pods = Informer(client, "pods", field_selector=f"spec.nodeName={node_name}", clock=clock)
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._finished: set[str] = set()
        self._admitted: set[str] = set()
        """The uids of the Pods that this node has taken."""

    @property
    def config(self) -> ClusterConfig:
        """The cluster's."""
        return self._node.config

    def workers(self) -> list[PodWorker]:
        """The workers of all Pods of this node."""
        return list(self._workers.values())

    def pods(self) -> list[Obj]:
        """The Pods of this node, as seen last."""
        return [worker.pod for worker in self._workers.values()]

    def worker(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of a Pod of this node; of two with the same name, the younger one."""
        for worker in reversed(self._workers.values()):
            if name_of(worker.pod) == name and namespace_of(worker.pod) == namespace:
                return worker
        return None

    def log_dir(self, worker: PodWorker) -> Path:
        """Where the logs of a Pod's containers are: `CONTAINER/RUN.log`."""
        return self._node.log_dir(worker.pod)

    def images_changed(self) -> None:
        """Images were added or taken away: containers without one are tried again now."""
        self._node.images.try_again()
        for worker in self._workers.values():
            worker.images_changed()

    async def run(self) -> None:
        """Does a kubelet's work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_exits(), name="container exits")
                if self._own_services:
                    group.create_task(self._services.run(), name="kubelet's services")
                await self._registration.register()
                self._node.recorder.event(
                    {**self._registration.node, "apiVersion": "v1", "kind": "Node"},
                    "Normal",
                    "Starting",
                    "Starting kubelet.",
                )
                self.registered.set()
                group.create_task(self._registration.run(), name="heartbeat")
                group.create_task(self._rotate_logs(), name="log rotation")
                await self._services.synced.wait()
                self._pods.add_handler(self._pod_changed)
                group.create_task(self._pods.run(), name="kubelet's pods")
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._node.configs.close()

    def _pod_changed(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is None:
            if old is not None:
                self._finished.discard(uid_of(old))
                if uid_of(old) in self._workers:
                    self._workers[uid_of(old)].remove()
            return
        uid = uid_of(new)
        if uid in self._finished:
            return  # news from before its deletion
        worker = self._workers.get(uid)
        if worker is not None:
            worker.update(new)
            return
        worker = self._workers[uid] = PodWorker(new, self._node)
        fits = self._refusal(worker, self._registration.node) is None
        if fits or is_deleting(new):
            self._admitted.add(uid)
        task = asyncio.create_task(self._lead(worker), name=f"pod {namespace_of(new)}/{name_of(new)}")
        self._tasks[uid] = task
        task.add_done_callback(lambda done: self._worker_done(uid, done))

    async def _lead(self, worker: PodWorker) -> None:
        """Takes the Pod or refuses it, and leads its life."""
        uid = uid_of(worker.pod)
        if uid not in self._admitted and worker.is_active:
            # Somebody may have changed the Node a moment ago, and the scheduler may have seen it already.
            refusal = self._refusal(worker, await self._registration.current())
            if refusal is None:
                self._admitted.add(uid)
            else:
                worker.refuse(*refusal)
        await worker.run()

    def _refusal(self, worker: PodWorker, node: Obj) -> Refusal | None:
        there = [other.pod for uid, other in self._workers.items() if uid in self._admitted and other.is_active]
        return refusal_of(worker.pod, node, there)

    def _worker_done(self, uid: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(uid, None)
        self._admitted.discard(uid)
        worker = self._workers.pop(uid, None)
        if self._pods.get(key_of(worker.pod) if worker else "") is not None:
            self._finished.add(uid)
        if not task.cancelled() and (error := task.exception()) is not None and worker is not None:
            log.error("pod %s/%s is lost", namespace_of(worker.pod), name_of(worker.pod), exc_info=error)

    async def _rotate_logs(self) -> None:
        while True:
            await self._node.clock.sleep(LOG_CHECK_SECONDS)
            for worker in self._workers.values():
                worker.rotate_logs()

    async def _follow_exits(self) -> None:
        async for exited in self._node.runtime.exits():
            for worker in self._workers.values():
                if worker.sandbox is not None and worker.sandbox.id == exited.sandbox_id:
                    worker.container_exited(exited)
                    break
