"""What the tests of kube-proxy are made of: Services and slices, an API to watch, engines with and without a kernel."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from lab_helpers.errors import InvalidInput
from lab_helpers.iptables import Chain, Ruleset, Table, Tables, canonical
from lab_helpers.pocketkube.client import ObjList, WatchEvent
from lab_helpers.pocketkube.network.engine import EngineError
from lab_helpers.pocketkube.network.flows import Flow
from lab_helpers.pocketkube.objects import Obj, key_of
from lab_helpers.pocketkube.proxy.options import NFACCT_COUNTERS, NodeInfo

DATA = Path(__file__).parents[2] / "iptables" / "data"
NODE = NodeInfo("node", "192.168.49.2")


def service(name: str = "web", ip: str = "10.96.0.20", ports: Sequence[Obj] = ({"port": 80},), **spec: Any) -> Obj:
    status = spec.pop("status", {"loadBalancer": {}})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "1"},
        "spec": {"type": "ClusterIP", "clusterIP": ip, "ports": [{"protocol": "TCP", **p} for p in ports], **spec},
        "status": status,
    }


def endpoint(ip: str, node: str = "node", **conditions: bool) -> Obj:
    return {"addresses": [ip], "nodeName": node, "conditions": {"ready": True, **conditions}}


def endpoint_slice(
    endpoints: Sequence[Obj | str],
    service: str = "web",
    ports: Sequence[Obj] = ({"port": 8080},),
    suffix: str = "abcde",
) -> Obj:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service}-{suffix}",
            "namespace": "default",
            "uid": f"uid-{service}-{suffix}",
            "resourceVersion": "1",
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "ports": [{"name": "", "protocol": "TCP", **port} for port in ports],
        "endpoints": [endpoint(e) if isinstance(e, str) else e for e in endpoints],
    }


def applied(text: str) -> Ruleset:
    """What a node has after the text."""
    tables = Tables()
    tables.restore(text)
    return tables.ruleset


SHARED = ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL")


def comparable(ruleset: Ruleset) -> Ruleset:
    """Without a network plugin's chains, and with the Services in shared chains sorted: upstream's have no order."""
    tables = {}
    for table in canonical(ruleset).tables.values():
        chains = {}
        for chain in table.chains.values():
            if chain.name.startswith("CNI-"):
                continue
            rules = [rule for rule in chain.rules if not rule.jump.startswith("CNI-")]
            if chain.name in SHARED:
                last = rules[-1:] if chain.name == "KUBE-SERVICES" and table.name == "nat" else []
                rules = [*sorted(rules[: len(rules) - len(last)], key=str), *last]
            chains[chain.name] = Chain(chain.name, chain.policy, rules=tuple(rules))
        tables[table.name] = Table(table.name, chains)
    return Ruleset(tables)


def recorded_objects(name: str) -> tuple[list[Obj], list[Obj]]:
    """The Services and the EndpointSlices that a dump was made from."""
    items = json.loads(DATA.joinpath(f"{name}.objects.json").read_text())["items"]
    return [i for i in items if i["kind"] == "Service"], [i for i in items if i["kind"] == "EndpointSlice"]


_RESOURCES = {"Service": "services", "EndpointSlice": "endpointslices.discovery.k8s.io", "Node": "nodes"}


class WatchedApi:
    """A Client that lists and watches what a test puts into it."""

    def __init__(self) -> None:
        self._version = 1
        self._objects: dict[str, dict[str, Obj]] = {name: {} for name in _RESOURCES.values()}
        self._history: list[WatchEvent] = []
        self._watchers: dict[str, list[asyncio.Queue[WatchEvent]]] = {resource: [] for resource in self._objects}

    def put(self, obj: Obj) -> None:
        self._version += 1
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._version)}}
        known = self._objects[self._resource(obj)]
        event = "MODIFIED" if key_of(obj) in known else "ADDED"
        known[key_of(obj)] = obj
        self._tell(obj, event)

    def delete(self, obj: Obj) -> None:
        self._version += 1
        gone = self._objects[self._resource(obj)].pop(key_of(obj))
        self._tell({**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self._version)}}, "DELETED")

    @staticmethod
    def _resource(obj: Obj) -> str:
        return _RESOURCES[obj["kind"]]

    def _tell(self, obj: Obj, event: Any) -> None:
        self._history.append(WatchEvent(event, obj))
        for queue in self._watchers[self._resource(obj)]:
            queue.put_nowait(WatchEvent(event, obj))

    async def list(self, resource: str, namespace: str | None = None, **selectors: str) -> ObjList:
        return ObjList(list(self._objects[resource].values()), str(self._version))

    async def watch(self, resource: str, namespace: str | None = None, **options: str) -> AsyncIterator[WatchEvent]:
        queue: asyncio.Queue[WatchEvent] = asyncio.Queue()
        for event in self._history:
            version = int(event.object["metadata"]["resourceVersion"])
            if self._resource(event.object) == resource and version > int(options["resource_version"]):
                queue.put_nowait(event)
        self._watchers[resource].append(queue)
        while True:
            yield await queue.get()


class MemoryEngine:
    """An engine whose node is kept in memory; it can be told to refuse."""

    simulated = True
    nfacct = NFACCT_COUNTERS

    def __init__(self) -> None:
        self.tables = Tables()
        self.texts: list[str] = []
        self.flows: list[Flow] = []
        self.refusals = 0

    async def restore(self, node: str, text: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise EngineError("iptables-restore: line 1 failed")
        try:
            self.tables.restore(text)
        except InvalidInput as error:
            raise EngineError(str(error)) from error
        self.texts.append(text)

    async def save(self, node: str, table: str = "", *, counters: bool = False) -> str:
        return self.tables.save(table, counters=counters)

    async def command(self, node: str, argv: Sequence[str], *, input: str = "") -> str:
        raise EngineError(f"there is no {argv[0]} here")

    async def generation(self, node: str) -> int | None:
        return None

    async def udp_flows(self, node: str) -> list[Flow]:
        return self.flows

    async def forget_flows(self, node: str, flows: Sequence[Flow]) -> None:
        self.flows = [flow for flow in self.flows if flow not in flows]


_HOLDER = """
import sys
from lab_helpers.pocketkube.network.netlink import Netlink
netlink = Netlink()
for name in sys.argv[1:]:
    netlink.add_accounting(name)
