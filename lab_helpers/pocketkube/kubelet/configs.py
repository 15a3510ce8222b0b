"""The ConfigMaps and Secrets that Pods of this node use, watched one by one while they are in use.

So a file made from a ConfigMap follows its changes at once, and a Pod that waits for one starts when it is there.
Models pkg/kubelet/util/manager/watch_based_manager.go (v1.36).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from ..client import Client, EventType
from ..clock import Clock
from ..informer import Informer
from ..objects import Obj


@dataclass
class _Watched:
    informer: Informer
    task: asyncio.Task[None]
    users: dict[str, Callable[[], None]] = field(default_factory=dict)


class WatchedConfigs:
    """All watched objects of one kubelet."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._watched: dict[tuple[str, str, str], _Watched] = {}

    def for_pod(self, uid: str, on_change: Callable[[], None]) -> PodConfigs:
        """The view of one Pod: what it looks up is watched until it is released."""
        return PodConfigs(self, uid, on_change)

    async def find(self, user: str, on_change: Callable[[], None], key: tuple[str, str, str]) -> Obj | None:
        """The object, watched on behalf of a user from now on."""
        watched = self._watched.get(key)
        if watched is None:
            watched = self._watched[key] = self._watch(key)
        watched.users[user] = on_change
        await watched.informer.synced.wait()
        return watched.informer.get(f"{key[1]}/{key[2]}")

    def release(self, user: str) -> None:
        """Stops watching what nobody else uses."""
        for key, watched in [*self._watched.items()]:
            watched.users.pop(user, None)
            if not watched.users:
                watched.task.cancel()
                del self._watched[key]

    def close(self) -> None:
        """Stops watching."""
        for watched in self._watched.values():
            watched.task.cancel()
        self._watched.clear()

    def _watch(self, key: tuple[str, str, str]) -> _Watched:
        resource, namespace, name = key
        informer = Informer(
            self._client, resource, namespace, field_selector=f"metadata.name={name}", clock=self._clock
        )
        task = asyncio.get_running_loop().create_task(informer.run(), name=f"watch {resource} {namespace}/{name}")
        watched = _Watched(informer, task)

        def tell(_: EventType, new: Obj | None, old: Obj | None) -> None:
            if informer.synced.is_set():
                for on_change in [*watched.users.values()]:
                    on_change()

        informer.add_handler(tell)
        return watched


class PodConfigs:
    """What one Pod looks up; implements `environment.Configs`."""

    def __init__(self, configs: WatchedConfigs, uid: str, on_change: Callable[[], None]) -> None:
        self._configs = configs
        self._uid = uid
        self._on_change = on_change

    async def find(self, resource: str, namespace: str, name: str) -> Obj | None:
        """The object, or None if there is none now."""
        return await self._configs.find(self._uid, self._on_change, (resource, namespace, name))

    def release(self) -> None:
        """The Pod needs nothing more."""
        self._configs.release(self._uid)
