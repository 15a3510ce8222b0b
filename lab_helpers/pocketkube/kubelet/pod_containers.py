"""Starting, watching and stopping the containers of one Pod.

Which container is due is left to `container_turns`, when to look to the Pod worker.
Models pkg/kubelet/kuberuntime (startContainer, killContainer; v1.36).
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..clock import format_rfc3339
from ..objects import Obj
from .api_access import with_api_socket
from .configs import PodConfigs
from .container_events import ContainerEvents
from .container_record import ContainerRecord, containers_of, of_kind, reason_of
from .container_spec import make_container_spec
from .container_turns import ContainerTurns
from .environment import CreateContainerConfigError
from .handlers import HandlerFailed, Target
from .image_manager import ImageError
from .logs import log_path, new_log, rotate_log
from .node_context import NodeContext
from .probes import ProbeKind, Prober
from .runtime import ContainerSpec, ExitStatus
from .termination import termination_message, termination_mount
from .volumes import Volumes

if TYPE_CHECKING:
    from .pod_worker import PodWorker

log = logging.getLogger(__name__)

START_ERROR_CODE = 128
"""Exit code of a container whose command could not be started, as container runtimes report it."""

_CONFIG_RETRY_SECONDS = 10.0
_LEAST_GRACE_SECONDS = 2.0
CHANGE_SECONDS = 0.3
"""From the change of an image in a running Pod to the end of its container."""


_T = TypeVar("_T")


class PodContainers:
    """The containers of one Pod."""

    def __init__(self, worker: PodWorker, node: NodeContext, volumes: Volumes, configs: PodConfigs) -> None:
        self._worker = worker
        self._node = node
        self._clock = node.clock
        self._volumes = volumes
        self._configs = configs
        self.turns = ContainerTurns(worker, node)
        self._probers: dict[str, tuple[Prober, asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._unclaimed: dict[str, ExitStatus] = {}
        self._changed: set[str] = set()

    # Starting.

    async def start(self, record: ContainerRecord) -> None:
        """Starts a container; if that fails, its record says why and when to try again."""
        container = self._spec_of(record)
        events = self._events(record)
        self.turns.begins(record)
        try:
            spec = await self._prepare(record, container, events)
        except ImageError as error:
            record.wait_for(error.reason, error.message)
            self.turns.waits(record, error.retry_after)
            return
        except CreateContainerConfigError as error:
            record.wait_for(error.reason, str(error))
            events.warning("Failed", f"Error: {error}")
            self.turns.waits(record, _CONFIG_RETRY_SECONDS)
            return
        if record.ended is not None:
            self.turns.begins_anew(record)
        await self.uninterrupted(self._launch(record, container, spec, events))
        self._worker.publish()

    async def _prepare(self, record: ContainerRecord, container: Obj, events: ContainerEvents) -> ContainerSpec:
        pod = self._worker.pod
        image = self._node.images.ensure(pod, container, events)
        record.image, record.image_id = str(image.reference), image.id
        record.wanted_image = container["image"]
        run = record.restart_count + (1 if record.ended is not None else 0)
        spec = await make_container_spec(
            pod, container, image, self._node, self._configs, self._volumes, self._worker.facts
        )
        spec = with_api_socket(spec, pod, image, self._node.config.api_socket)
        return replace(
            spec,
            mounts=[*spec.mounts, termination_mount(container, self._node.pod_dir(pod))],
            log_path=new_log(self._node.log_dir(pod), record.name, run),
        )

    async def _launch(
        self, record: ContainerRecord, container: Obj, spec: ContainerSpec, events: ContainerEvents
    ) -> None:
        sandbox = self._worker.sandbox
        if sandbox is None:
            return
        try:
            container_id = await self._node.runtime.start_container(sandbox.id, spec)
        except RuntimeError as error:
            self._could_not_start(record, container, str(error), events)
            return
        events.normal("Created", "Container created")
        events.normal("Started", "Container started")
        record.run(container_id, self._clock.rfc3339())
        early = self._unclaimed.pop(container_id, None)
        if early is not None:
            self._ended(record, early)
            return
        hook = (container.get("lifecycle") or {}).get("postStart")
        if hook:
            self._in_background(self._post_start(record, container, hook, events))
        else:
            self._is_up(record, container)

    def _could_not_start(self, record: ContainerRecord, container: Obj, message: str, events: ContainerEvents) -> None:
        events.normal("Created", "Container created")
        events.warning("Failed", f"Error: {message}")
        if record.ended is not None:
            record.last_state = {"terminated": record.ended}
            record.restart_count += 1
        record.container_id = ""
        record.end(START_ERROR_CODE, "StartError", self._clock.rfc3339(), message=message)
        record.ended_at = self._clock.now()
        if self.turns.should_run(record, container):
            record.wait_for("RunContainerError", message)

    async def _post_start(self, record: ContainerRecord, container: Obj, hook: Obj, events: ContainerEvents) -> None:
        container_id = record.container_id
        try:
            await self._target(record, container)(hook, timeout=3600.0)
        except HandlerFailed as error:
            if record.container_id == container_id and record.running:
                events.warning("FailedPostStartHook", f"PostStartHook failed: {error}")
                await self.stop(record, 0.0, "FailedPostStartHook")
            return
        if record.container_id == container_id and record.running:
            self._is_up(record, container)

    def _is_up(self, record: ContainerRecord, container: Obj) -> None:
        """From here on probes decide; a container without probes is ready as soon as it runs."""
        if "startupProbe" not in container:
            self._has_started(record, container)
        if any(f"{kind}Probe" in container for kind in ("startup", "liveness", "readiness")):
            self._probe(record, container)
        self._worker.publish()
        self._worker.wake()

    def _has_started(self, record: ContainerRecord, container: Obj) -> None:
        record.started = True
        record.ready = "readinessProbe" not in container and record.kind in ("main", "sidecar")

    # Probing.

    def _probe(self, record: ContainerRecord, container: Obj) -> None:
        def on_result(kind: ProbeKind, good: bool) -> None:
            self._probed(record, container, kind, good)

        prober = Prober(container, self._target(record, container), self._clock, self._events(record), on_result)
        self._stop_probing(record)
        task = asyncio.create_task(prober.run(), name=f"probes of {record.name}")
        self._probers[record.name] = (prober, task)

    def _stop_probing(self, record: ContainerRecord) -> None:
        _, task = self._probers.pop(record.name, (None, None))
        if task is not None:
            task.cancel()

    def _probed(self, record: ContainerRecord, container: Obj, kind: ProbeKind, good: bool) -> None:
        if not record.running:
            return
        if kind == "readiness":
            record.ready = good
        elif good:
            if kind == "startup":
                self._has_started(record, container)
        else:
            why = f"Container {record.name} failed {kind} probe, will be restarted"
            probe = container[f"{kind}Probe"]
            grace = probe.get("terminationGracePeriodSeconds")
            self._in_background(self.stop(record, self._pod_grace() if grace is None else float(grace), why))
        self._worker.publish()
        self._worker.wake()

    def _target(self, record: ContainerRecord, container: Obj) -> Target:
        sandbox = self._worker.sandbox
        return Target(
            runtime=self._node.runtime,
            sandbox_id=sandbox.id if sandbox is not None else "",
            container_id=record.container_id,
            container=container,
            pod_ip=self._worker.facts.pod_ip,
            clock=self._clock,
        )

    # Ending.

    def exited(self, container_id: str, status: ExitStatus) -> None:
        """The runtime says that a container has ended; it may be one whose start has not been reported yet."""
        for record in self._worker.records.values():
            if record.container_id == container_id:
                self._ended(record, status)
                return
        self._unclaimed[container_id] = status

    def _ended(self, record: ContainerRecord, status: ExitStatus) -> None:
        if not record.running:
            return
        pod = self._worker.pod
        self._stop_probing(record)
        record.ended_at = status.finished_at or self._clock.now()
        record.end(
            status.exit_code,
            reason_of(status),
            format_rfc3339(record.ended_at),
            message=termination_message(
                self._spec_of(record), self._node.pod_dir(pod), self._log_path(record), status.exit_code
            ),
        )
        if record.kind == "init" and record.succeeded:
            self.turns.completed(record)
        self._worker.publish()
        self._worker.wake()

    def restart_changed(self) -> None:
        """Ends the containers whose image has been changed in the Pod's specification."""
        for record, container in self.turns.with_specs():
            changed = record.running and not record.stopping and record.wanted_image != container["image"]
            if changed and record.name not in self._changed:
                self._changed.add(record.name)
                self._in_background(self._restart_soon(record))

    async def _restart_soon(self, record: ContainerRecord) -> None:
        """Upstream's kubelet, too, takes a moment to tell of it: what is done to the Pod in one go meets it unhurt."""
        await self._clock.sleep(CHANGE_SECONDS)
        self._changed.discard(record.name)
        if record.running and record.wanted_image != self._spec_of(record)["image"]:
            await self.stop(record, self._pod_grace(), f"Container {record.name} definition changed, will be restarted")

    async def stop(self, record: ContainerRecord, grace: float, why: str) -> None:
        """preStop hook, SIGTERM, and SIGKILL when the grace period is over."""
        if record.stopping or not record.running:
            return
        record.stopping = True
        container, container_id = self._spec_of(record), record.container_id
        events = self._events(record)
        events.normal("Killing", why)
        if self._worker.facts.ending and record.started and record.name in self._probers:
            self._probers[record.name][0].stop_liveness()
        else:
            self._stop_probing(record)
        hook = (container.get("lifecycle") or {}).get("preStop")
        began = self._clock.monotonic()
        if hook and grace > 0:
            try:
                await self._target(record, container)(hook, timeout=grace)
            except HandlerFailed as error:
                events.warning("FailedPreStopHook", f"PreStopHook failed: {error}")
        left = grace - (self._clock.monotonic() - began)
        status = await self._node.runtime.stop_container(
            container_id, max(left, _LEAST_GRACE_SECONDS) if hook and grace > 0 else grace
        )
        if record.container_id == container_id:
            self._ended(record, status)

    async def stop_sidecars(self, grace: float) -> None:
        """Ends the sidecars, last one first."""
        for record in reversed(of_kind(self._worker.records.values(), "sidecar")):
            await self.stop(record, grace, f"Stopping container {record.name}")

    async def stop_all(self, grace: float) -> None:
        """Ends all containers: the main ones together, then the sidecars. Returns when none runs."""
        began = self._clock.monotonic()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        records = of_kind(self._worker.records.values(), "main", "init", "ephemeral")
        await asyncio.gather(*(self.stop(record, grace, f"Stopping container {record.name}") for record in records))
        await self.stop_sidecars(max(0.0, grace - (self._clock.monotonic() - began)))

    def hurry(self, grace: float) -> None:
        """The grace period has been shortened while the containers are being ended."""
        self._in_background(self._kill_after(grace))

    async def _kill_after(self, grace: float) -> None:
        await self._clock.sleep(grace)
        for record in self._worker.records.values():
            if record.running:
                self._node.runtime.kill_container(record.container_id, signal.SIGKILL)

    def close(self) -> None:
        """Ends everything that still goes on for these containers."""
        for task in [*self._tasks, *(task for _, task in self._probers.values())]:
            task.cancel()

    async def uninterrupted(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Awaits something that must not be left half-done, even if the caller is cancelled meanwhile."""
        return await asyncio.shield(self._in_background(work))

    def _in_background(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Small things.

    def _log_path(self, record: ContainerRecord) -> Path:
        return log_path(self._node.log_dir(self._worker.pod), record.name, record.restart_count)

    def rotate_logs(self) -> None:
        """Begins anew those logs that have grown too large."""
        for record in self._worker.records.values():
            if record.running:
                rotate_log(self._log_path(record))

    def _spec_of(self, record: ContainerRecord) -> Obj:
        return next(spec for _, spec in containers_of(self._worker.pod) if spec["name"] == record.name)

    def _events(self, record: ContainerRecord) -> ContainerEvents:
        return ContainerEvents(self._node.recorder, self._worker.pod, record.name, record.kind)

    def _pod_grace(self) -> float:
        seconds = self._worker.pod["spec"].get("terminationGracePeriodSeconds")
        return float(30 if seconds is None else seconds)
