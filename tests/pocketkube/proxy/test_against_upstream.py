"""What upstream's kube-proxy v1.36 wrote, and what ours writes, for the same Services and EndpointSlices of many kinds.

`data/many.*` was recorded on node `proxy-m02` (192.168.49.3) of a cluster of three: 30 Services with several ports,
protocols, policies, addresses, source ranges, affinity, hints, and endpoints in every condition.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from proxy_parts import WatchedApi, applied, comparable, namespace_engine

from lab_helpers.iptables import Ruleset, parse
from lab_helpers.pocketkube.config import ClusterConfig
from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.proxy.options import NodeInfo
from lab_helpers.pocketkube.proxy.proxier import Proxier
from lab_helpers.pocketkube.proxy.rules import render_rules

DATA = Path(__file__).parent / "data"
NODE = NodeInfo("proxy-m02", "192.168.49.3")


def recorded() -> list[Obj]:
    objects: list[Obj] = json.loads(DATA.joinpath("many.objects.json").read_text())
    for number, obj in enumerate(objects):
        obj["metadata"] |= {"uid": str(number), "resourceVersion": "1"}
    return objects


def without_kubelet(ruleset: Ruleset) -> dict[tuple[str, str], list[str]]:
    """By chain, its rules; there was no kubelet on that node, which is the first to put rules in."""
    found = {}
    for name, table in comparable(ruleset).tables.items():
        for chain in table.chains.values():
            if not chain.name.startswith(("KUBE-KUBELET", "KUBE-IPTABLES-HINT")):
                rules = [str(rule) for rule in chain.rules]
                found[name, chain.name] = sorted(rules) if chain.policy else rules
    return found


def test_the_iptables_rules_are_upstream_s() -> None:
    objects = recorded()
    kinds = [[obj for obj in objects if obj["kind"] == kind] for kind in ("Service", "EndpointSlice")]
    ours = applied(render_rules(*kinds, NODE))
    upstream = parse(DATA.joinpath("many.iptables-save.txt").read_text())
    assert without_kubelet(ours) == without_kubelet(upstream)


def blocks(listed: str) -> dict[str, list[str]]:
    """The chains, sets and maps of a table; elements have no order."""
    found: dict[str, list[str]] = {}
    for match in re.finditer(r"^\t(\S+ \S+) \{\n(.*?)^\t\}", listed, re.MULTILINE | re.DOTALL):
        head, _, elements = match[2].partition("elements = {")
        found[match[1]] = head.split("\n") + sorted(element.strip() for element in elements.rstrip("} \n\t").split(","))
    return found


@pytest.mark.kernel
@pytest.mark.usefixtures("administrators_path")
@pytest.mark.parametrize("at_once", [True, False])
def test_the_nftables_table_is_upstream_s(at_once: bool) -> None:
    async def scenario() -> str:
        api, objects = WatchedApi(), recorded()
        with namespace_engine() as engine:
            proxier = Proxier(api, engine, NODE.name, NODE.ip, ClusterConfig("t", Path("/"), proxy_mode="nftables"))
            if at_once:
                for obj in objects:
                    api.put(obj)
            task = asyncio.create_task(proxier.run())
            await asyncio.wait_for(proxier.synced.wait(), 10)
            if not at_once:
                for obj in objects:
                    api.put(obj)
                async with asyncio.timeout(10):
                    while "s25" not in await engine.command("", ["nft", "list", "table", "ip", "kube-proxy"]):
                        pass
                await proxier.sync_rules()
            await proxier.check_rules()
            assert not proxier._full, "what was written is found again"
            listed = await engine.command("", ["nft", "list", "table", "ip", "kube-proxy"])
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return listed

    ours = blocks(asyncio.run(scenario()))
    upstream = blocks(DATA.joinpath("many.nft.txt").read_text())
    assert ours == upstream
    fixed = [[name for name in listed if "/" not in name] for listed in (ours, upstream)]
    assert fixed[0] == fixed[1], "in upstream's order"