print("ready", flush=True)
sys.stdin.read()
"""


class NamespaceEngine:
    """An engine whose node is a fresh user and network namespace of the kernel."""

    simulated = False
    nfacct = NFACCT_COUNTERS

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._enter = ["nsenter", "-t", str(process.pid), "-U", "-n", "--preserve-credentials"]

    async def restore(self, node: str, text: str) -> None:
        await self.command(node, ["iptables-restore", "-w", "5", "--noflush", "--counters"], input=text)

    async def save(self, node: str, table: str = "", *, counters: bool = False) -> str:
        options = (["-t", table] if table else []) + (["-c"] if counters else [])
        return await self.command(node, ["iptables-save", *options])

    async def command(self, node: str, argv: Sequence[str], *, input: str = "") -> str:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*self._enter, *argv, stdin=pipe, stdout=pipe, stderr=pipe)
        out, err = await process.communicate(input.encode())
        if process.returncode:
            raise EngineError(err.decode())
        return out.decode()

    async def generation(self, node: str) -> int | None:
        return None

    async def udp_flows(self, node: str) -> list[Flow]:
        return []

    async def forget_flows(self, node: str, flows: Sequence[Flow]) -> None:
        raise AssertionError("nothing to forget")


@contextlib.contextmanager
def namespace_engine() -> Iterator[NamespaceEngine]:
    """A fresh namespace for as long as the block runs."""
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            ["unshare", "-Urn", sys.executable, "-c", _HOLDER, *sorted(NFACCT_COUNTERS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None and process.stdin is not None
        before = os.environ.get("XTABLES_LOCKFILE")
        os.environ["XTABLES_LOCKFILE"] = f"{folder}/lock"
        try:
            assert process.stdout.readline() == "ready\n"
            yield NamespaceEngine(process)
        finally:
            process.stdin.close()
            process.wait(10)
            if before is None:
                del os.environ["XTABLES_LOCKFILE"]
            else:
                os.environ["XTABLES_LOCKFILE"] = before
