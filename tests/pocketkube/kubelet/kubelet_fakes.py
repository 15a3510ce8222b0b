"""A runtime and an API without processes and sockets, so that a Pod's life can be led by hand."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.client import ObjList, WatchEvent
from lab_helpers.pocketkube.clock import FakeClock
from lab_helpers.pocketkube.config import ClusterConfig
from lab_helpers.pocketkube.kubelet.image_catalogue import ImageCatalogue
from lab_helpers.pocketkube.kubelet.images import parse_reference
from lab_helpers.pocketkube.kubelet.kubelet import Kubelet
from lab_helpers.pocketkube.kubelet.runtime import (
    ContainerExited,
    ContainerSpec,
    ExitStatus,
    Process,
    Sandbox,
    SandboxSpec,
)
from lab_helpers.pocketkube.objects import Obj, copy, key_of, name_of, namespace_of

NODE, NODE_IP = "lab", "192.168.49.2"


class FakeApi:
    """Objects by resource and key, with watches, two-phase deletion of Pods, and merge patches."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Obj]] = {}
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)
        self._watchers: list[tuple[str, asyncio.Queue[WatchEvent]]] = []
        self.status_writes: list[Obj] = []

    def find(self, resource: str, key: str) -> Obj | None:
        return self._objects.get(resource, {}).get(key)

    async def get(self, resource: str, name: str, namespace: str | None = None) -> Obj:
        obj = self.find(resource, f"{namespace}/{name}" if namespace else name)
        if obj is None:
            raise StatusError.not_found(resource, name)
        return obj

    async def list(
        self, resource: str, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> ObjList:
        items = [obj for obj in self._objects.get(resource, {}).values() if _matches(obj, namespace, field_selector)]
        return ObjList(items, str(next(self._versions)))

    async def create(self, resource: str, obj: Obj, namespace: str | None = None) -> Obj:
        obj = copy(obj)
        if self.find(resource, key_of(obj)) is not None:
            raise StatusError.already_exists(resource, name_of(obj))
        obj["metadata"].setdefault("uid", f"uid-{next(self._uids)}")
        self._put(resource, obj, "ADDED")
        return obj

    async def update(self, resource: str, obj: Obj, *, subresource: str = "") -> Obj:
        self._put(resource, copy(obj), "MODIFIED")
        return obj

    async def patch(
        self,
        resource: str,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        patch_type: str = "",
        subresource: str = "",
    ) -> Obj:
        obj = _merged(await self.get(resource, name, namespace), patch)
        if resource == "pods" and subresource == "status":
            self.status_writes.append(patch["status"])
        self._put(resource, obj, "MODIFIED")
        return obj

    async def create_subresource(
        self, resource: str, name: str, subresource: str, body: Obj, namespace: str | None = None
    ) -> Obj:
        return {"status": {"token": f"token-of-{name}"}}

    async def delete(
        self,
        resource: str,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
    ) -> Obj:
        obj = await self.get(resource, name, namespace)
        if resource == "pods" and grace_period_seconds != 0:
            grace = 30 if grace_period_seconds is None else grace_period_seconds
            changes = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace}
            return await self.patch(resource, name, {"metadata": changes}, namespace)
        del self._objects[resource][key_of(obj)]
        self._tell(resource, WatchEvent("DELETED", _merged(obj, self._version())))
        return obj

    async def watch(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        queue: asyncio.Queue[WatchEvent] = asyncio.Queue()
        self._watchers.append((resource, queue))
        while True:
            event = await queue.get()
            if _matches(event.object, namespace, field_selector):
                yield event

    def _put(self, resource: str, obj: Obj, event: Any) -> None:
        obj = _merged(obj, self._version())
        self._objects.setdefault(resource, {})[key_of(obj)] = obj
        self._tell(resource, WatchEvent(event, obj))

    def _version(self) -> Obj:
        return {"metadata": {"resourceVersion": str(next(self._versions))}}

    def _tell(self, resource: str, event: WatchEvent) -> None:
        for watched, queue in self._watchers:
            if watched == resource:
                queue.put_nowait(event)


class FakeRuntime:
    """Sandboxes and containers that exist in name only; a test says how a container ends."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._ids = itertools.count(1)
        self._exits: list[asyncio.Queue[ContainerExited]] = []
        self.sandboxes: dict[str, SandboxSpec] = {}
        self.containers: dict[str, tuple[str, ContainerSpec]] = {}
        self.started: list[str] = []
        self.stopped: list[tuple[str, float]] = []
        self.commands: list[Sequence[str]] = []
        self.start_error = ""
        self.sandbox_error = ""
        self.exit_code_of_stopped = 143
        self.command_exit_code = 0
        self.stubborn = False
        self.listening: set[int] = set()

    async def run_sandbox(self, spec: SandboxSpec) -> Sandbox:
        await asyncio.sleep(0)
        if self.sandbox_error:
            raise RuntimeError(self.sandbox_error)
        number = next(self._ids)
        self.sandboxes[f"{number:064x}"] = spec
        return Sandbox(f"{number:064x}", f"10.244.0.{number}")

    async def stop_sandbox(self, sandbox_id: str) -> None:
        self.sandboxes.pop(sandbox_id, None)
        for container_id, (owner, _) in [*self.containers.items()]:
            if owner == sandbox_id:
                self.end(container_id, 137)

    async def start_container(self, sandbox_id: str, spec: ContainerSpec) -> str:
        await asyncio.sleep(0)
        if self.start_error:
            raise RuntimeError(self.start_error)
        container_id = f"{next(self._ids):064x}"
        self.containers[container_id] = (sandbox_id, spec)
        self.started.append(spec.name)
        return container_id

    async def stop_container(self, container_id: str, grace_seconds: float) -> ExitStatus:
        self.stopped.append((self.name_of(container_id), grace_seconds))
        if self.stubborn:
            await self._clock.sleep(grace_seconds)
            return self.end(container_id, 137)
        return self.end(container_id, self.exit_code_of_stopped)

    def kill_container(self, container_id: str, signal: int) -> None:
        if container_id in self.containers:
            self.end(container_id, 128 + signal)

    async def exec(self, container_id: str, argv: Sequence[str], *, tty: bool = False, stdin: bool = False) -> Process:
        self.commands.append(argv)
        return FakeProcess(self.command_exit_code)

    async def attach(self, container_id: str) -> Process:
        return FakeProcess(0)

    async def dial(
        self, sandbox_id: str, port: int, *, host: str = "127.0.0.1"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if port not in self.listening:
            raise ConnectionRefusedError
        reader = asyncio.StreamReader()
        return reader, _NullWriter()  # type: ignore[return-value]

    async def exits(self) -> AsyncIterator[ContainerExited]:
        queue: asyncio.Queue[ContainerExited] = asyncio.Queue()
        self._exits.append(queue)
        while True:
            yield await queue.get()

    def end(self, container_id: str, exit_code: int) -> ExitStatus:
        """A container's process ends."""
        status = ExitStatus(exit_code, finished_at=self._clock.now())
        owner, _ = self.containers.pop(container_id, ("", None))
        if owner:
            for queue in self._exits:
                queue.put_nowait(ContainerExited(owner, container_id, status))
        return status

    def running(self) -> list[str]:
        """Names of the containers that run."""
        return [spec.name for _, spec in self.containers.values()]

    def id_of(self, name: str) -> str:
        return next(key for key, (_, spec) in self.containers.items() if spec.name == name)

    def spec_of(self, name: str) -> ContainerSpec:
        return self.containers[self.id_of(name)][1]

    def name_of(self, container_id: str) -> str:
        return self.containers[container_id][1].name


class _NullWriter:
    def close(self) -> None:
        pass


class FakeProcess:
    """A command that has ended already."""

    pid = 1
    stdin = None
    stderr = None

    def __init__(self, exit_code: int) -> None:
        self._exit_code = exit_code
        self.stdout = asyncio.StreamReader()
        self.stdout.feed_data(b"what it says")
        self.stdout.feed_eof()

    def resize(self, width: int, height: int) -> None:
        pass

    def kill(self, signal: int) -> None:
        pass

    async def wait(self) -> ExitStatus:
        return ExitStatus(self._exit_code)


class Journal:
    """A recorder that remembers what it was told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def event(self, obj: Obj, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.lines.append((reason, message, field_path))

    def reasons(self) -> list[str]:
        return [reason for reason, _, _ in self.lines]

    def messages(self, reason: str) -> list[str]:
        return [message for known, message, _ in self.lines if known == reason]


class Lab:
    """A kubelet over fakes."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.api = FakeApi()
        self.runtime = FakeRuntime(self.clock)
        self.journal = Journal()
        self.config = ClusterConfig(name=NODE, state_dir=folder)
        self._task: asyncio.Task[None] | None = None
        self.kubelet = self._new_kubelet()

    def _new_kubelet(self) -> Kubelet:
        return Kubelet(self.api, self.runtime, self.config, NODE, NODE_IP, self.clock, self.journal)

    async def __aenter__(self) -> Lab:
        self._task = asyncio.create_task(self.kubelet.run())
        await self.kubelet.registered.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def restart(self) -> None:
        """The node process dies and is started again: no container survives."""
        await self.__aexit__()
        self.runtime = FakeRuntime(self.clock)
        self.kubelet = self._new_kubelet()
        await self.__aenter__()

    async def run_pod(self, pod: Obj) -> None:
        await self.api.create("pods", pod)
        await self.settle()

    async def end(self, name: str, exit_code: int = 0) -> None:
        self.runtime.end(self.runtime.id_of(name), exit_code)
        await self.settle()

    async def advance(self, seconds: float) -> None:
        """Lets time pass, in steps short enough for everything that waits in a row."""
        self.clock.advance(seconds)
        await self.settle()

    async def settle(self) -> None:
        """Until nothing happens any more."""
        for _ in range(200):
            await asyncio.sleep(0)

    def image_size(self, name: str) -> int:
        image = ImageCatalogue().find(parse_reference(name))
        assert image is not None
        return image.size

    def pod(self, name: str = "web") -> Obj:
        pod = self.api.find("pods", f"default/{name}")
        assert pod is not None
        return pod

    def exists(self, name: str = "web") -> bool:
        return self.api.find("pods", f"default/{name}") is not None

    def status(self, name: str = "web") -> Obj:
        return self.pod(name)["status"]

    def phase(self) -> str:
        return str(self.status()["phase"])

    def container(self, name: str = "app") -> Obj:
        groups = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
        return next(entry for key in groups for entry in self.status().get(key, []) if entry["name"] == name)

    def condition(self, kind: str) -> Obj:
        return next(c for c in self.status()["conditions"] if c["type"] == kind)


def new_pod(name: str = "web", *, container: Obj | None = None, **spec: Any) -> Obj:
    """A Pod as the API server and the scheduler leave it."""
    first = {"name": "app", "image": "httpd", "imagePullPolicy": "Always", **(container or {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "generation": 1, "labels": {"name": "deployment"}},
        "spec": {
            "nodeName": NODE,
            "containers": [first],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            **spec,
        },
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


def run_lab(folder: Path, story: Callable[[Lab], Any]) -> None:
    """Runs a story in a lab of its own."""

    async def run() -> None:
        async with asyncio.timeout(20), Lab(folder) as lab:
            await story(lab)

    asyncio.run(run())


def _matches(obj: Obj, namespace: str | None, field_selector: str) -> bool:
    if namespace and namespace_of(obj) != namespace:
        return False
    field, _, wanted = field_selector.partition("=")
    value: Any = obj
    for part in field.split("."):
        value = value.get(part, {}) if part else wanted
    return bool(value == wanted)


def _merged(obj: Obj, patch: Obj) -> Obj:
    result = dict(obj)
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _merged(result[key], value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = copy(value) if isinstance(value, dict) else value
    return result
