"""What `iptables -L` prints: chains as tables for people, for machines whose rules are not in a kernel.

Reproduces the columns of iptables 1.8 with `-n`; extensions that are not known here are shown with their options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .canonical import xmark
from .model import Chain, Condition, Match, Rule, Table

_ANYWHERE = "0.0.0.0/0"


def listing(table: Table, chain: str = "", *, counters: bool = False, numbers: bool = False) -> str:
    """All chains of a table, or one; empty if there is none of that name."""
    chosen = [found for found in table.chains.values() if chain in ("", found.name)]
    return "\n".join(_chain(found, table, counters=counters, numbers=numbers) for found in chosen)


def _chain(chain: Chain, table: Table, *, counters: bool, numbers: bool) -> str:
    if chain.built_in:
        totals = f" {chain.counters.packets} packets, {chain.counters.bytes} bytes" if counters else ""
        head = f"Chain {chain.name} (policy {chain.policy}{totals})"
    else:
        jumps = sum(rule.jump == chain.name for other in table.chains.values() for rule in other.rules)
        head = f"Chain {chain.name} ({jumps} references)"
    columns = "target     prot opt source               destination"
    if counters:
        columns = " pkts bytes target     prot opt in     out     source               destination"
    rows = [_row(rule, counters=counters) for rule in chain.rules]
    if numbers:
        columns = f"num  {columns}"
        rows = [f"{number:<4} {row}" for number, row in enumerate(rows, start=1)]
    return "\n".join([head, columns, *rows]) + "\n"


def _row(rule: Rule, *, counters: bool) -> str:
    row = f"{rule.jump:<9} {_condition(rule.protocol, 'all')[1]:<5}-- "
    if counters:
        counted = rule.counters
        packets, octets = (counted.packets, counted.bytes) if counted else (0, 0)
        into, out = (_condition(side, "*")[1] for side in (rule.in_interface, rule.out_interface))
        row = f"{packets:5} {octets:5} {row}{into:<6} {out:<6} "
    for side in (rule.source, rule.destination):
        sign, text = _condition(side, _ANYWHERE)
        row += f"{sign}{text.removesuffix('/32'):<19} "
    return (row + "".join(f" {text}" for text in _details(rule))).rstrip()


def _condition(condition: Condition | None, default: str) -> tuple[str, str]:
    if condition is None:
        return " ", default
    return ("!" if condition.negated else " "), condition.value


def _details(rule: Rule) -> Iterable[str]:
    for match in rule.matches:
        describe = _MATCHES.get(match.name, _unknown)
        if text := describe(match):
            yield text
    target = rule.target
    if target is None or not target.options:
        return
    if target.name == "DNAT":
        yield f"to:{target.value('--to-destination')}"
    elif target.name == "MARK":
        value, mask = xmark(target)
        yield f"MARK xset {value:#x}/{mask:#x}" if value != mask else f"MARK or {value:#x}"
    elif target.name == "REJECT":
        yield f"reject-with {target.value('--reject-with')}"
    else:
        yield " ".join(" ".join((option.name.lstrip("-"), *option.values)) for option in target.options)


def _ports(match: Match) -> str:
    parts = [match.name]
    for name, shown in (("--sport", "spt"), ("--dport", "dpt")):
        option = match.option(name)
        if option is not None:
            parts.append(f"{shown}:{'!' if option.negated else ''}{' '.join(option.values)}")
    return " ".join(parts) if len(parts) > 1 else ""


def _mark(match: Match) -> str:
    option = match.option("--mark")
    return f"mark match {'!' if option and option.negated else ''}{match.value('--mark')}"


def _unknown(match: Match) -> str:
    options = (" ".join((option.name.lstrip("-"), *option.values)) for option in match.options)
    return " ".join((match.name, *options))


_MATCHES: dict[str, Callable[[Match], str]] = {
    "comment": lambda match: f"/* {match.value('--comment')} */",
    "tcp": _ports,
    "udp": _ports,
    "sctp": _ports,
    "mark": _mark,
    "statistic": lambda match: f"statistic mode {match.value('--mode')} probability {match.value('--probability')}",
    "conntrack": lambda match: f"ctstate {match.value('--ctstate')}",
    "addrtype": lambda match: f"ADDRTYPE match dst-type {match.value('--dst-type')}",
}
