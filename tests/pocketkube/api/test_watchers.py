"""Many watchers, watchers that are cut off again and again, and watchers that do not read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from api_serving import Served, config_map, run
from hypothesis import given, settings
from hypothesis import strategies as st
from server_process import ServerProcess

from lab_helpers.pocketkube.api import watch_stream

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
MEGABYTE = 1024 * 1024
WATCHERS, CHANGES = 500, 10

steps = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), min_size=1, max_size=40)
cuts = st.lists(st.integers(0, 1500), min_size=1, max_size=12)
LAST = b'"data":{"n":"last"}'


async def change(served: Served, name: str, number: int | str, delete: bool) -> None:
    """Creates, changes or deletes one object, whichever its name allows."""
    path = f"{CONFIG_MAPS}/{name}"
    if (await served.get(path)).status == 404:
        assert (await served.post(CONFIG_MAPS, config_map(name, n=str(number)))).status == 201
    elif delete:
        assert (await served.request("DELETE", path)).status == 200
    else:
        assert (await served.request("PUT", path, config_map(name, n=str(number)))).status == 200


async def read_until_cut(served: Served, revision: str, length: int) -> list[Any]:
    """The whole events among the first `length` bytes of a watch, or up to the last change of the test."""
    text = b""
    async with served.session.get(served.url(f"{CONFIG_MAPS}?watch=true&resourceVersion={revision}")) as answer:
        assert answer.status == 200
        while len(text) < length and LAST not in text:
            text += await answer.content.read(length - len(text))
        answer.close()
    *whole, _partial = text.split(b"\n")
    return [json.loads(line) for line in whole]


@settings(max_examples=20, deadline=None)
@given(steps=steps, cuts=cuts)
def test_a_watcher_that_is_cut_anywhere_sees_every_change_once_and_in_order(
    steps: list[tuple[str, bool]], cuts: list[int]
) -> None:
    async def scenario(served: Served) -> None:
        uncut = served.operations.store.watch("configmaps", "default", served.operations.store.revision)
        revision, seen = str(served.operations.store.revision), []
        for number, (name, delete) in enumerate(steps):
            await change(served, name, number, delete)
        await change(served, "last", "last", False)
        expected = [(event.type, event.object["metadata"]["resourceVersion"]) for event in uncut.drain()]
        for length in [*cuts, 1_000_000]:
            for event in await read_until_cut(served, revision, length):
                revision = event["object"]["metadata"]["resourceVersion"]
                seen.append((event["type"], revision))
            if len(seen) == len(expected):
                break
        assert seen == expected

    run(scenario)


def test_five_hundred_watchers_see_everything(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = ServerProcess(tmp_path_factory.mktemp("watchers"))
    server.start()

    async def watch(session: aiohttp.ClientSession, number: int) -> list[str]:
        accept = {"Accept": TABLE if number % 2 else "application/json"}
        names: list[str] = []
        async with session.get(
            server.url(f"{CONFIG_MAPS}?watch=true&resourceVersion={start}"), headers=accept
        ) as answer:
            async for line in answer.content:
                shown = json.loads(line)["object"]
                shown = shown["rows"][0]["object"] if number % 2 else shown
                names.append(shown["metadata"]["name"])
                if len(names) == CHANGES:
                    answer.close()
                    return names
        raise AssertionError("the watch ended")

    async def scenario() -> None:
        nonlocal start
        async with server.session() as session:
            async with session.get(server.url(CONFIG_MAPS)) as answer:
                start = (await answer.json())["metadata"]["resourceVersion"]
            watching = [asyncio.create_task(watch(session, number)) for number in range(WATCHERS)]
            for number in range(CHANGES):
                async with session.post(server.url(CONFIG_MAPS), json=config_map(f"c{number}")) as answer:
                    assert answer.status == 201
            for names in await asyncio.gather(*watching):
                assert names == [f"c{number}" for number in range(CHANGES)]

    start = ""
    try:
        before = server.resident_megabytes()
        asyncio.run(asyncio.wait_for(scenario(), 60))
        assert server.resident_megabytes() - before < 150
    finally:
        server.close()


def test_who_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_stream, "STALLED_SECONDS", 0.2)

    async def scenario(served: Served) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", served.port, ssl=served.pki.client_context(), limit=1024
        )
        writer.write(f"GET {CONFIG_MAPS}?watch=true HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        for number in range(30):
            await served.post(CONFIG_MAPS, config_map(f"c{number}", text="x" * (MEGABYTE // 2)))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(30 * MEGABYTE // 2)
        writer.transport.abort()

    run(scenario)
