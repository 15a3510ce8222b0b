"""kube-proxy on one node: watches Services and EndpointSlices and keeps the node's rules in step.

Changes are gathered for a few milliseconds and written in one `iptables-restore`: everything at first and after a
failure (a full sync), else the shared chains and those of the Services that changed (a partial sync). Every
`SYNC_PERIOD` it looks whether somebody flushed its chains or took rules out of them, and writes everything again.
What the rules are is left to `rules`, how they get into the kernel to the engine.

Models Proxier in pkg/proxy/iptables/proxier.go (v1.36), with two differences on purpose: a change need not wait for a
second to be over, and a rule that is missing is noticed within the period, not only a chain.
"""

from __future__ import annotations

import asyncio
import logging
import time

from ...iptables import parse
from ..client import Client, EventType
from ..clock import Clock
from ..config import ClusterConfig
from ..informer import SharedInformers
from ..metrics import Histogram
from ..network.engine import Engine, EngineError
from ..objects import Obj, key_of
from .base_rules import missing_jumps, service_chains
from .conntrack import stale_flows
from .drift import Expectation
from .options import NodeInfo, ProxyOptions
from .rules import RuleBook, ports_with_endpoints, service_key_of

log = logging.getLogger(__name__)

SYNC_PERIOD = 30.0
_GATHER = 0.003
_FIRST_RETRY = 0.1
_MOST_NAMED = 5
_DURATIONS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192)


class Proxier:
    """Keeps the rules of one node in step with the cluster."""

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
    ) -> None:
        """With `informers` of its own the caller runs them, and several nodes can share one copy of the cluster."""
        self.synced = asyncio.Event()
        """Set once the kernel has all rules for the first time."""
        self.node = node_name
        self.last_sync = 0.0
        """When the kernel was last found to have all rules, in seconds since the epoch."""
        self.sync_durations = Histogram(
            "kubeproxy_sync_proxy_rules_duration_seconds",
            "[ALPHA] SyncProxyRules latency in seconds",
            ("ip_family",),
            _DURATIONS,
        )
        self._engine = engine
        self._clock = clock or Clock()
        self._own_informers = informers is None
        self._informers = informers or SharedInformers(client, self._clock)
        self._services = self._informers.get("services")
        self._slices = self._informers.get("endpointslices.discovery.k8s.io")
        self._services.add_handler(self._on_service)
        self._slices.add_handler(self._on_slice)
        self._slices_of: dict[str, dict[str, Obj]] = {}
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        if options is None:
            options = ProxyOptions(cluster_cidr=config.pod_cidr, nfacct_counters=engine.nfacct)
        self._book = RuleBook(NodeInfo(node_name, node_ip), options)
        self._full = True
        self._in_kernel: set[str] = set()
        self._expectation = Expectation()
        self._lock = asyncio.Lock()
        self._forget: list[tuple[str, ...]] = []

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self._own_informers:
                group.create_task(self._informers.run(), name="kube-proxy informers")
            group.create_task(self._sync_loop(), name="kube-proxy sync")
            group.create_task(self._check_loop(), name="kube-proxy check")

    async def sync_rules(self) -> None:
        """Brings the kernel's rules up to date. Raises EngineError if it refuses; the next sync is full then."""
        async with self._lock:
            self._take_changes()
            if not (self._full or self._book.changed):
                return
            full, self._full = self._full, True
            began = time.perf_counter()
            await self._write_rules(full)
            self.sync_durations.observe(time.perf_counter() - began, "IPv4")
            self._full = False
            self.last_sync = self._clock.now()
            await self._forget_flows()

    async def check_rules(self) -> None:
        """Asks for a full sync if the kernel's rules are not those that were written."""
        async with self._lock:
            missing = self._expectation.missing(await self._engine.save(self.node))
        if missing:
            chains = ", ".join(key.chain for key in missing[:_MOST_NAMED]) + (", ..." if missing[_MOST_NAMED:] else "")
            log.warning("%s: somebody else changed the rules of %s: writing them all again", self.node, chains)
            self._full = True
            self._wake.set()

    def _on_service(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        service = new or old
        assert service is not None
        self._mark(key_of(service))

    def _on_slice(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
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
        self._wake.set()

    def _take_changes(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for key in dirty:
            slices = self._slices_of.get(key, {})
            in_order = [slices[name] for name in sorted(slices)]
            ports = ports_with_endpoints(self._services.get(key), in_order, self._book.node)
            before = self._book.ports(key)
            if self._book.set_service(key, ports):
                self._forget += stale_flows(before, ports)

    async def _write_rules(self, full: bool) -> None:
        changed, self._book.changed = self._book.changed, set()
        wanted = self._book.chains()
        if full:
            saved = parse(await self._engine.save(self.node))
            stale = service_chains(saved) - wanted
            text = self._book.full_text(jumps=missing_jumps(saved), stale=stale)
        else:
            stale = self._in_kernel - wanted
            text = self._book.partial_text(changed, stale=stale)
        await self._engine.restore(self.node, text)
        self._in_kernel = wanted
        self._expectation.written(text, full=full, deleted=stale)
        log.info("%s: wrote %s", self.node, "all rules" if full else "the rules of " + ", ".join(sorted(changed)))

    async def _forget_flows(self) -> None:
        commands, self._forget = self._forget, []
        for command in commands:
            try:
                await self._engine.command(self.node, command)
            except EngineError as error:
                # Also how the tool says that there was nothing to forget.
                log.debug("%s: %s", self.node, error)

    async def _sync_loop(self) -> None:
        await self._services.synced.wait()
        await self._slices.synced.wait()
        pause = _FIRST_RETRY
        while True:
            self._wake.clear()
            try:
                await self.sync_rules()
            except EngineError as error:
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
