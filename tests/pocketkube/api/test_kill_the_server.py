"""kill -9 of the server while several clients write: what was acknowledged is there, and nothing is given twice."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
from server_process import ServerProcess, items
from waiting import until_async

CLIENTS, WRITES, KILLS, SEED = 6, 1000, 6, 7
NAMESPACE = "/api/v1/namespaces/default"
Obj = dict[str, Any]


class Ledger:
    """Every revision that any client has been told, and of which object it was."""

    def __init__(self) -> None:
        self.writes = 0
        self._given: dict[str, tuple[str, str]] = {}

    def note(self, collection: str, obj: Obj) -> None:
        owner = collection, obj["metadata"]["name"]
        assert self._given.setdefault(obj["metadata"]["resourceVersion"], owner) == owner, "a revision was given twice"


def fresh(collection: str, name: str, step: int) -> Obj:
    meta: Obj = {"name": name}
    if collection == "services":
        ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]
        return {"metadata": meta, "spec": {"type": "NodePort", "ports": ports, "selector": {"app": name}}}
    return {"metadata": meta, "data": {"step": str(step), "text": "x" * (step * 37 % 5000)}}


class Writer:
    """One client: writes only objects of its own, so that it knows what has to be there."""

    def __init__(self, server: ServerProcess, ledger: Ledger, number: int, steps: Iterator[int]) -> None:
        self.server = server
        self.ledger = ledger
        self.number = number
        self.steps = steps
        self.random = random.Random(number)
        self.known: dict[tuple[str, str], Obj] = {}

    async def run(self) -> None:
        async with self.server.session() as session:
            for step in self.steps:
                collection = self.random.choice(["configmaps", "configmaps", "services"])
                name = f"c{self.number}-{self.random.randrange(25)}"
                try:
                    await self._write(session, collection, name, step)
                except (aiohttp.ClientError, ConnectionError):
                    await self._look(session, collection, name)
                self.ledger.writes += 1

    async def _write(self, session: aiohttp.ClientSession, collection: str, name: str, step: int) -> None:
        url, current = self.server.url(f"{NAMESPACE}/{collection}"), self.known.get((collection, name))
        removes = current is not None and self.random.random() < 0.3
        if current is None:
            request = session.post(url, json=fresh(collection, name, step))
        elif removes:
            request = session.delete(f"{url}/{name}")
        else:
            meta = {**current["metadata"], "labels": {"step": str(step)}}
            request = session.put(f"{url}/{name}", json={**current, "metadata": meta})
        async with request as reply:
            body = await reply.json()
            assert reply.status in (200, 201), body
        self._note(collection, name, None if removes else body)

    async def _look(self, session: aiohttp.ClientSession, collection: str, name: str) -> None:
        """After a lost answer: did the write happen? The server may still be away."""
        while True:
            try:
                async with session.get(self.server.url(f"{NAMESPACE}/{collection}/{name}")) as reply:
                    body = await reply.json()
            except (aiohttp.ClientError, ConnectionError):
                await asyncio.sleep(0.01)
                continue
            assert reply.status in (200, 404), body
            self._note(collection, name, body if reply.status == 200 else None)
            return

    def _note(self, collection: str, name: str, obj: Obj | None) -> None:
        if obj is None:
            self.known.pop((collection, name), None)
            return
        self.known[(collection, name)] = obj
        self.ledger.note(collection, obj)


class Follower:
    """An informer by hand: lists, watches, resumes, and lists again when it is told 410."""

    def __init__(self, server: ServerProcess, collection: str) -> None:
        self.server = server
        self.collection = collection
        self.seen: dict[str, Obj] = {}
        self.revision = 0
        self.watches = 0
        self.shared: list[str] = []

    async def run(self) -> None:
        async with self.server.session() as session:
            while True:
                try:
                    if not self.revision:
                        await self._list(session)
                    await self._watch(session)
                except (aiohttp.ClientError, ConnectionError):
                    await asyncio.sleep(0.01)

    async def _list(self, session: aiohttp.ClientSession) -> None:
        async with session.get(self.server.url(f"{NAMESPACE}/{self.collection}")) as reply:
            found = await reply.json()
        self.seen = items(found)
        self.revision = int(found["metadata"]["resourceVersion"])

    async def _watch(self, session: aiohttp.ClientSession) -> None:
        url = self.server.url(f"{NAMESPACE}/{self.collection}?watch=true&resourceVersion={self.revision}")
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=None)) as reply:
            assert reply.status == 200
            self.watches += 1
            async for line in reply.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    assert event["object"]["code"] == 410, event
                    self.revision = 0
                    return
                self._take(event["type"], event["object"])

    def _take(self, kind: str, obj: Obj) -> None:
        name, revision = obj["metadata"]["name"], int(obj["metadata"]["resourceVersion"])
        assert revision > self.revision, "an event came twice or out of order"
        assert (kind == "ADDED") == (name not in self.seen), f"{kind} of {name}"
        self.revision = revision
        if kind == "DELETED":
            del self.seen[name]
        else:
            self.seen[name] = obj
        if self.collection == "services":
            self.shared += given_twice(self.seen.values())


def given_twice(services: Any) -> list[str]:
    """Addresses and ports that more than one of the Services has."""
    given = [service["spec"]["clusterIP"] for service in services]
    given += [str(port["nodePort"]) for service in services for port in service["spec"]["ports"] if "nodePort" in port]
    return sorted({number for number in given if given.count(number) > 1}) if len(given) != len(set(given)) else []


async def kill_at_random(server: ServerProcess, ledger: Ledger) -> None:
    """Each time after some more writes."""
    chance = random.Random(SEED)
    for _ in range(KILLS):
        enough = ledger.writes + chance.randrange(20, WRITES // (KILLS + 1) - CLIENTS)
        await until_async(lambda enough=enough: ledger.writes >= enough, "more writes", 60)
        server.kill()
        await asyncio.to_thread(server.start)


async def scenario(server: ServerProcess) -> None:
    ledger, steps = Ledger(), iter(range(WRITES))
    writers = [Writer(server, ledger, number, steps) for number in range(CLIENTS)]
    followers = [Follower(server, collection) for collection in ("configmaps", "services")]
    following = [asyncio.create_task(follower.run()) for follower in followers]
    killer = asyncio.create_task(kill_at_random(server, ledger))
    await asyncio.gather(*(writer.run() for writer in writers))
    await killer
    async with server.session() as session:
        for follower in followers:
            async with session.get(server.url(f"{NAMESPACE}/{follower.collection}")) as reply:
                there = items(await reply.json())
            known = {
                name: obj
                for writer in writers
                for (collection, name), obj in writer.known.items()
                if collection == follower.collection
            }
            there.pop("kubernetes", None)
            there.pop("kube-root-ca.crt", None)
            assert there == known
            await until_async(lambda f=follower, t=there: {n: f.seen.get(n) for n in t} == t, "the watch to catch up")
            assert follower.shared == []
            assert follower.watches > KILLS
    for task in following:
        task.cancel()
    for outcome in await asyncio.gather(*following, return_exceptions=True):
        assert isinstance(outcome, asyncio.CancelledError), outcome


def test_nothing_that_was_acknowledged_is_lost_and_nothing_is_given_twice(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    server.start()
    try:
        asyncio.run(asyncio.wait_for(scenario(server), 120))
    finally:
        server.close()
