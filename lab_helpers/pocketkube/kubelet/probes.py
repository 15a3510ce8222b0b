"""Probes: asking a container again and again whether it has started, lives, and is ready.

One `Prober` looks after one run of one container. It says what changed; what follows from that (restarting, taking
out of Services) is left to the Pod worker. How one question is asked is in `handlers.py`.
Models pkg/kubelet/prober/worker.go (v1.36).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, Protocol

from ..clock import Clock
from ..objects import Obj
from .container_events import ContainerEvents
from .environment import expand
from .handlers import HandlerErrored, HandlerFailed

ProbeKind = Literal["startup", "liveness", "readiness"]

_INITIAL_VERDICTS: dict[ProbeKind, bool | None] = {"startup": None, "liveness": True, "readiness": False}
_EAGER_SECONDS = 1.0
_FIRST_EAGER_PAUSE = 0.025


class Ask(Protocol):
    """Asks one question of a container. Raises HandlerFailed with the reason if the answer is not good."""

    async def __call__(self, handler: Obj, timeout: float) -> str:
        """Returns if the answer is good, with what is odd about it."""
        ...


class Prober:
    """The probes of one run of a container."""

    def __init__(
        self,
        container: Obj,
        ask: Ask,
        clock: Clock,
        events: ContainerEvents,
        on_result: Callable[[ProbeKind, bool], None],
    ) -> None:
        """`on_result` hears each time a probe's verdict changes."""
        self._container = container
        self._ask = ask
        self._clock = clock
        self._events = events
        self._on_result = on_result
        self._liveness: asyncio.Task[bool] | None = None

    async def run(self) -> None:
        """Asks until cancelled, or until startup or liveness have failed."""
        startup = self._container.get("startupProbe")
        if startup and not await self._watch("startup", startup):
            return
        async with asyncio.TaskGroup() as group:
            if self._container.get("livenessProbe"):
                self._liveness = group.create_task(self._watch("liveness", self._container["livenessProbe"]))
            if self._container.get("readinessProbe"):
                group.create_task(self._watch("readiness", self._container["readinessProbe"]))

    def stop_liveness(self) -> None:
        """The container is being ended; whether it is still ready matters to the end."""
        if self._liveness is not None:
            self._liveness.cancel()

    async def _watch(self, kind: ProbeKind, probe: Obj) -> bool:
        """Asks until a startup probe has an outcome or a liveness probe has failed."""
        probe = _expanded(probe, self._container)
        verdict = _INITIAL_VERDICTS[kind]
        await self._clock.sleep(float(probe.get("initialDelaySeconds") or 0))
        eager_until = self._clock.monotonic() + _EAGER_SECONDS
        eager_pause = _FIRST_EAGER_PAUSE
        answers, last = 0, None
        while True:
            began = self._clock.monotonic()
            try:
                problem = await self._problem(kind, probe)
            except HandlerErrored as error:
                self._events.warning(
                    "Unhealthy", f"{kind.capitalize()} probe errored and resulted in unknown state: {error}"
                )
                await self._rest(probe, began)
                continue
            good = problem is None
            if not good and last is None and self._clock.monotonic() + eager_pause < eager_until:
                # A server that starts in milliseconds should not be found unready for a whole period.
                await self._clock.sleep(eager_pause)
                eager_pause *= 2
                continue
            if problem is not None:
                self._events.warning("Unhealthy", f"{kind.capitalize()} probe failed: {problem}")
            answers = answers + 1 if good == last else 1
            last = good
            if good != verdict and answers >= _threshold(probe, good):
                verdict = good
                self._on_result(kind, good)
                if kind == "startup" or (kind == "liveness" and not good):
                    return good
            await self._rest(probe, began)

    async def _rest(self, probe: Obj, began: float) -> None:
        """Until the next question is due: a period after the last one was asked."""
        took = self._clock.monotonic() - began
        await self._clock.sleep(max(0.0, float(probe.get("periodSeconds") or 10) - took))

    async def _problem(self, kind: ProbeKind, probe: Obj) -> str | None:
        """What is wrong, or None. Raises HandlerErrored if the question can't be asked."""
        try:
            oddity = await self._ask(probe, float(probe.get("timeoutSeconds") or 1))
        except HandlerErrored:
            raise
        except HandlerFailed as error:
            return str(error)
        if oddity:
            self._events.warning("ProbeWarning", f"{kind.capitalize()} probe warning: {oddity}")
        return None


def _threshold(probe: Obj, good: bool) -> int:
    return int(probe.get("successThreshold") or 1) if good else int(probe.get("failureThreshold") or 3)


def _expanded(probe: Obj, container: Obj) -> Obj:
    """A command may name variables whose values stand in the container's specification."""
    if "exec" not in probe:
        return probe
    values = {variable["name"]: variable.get("value") or "" for variable in container.get("env") or []}
    return {**probe, "exec": {"command": [expand(word, values) for word in probe["exec"].get("command") or []]}}
