"""Telling the story: Events about objects, as `kubectl describe` shows them.

A repeated event becomes one Event with a growing `count` (`x3 over 10s`); many events that differ in their message
alone are combined; a source that says too much about one object falls silent for a while. Recording never waits
and never fails: an Event that can't be written is lost. Deleting old ones is left to `event_ttl`.
Models client-go/tools/record (v1.36).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

from ..api.status import StatusError
from ..client import Client
from ..clock import Clock, format_rfc3339
from ..objects import Obj, name_of, namespace_of, uid_of

log = logging.getLogger(__name__)

EventKind = Literal["Normal", "Warning"]
_K = TypeVar("_K")
_V = TypeVar("_V")

_REMEMBERED = 4096
_COMBINE_FROM = 10
_COMBINE_SECONDS = 600.0
_BURST = 25.0
_SECONDS_PER_EVENT = 300.0


class _Occurrence(NamedTuple):
    """Something that happened, at a time."""

    regarding: Obj
    type: EventKind
    reason: str
    message: str
    at: float


@dataclass
class _Written:
    """The Event that stands for all occurrences of the same."""

    name: str
    count: int


@dataclass
class _Similar:
    """What was said about an object for one reason: the different messages, and when last."""

    messages: set[str]
    last: float


@dataclass
class _Allowance:
    """A token bucket for one object."""

    tokens: float
    at: float


class EventRecorder:
    """Records events in the name of a component (`kubelet`, `default-scheduler`) on a host."""

    def __init__(self, client: Client, component: str, host: str = "", *, clock: Clock | None = None) -> None:
        self._client = client
        self._component = component
        self._host = host
        self._clock = clock or Clock()
        self._pending: deque[_Occurrence] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._numbers = 0
        self._written: OrderedDict[tuple[str, ...], _Written] = OrderedDict()
        self._similar: OrderedDict[tuple[str, ...], _Similar] = OrderedDict()
        self._allowances: OrderedDict[str, _Allowance] = OrderedDict()

    def event(self, obj: Obj, type: EventKind, reason: str, message: str, *, field_path: str = "") -> None:
        """Records that something happened to an object. `field_path`: `spec.containers{web}` for one container."""
        self._pending.append(_Occurrence(_reference(obj, field_path), type, reason, message, self._clock.now()))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write_pending(), name="event recorder")

    async def flush(self) -> None:
        """Waits until everything that was recorded is written."""
        if self._writer is not None:
            await self._writer

    async def _write_pending(self) -> None:
        while self._pending:
            occurrence = self._pending.popleft()
            try:
                await self._write(occurrence)
            except (StatusError, OSError) as error:
                log.info("event %s lost: %s", occurrence.reason, error)

    async def _write(self, occurrence: _Occurrence) -> None:
        occurrence, key = self._combine(occurrence)
        if not self._allowed(occurrence):
            return
        written = self._written.get(key)
        if written is not None and await self._count_up(written, occurrence):
            return
        event = self._new_event(occurrence)
        _remember(self._written, key, _Written(name_of(event), 1))
        await self._client.create("events", event)

    async def _count_up(self, written: _Written, occurrence: _Occurrence) -> bool:
        """Adds an occurrence to an Event; False if that is gone."""
        patch = {
            "count": written.count + 1,
            "lastTimestamp": format_rfc3339(occurrence.at),
            "message": occurrence.message,
        }
        try:
            await self._client.patch("events", written.name, patch, _event_namespace(occurrence))
        except StatusError as error:
            if error.code == 404:
                return False
            raise
        written.count += 1
        return True

    def _combine(self, occurrence: _Occurrence) -> tuple[_Occurrence, tuple[str, ...]]:
        """The occurrence as it is to be told, and the key under which it counts as a repetition."""
        regarding = occurrence.regarding
        about = (regarding["uid"], regarding["name"], regarding.get("fieldPath", ""), occurrence.type)
        group = (*about, occurrence.reason)
        similar = self._similar.get(group)
        if similar is None or occurrence.at - similar.last > _COMBINE_SECONDS:
            similar = _Similar(set(), occurrence.at)
        similar.messages.add(occurrence.message)
        similar.last = occurrence.at
        _remember(self._similar, group, similar)
        if len(similar.messages) < _COMBINE_FROM:
            return occurrence, (*group, occurrence.message)
        similar.messages.pop()
        combined = f"(combined from similar events): {occurrence.message}"
        return occurrence._replace(message=combined), group

    def _allowed(self, occurrence: _Occurrence) -> bool:
        key = occurrence.regarding["uid"] or occurrence.regarding["name"]
        allowance = self._allowances.get(key) or _Allowance(_BURST, occurrence.at)
        allowance.tokens = min(_BURST, allowance.tokens + (occurrence.at - allowance.at) / _SECONDS_PER_EVENT)
        allowance.at = occurrence.at
        _remember(self._allowances, key, allowance)
        if allowance.tokens < 1:
            return False
        allowance.tokens -= 1
        return True

    def _new_event(self, occurrence: _Occurrence) -> Obj:
        when = format_rfc3339(occurrence.at)
        source = {"component": self._component, **({"host": self._host} if self._host else {})}
        # Upstream names an Event by the nanosecond; the order of recording keeps two of them apart here too.
        self._numbers += 1
        stamp = int(occurrence.at * 1e6) * 1000 + self._numbers % 1000
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{occurrence.regarding['name']}.{stamp:x}",
                "namespace": _event_namespace(occurrence),
            },
            "involvedObject": occurrence.regarding,
            "reason": occurrence.reason,
            "message": occurrence.message,
            "source": source,
            "firstTimestamp": when,
            "lastTimestamp": when,
            "count": 1,
            "type": occurrence.type,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }


def _reference(obj: Obj, field_path: str) -> Obj:
    reference: Obj = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "name": name_of(obj), "uid": uid_of(obj)}
    if namespace_of(obj):
        reference["namespace"] = namespace_of(obj)
    if obj["metadata"].get("resourceVersion"):
        reference["resourceVersion"] = obj["metadata"]["resourceVersion"]
    if field_path:
        reference["fieldPath"] = field_path
    return reference


def _event_namespace(occurrence: _Occurrence) -> str:
    """Events about cluster-scoped objects live in `default`."""
    return str(occurrence.regarding.get("namespace") or "default")


def _remember(memory: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
