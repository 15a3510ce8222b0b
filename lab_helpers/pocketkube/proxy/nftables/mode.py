"""Services in the table `ip kube-proxy`: one `nft -f` for each change, with only what changed.

Models syncProxyRules in pkg/proxy/nftables/proxier.go (v1.36): chains that are not needed any more are emptied at
once and deleted a while later, since older kernels hold on to them for a moment.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator

from ...clock import Clock
from ...network.engine import Engine, EngineError
from ..options import NodeInfo, ProxyOptions
from ..service_ports import Ports
from .base_table import FILLED, base_commands, kind_of
from .listing import Counts, counts, names
from .naming import AFFINITY, is_service_chain
from .service_table import Place, ServiceTable, service_table
from .transaction import TABLE, Transactions, add_chain

log = logging.getLogger(__name__)

NFT = "nft"
STALE_FOR = 1.0
"""Seconds that an emptied chain stays."""

_ADD_RULE = f"add rule {TABLE} "
_NOT_THERE = "No such file or directory"


class NftablesMode:
    """The nftables table of one node."""

    name = "nftables"

    def __init__(
        self, engine: Engine, node: NodeInfo, options: ProxyOptions, service_cidr: str, clock: Clock | None = None
    ) -> None:
        self._engine = engine
        self._node = node
        self._options = options
        self._service_cidr = service_cidr
        self._clock = clock or Clock()
        self._ports: dict[str, Ports] = {}
        self._changed: set[str] = set()
        self._tables: dict[str, ServiceTable] = {}
        """By Service, as the kernel has it, if it took the last text."""
        self._owners: dict[Place, dict[str, str]] = {}
        """For each element the Services that want it: two may share a Pod, or an address."""
        self._in_kernel: dict[Place, str] = {}
        self._affinity: dict[str, int] = {}
        self._stale: dict[str, float] = {}
        self._base_rules: Counts = {}

    @property
    def changed(self) -> bool:
        """True if there is something that the kernel has not seen yet."""
        return bool(self._changed)

    def set_service(self, key: str, ports: Ports) -> None:
        """Takes note of what a Service is now."""
        self._ports.pop(key, None)
        if ports:
            self._ports[key] = ports
        self._changed.add(key)

    def set_node(self, node: NodeInfo) -> None:
        """Takes note that the node is another place in the network's topology now."""
        self._node = node
        self._changed.update(self._ports)

    async def write(self, *, full: bool) -> None:
        """One `nft -f`, or as many as the kernel wants. Raises EngineError."""
        if not full:
            await self._delete_stale_chains()
        present = await self._list() if full else ""
        texts = self._full(present) if full else self._partial()
        for text in texts:
            await self._run(text)

    async def missing(self) -> list[str]:
        """What is not as it was written. Raises EngineError."""
        await self._delete_stale_chains()
        found = counts(await self._list())
        return [name for name, count in self._expected().items() if found.get(name) != count]

    # --- texts ---

    def _full(self, present: str) -> list[str]:
        self._rewrite(self._changed)
        self._in_kernel.clear()
        self._stale.clear()
        tables = [self._tables[key] for key in sorted(self._tables)]
        transactions = Transactions()
        base = list(base_commands(self._options, self._node, self._service_cidr))
        self._base_rules = _rules_by_chain(base)
        transactions.add(base)
        known_sets = {name for name in names(present, "set") if name.startswith(AFFINITY)}
        self._affinity = {name: seconds for name, seconds in self._affinity.items() if name in known_sets}
        for table in tables:
            transactions.add(self._chains(table, known_sets))
        transactions.add(self._element_changes([*self._owners]))
        wanted = {chain for table in tables for chain in table.chains}
        old = {chain for chain in names(present, "chain") if is_service_chain(chain)}
        transactions.add(self._empty(old - wanted))
        transactions.add(self._forget_sets(known_sets - {name for table in tables for name in table.affinity}))
        return transactions.texts()

    def _partial(self) -> list[str]:
        before = {key: self._tables.get(key, ServiceTable()) for key in self._changed}
        changed = sorted(self._changed)
        places = self._rewrite(self._changed)
        transactions = Transactions()
        for key in changed:
            if key in self._tables:
                transactions.add(self._chains(self._tables[key], set()))
        transactions.add(self._element_changes(places))
        for key in changed:
            now = self._tables.get(key, ServiceTable())
            transactions.add(self._empty(before[key].chains.keys() - now.chains.keys()))
            transactions.add(self._forget_sets(before[key].affinity.keys() - now.affinity.keys()))
        return transactions.texts()

    def _rewrite(self, keys: set[str]) -> list[Place]:
        """Brings the tables of Services up to date; returns the elements that may have changed."""
        places: dict[Place, None] = {}
        for key in sorted(keys):
            for place in self._tables.pop(key, ServiceTable()).elements:
                places[place] = None
                self._owners[place].pop(key, None)
                if not self._owners[place]:
                    del self._owners[place]
            if key not in self._ports:
                continue
            table = self._tables[key] = service_table(self._ports[key], self._node, self._options)
            for place, value in table.elements.items():
                places[place] = None
                self._owners.setdefault(place, {})[key] = value
        keys.clear()
        return [*places]

    def _chains(self, table: ServiceTable, known_sets: set[str]) -> Iterator[str]:
        for chain in table.chains:
            self._stale.pop(chain, None)
            yield from add_chain(chain)
        for name, seconds in table.affinity.items():
            known = self._affinity.get(name, 0 if name in known_sets else seconds)
            if known != seconds:
                yield f"delete set {TABLE} {name}"
            self._affinity[name] = seconds
            yield f"add set {TABLE} {name} {{ type ipv4_addr ; flags dynamic,timeout ; timeout {seconds}s ; }}"
        for rules in table.chains.values():
            yield from rules

    def _element_changes(self, places: Iterable[Place]) -> Iterator[str]:
        for place in places:
            name, key = place
            owners = self._owners.get(place)
            wanted = owners[min(owners)] if owners else None
            known = self._in_kernel.pop(place, None)
            if wanted is not None:
                self._in_kernel[place] = wanted
            if wanted == known:
                continue
            if known is not None:
                yield f"delete element {TABLE} {name} {{ {key} }}"
            if wanted is not None:
                yield f"add element {TABLE} {name} {{ {key}{wanted} }}"

    def _empty(self, chains: Iterable[str]) -> Iterator[str]:
        for chain in sorted(chains):
            self._stale[chain] = self._clock.monotonic()
            yield f"flush chain {TABLE} {chain}"

    def _forget_sets(self, affinity_sets: Iterable[str]) -> Iterator[str]:
        for name in sorted(affinity_sets):
            self._affinity.pop(name, None)
            yield f"delete set {TABLE} {name}"

    # --- the kernel ---

    async def _run(self, text: str) -> None:
        await self._engine.command(self._node.name, [NFT, "-f", "-"], input=text)
        log.info("%s: wrote %d bytes", self._node.name, len(text))

    async def _list(self) -> str:
        """What there is of the table; nothing if it is not there."""
        try:
            return await self._engine.command(self._node.name, [NFT, "list", "table", *TABLE.split()])
        except EngineError as error:
            if _NOT_THERE in str(error):
                return ""
            raise

    async def _delete_stale_chains(self) -> None:
        old = self._clock.monotonic() - STALE_FOR
        chains = sorted(chain for chain, since in self._stale.items() if since <= old)
        if not chains:
            return
        try:
            await self._run("".join(f"delete chain {TABLE} {chain}\n" for chain in chains))
        except EngineError as error:
            log.info("%s: unused chains will be deleted later: %s", self._node.name, error)
            return
        for chain in chains:
            del self._stale[chain]

    def _expected(self) -> Counts:
        expected = dict(self._base_rules)
        for table in self._tables.values():
            expected |= {f"chain {chain}": len(rules) for chain, rules in table.chains.items()}
        expected |= {f"{kind_of(name)} {name}": 0 for name in FILLED}
        for name, _ in self._in_kernel:
            expected[f"{kind_of(name)} {name}"] += 1
        return expected


def _rules_by_chain(commands: Iterable[str]) -> Counts:
    """How many rules each chain has after these commands."""
    chains = (command.removeprefix(_ADD_RULE).partition(" ")[0] for command in commands if _ADD_RULE in command)
    return Counter(f"chain {chain}" for chain in chains)
