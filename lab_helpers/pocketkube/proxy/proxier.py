"""kube-proxy on one node: watches Services and EndpointSlices and keeps the node's kernel in step.

Changes are gathered for a few milliseconds and written at once. Every `SYNC_PERIOD` it looks whether somebody took
its rules away, and writes everything again. What is written is left to a `ProxyMode`.

Models Proxier in pkg/proxy/iptables/proxier.go and pkg/proxy/nftables/proxier.go (v1.36), with two differences on
purpose: a change need not wait for a second to be over, and a rule that is missing is noticed within the period.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace

from ..client import Client, EventType
from ..clock import Clock
from ..config import ClusterConfig
from ..informer import SharedInformers
from ..network.engine import Engine, EngineError
from ..objects import Obj, is_deleting, key_of, labels_of, name_of
from ..resources.taints import taints_of
from .conntrack import stale_flows, udp_endpoints_changed
from .figures import ProxyFigures
from .health import ProxyHealth
from .iptables_mode import IptablesMode
from .mode import ProxyMode
from .nftables.mode import NftablesMode
from .options import NodeInfo, ProxyOptions
from .service_health import ServiceHealthServers
from .service_ports import Ports, ports_with_endpoints, service_key_of

log = logging.getLogger(__name__)

SYNC_PERIOD = 30.0
_GATHER = 0.003
_FIRST_RETRY = 0.1
_MOST_NAMED = 5
_ZONE = "topology.kubernetes.io/zone"
_TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"


class Proxier:
    """Keeps one node in step with the cluster."""

    def __init__(
        self,
        client: Client,
        engine: Engine,
        node_name: str,
        node_ip: str,
        config: ClusterConfig,
        clock: Clock | None = None,
        *,
        informers: SharedInformers | None = None,
        options: ProxyOptions | None = None,
        health_servers: ServiceHealthServers | None = None,
    ) -> None:
        """With `informers` of its own the caller runs them, and several nodes can share one copy of the cluster.

        `health_servers` answer on the health check node ports of Services; without them nobody does.
        """
        self.synced = asyncio.Event()
        """Set once the kernel has everything for the first time."""
        self.node = node_name
        self.config = config
        self.figures = ProxyFigures(config.proxy_mode)
        self._engine = engine
        self._clock = clock or Clock()
        self.health = ProxyHealth(self._clock)
        self._health_servers = health_servers
        if health_servers is not None:
            health_servers.proxy_health = self.health
        self._own_informers = informers is None
        self._informers = informers or SharedInformers(client, self._clock)
        self._nodes = self._informers.get("nodes")
        self._services = self._informers.get("services")
        self._slices = self._informers.get("endpointslices.discovery.k8s.io")
        self._services.add_handler(self._on_service)
        self._slices.add_handler(self._on_slice)
        self._slices_of: dict[str, dict[str, Obj]] = {}
        self._ports: dict[str, Ports] = {}
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        if options is None:
            options = ProxyOptions(cluster_cidr=config.pod_cidr, nfacct_counters=engine.nfacct)
        self._node_info = NodeInfo(node_name, node_ip)
        self.mode = _mode(config, engine, self._node_info, options, self._clock)
        self._nodes.add_handler(self._on_node)
        self._full = True
        self._forget_flows = False
        self._verified: int | None = None
        """The generation of the kernel's rules in which nothing was missing."""
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self._own_informers:
                group.create_task(self._informers.run(), name="kube-proxy informers")
            group.create_task(self._sync_loop(), name="kube-proxy sync")
            group.create_task(self._check_loop(), name="kube-proxy check")

    async def sync_rules(self) -> None:
        """Brings the kernel up to date. Raises EngineError if it refuses; everything is written next time then."""
        async with self._lock:
            self._take_changes()
            if self._full or self.mode.changed:
                full, self._full = self._full, True
                began = time.perf_counter()
                await self.mode.write(full=full)
                self.figures.synced(time.perf_counter() - began, self._clock.now(), full=full)
                self._full = False
            self.health.updated()
            if self._health_servers is not None:
                await self._health_servers.sync(self._ports)
            await self._clean_conntrack()

    def node_eligible(self) -> bool:
        """False if this node is about to be removed, so that load balancers shall not use it any more."""
        node = self._nodes.get(self.node)
        return node is not None and not is_deleting(node) and _TO_BE_DELETED not in {t["key"] for t in taints_of(node)}

    async def check_rules(self) -> None:
        """Asks for everything to be written anew if the kernel does not have what was written."""
        async with self._lock:
            generation = await self._engine.generation(self.node)
            if generation is not None and generation == self._verified:
                return
            missing = await self.mode.missing()
            self._verified = None if missing else generation
        if missing:
            chains = ", ".join(missing[:_MOST_NAMED]) + (", ..." if missing[_MOST_NAMED:] else "")
            log.warning("%s: somebody else changed the rules of %s: writing them all again", self.node, chains)
            self._full = True
            self._wake.set()

    def _on_service(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        service = new or old
        assert service is not None
        self.figures.service_changes.count()
        self._mark(key_of(service))

    def _on_node(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is None or name_of(new) != self.node:
            return
        zone = labels_of(new).get(_ZONE, "")
        if zone != self._node_info.zone:
            self._node_info = replace(self._node_info, zone=zone)
            self.mode.set_node(self._node_info)
            self.health.queued()
            self._wake.set()

    def _on_slice(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        self.figures.endpoint_changes.count()
        for endpoint_slice in (old, new):
            key = service_key_of(endpoint_slice) if endpoint_slice is not None else ""
            if not key or endpoint_slice is None:
                continue
            known = self._slices_of.setdefault(key, {})
            known.pop(key_of(endpoint_slice), None)
            if endpoint_slice is new:
                known[key_of(endpoint_slice)] = endpoint_slice
            if not known:
                del self._slices_of[key]
            self._mark(key)

    def _mark(self, key: str) -> None:
        self._dirty.add(key)
        self.health.queued()
        self._wake.set()

    def _take_changes(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for key in dirty:
            slices = self._slices_of.get(key, {})
            in_order = [slices[name] for name in sorted(slices)]
            ports = ports_with_endpoints(self._services.get(key), in_order, self._node_info)
            before = self._ports.pop(key, ())
            if ports:
                self._ports[key] = ports
            if ports != before:
                self.mode.set_service(key, ports)
                self._forget_flows = self._forget_flows or udp_endpoints_changed(before, ports)

    async def _clean_conntrack(self) -> None:
        if not self._forget_flows:
            return
        self._forget_flows = False
        try:
            stale = stale_flows(await self._engine.udp_flows(self.node), self._ports.values())
            if stale:
                await self._engine.forget_flows(self.node, stale)
        except EngineError as error:
            log.warning("%s: stale UDP connections may be left: %s", self.node, error)

    async def _sync_loop(self) -> None:
        await self._services.synced.wait()
        await self._slices.synced.wait()
        pause = _FIRST_RETRY
        while True:
            self._wake.clear()
            try:
                await self.sync_rules()
            except EngineError as error:
                self.figures.failed()
                log.error("%s: the rules could not be written, trying again in %.1f s: %s", self.node, pause, error)
                await self._clock.sleep(pause)
                pause = min(pause * 2, SYNC_PERIOD)
                continue
            pause = _FIRST_RETRY
            self.synced.set()
            await self._wake.wait()
            await self._clock.sleep(_GATHER)

    async def _check_loop(self) -> None:
        await self.synced.wait()
        while True:
            await self._clock.sleep(SYNC_PERIOD)
            try:
                await self.check_rules()
            except EngineError as error:
                log.warning("%s: the rules could not be read: %s", self.node, error)


def _mode(config: ClusterConfig, engine: Engine, node: NodeInfo, options: ProxyOptions, clock: Clock) -> ProxyMode:
    if config.proxy_mode == "nftables":
        return NftablesMode(engine, node, options, config.service_cidr, clock)
    return IptablesMode(engine, node, options)
