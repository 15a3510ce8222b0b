"""All rules of a node as one `iptables-restore` text.

`RuleBook` keeps the rules of every Service port and writes either everything (a full sync) or what changed of those
Services that changed (a partial sync): chains that a text does not name stay as they are in the kernel. Upstream
writes the chains that all Services share anew each time; here single rules are put in and taken out, so that a change
among a thousand Services is as quick as one among three, and counters go on counting.
When to write, and to whom, is left to `proxier`.
Models syncProxyRules in pkg/proxy/iptables/proxier.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ...iptables import Rule
from ...iptables.renderer import render_rule
from ..objects import Obj, key_of
from . import base_rules as base
from .options import NodeInfo, ProxyOptions
from .restore_text import TableText
from .service_ports import Ports, count_endpoints, ports_with_endpoints, service_key_of
from .service_rules import MARK_MASQ, SERVICES, service_rules

_TABLES = ("filter", "nat")


@dataclass(frozen=True)
class _Written:
    """The rules of one Service as text, made once and used until the Service or its endpoints change."""

    entries: dict[str, tuple[str, ...]]
    """By table, the rules in shared chains: `CHAIN RULE`."""
    chains: tuple[str, ...]
    lines: tuple[str, ...]
    large: bool

    def new_entries(self, table: str, before: _Written) -> Iterator[str]:
        """Those that were not there before."""
        known = set(before.entries[table])
        return (entry for entry in self.entries[table] if entry not in known)


_NOTHING = _Written(dict.fromkeys(_TABLES, ()), (), (), False)


def _write(ports: Ports, node: NodeInfo, options: ProxyOptions, large: bool) -> _Written:
    entries: dict[str, list[str]] = {table: [] for table in _TABLES}
    chains: list[str] = []
    lines: list[str] = []
    for port, endpoints in ports:
        rules = service_rules(port, endpoints, node, options, large=large)
        for entry in rules.entries:
            entries[entry.table].append(f"{entry.chain}{render_rule(entry.rule)}")
        for chain, chain_rules in rules.chains.items():
            chains.append(chain)
            lines += _lines(chain, chain_rules)
    return _Written({table: tuple(entries[table]) for table in _TABLES}, tuple(chains), tuple(lines), large)


def _lines(chain: str, rules: Iterable[Rule]) -> Iterator[str]:
    return (f"-A {chain}{render_rule(rule)}" for rule in rules)


class RuleBook:
    """The rules of all Services on one node, and which of them the kernel has not seen yet."""

    def __init__(self, node: NodeInfo, options: ProxyOptions) -> None:
        self.node = node
        self.options = options
        self.total_endpoints = 0
        self.changed: set[str] = set()
        """Keys (`namespace/name`) of the Services that changed since a text was written."""
        self._ports: dict[str, Ports] = {}
        self._written: dict[str, _Written] = {}
        """As the kernel has it, if it took the last text."""

    def set_service(self, key: str, ports: Ports) -> bool:
        """Replaces what is known of a Service; False if nothing about its rules changed."""
        before = self._ports.get(key, ())
        if ports == before:
            return False
        self.total_endpoints += count_endpoints(ports) - count_endpoints(before)
        if ports:
            self._ports[key] = ports
        else:
            del self._ports[key]
        self.changed.add(key)
        return True

    def set_node(self, node: NodeInfo) -> None:
        """Takes note that the node is another place in the network's topology now."""
        self.node = node
        self.changed.update(self._ports)

    def full_text(self, *, jumps: Sequence[base.Jump] = base.JUMPS, present: Iterable[str] = ()) -> str:
        """Everything, with the given jumps put in; of the Services' chains that are present, the others deleted."""
        for key in self._written.keys() | self.changed:
            written = self._written.get(key)
            if key in self.changed or written is None or written.large != self._large:
                self._rewrite(key)
        self.changed.clear()
        return "\n".join([*self._full_lines(jumps, present), ""])

    def partial_text(self) -> str:
        """What the Services that changed need, and no longer need."""
        pairs = []
        for key in sorted(self.changed):
            before = self._written.get(key, _NOTHING)
            self._rewrite(key)
            pairs.append((before, self._written.get(key, _NOTHING)))
        self.changed.clear()
        return "\n".join([*self._partial_lines(pairs), ""])

    @property
    def _large(self) -> bool:
        return self.total_endpoints > self.options.large_cluster_endpoints

    def _rewrite(self, key: str) -> None:
        if key in self._ports:
            self._written[key] = _write(self._ports[key], self.node, self.options, self._large)
        else:
            self._written.pop(key, None)

    def _full_lines(self, jumps: Sequence[base.Jump], present: Iterable[str]) -> Iterator[str]:
        everything = [self._written[key] for key in sorted(self._written)]
        mangle = TableText("mangle")
        mangle.add(base.BASE_CHAINS["mangle"], ())
        yield from mangle.lines()
        text = TableText("filter")
        text.add(base.SHARED_CHAINS["filter"] + base.BASE_CHAINS["filter"], _insertions("filter", jumps))
        for written in everything:
            text.add((), _additions(written.entries["filter"]))
        text.add((), _lines(base.FIREWALL, base.firewall_rules(self.options)))
        text.add((), _lines(base.FORWARD, base.forward_rules(self.options)))
        yield from text.lines()
        text = TableText("nat")
        text.add(base.SHARED_CHAINS["nat"] + base.BASE_CHAINS["nat"], _insertions("nat", jumps))
        text.add((), _lines(base.POSTROUTING, base.postrouting_rules(self.options)))
        text.add((), _lines(MARK_MASQ, base.mark_masq_rules(self.options)))
        for written in everything:
            text.add(written.chains, written.lines)
        for written in everything:
            text.add((), _additions(written.entries["nat"]))
        text.add((), _lines(SERVICES, base.node_port_rules(self.options, self.node)))
        _delete(text, set(present) - {chain for written in everything for chain in written.chains})
        yield from text.lines()

    @staticmethod
    def _partial_lines(pairs: Sequence[tuple[_Written, _Written]]) -> Iterator[str]:
        for table in _TABLES:
            text = TableText(table)
            if table == "nat":
                for _, now in pairs:
                    text.add(now.chains, now.lines)
            for before, now in pairs:
                # At the top, since the last rule of KUBE-SERVICES has to stay the last.
                text.add((), (f"-I {entry}" for entry in now.new_entries(table, before)))
                text.add((), (f"-D {entry}" for entry in before.new_entries(table, now)))
            if table == "nat":
                _delete(text, {chain for before, now in pairs for chain in set(before.chains) - set(now.chains)})
            yield from text.lines()


def render_rules(
    services: Iterable[Obj], slices: Iterable[Obj], node: NodeInfo, options: ProxyOptions | None = None
) -> str:
    """The whole `iptables-restore` text of a fresh node, from plain objects."""
    by_service: dict[str, list[Obj]] = {}
    for item in slices:
        key = service_key_of(item)
        if key:
            by_service.setdefault(key, []).append(item)
    book = RuleBook(node, options or ProxyOptions())
    for service in services:
        key = key_of(service)
        book.set_service(key, ports_with_endpoints(service, by_service.get(key, ()), node))
    return book.full_text()


def _additions(entries: Iterable[str]) -> Iterator[str]:
    return (f"-A {entry}" for entry in entries)


def _insertions(table: str, jumps: Sequence[base.Jump]) -> Iterator[str]:
    return (f"-I {jump.chain}{render_rule(jump.rule)}" for jump in jumps if jump.table == table)


def _delete(text: TableText, chains: set[str]) -> None:
    """Deletes chains that no rule leads to any more; emptied first, since they lead to each other."""
    text.add(sorted(chains), (f"-X {chain}" for chain in sorted(chains)))
