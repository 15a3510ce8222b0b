"""The nftables table in the kernel: it follows changes, is healed, and takes no more at once than anybody may send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from proxy_parts import NODE, NamespaceEngine, WatchedApi, endpoint_slice, namespace_engine, service
from waiting import until_async

from lab_helpers.pocketkube.config import ClusterConfig
from lab_helpers.pocketkube.proxy.nftables.listing import counts
from lab_helpers.pocketkube.proxy.nftables.transaction import LARGEST_TRANSACTION, Transactions
from lab_helpers.pocketkube.proxy.proxier import Proxier

CONFIG = ClusterConfig("test", Path("/nonexistent"), proxy_mode="nftables")
STICKY = {"sessionAffinity": "ClientIP"}

pytestmark = pytest.mark.usefixtures("administrators_path")


class Lab:
    """A node in the kernel, its kube-proxy, and the API that both follow."""

    def __init__(self, engine: NamespaceEngine) -> None:
        self.engine = engine
        self.api = WatchedApi()
        self.proxier = Proxier(self.api, engine, NODE.name, NODE.ip, CONFIG)
        self.writes: list[bool] = []

    async def write(self, *, full: bool) -> None:
        await self._write(full=full)
        self.writes.append(full)

    async def listed(self) -> str:
        return await self.engine.command("", ["nft", "list", "table", "ip", "kube-proxy"])

    async def put(self, *objects: dict[str, object]) -> None:
        """Changes the cluster and waits until the kernel has it."""
        for obj in objects:
            done = len(self.writes)
            self.api.put(obj)
            await until_async(lambda done=done: len(self.writes) > done)


@asynccontextmanager
async def lab() -> AsyncIterator[Lab]:
    with namespace_engine() as engine:
        made = Lab(engine)
        made._write, made.proxier.mode.write = made.proxier.mode.write, made.write  # type: ignore[attr-defined,method-assign]
        task = asyncio.create_task(made.proxier.run())
        await asyncio.wait_for(made.proxier.synced.wait(), 10)
        made.writes.clear()
        yield made
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.kernel
def test_what_is_not_needed_any_more_goes() -> None:
    async def scenario() -> None:
        async with lab() as node:
            await node.put(service(), endpoint_slice(["10.244.0.2", "10.244.0.3"]))
            assert "0 : 10.244.0.2 . 8080, 1 : 10.244.0.3 . 8080" in await node.listed()
            await node.put(service(**STICKY))
            assert (await node.listed()).count("timeout 3h") == 2
            shorter = {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}
            await node.put(service(**STICKY, **shorter))
            assert (await node.listed()).count("timeout 1m") == 2
            await node.put(service())
            assert "affinity-" not in await node.listed()
            node.api.delete(service())
            await until_async(lambda: len(node.writes) == 6)
            await asyncio.sleep(1)  # Older kernels hold on to a chain for a moment.
            await node.proxier.check_rules()
            assert "default/web" not in await node.listed()
            assert node.writes == [False] * 6 and not node.proxier._full

    asyncio.run(scenario())


@pytest.mark.kernel
@pytest.mark.parametrize(
    "harm",
    [
        "delete table ip kube-proxy",
        "flush ruleset",
        "flush chain ip kube-proxy services",
        "delete element ip kube-proxy service-ips { 10.96.0.20 . tcp . 80 }",
        "add rule ip kube-proxy nat-output drop",
    ],
)
def test_what_somebody_did_to_the_table_is_undone(harm: str) -> None:
    async def scenario() -> None:
        async with lab() as node:
            await node.put(service(), endpoint_slice(["10.244.0.2"]))
            before = await node.listed()
            await node.engine.command("", ["nft", harm])
            await node.proxier.check_rules()
            await until_async(lambda: len(node.writes) == 3)
            assert node.writes[-1] is True
            assert await node.listed() == before

    asyncio.run(scenario())


@pytest.mark.kernel
def test_an_element_stays_while_another_service_needs_it() -> None:
    async def scenario() -> None:
        async with lab() as node:
            for name, ip in (("one", "10.96.0.21"), ("two", "10.96.0.22")):
                await node.put(service(name, ip), endpoint_slice(["10.244.0.2"], name))
            hairpin = "10.244.0.2 . 10.244.0.2 . tcp . 8080"
            await node.put(endpoint_slice([], "one"))
            assert hairpin in await node.listed()
            await node.put(endpoint_slice([], "two"))
            assert hairpin not in await node.listed()

    asyncio.run(scenario())


@pytest.mark.kernel
def test_a_table_of_any_size_is_written() -> None:
    async def scenario() -> None:
        async with lab() as node:
            for n in range(150):
                node.api.put(service(f"s{n}", f"10.96.1.{n + 1}"))
                node.api.put(endpoint_slice([f"10.244.{n}.{m}" for m in range(10)], f"s{n}"))
            node.proxier._full = True
            await until_async(lambda: not node.proxier.mode.changed and len(node.writes) > 0)
            await node.proxier.sync_rules()
            assert counts(await node.listed())["map service-ips"] == 150

    asyncio.run(scenario())


def test_transactions_are_cut_between_groups() -> None:
    transactions = Transactions()
    for n in range(10):
        transactions.add([f"add chain ip kube-proxy {n}", "x" * (LARGEST_TRANSACTION // 5 // 4)])
    texts = transactions.texts()
    assert len(texts) > 1
    assert all(text.startswith("add chain") for text in texts)
    assert "".join(texts).count("add chain") == 10
