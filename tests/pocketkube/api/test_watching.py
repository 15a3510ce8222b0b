"""Watches: from where they start, what they show, how they end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from in_process_api import Api, make_api, pod

from lab_helpers.pocketkube.api.local import LocalClient
from lab_helpers.pocketkube.api.request import WatchOptions
from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.client import WatchEvent
from lab_helpers.pocketkube.resources.table import RESOURCES


async def collect(api: Api, resource: str, count: int, **options: Any) -> list[WatchEvent]:
    events = []
    async with asyncio.timeout(5):
        async for event in api.operations.watch(RESOURCES[resource], None, WatchOptions(**options)):
            events.append(event)
            if len(events) == count:
                break
    return events


def run(scenario: Callable[[], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        return await scenario()

    return asyncio.run(whole())


def shown(events: list[WatchEvent]) -> list[tuple[str, str]]:
    return [(event.type, event.object["metadata"].get("name", "")) for event in events]


def test_a_watch_from_nowhere_starts_with_what_is_there(api: Api) -> None:
    api.create("configmaps", {"metadata": {"name": "a"}})
    for version in ("", "0"):
        assert shown(run(lambda version=version: collect(api, "configmaps", 1, resource_version=version))) == [
            ("ADDED", "a")
        ]


def test_a_watch_from_a_revision_shows_what_came_after(api: Api) -> None:
    first = api.create("configmaps", {"metadata": {"name": "a"}})
    api.create("configmaps", {"metadata": {"name": "b"}})
    api.delete("configmaps", "a")
    version = first["metadata"]["resourceVersion"]
    events = run(lambda: collect(api, "configmaps", 2, resource_version=version))
    assert shown(events) == [("ADDED", "b"), ("DELETED", "a")]
    assert int(events[1].object["metadata"]["resourceVersion"]) == api.operations.store.revision


def test_a_streamed_list_ends_in_a_marked_bookmark(api: Api) -> None:
    api.create("configmaps", {"metadata": {"name": "a"}})
    events = run(
        lambda: collect(
            api, "configmaps", 2, allow_bookmarks=True, send_initial_events=True, resource_version_match="NotOlderThan"
        )
    )
    assert shown(events) == [("ADDED", "a"), ("BOOKMARK", "")]
    mark = events[1].object
    assert mark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert mark["metadata"]["resourceVersion"] == str(api.operations.store.revision)
    assert (mark["kind"], mark["apiVersion"]) == ("ConfigMap", "v1")


def test_objects_come_and_go_as_they_start_and_stop_to_match(api: Api) -> None:
    start = str(api.operations.store.revision)
    api.create("pods", pod("a"))
    api.patch("pods", "a", {"metadata": {"labels": {"app": "other"}}})
    api.patch("pods", "a", {"metadata": {"labels": {"more": "x"}}})
    back = api.patch("pods", "a", {"metadata": {"labels": {"app": "web"}}})
    api.patch("pods", "a", {"metadata": {"labels": {"more": "y"}}})
    events = run(lambda: collect(api, "pods", 4, resource_version=start, label_selector="app=web"))
    assert shown(events) == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a"), ("MODIFIED", "a")]
    assert events[1].object["metadata"]["labels"] == {"app": "web"}
    assert events[2].object == back


def test_a_watch_by_node_sees_pods_when_they_are_bound(api: Api) -> None:
    start = str(api.operations.store.revision)
    api.create("pods", pod("a"))
    api.create("pods", pod("b"))
    api.bind("b", "n1")
    events = run(lambda: collect(api, "pods", 1, resource_version=start, field_selector="spec.nodeName=n1"))
    assert shown(events) == [("ADDED", "b")]


def test_a_revision_before_history_is_expired(tmp_path: Path) -> None:
    api = make_api(tmp_path, history=5)
    api.create("namespaces", {"metadata": {"name": "default"}})
    for number in range(20):
        api.create("configmaps", {"metadata": {"name": f"c{number}"}})
    with pytest.raises(StatusError) as caught:
        run(lambda: collect(api, "configmaps", 1, resource_version="2"))
    assert (caught.value.code, caught.value.reason) == (410, "Expired")
    assert caught.value.message.startswith("too old resource version: 2 (")


def test_a_watch_ends_when_its_time_is_over(api: Api) -> None:
    assert run(lambda: collect(api, "configmaps", 1, timeout_seconds=0.01)) == []


def test_bad_options_are_refused_before_the_watch_starts(api: Api) -> None:
    options = WatchOptions(send_initial_events=True)
    with pytest.raises(StatusError, match="sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"):
        api.operations.watch(RESOURCES["pods"], None, options)
    with pytest.raises(StatusError) as caught:
        api.operations.watch(RESOURCES["pods"], None, WatchOptions(resource_version="abc"))
    assert caught.value.code == 500


@pytest.mark.parametrize("seed", range(4))
def test_a_client_cut_at_random_points_sees_each_change_exactly_once(api: Api, seed: int) -> None:
    chance = random.Random(seed)
    client = LocalClient(api.operations)

    async def write() -> int:
        for number in range(120):
            await client.create("configmaps", {"metadata": {"name": f"n{number}"}}, "default")
            if number % 3 == 0:
                await client.patch("configmaps", f"n{number}", {"data": {"k": "v"}}, "default")
            if number % 5 == 0:
                await client.delete("configmaps", f"n{number}", "default")
            if chance.random() < 0.4:
                await asyncio.sleep(0)
        done = await client.create("configmaps", {"metadata": {"name": "done"}}, "default")
        return int(done["metadata"]["resourceVersion"])

    async def read() -> list[int]:
        version = (await client.list("configmaps")).resource_version
        seen: list[int] = []
        while True:
            async for event in client.watch("configmaps", resource_version=version):
                version = event.object["metadata"]["resourceVersion"]
                if event.type != "BOOKMARK":
                    seen.append(int(version))
                if event.object["metadata"].get("name") == "done":
                    return seen
                if chance.random() < 0.2:
                    break
                await asyncio.sleep(0)

    async def scenario() -> tuple[list[int], int]:
        reader = asyncio.create_task(read())
        await asyncio.sleep(0)
        last = await write()
        return await asyncio.wait_for(reader, 10), last

    start = api.operations.store.revision
    seen, last = asyncio.run(scenario())
    assert seen == list(range(start + 1, last + 1))
