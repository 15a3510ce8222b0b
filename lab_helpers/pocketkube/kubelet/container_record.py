"""What the kubelet knows of one container: the facts that its status is written from.

`state` and `last_state` have the form that the API has for them. Which state follows which is decided by the Pod
worker; how they look from outside is left to `pod_status.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from ..objects import Obj, is_sidecar
from .runtime import ExitStatus

ContainerKind = Literal["init", "sidecar", "main", "ephemeral"]

LOST_EXIT_CODE = 255
"""Exit code of a container whose end nobody saw, as container runtimes report it."""


@dataclass
class ContainerRecord:
    """One container of a Pod, over all its restarts."""

    name: str
    kind: ContainerKind
    state: Obj = field(default_factory=dict)
    last_state: Obj = field(default_factory=dict)
    restart_count: int = 0
    container_id: str = ""
    image: str = ""
    image_id: str = ""
    started: bool = False
    """Its startup probe, if it has one, has succeeded."""
    ready: bool = False
    """Its readiness probe, if it has one, succeeds."""
    stopping: bool = False
    """The kubelet has decided to end it."""
    ended_at: float = 0.0
    """When its last run ended, more exactly than the API's seconds."""
    wanted_image: str = ""
    """The image that its specification named when it was started."""

    @property
    def running(self) -> bool:
        """True while its process runs."""
        return "running" in self.state

    @property
    def ended(self) -> Obj | None:
        """How its last run ended, if it has run and does not run now."""
        if self.running:
            return None
        return self.state.get("terminated") or self.last_state.get("terminated")

    @property
    def succeeded(self) -> bool:
        """True if it has ended with exit code 0 and is not being started again."""
        terminated = self.state.get("terminated")
        return terminated is not None and terminated["exitCode"] == 0

    def wait_for(self, reason: str, message: str = "") -> None:
        """It does not run, and this is why."""
        if "terminated" in self.state:
            self.last_state = self.state
        self.state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        self.started = self.ready = False

    def run(self, container_id: str, started_at: str) -> None:
        """Its process has been started."""
        if self.ended is not None:
            self.last_state = {"terminated": self.ended}
            self.restart_count += 1
        self.container_id = container_id
        self.state = {"running": {"startedAt": started_at}}
        self.stopping = False

    def end(self, exit_code: int, reason: str, finished_at: str, *, started_at: str = "", message: str = "") -> None:
        """Its process has ended, or could not be started at all."""
        running = self.state.get("running") or {}
        self.state = {
            "terminated": {
                "exitCode": exit_code,
                "reason": reason,
                **({"message": message} if message else {}),
                "startedAt": running.get("startedAt") or started_at or finished_at,
                "finishedAt": finished_at,
                **({"containerID": shown_id(self.container_id)} if self.container_id else {}),
            }
        }
        self.started = self.ready = self.stopping = False


def shown_id(container_id: str) -> str:
    """A container's ID with the name of the runtime before it."""
    return f"pocketkube://{container_id}" if container_id else ""


def plain_id(shown: str) -> str:
    """The inverse of `shown_id`."""
    return shown.rpartition("://")[2]


def reason_of(status: ExitStatus) -> str:
    """`Completed`, `OOMKilled` or `Error`."""
    if status.out_of_memory:
        return "OOMKilled"
    return "Completed" if status.exit_code == 0 else "Error"


def containers_of(pod: Obj) -> list[tuple[ContainerKind, Obj]]:
    """All containers of a Pod's spec with their kinds, in starting order."""
    spec = pod["spec"]
    found: list[tuple[ContainerKind, Obj]] = []
    for container in spec.get("initContainers") or []:
        found.append(("sidecar" if is_sidecar(container) else "init", container))
    found += [("main", container) for container in spec["containers"]]
    found += [("ephemeral", container) for container in spec.get("ephemeralContainers") or []]
    return found


def recall_records(pod: Obj, now: str) -> dict[str, ContainerRecord]:
    """The records of a Pod that this kubelet meets for the first time, from the status that it may have had before.

    A container that ran is gone with the process that held it: it counts as ended, with the exit code of the unseen.
    """
    status = pod.get("status") or {}
    known = {
        entry["name"]: entry
        for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
        for entry in status.get(key) or []
    }
    records = {}
    for kind, container in containers_of(pod):
        record = ContainerRecord(container["name"], kind)
        records[record.name] = record
        entry = known.get(record.name)
        if entry is None:
            continue
        record.state = entry.get("state") or {}
        record.last_state = entry.get("lastState") or {}
        record.restart_count = entry.get("restartCount") or 0
        record.container_id = plain_id(entry.get("containerID") or "")
        record.image, record.image_id = entry.get("image") or "", entry.get("imageID") or ""
        if record.running:
            record.end(LOST_EXIT_CODE, "Unknown", now)
    return records


def of_kind(records: Iterable[ContainerRecord], *kinds: ContainerKind) -> list[ContainerRecord]:
    """The records of these kinds."""
    return [record for record in records if record.kind in kinds]
