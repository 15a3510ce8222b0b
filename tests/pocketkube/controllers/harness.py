"""A control plane in memory of the test: the real store, API and controllers, and a kubelet that only pretends."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from lab_helpers.pocketkube.api.local import LocalClient
from lab_helpers.pocketkube.api.operations import Operations
from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.bootstrap import bootstrap
from lab_helpers.pocketkube.client import STRATEGIC_MERGE_PATCH
from lab_helpers.pocketkube.clock import Clock
from lab_helpers.pocketkube.config import ClusterConfig
from lab_helpers.pocketkube.controllers.manager import new_controllers
from lab_helpers.pocketkube.informer import Informer, SharedInformers
from lab_helpers.pocketkube.objects import Obj, is_deleting, key_of, name_of, namespace_of
from lab_helpers.pocketkube.store import Store

DEADLINE = 20.0


def node(name: str, **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
        "spec": spec,
    }


def ready_status(ready: str = "True") -> Obj:
    room = {"cpu": "2", "memory": "4Gi", "pods": "110"}
    now = Clock().rfc3339()
    times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    return {
        "capacity": room,
        "allocatable": room,
        "conditions": [{"type": "Ready", "status": ready, "reason": "KubeletReady", "message": "", **times}],
    }


class PretendKubelet:
    """Gives Pods an address and makes them Ready as soon as they are bound, and ends them when they are deleted."""

    def __init__(self, client: LocalClient, informer: Informer) -> None:
        self._client = client
        self._pods = informer
        self._addresses = 1
        self._work: asyncio.Queue[str] = asyncio.Queue()
        self.holds_ready: Callable[[Obj], bool] = lambda pod: False
        """Pods for which this is true run, but don't become Ready."""
        self.holds_end: Callable[[Obj], bool] = lambda pod: False
        """Pods for which this is true don't end although they are being deleted."""
        informer.add_handler(lambda event, new, old: self._work.put_nowait(key_of(new)) if new is not None else None)

    def look_again(self) -> None:
        for pod in self._pods.list():
            self._work.put_nowait(key_of(pod))

    async def run(self) -> None:
        while True:
            pod = self._pods.get(await self._work.get())
            if pod is None or not pod["spec"].get("nodeName"):
                continue
            with contextlib.suppress(StatusError):
                await self._sync(pod)

    async def _sync(self, pod: Obj) -> None:
        if is_deleting(pod):
            if not self.holds_end(pod):
                uid = pod["metadata"]["uid"]
                await self._client.delete("pods", name_of(pod), namespace_of(pod), uid=uid, grace_period_seconds=0)
            return
        ready = "False" if self.holds_ready(pod) else "True"
        status = pod.get("status") or {}
        known = next((c for c in status.get("conditions") or [] if c["type"] == "Ready"), None)
        if known is not None and known["status"] == ready:
            return
        ip = status.get("podIP")
        if not ip:
            ip = f"10.244.0.{self._addresses}"
            self._addresses += 1
        condition = {"type": "Ready", "status": ready, "lastTransitionTime": Clock().rfc3339()}
        patch = {
            "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [condition]},
        }
        kind = STRATEGIC_MERGE_PATCH
        where = namespace_of(pod)
        await self._client.patch("pods", name_of(pod), patch, where, patch_type=kind, subresource="status")


class Cluster:
    """What a scenario plays with."""

    def __init__(
        self, operations: Operations, client: LocalClient, informers: SharedInformers, kubelet: PretendKubelet
    ) -> None:
        self.operations = operations
        self.client = client
        self.informers = informers
        self.kubelet = kubelet

    async def list(self, resource: str, namespace: str | None = "default", **selectors: str) -> list[Obj]:
        return (await self.client.list(resource, namespace, **selectors)).items

    async def get(self, resource: str, name: str, namespace: str | None = "default") -> Obj | None:
        try:
            return await self.client.get(resource, name, namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            return None

    async def until(self, condition: Callable[[], Awaitable[Any]], what: str = "") -> Any:
        """Waits until the condition holds, and returns what it answered."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            answer = await condition()
            if answer:
                return answer
            await asyncio.sleep(0.001)
        raise AssertionError(f"not within {DEADLINE} s: {what or condition}")

    async def messages(self, name: str, reason: str = "", namespace: str = "default") -> list[str]:
        """Messages of the Events about an object, oldest first."""
        events = [
            event
            for event in await self.list("events", namespace)
            if event["involvedObject"]["name"] == name and (not reason or event["reason"] == reason)
        ]
        events.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [event["message"] for event in events]

    async def settle(self) -> None:
        """Until nothing has been written for a while."""
        last, since = -1, time.monotonic()
        deadline = since + DEADLINE
        while time.monotonic() < deadline:
            revision = int((await self.client.list("namespaces")).resource_version)
            if revision != last:
                last, since = revision, time.monotonic()
            elif time.monotonic() - since > 0.05:
                return
            await asyncio.sleep(0.002)
        raise AssertionError("the control plane does not come to rest")


@contextlib.asynccontextmanager
async def control_plane(path: Path, *, nodes: int = 1, clock: Clock | None = None) -> AsyncIterator[Cluster]:
    clock = clock or Clock()
    config = ClusterConfig("test", path)
    store = Store(path / "store.sqlite")
    operations = Operations(store, config)
    client = LocalClient(operations)
    informers = SharedInformers(client, clock)
    controllers = new_controllers(client, informers, config, clock)
    kubelet = PretendKubelet(client, informers.get("pods"))
    await bootstrap(client, config)
    await client.delete("deployments.apps", "coredns", "kube-system")
    for index in range(nodes):
        await client.create("nodes", node(config.node_name(index)))
        await client.patch("nodes", config.node_name(index), {"status": ready_status()}, subresource="status")
    tasks = [asyncio.create_task(informers.run())]
    await informers.wait_synced()
    tasks += [asyncio.create_task(controller.run()) for controller in controllers]
    tasks.append(asyncio.create_task(kubelet.run()))
    try:
        yield Cluster(operations, client, informers, kubelet)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        store.close()


def play(path: Path, scenario: Callable[[Cluster], Awaitable[None]], **options: Any) -> None:
    """Runs a scenario on a control plane of its own."""

    async def main() -> None:
        async with control_plane(path, **options) as cluster:
            await scenario(cluster)

    asyncio.run(main())


def deployment(name: str = "web", replicas: int = 3, image: str = "httpd:2.4", **spec: Any) -> Obj:
    labels = {"app": name}
    containers = [{"name": "main", "image": image, "ports": [{"name": "http", "containerPort": 80}]}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
            **spec,
        },
    }


def service(name: str = "web", selector: dict[str, str] | None = None, **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": selector or {"app": "web"}, "ports": [{"port": 80}], **spec},
    }


def pod(name: str, labels: dict[str, str] | None = None, **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels or {"app": "web"}},
        "spec": {"containers": [{"name": "main", "image": "httpd:2.4"}], **spec},
    }
