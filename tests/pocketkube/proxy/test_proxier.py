"""kube-proxy at work: first everything, then what changed; refusals, flushed rules, forgotten connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from proxy_parts import (
    DATA,
    MemoryEngine,
    WatchedApi,
    comparable,
    endpoint,
    endpoint_slice,
    namespace_engine,
    recorded_objects,
    service,
)
from waiting import until_async

from lab_helpers.iptables import distribution, parse
from lab_helpers.pocketkube.config import ClusterConfig
from lab_helpers.pocketkube.network.engine import Engine
from lab_helpers.pocketkube.network.flows import Flow
from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.proxy.naming import is_service_chain
from lab_helpers.pocketkube.proxy.proxier import Proxier

CONFIG = ClusterConfig("test", Path("/nonexistent"))
ZONES = {"10.244.0.2": "near", "10.244.1.2": "far"}
ONE, TWO = endpoint_slice(["10.244.0.2"]), endpoint_slice(["10.244.0.2", "10.244.0.3"])


@asynccontextmanager
async def running(api: WatchedApi, engine: Engine, node: str = "node") -> AsyncIterator[Proxier]:
    proxier = Proxier(api, engine, node, "192.168.49.2", CONFIG)
    task = asyncio.create_task(proxier.run())
    try:
        async with asyncio.timeout(10):
            await proxier.synced.wait()
        yield proxier
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def endpoints(engine: MemoryEngine, name: str = "web", port: str = "") -> list[str]:
    return [share.endpoint for share in distribution(engine.tables.ruleset, "default", name, port)]


def test_everything_is_written_at_once_and_then_only_changes() -> None:
    async def scenario() -> None:
        api, engine = WatchedApi(), MemoryEngine()
        for name in ("web", "other"):
            api.put(service(name, "10.96.0.20" if name == "web" else "10.96.0.21"))
        api.put(ONE)
        api.put(endpoint_slice(["10.244.0.7"], service="other"))
        async with running(api, engine):
            assert len(engine.texts) == 1
            assert "*mangle" in engine.texts[0]
            assert endpoints(engine) == ["10.244.0.2:8080"]
            api.put(TWO)
            await until_async(lambda: len(engine.texts) == 2)
            assert endpoints(engine) == ["10.244.0.2:8080", "10.244.0.3:8080"]
            assert "*mangle" not in engine.texts[1]
            assert "10.244.0.7:8080" not in engine.texts[1]
            assert endpoints(engine, "other") == ["10.244.0.7:8080"]

    asyncio.run(scenario())


def test_many_changes_at_once_are_one_write() -> None:
    async def scenario() -> None:
        api, engine = WatchedApi(), MemoryEngine()
        async with running(api, engine):
            for n in range(50):
                api.put(service(f"s{n}", f"10.96.1.{n + 1}"))
                api.put(endpoint_slice(["10.244.0.2"], service=f"s{n}"))
            await until_async(lambda: endpoints(engine, "s49") != [])
            assert len(engine.texts) <= 3

    asyncio.run(scenario())


def test_chains_go_with_their_service() -> None:
    async def scenario() -> None:
        api, engine = WatchedApi(), MemoryEngine()
        api.put(service())
        api.put(TWO)
        async with running(api, engine):
            api.put(ONE)
            await until_async(lambda: endpoints(engine) == ["10.244.0.2:8080"])
            api.delete(service())
            await until_async(lambda: "default/web" not in engine.tables.save())
            chains = engine.tables.ruleset.tables["nat"].chains
            assert not [name for name in chains if is_service_chain(name)]

    asyncio.run(scenario())


def test_what_does_not_concern_the_rules_is_not_written() -> None:
    async def scenario() -> None:
        api, engine = WatchedApi(), MemoryEngine()
        api.put(service())
        api.put(ONE)
        async with running(api, engine) as proxier:
            labelled = service()
            labelled["metadata"]["labels"] = {"a": "b"}
            api.put(labelled)
            api.put(service("other", "10.96.0.30"))
            await until_async(lambda: "default/other" in engine.tables.save())
            written = len(engine.texts)
            api.put(labelled)
            await asyncio.sleep(0)
            await proxier.sync_rules()
            assert len(engine.texts) == written

    asyncio.run(scenario())


def test_after_a_refusal_everything_is_written_again() -> None:
    async def scenario() -> None:
        api, engine = WatchedApi(), MemoryEngine()
        api.put(service())
        async with running(api, engine):
            engine.refusals = 1
            api.put(ONE)
            await until_async(lambda: endpoints(engine) == ["10.244.0.2:8080"])
            assert "*mangle" in engine.texts[-1]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "harm",
    [
        "*nat\n-F KUBE-SERVICES\nCOMMIT\n",
        "*filter\n-F FORWARD\nCOMMIT\n",
        "*mangle\n-X KUBE-PROXY-CANARY\nCOMMIT\n",
        "*nat\n-D KUBE-SERVICES 1\nCOMMIT\n",
        "*nat\n-F POSTROUTING\n-F KUBE-POSTROUTING\n-X KUBE-POSTROUTING\nCOMMIT\n",
    ],
)
def test_rules_that_somebody_took_out_come_back(harm: str) -> None:
    async def scenario() -> None:
        api, engine = WatchedApi(), MemoryEngine()
        api.put(service())
        api.put(TWO)
        async with running(api, engine) as proxier:
            before = engine.tables.save()
            await proxier.check_rules()
            engine.tables.restore(harm)
            assert engine.tables.save() != before
            await proxier.check_rules()
            await until_async(lambda: engine.tables.save() == before)
            assert len(engine.texts) == 2

    asyncio.run(scenario())


def test_rules_are_only_read_again_when_somebody_changed_some() -> None:
    class Numbered(MemoryEngine):
        number = 1
        read = 0

        async def generation(self, node: str) -> int | None:
            return self.number

        async def save(self, node: str, table: str = "", *, counters: bool = False) -> str:
            self.read += 1
            return await super().save(node, table, counters=counters)

    async def scenario() -> None:
        api, engine = WatchedApi(), Numbered()
        async with running(api, engine) as proxier:
            before = engine.read
            for number in (1, 1, 2, 2):
                engine.number = number
                await proxier.check_rules()
            assert engine.read == before + 2

    asyncio.run(scenario())


def test_a_service_that_is_labelled_as_another_proxy_s_has_no_rules() -> None:
    async def scenario() -> None:
        api, engine = WatchedApi(), MemoryEngine()
        api.put(service())
        api.put(ONE)
        async with running(api, engine):
            labelled = service()
            labelled["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "mine"}
            api.put(labelled)
            await until_async(lambda: "default/web" not in engine.tables.save())
            api.put(service())
            await until_async(lambda: endpoints(engine) == ["10.244.0.2:8080"])
            headless = endpoint_slice(["10.244.0.2"])
            headless["metadata"]["labels"]["service.kubernetes.io/headless"] = ""
            api.put(headless)
            await until_async(lambda: "default/web has no endpoints" in engine.tables.save())

    asyncio.run(scenario())


def test_what_others_wrote_is_left_alone() -> None:
    async def scenario() -> None:
        api, engine = WatchedApi(), MemoryEngine()
        engine.tables.restore("*nat\n:POCKETKUBE-MASQ - [0:0]\n-A POSTROUTING -j POCKETKUBE-MASQ\nCOMMIT\n")
        stale = "*nat\n:KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]\n:KUBE-SEP-BBBBBBBBBBBBBBBB - [0:0]\n"
        engine.tables.restore(stale + "-A KUBE-SVC-AAAAAAAAAAAAAAAA -j KUBE-SEP-BBBBBBBBBBBBBBBB\nCOMMIT\n")
        async with running(api, engine):
            saved = engine.tables.save()
            assert "KUBE-SVC-AAAAAAAAAAAAAAAA" not in saved and "KUBE-SEP-B" not in saved
            jumps = [rule.jump for rule in engine.tables.ruleset.rules("nat", "POSTROUTING")]
            assert jumps == ["KUBE-POSTROUTING", "POCKETKUBE-MASQ"]

    asyncio.run(scenario())


def test_udp_connections_are_forgotten_when_their_endpoint_goes() -> None:
    port: dict[str, Any] = {"name": "dns", "port": 53, "protocol": "UDP"}

    async def scenario() -> None:
        api, engine = WatchedApi(), MemoryEngine()
        api.put(service(ports=[{**port, "nodePort": 30053}], type="NodePort"))
        async with running(api, engine):
            into_nothing = Flow("10.96.0.20", 53, "10.96.0.20", 53)
            engine.flows = [into_nothing]
            api.put(endpoint_slice(["10.244.0.2", "10.244.0.3"], ports=[port]))
            await until_async(lambda: engine.flows == [])
            staying = [
                Flow("10.96.0.20", 53, "10.244.0.2", 53),
                Flow("10.96.0.20", 54, "10.244.0.3", 54),  # No port of the Service.
                Flow("10.96.0.99", 53, "10.244.0.3", 53),  # Another Service.
            ]
            over_node_port = Flow("192.168.49.2", 30053, "10.244.0.3", 53)
            engine.flows = [Flow("10.96.0.20", 53, "10.244.0.3", 53), *staying, over_node_port]
            api.put(endpoint_slice(["10.244.0.2"], ports=[port]))
            await until_async(lambda: engine.flows == staying)
            # Without any endpoint there is nobody else to send a client to.
            api.put(endpoint_slice([], ports=[port]))
            await until_async(lambda: endpoints(engine, port="dns") == [])
            assert engine.flows == staying

    asyncio.run(scenario())


def test_hints_for_a_zone_count_on_a_node_that_is_in_it() -> None:
    async def scenario() -> None:
        api, engine = WatchedApi(), MemoryEngine()
        api.put(service())
        near, far = ({**endpoint(ip), "hints": {"forZones": [{"name": zone}]}} for ip, zone in ZONES.items())
        api.put(endpoint_slice([near, far]))
        node: Obj = {"kind": "Node", "metadata": {"name": "node", "uid": "n", "labels": {}}}
        api.put(node)
        async with running(api, engine):
            assert endpoints(engine) == ["10.244.0.2:8080", "10.244.1.2:8080"]
            api.put({**node, "metadata": {**node["metadata"], "labels": {"topology.kubernetes.io/zone": "far"}}})
            await until_async(lambda: endpoints(engine) == ["10.244.1.2:8080"])
            api.put(node)
            await until_async(lambda: len(endpoints(engine)) == 2)

    asyncio.run(scenario())


@pytest.mark.kernel
@pytest.mark.usefixtures("administrators_path")
@pytest.mark.parametrize("name", ["01-demo-1pod", "02-demo-3pods", "04-demo-0pods", "05-nodeport"])
def test_the_kernel_has_the_rules_of_a_real_node(name: str) -> None:
    async def scenario() -> None:
        api = WatchedApi()
        for objects in recorded_objects(name):
            for obj in objects:
                api.put(obj)
        with namespace_engine() as engine:
            async with running(api, engine, "ref-node"):
                saved = await engine.save("ref-node")
        real = parse(DATA.joinpath(f"{name}.iptables-save.txt").read_text())
        assert comparable(parse(saved)) == comparable(real)

    asyncio.run(scenario())


@pytest.mark.kernel
@pytest.mark.usefixtures("administrators_path")
def test_the_kernel_follows_changes_within_moments_and_is_healed() -> None:
    async def scenario() -> None:
        api = WatchedApi()
        api.put(service())
        api.put(ONE)
        with namespace_engine() as engine:
            async with running(api, engine) as proxier:

                async def answering() -> list[str]:
                    return [s.endpoint for s in distribution(parse(await engine.save("node", "nat")), "default", "web")]

                started = time.monotonic()
                api.put(TWO)
                async with asyncio.timeout(5):
                    while len(await answering()) != 2:
                        pass
                assert time.monotonic() - started < 1  # 30 ms on an idle machine.
                assert await proxier_is_content(proxier)
                before = comparable(parse(await engine.save("node")))
                await engine.command("node", ["iptables", "-t", "nat", "-F"])
                await proxier.check_rules()
                async with asyncio.timeout(5):
                    while comparable_or_none(await engine.save("node")) != before:
                        pass

    asyncio.run(scenario())


async def proxier_is_content(proxier: Proxier) -> bool:
    await proxier.check_rules()
    await proxier.sync_rules()
    return True


def comparable_or_none(saved: str) -> object:
    ruleset = parse(saved)
    return comparable(ruleset) if ruleset.rules("nat", "KUBE-SERVICES") else None


@pytest.mark.kernel
@pytest.mark.usefixtures("administrators_path")
def test_one_change_after_the_other_leads_the_kernel_to_the_same_rules_as_all_at_once() -> None:
    node_ports = [{"name": "a", "port": 80, "nodePort": 30080}, {"name": "b", "port": 53, "protocol": "UDP"}]
    balanced = {"loadBalancer": {"ingress": [{"ip": "192.168.49.200"}]}}
    steps = [
        service("one", "10.96.0.21"),
        service("one", "10.96.0.21", ports=node_ports, type="NodePort"),
        endpoint_slice(["10.244.0.2", "10.244.0.3"], "one", ports=[{"name": "a", "port": 8080}]),
        service("two", "10.96.0.22", type="LoadBalancer", status=balanced, loadBalancerSourceRanges=["10.0.0.0/8"]),
        endpoint_slice(["10.244.0.4"], "two"),
        service("one", "10.96.0.21", ports=node_ports, type="NodePort", externalTrafficPolicy="Local"),
        service("two", "10.96.0.22", ports=[{"port": 81}], externalIPs=["1.2.3.4"], sessionAffinity="ClientIP"),
        endpoint_slice(["10.244.0.3"], "one", ports=[{"name": "a", "port": 8080}, {"name": "b", "port": 53}]),
        endpoint_slice([], "two"),
    ]

    async def scenario() -> None:
        api = WatchedApi()
        with namespace_engine() as engine, namespace_engine() as fresh:
            async with running(api, engine) as proxier:
                writes: list[bool] = []
                write = proxier.mode.write

                async def noting(*, full: bool) -> None:
                    await write(full=full)
                    writes.append(full)

                proxier.mode.write = noting  # type: ignore[method-assign]
                for number, obj in enumerate(steps, start=1):
                    api.put(obj)
                    await until_async(lambda number=number: len(writes) >= number)
                await proxier.check_rules()
                await proxier.sync_rules()
                assert not any(writes), "the kernel took every change as it was"
                async with running(api, fresh):
                    saved, wanted = await engine.save("node"), await fresh.save("node")
            assert comparable(parse(saved)) == comparable(parse(wanted))

    asyncio.run(scenario())


@pytest.mark.kernel
@pytest.mark.usefixtures("administrators_path")
def test_the_kernel_takes_more_rules_than_fit_into_one_message_from_an_unprivileged_user() -> None:
    async def scenario() -> None:
        api = WatchedApi()
        for n in range(60):
            api.put(service(f"s{n}", f"10.96.1.{n + 1}"))
            api.put(endpoint_slice([f"10.244.{n}.{m}" for m in range(10)], f"s{n}"))
        with namespace_engine() as engine:
            async with running(api, engine):
                saved = parse(await engine.save("node"))
                assert len(distribution(saved, "default", "s59")) == 10
                api.delete(service("s0"))

                async def gone() -> bool:
                    return "default/s0 " not in await engine.save("node", "nat")

                async with asyncio.timeout(5):
                    while not await gone():
                        pass

    asyncio.run(scenario())
