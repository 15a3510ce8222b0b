"""Writes a Pod's status to the API: at once, only what changed, and the newest when several changes wait.

What the status says is left to `pod_status.py`.
Models pkg/kubelet/status/status_manager.go (v1.36).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..api.status import StatusError
from ..client import Client
from ..clock import Clock
from ..objects import Obj, name_of, namespace_of, uid_of
from .pod_status import OWN_CONDITIONS

log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0


class StatusWriter:
    """The status of one Pod on its way to the API."""

    def __init__(self, client: Client, pod: Obj, clock: Clock, newest: Callable[[], Obj]) -> None:
        """`newest` gives the Pod as it was seen last."""
        self._client = client
        self._clock = clock
        self._newest = newest
        self._name, self._namespace, self._uid = name_of(pod), namespace_of(pod), uid_of(pod)
        self._written: Obj = pod.get("status") or {}
        self._wanted: Obj | None = None
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def known(self) -> Obj:
        """The status as the API has it, once everything is written."""
        return self._wanted if self._wanted is not None else self._written

    def put(self, status: Obj) -> None:
        """Asks for a status to be written."""
        if not _difference(self.known, status):
            return
        self._wanted = {**self.known, **status}
        self._idle.clear()
        self._changed.set()

    async def flush(self) -> None:
        """Waits until everything is written, or can't be because the Pod is gone."""
        await self._idle.wait()

    async def run(self) -> None:
        """Writes until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._wanted is not None:
                wanted = self._wanted
                try:
                    self._written = await self._write(wanted)
                    pause = _FIRST_PAUSE
                except StatusError as error:
                    if error.code == 404 or error.reason == "Invalid":
                        log.info("status of pod %s/%s is not wanted: %s", self._namespace, self._name, error)
                        self._written = wanted
                    else:
                        pause = await self._pause(error, pause)
                        continue
                except OSError as error:
                    pause = await self._pause(error, pause)
                    continue
                if self._wanted is wanted:
                    self._wanted = None
            self._idle.set()

    async def _pause(self, error: Exception, pause: float) -> float:
        log.info("status of pod %s/%s: %s; trying again in %.2f s", self._namespace, self._name, error, pause)
        await self._clock.sleep(pause)
        return min(pause * 2, _LONGEST_PAUSE)

    async def _write(self, wanted: Obj) -> Obj:
        difference = _difference(self._written, wanted)
        if not difference:
            return wanted
        metadata: Obj = {"uid": self._uid}
        foreign = _foreign_conditions(self._newest())
        if "conditions" in difference and foreign:
            # The list is written as a whole: what others wrote into it meanwhile must not get lost.
            newest = self._newest()
            metadata["resourceVersion"] = newest["metadata"]["resourceVersion"]
            own = [c for c in difference["conditions"] if c["type"] not in {f["type"] for f in foreign}]
            difference["conditions"] = own + foreign
        await self._client.patch(
            "pods",
            self._name,
            {"metadata": metadata, "status": difference},
            self._namespace,
            subresource="status",
        )
        return wanted


def _difference(before: Obj, after: Obj) -> Obj:
    return {key: value for key, value in after.items() if before.get(key) != value}


def _foreign_conditions(pod: Obj) -> list[Obj]:
    """Conditions that the kubelet does not write."""
    return [c for c in (pod.get("status") or {}).get("conditions") or [] if c["type"] not in OWN_CONDITIONS]
