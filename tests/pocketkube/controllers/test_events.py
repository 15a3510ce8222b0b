"""Events: repetitions counted, similar ones combined, chatter stopped."""

from __future__ import annotations

import asyncio
from typing import Any

from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.clock import FakeClock
from lab_helpers.pocketkube.controllers.events import EventRecorder
from lab_helpers.pocketkube.objects import Obj

POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "p", "namespace": "shop", "uid": "u1", "resourceVersion": "7"},
}


class Notebook:
    """Takes down Events as an API server would."""

    def __init__(self) -> None:
        self.events: dict[str, Obj] = {}

    async def create(self, resource: str, obj: Obj, namespace: str | None = None) -> Obj:
        self.events[obj["metadata"]["name"]] = obj
        return obj

    async def patch(self, resource: str, name: str, patch: Any, namespace: str | None = None, **_: Any) -> Obj:
        if name not in self.events:
            raise StatusError.not_found("events", name)
        self.events[name] |= patch
        return self.events[name]


def record(count: int, *, step: float = 1, message: str = "m", same: bool = True) -> list[Obj]:
    async def main() -> list[Obj]:
        clock, notebook = FakeClock(), Notebook()
        recorder = EventRecorder(notebook, "kubelet", "n1", clock=clock)  # type: ignore[arg-type]
        for number in range(count):
            recorder.event(POD, "Warning", "BackOff", message if same else f"{message} {number}")
            clock.advance(step)
        await recorder.flush()
        return list(notebook.events.values())

    return asyncio.run(main())


def test_an_event_says_who_what_and_when() -> None:
    (event,) = record(1)
    assert event["metadata"]["name"].startswith("p.") and event["metadata"]["namespace"] == "shop"
    assert event["involvedObject"] == {
        "kind": "Pod", "apiVersion": "v1", "name": "p", "namespace": "shop", "uid": "u1", "resourceVersion": "7",
    }  # fmt: skip
    assert event["source"] == {"component": "kubelet", "host": "n1"}
    assert (event["type"], event["reason"], event["message"], event["count"]) == ("Warning", "BackOff", "m", 1)


def test_repetitions_are_counted() -> None:
    (event,) = record(3, step=5)
    assert event["count"] == 3
    assert (event["firstTimestamp"], event["lastTimestamp"]) == ("2023-11-14T22:13:20Z", "2023-11-14T22:13:30Z")


def test_many_similar_events_are_combined() -> None:
    events = record(15, same=False)
    assert len(events) == 10
    assert events[-1]["message"] == "(combined from similar events): m 14"
    assert events[-1]["count"] == 6


def test_a_chatterbox_falls_silent() -> None:
    (event,) = record(100, step=0.01)
    assert event["count"] == 25
