"""The life of one Pod on its node: from the sandbox to the last container's end.

A `PodWorker` looks at its Pod (`_sync`) whenever something has happened: the Pod changed, a container ended, a probe
has a new verdict, a waiting time is over. Each look starts what is due and says when to look again. How a container
is started and stopped is in `pod_containers.py`, how it all looks from outside in `pod_status.py`.
Models pkg/kubelet/pod_workers.go, kubelet.go (SyncPod, SyncTerminatingPod) and kuberuntime_manager.go (v1.36).
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from typing import Literal

from ..api.status import StatusError
from ..clock import parse_rfc3339
from ..objects import Obj, is_deleting, name_of, namespace_of, uid_of
from .backoff import Backoff
from .container_record import ContainerRecord, containers_of, recall_records
from .hosts_files import hosts_file, machine_name_of, resolv_conf
from .node_context import NodeContext
from .pod_containers import PodContainers
from .pod_status import TERMINAL_PHASES, PodFacts, make_status
from .port_mappings import port_mappings
from .runtime import ContainerExited, Sandbox, SandboxSpec
from .status_writer import StatusWriter
from .volumes import VolumeError, Volumes

log = logging.getLogger(__name__)

_TOKEN_REFRESH_SECONDS = 2400.0
_DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"


class PodWorker:
    """One Pod of this node."""

    def __init__(self, pod: Obj, node: NodeContext) -> None:
        self.pod = pod
        self.sandbox: Sandbox | None = None
        self._node = node
        self._clock = node.clock
        status = pod.get("status") or {}
        self.facts = PodFacts(
            node_ip=node.ip,
            pod_ip=status.get("podIP") or "",
            start_time=status.get("startTime") or node.clock.rfc3339(),
        )
        if status.get("phase") == "Failed" and not status.get("containerStatuses"):
            self.facts.refused, self.facts.failure = True, (status.get("reason", ""), status.get("message", ""))
        self.records = recall_records(pod, node.clock.rfc3339())
        self._writer = StatusWriter(node.client, pod, node.clock, lambda: self.pod)
        self._configs = node.configs.for_pod(uid_of(pod), self._configs_changed)
        self._volumes = Volumes(node.pod_dir(pod), self._configs, node, node.disk, node.images.catalogue)
        self._containers = PodContainers(self, node, self._volumes, self._configs)
        self._trouble = Backoff(node.clock, first=0.5, longest=120.0)
        self._volumes_due: float | None = 0.0
        self._prepared = False
        self._prepare_after = 0.0
        self._removed = False
        self._ending = asyncio.Event()
        self._wake = asyncio.Event()
        self._sync_task: asyncio.Task[float | None] | None = None
        if is_deleting(pod):
            self._ending.set()

    @property
    def is_active(self) -> bool:
        """True as long as the Pod takes room on the node."""
        if self._removed or self._writer.known.get("phase") in TERMINAL_PHASES:
            return False
        return not self.facts.ending or self.sandbox is not None

    # What others tell a worker.

    def refuse(self, reason: str, message: str) -> None:
        """The node does not take the Pod."""
        self._event("Warning", reason, message)
        self.facts.refused, self.facts.failure = True, (reason, f"Pod was rejected: {message}")
        self.facts.ending = True
        self.publish()

    def update(self, pod: Obj) -> None:
        """The Pod has changed in the API."""
        before, self.pod = self.pod, pod
        for kind, container in containers_of(pod):
            self.records.setdefault(container["name"], ContainerRecord(container["name"], kind))
        if any(before["metadata"].get(key) != pod["metadata"].get(key) for key in ("labels", "annotations")):
            self._volumes_due = 0.0
            self.wake()
        if before["spec"] != pod["spec"]:
            self._containers.turns.try_again()
            self.wake()
        if is_deleting(pod):
            self._end_soon()
            if is_deleting(before) and self._grace_seconds(pod) < self._grace_seconds(before):
                self._containers.hurry(self._grace_seconds(pod))
        else:
            self.publish()  # the generation, or a readiness gate, may have changed

    def remove(self) -> None:
        """The Pod is gone from the API: what still runs of it must end."""
        self._removed = True
        self._end_soon()

    def container_exited(self, exited: ContainerExited) -> None:
        """A container of this Pod's sandbox has ended."""
        self._containers.exited(exited.container_id, exited.status)

    def images_changed(self) -> None:
        """An image that a container waits for may be there now."""
        self._containers.turns.try_again()
        self.wake()

    def rotate_logs(self) -> None:
        """Begins anew those container logs that have grown too large."""
        self._containers.rotate_logs()

    def wake(self) -> None:
        """Asks for a look at the Pod."""
        self._wake.set()

    def publish(self) -> None:
        """Writes the status if it has changed."""
        if self._removed:
            return
        written = self._writer.known
        others = (self.pod.get("status") or {}).get("conditions") or []
        known = {c["type"]: c for c in others} | {c["type"]: c for c in written.get("conditions") or []}
        view = {**self.pod, "status": {**written, "conditions": [*known.values()]}}
        self._writer.put(make_status(view, self.records, self.facts, self._clock.rfc3339()))

    # The life itself.

    async def run(self) -> None:
        """Lives the Pod's life; returns when nothing is left of it."""
        writer = asyncio.create_task(self._writer.run(), name=f"status of {name_of(self.pod)}")
        try:
            await self._live()
            await self._end()
        finally:
            writer.cancel()
            self._containers.close()
            self._configs.release()

    async def _live(self) -> None:
        while not self._ending.is_set():
            self._wake.clear()
            self._sync_task = asyncio.create_task(self._sync(), name=f"sync of {name_of(self.pod)}")
            try:
                delay = await self._sync_task
            except asyncio.CancelledError:
                if self._ending.is_set() and not _is_cancelled():
                    return
                raise
            except Exception:
                # A mistake met by one Pod must not take the node's other Pods down.
                log.exception("pod %s/%s", namespace_of(self.pod), name_of(self.pod))
                delay = self._again_after("sync")
            await self._wait(delay)

    async def _wait(self, delay: float | None) -> None:
        """Until something happens, or that many seconds."""
        if delay is None:
            await self._wake.wait()
            return
        alarm = asyncio.create_task(self._clock.sleep(delay))
        woken = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait((alarm, woken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            alarm.cancel()
            woken.cancel()

    async def _sync(self) -> float | None:
        """One look at the Pod. Returns in how many seconds to look again, or None to wait for something to happen."""
        self.publish()
        if self._writer.known.get("phase") in TERMINAL_PHASES:
            await self._tear_down()
            return None
        overdue = self._seconds_to_deadline()
        if overdue is not None and overdue <= 0:
            await self._fail("DeadlineExceeded", _DEADLINE_MESSAGE)
            return None
        delays = [overdue, await self._start_what_is_due()]
        if self._volumes_due is not None and self.sandbox is not None:
            delays.append(self._volumes_due - self._clock.now())
        known = [delay for delay in delays if delay is not None]
        return min(known) if known else None

    async def _start_what_is_due(self) -> float | None:
        self._containers.restart_changed()
        due, delay = self._containers.turns.due()
        if due and not self._prepared:
            retry = self._prepare_after - self._clock.now()
            if retry <= 0:
                retry = await self._prepare()
                self._prepare_after = self._clock.now() + retry
            if retry > 0:
                return retry
            self._prepared = True
        elif self._volumes_due is not None and self.sandbox is not None and self._volumes_due <= self._clock.now():
            await self._make_volumes()
        for record in due:
            await self._containers.start(record)
        self.publish()
        if due:
            self.wake()  # what was started may have ended, or may let others start
        elif self._containers.turns.finished():
            await self._containers.stop_sidecars(self._grace_seconds(self.pod))
            self.publish()
            self.wake()
        return delay

    async def _prepare(self) -> float:
        """Makes sandbox and volumes, at the same time. Returns in how many seconds to try again, 0 if all went well."""
        if self.sandbox is None and any(record.ended is not None for record in self.records.values()):
            self._event("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        retries = await asyncio.gather(self._containers.uninterrupted(self._run_sandbox()), self._make_volumes())
        return max(retries)

    async def _run_sandbox(self) -> float:
        if self.sandbox is not None:
            return 0.0
        domain = self._node.config.cluster_domain
        try:
            spec = SandboxSpec(
                node=self._node.name,
                hostname=machine_name_of(self.pod, self._node.name, domain),
                host_network=bool(self.pod["spec"].get("hostNetwork")),
                ports=port_mappings(self.pod),
                resolv_conf=resolv_conf(self.pod, self._node.config),
                hosts=hosts_file(self.pod, "", domain),
            )
            self.sandbox = await self._node.runtime.run_sandbox(spec)
        except (RuntimeError, OSError) as error:
            message = f"Failed to create pod sandbox: rpc error: code = Unknown desc = {error}"
            self._event("Warning", "FailedCreatePodSandBox", message)
            return self._again_after("sandbox")
        self.facts.pod_ip, self.facts.has_sandbox = self.sandbox.ip, True
        self.publish()
        return 0.0

    async def _make_volumes(self) -> float:
        has_tokens = "serviceAccountToken" in str(self.pod["spec"].get("volumes") or "")
        self._volumes_due = self._clock.now() + _TOKEN_REFRESH_SECONDS if has_tokens else None
        try:
            await self._volumes.make(self.pod, self.facts)
        except VolumeError as error:
            self._event("Warning", "FailedMount", str(error))
            delay = self._again_after("volumes")
            self._volumes_due = self._clock.now() + delay
            return delay
        self._trouble.forget("volumes")
        return 0.0

    async def _fail(self, reason: str, message: str) -> None:
        """Ends the Pod by the kubelet's own decision; its object stays."""
        self._event("Normal", reason, message)
        self.facts.failure, self.facts.ending = (reason, message), True
        await self._containers.stop_all(self._grace_seconds(self.pod))
        self.publish()
        await self._tear_down()

    async def _end(self) -> None:
        """Ends the containers, then the sandbox, then the Pod's object."""
        self.facts.ending = True
        await self._containers.stop_all(self._grace_seconds(self.pod))
        await self._tear_down()
        self._node.images.forget(self.pod)
        shutil.rmtree(self._node.log_dir(self.pod), ignore_errors=True)
        if self._removed:
            return
        self.publish()
        await self._writer.flush()
        await self._delete()

    async def _delete(self) -> None:
        while not self._removed:
            try:
                await self._node.client.delete(
                    "pods",
                    name_of(self.pod),
                    namespace_of(self.pod),
                    uid=uid_of(self.pod),
                    grace_period_seconds=0,
                )
                return
            except StatusError as error:
                if error.code in (404, 409):
                    return
                log.info("pod %s/%s can't be deleted yet: %s", namespace_of(self.pod), name_of(self.pod), error)
            except OSError as error:
                log.info("pod %s/%s can't be deleted yet: %s", namespace_of(self.pod), name_of(self.pod), error)
            await self._clock.sleep(self._again_after("delete"))

    async def _tear_down(self) -> None:
        if self.sandbox is not None:
            await self._node.runtime.stop_sandbox(self.sandbox.id)
            self.sandbox = None
        self.facts.has_sandbox = False
        self._configs.release()
        shutil.rmtree(self._node.pod_dir(self.pod), ignore_errors=True)
        self.publish()

    def _end_soon(self) -> None:
        self._ending.set()
        self.wake()
        if self._sync_task is not None:
            self._sync_task.cancel()

    def _configs_changed(self) -> None:
        self._volumes_due = self._prepare_after = 0.0
        self._containers.turns.try_again()
        self.wake()

    def _again_after(self, what: str) -> float:
        self._trouble.next(what)
        return self._trouble.seconds(what)

    def _event(self, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        self._node.recorder.event(self.pod, kind, reason, message)

    def _grace_seconds(self, pod: Obj) -> float:
        seconds = pod["metadata"].get("deletionGracePeriodSeconds")
        if seconds is None:
            seconds = pod["spec"].get("terminationGracePeriodSeconds")
        return float(30 if seconds is None else seconds)

    def _seconds_to_deadline(self) -> float | None:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        if seconds is None:
            return None
        return parse_rfc3339(self.facts.start_time) + float(seconds) - self._clock.now()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
