"""Whose turn it is among the containers of one Pod.

Init containers come one after the other, sidecars among them, then all others; a container that has ended comes again
if the restart policy says so, after a pause that grows. Starting and ending them is left to `pod_containers`.
Models pkg/kubelet/kuberuntime (computePodActions, doBackOff; v1.36).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..clock import Clock
from ..objects import Obj, name_of, namespace_of, uid_of
from .backoff import Backoff, go_duration
from .container_events import ContainerEvents
from .container_record import ContainerRecord, containers_of, of_kind
from .node_context import NodeContext
from .restart_policy import should_run

if TYPE_CHECKING:
    from .pod_worker import PodWorker

_START_ERROR_SHOWN_SECONDS = 1.0
"""How long RunContainerError is shown before CrashLoopBackOff takes its place."""


class ContainerTurns:
    """What is due in one Pod, by the records of its containers."""

    def __init__(self, worker: PodWorker, node: NodeContext) -> None:
        self._worker = worker
        self._recorder = node.recorder
        self._clock: Clock = node.clock
        self._backoff = Backoff(node.clock)
        self._not_before: dict[str, float] = {}
        self._initialized = False
        self._completed_init: set[str] = set()

    def due(self) -> tuple[list[ContainerRecord], float | None]:
        """The containers to start now, and in how many seconds the next one will be due."""
        now: list[ContainerRecord] = []
        delays: list[float] = []
        for record, container in self._startable():
            if record.running or not self.should_run(record, container):
                continue
            delay = self._delay(record)
            if delay <= 0:
                now.append(record)
            else:
                delays.append(delay)
        return now, min(delays) if delays else None

    def finished(self) -> bool:
        """True if no main container runs or will run again, but sidecars do."""
        main = [(record, spec) for record, spec in self.with_specs() if record.kind == "main"]
        sidecars = of_kind(self._worker.records.values(), "sidecar")
        if not any(record.running for record in sidecars) or any(record.running for record, _ in main):
            return False
        return all(record.ended is not None and not self.should_run(record, spec) for record, spec in main)

    def should_run(self, record: ContainerRecord, container: Obj) -> bool:
        """True if the Pod's policy wants the container to run, now or after a pause."""
        return should_run(record, container, self._worker.pod)

    def with_specs(self) -> list[tuple[ContainerRecord, Obj]]:
        """The records with what the Pod says of each container, in the Pod's order."""
        records = self._worker.records
        return [(records[container["name"]], container) for _, container in containers_of(self._worker.pod)]

    # What has happened since.

    def try_again(self) -> None:
        """What a container waited for may be there now."""
        self._not_before.clear()

    def begins(self, record: ContainerRecord) -> None:
        """A start is being tried."""
        self._not_before.pop(record.name, None)

    def waits(self, record: ContainerRecord, seconds: float) -> None:
        """A start was not possible, and is to be tried again later."""
        self._not_before[record.name] = self._clock.now() + seconds

    def begins_anew(self, record: ContainerRecord) -> None:
        """A container that has run before is started; should it end soon, it waits longer."""
        self._backoff.next(record.name)

    def completed(self, record: ContainerRecord) -> None:
        """An init container has done its work, and never has its turn again."""
        self._completed_init.add(record.name)

    # The order.

    def _startable(self) -> Iterable[tuple[ContainerRecord, Obj]]:
        """The containers whose turn has come: one that is not done holds up those after it."""
        for record, container in self.with_specs():
            if record.kind == "init":
                if self._initialized or record.name in self._completed_init:
                    continue
                yield record, container
                return
            yield record, container
            if record.kind == "sidecar" and not record.started and not self._initialized:
                return
        self._initialized = True

    def _delay(self, record: ContainerRecord) -> float:
        """Seconds until a container may be started; says so in its status and in an Event when it has to wait."""
        if record.name in self._not_before:
            return self._not_before[record.name] - self._clock.now()
        if record.ended is None:
            return 0.0
        delay = self._backoff.remaining(record.name, record.ended_at)
        if delay <= 0 or _is_backing_off(record):
            return delay
        shown_for = self._clock.now() - record.ended_at
        if "waiting" in record.state and shown_for < _START_ERROR_SHOWN_SECONDS:
            return _START_ERROR_SHOWN_SECONDS - shown_for
        whole, pod = go_duration(self._backoff.seconds(record.name)), self._full_name()
        record.wait_for("CrashLoopBackOff", f"back-off {whole} restarting failed container={record.name} pod={pod}")
        events = ContainerEvents(self._recorder, self._worker.pod, record.name, record.kind)
        events.warning("BackOff", f"Back-off restarting failed container {record.name} in pod {pod}")
        return delay

    def _full_name(self) -> str:
        pod = self._worker.pod
        return f"{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"


def _is_backing_off(record: ContainerRecord) -> bool:
    return bool((record.state.get("waiting") or {}).get("reason") == "CrashLoopBackOff")
