"""All rules of a node as one `iptables-restore` text.

`RuleBook` keeps the rules of every Service port and writes either everything (a full sync) or the shared chains and
only those Services that changed (a partial sync): chains that a text does not name stay as they are in the kernel.
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
from .service_ports import Ports, count_endpoints, ports_with_endpoints, service_key_of
from .service_rules import MARK_MASQ, SERVICES, ServiceRules, service_rules


@dataclass(frozen=True)
class _Written:
    """The rules of one Service port as text, made once and used until the port or its endpoints change."""

    rules: ServiceRules
    filter_entries: tuple[str, ...]
    nat_entries: tuple[str, ...]
    chain_lines: tuple[str, ...]
    rule_lines: tuple[str, ...]


def _write(rules: ServiceRules) -> _Written:
    def entries(table: str) -> tuple[str, ...]:
        return tuple(_line(entry.chain, entry.rule) for entry in rules.entries if entry.table == table)

    lines = tuple(_line(chain, rule) for chain, chain_rules in rules.chains.items() for rule in chain_rules)
    return _Written(rules, entries("filter"), entries("nat"), tuple(map(_chain_line, rules.chains)), lines)


def _line(chain: str, rule: Rule) -> str:
    return f"-A {chain}{render_rule(rule)}"


def _lines(chain: str, rules: Iterable[Rule]) -> Iterator[str]:
    return (_line(chain, rule) for rule in rules)


def _chain_line(chain: str) -> str:
    return f":{chain} - [0:0]"


class RuleBook:
    """The rules of all Services on one node, and which of them the kernel has not seen yet."""

    def __init__(self, node: NodeInfo, options: ProxyOptions) -> None:
        self.node = node
        self.options = options
        self.total_endpoints = 0
        self.changed: set[str] = set()
        """Keys (`namespace/name`) of the Services that changed; emptied by whoever has their rules written."""
        self._ports: dict[str, Ports] = {}
        self._written: dict[str, list[_Written]] = {}

    def ports(self, key: str) -> Ports:
        """The ports of a Service as they were last set."""
        return self._ports.get(key, ())

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
        self._written.pop(key, None)
        self.changed.add(key)
        return True

    def chains(self) -> set[str]:
        """The chains of Services and endpoints that the kernel should have."""
        return {chain for written in self._all() for w in written for chain in w.rules.chains}

    def full_text(self, *, jumps: Sequence[base.Jump] = base.JUMPS, stale: Iterable[str] = ()) -> str:
        """Everything, with the given jumps put in and stale chains deleted."""
        return "\n".join(self._text_lines(None, jumps, sorted(stale)))

    def partial_text(self, changed: set[str], *, stale: Iterable[str] = ()) -> str:
        """The shared chains, the chains of the changed Services, and stale chains deleted."""
        return "\n".join(self._text_lines(changed, (), sorted(stale)))

    @property
    def _large(self) -> bool:
        return self.total_endpoints > self.options.large_cluster_endpoints

    def _all(self) -> list[list[_Written]]:
        return [self._written_for(key) for key in sorted(self._ports)]

    def _written_for(self, key: str) -> list[_Written]:
        found = self._written.get(key)
        if found is None:
            found = [
                _write(service_rules(port, endpoints, self.node, self.options, large=self._large))
                for port, endpoints in self._ports[key]
            ]
            self._written[key] = found
        return found

    def _text_lines(self, only: set[str] | None, jumps: Sequence[base.Jump], stale: Sequence[str]) -> Iterator[str]:
        everything = [written for service in self._all() for written in service]
        if only is None:
            own = everything
            yield from _table("mangle", base.BASE_CHAINS["mangle"])
        else:
            own = [written for key in sorted(only) if key in self._ports for written in self._written_for(key)]
        full = only is None
        yield from self._filter(everything, jumps, full)
        yield from self._nat(everything, own, jumps, stale, full)
        yield ""

    def _filter(self, everything: Sequence[_Written], jumps: Sequence[base.Jump], full: bool) -> Iterator[str]:
        yield "*filter"
        yield from map(_chain_line, base.SHARED_CHAINS["filter"] + (base.BASE_CHAINS["filter"] if full else ()))
        yield from _insertions("filter", jumps)
        for written in everything:
            yield from written.filter_entries
        yield from _lines(base.FIREWALL, base.firewall_rules(self.options))
        yield from _lines(base.FORWARD, base.forward_rules(self.options))
        yield "COMMIT"

    def _nat(
        self,
        everything: Sequence[_Written],
        own: Sequence[_Written],
        jumps: Sequence[base.Jump],
        stale: Sequence[str],
        full: bool,
    ) -> Iterator[str]:
        yield "*nat"
        yield from map(_chain_line, base.SHARED_CHAINS["nat"] + (base.BASE_CHAINS["nat"] if full else ()))
        for written in own:
            yield from written.chain_lines
        yield from map(_chain_line, stale)
        yield from _insertions("nat", jumps)
        yield from _lines(base.POSTROUTING, base.postrouting_rules(self.options))
        yield from _lines(MARK_MASQ, base.mark_masq_rules(self.options))
        for written in everything:
            yield from written.nat_entries
        for written in own:
            yield from written.rule_lines
        yield from _lines(SERVICES, base.node_port_rules(self.options, self.node))
        for chain in stale:
            yield f"-X {chain}"
        yield "COMMIT"


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


def _table(name: str, chains: Sequence[str]) -> Iterator[str]:
    yield f"*{name}"
    yield from map(_chain_line, chains)
    yield "COMMIT"


def _insertions(table: str, jumps: Sequence[base.Jump]) -> Iterator[str]:
    for jump in jumps:
        if jump.table == table:
            yield f"-I {jump.chain}{render_rule(jump.rule)}"
