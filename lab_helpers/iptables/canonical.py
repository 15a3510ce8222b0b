"""The one usual form of a rule: as the kernel gives it back to `iptables-save`, however it was typed.

`--or-mark 0x00004000` becomes `--set-xmark 0x4000/0x4000`, `-s 10.0.0.1` becomes `-s 10.0.0.1/32`, `--probability
0.3333333333` becomes 0.33333333349. Two rules do the same if their canonical forms are equal; so text that was written
for `iptables-restore` can be compared with a dump without a kernel.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import replace

from ..errors import InvalidInput
from .model import Chain, Condition, Match, Option, Rule, Ruleset, Table, Target
from .probability import as_kernel_prints, exact

_ALL_BITS = 0xFFFFFFFF
_STATES = ("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT")
_PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "ipv6-icmp", "132": "sctp"}
_ANY_PROTOCOL = frozenset({"all", "0"})
_RECENT_ORDER = ("--set", "--rcheck", "--update", "--remove", "--seconds", "--reap", "--hitcount", "--rttl", "--name")


def canonical(ruleset: Ruleset) -> Ruleset:
    """All rules in their usual form, user chains sorted by name, comment lines and counters left out."""
    tables = {}
    for table in ruleset.tables.values():
        built_in = [chain for chain in table.chains.values() if chain.built_in]
        made = sorted((c for c in table.chains.values() if not c.built_in), key=lambda chain: chain.name)
        chains = {
            chain.name: Chain(
                chain.name, chain.policy, rules=tuple(replace(canonical_rule(r), counters=None) for r in chain.rules)
            )
            for chain in built_in + made
        }
        tables[table.name] = Table(table.name, chains)
    return Ruleset(tables)


def canonical_rule(rule: Rule) -> Rule:
    """One rule in its usual form, its counters kept."""
    return replace(
        rule,
        source=_address(rule.source),
        destination=_address(rule.destination),
        protocol=_protocol(rule.protocol),
        matches=tuple(_MATCHES.get(match.name, _same_match)(match) for match in rule.matches),
        target=_TARGETS.get(rule.target.name, _same_target)(rule.target) if rule.target else None,
    )


def number(text: str) -> int:
    """A number as iptables reads it: decimal, 0x hexadecimal or 0 octal."""
    try:
        return int(text, 16) if text[:2].lower() == "0x" else int(text, 8 if text[:1] == "0" and text != "0" else 10)
    except ValueError:
        raise InvalidInput(f"{text!r} is not a number") from None


def value_and_mask(text: str) -> tuple[int, int]:
    """`VALUE[/MASK]` of a mark."""
    value, _, mask = text.partition("/")
    return number(value), number(mask) if mask else _ALL_BITS


def xmark(target: Target) -> tuple[int, int]:
    """What a MARK target does, as (value, mask): clear the bits of the mask, then flip those of the value."""
    for option in target.options:
        value, mask = value_and_mask(" ".join(option.values))
        match option.name:
            case "--set-xmark":
                return value, mask
            case "--set-mark":
                return value, value | mask
            case "--or-mark":
                return value, value
            case "--xor-mark":
                return value, 0
            case "--and-mark":
                return 0, ~value & _ALL_BITS
    raise InvalidInput("MARK is given no mark")


def _address(condition: Condition | None) -> Condition | None:
    if condition is None:
        return None
    try:
        network = ipaddress.ip_network(condition.value, strict=False)
    except ValueError:
        raise InvalidInput(f"{condition.value!r} is not an address") from None
    if network.prefixlen == 0 and not condition.negated:
        return None
    return Condition(str(network), condition.negated)


def _protocol(condition: Condition | None) -> Condition | None:
    if condition is None or (condition.value in _ANY_PROTOCOL and not condition.negated):
        return None
    name = condition.value.lower()
    return Condition(_PROTOCOLS.get(name, name), condition.negated)


def _map(match: Match, change: Callable[[Option], Option]) -> Match:
    return Match(match.name, tuple(change(option) for option in match.options))


def _same_match(match: Match) -> Match:
    return match


def _same_target(target: Target) -> Target:
    return target


def _mark(match: Match) -> Match:
    def change(option: Option) -> Option:
        value, mask = value_and_mask(" ".join(option.values))
        text = hex(value) if mask == _ALL_BITS else f"{hex(value)}/{hex(mask)}"
        return replace(option, values=(text,))

    return _map(match, change)


def _statistic(match: Match) -> Match:
    def change(option: Option) -> Option:
        if option.name != "--probability":
            return option
        text = " ".join(option.values)
        exact(text)
        return replace(option, values=(as_kernel_prints(text),))

    return _map(match, change)


def _conntrack(match: Match) -> Match:
    def change(option: Option) -> Option:
        if option.name != "--ctstate":
            return option
        named = " ".join(option.values).upper().split(",")
        known = [state for state in _STATES if state in named]
        return replace(option, values=(",".join(known + [state for state in named if state not in _STATES]),))

    return _map(match, change)


def _ports(match: Match) -> Match:
    names = {"--destination-port": "--dport", "--source-port": "--sport"}

    def change(option: Option) -> Option:
        if option.name == "--syn":
            return Option("--tcp-flags", ("FIN,SYN,RST,ACK", "SYN"), option.negated)
        name = names.get(option.name, option.name)
        if name not in ("--dport", "--sport"):
            return option
        low, colon, high = " ".join(option.values).partition(":")
        return Option(name, (low if not colon or low == high else f"{low}:{high}",), option.negated)

    changed = _map(match, change)
    return Match(match.name, tuple(sorted(changed.options, key=lambda option: option.name == "--dport")))


def _recent(match: Match) -> Match:
    options = list(match.options)
    if match.option("--name") is None:
        options.append(Option("--name", ("DEFAULT",)))
    options.sort(key=lambda o: _RECENT_ORDER.index(o.name) if o.name in _RECENT_ORDER else len(_RECENT_ORDER))
    if match.option("--mask") is None:
        options.insert(_after_name(options), Option("--mask", ("255.255.255.255",)))
    if match.option("--rsource") is None and match.option("--rdest") is None:
        options.append(Option("--rsource"))
    return Match(match.name, tuple(options))


def _after_name(options: list[Option]) -> int:
    return next(index for index, option in enumerate(options) if option.name == "--name") + 1


def _mark_target(target: Target) -> Target:
    value, mask = xmark(target)
    return replace(target, options=(Option("--set-xmark", (f"{hex(value)}/{hex(mask)}",)),))


def _reject(target: Target) -> Target:
    if target.options:
        return target
    return replace(target, options=(Option("--reject-with", ("icmp-port-unreachable",)),))


_MATCHES: dict[str, Callable[[Match], Match]] = {
    "mark": _mark,
    "statistic": _statistic,
    "conntrack": _conntrack,
    "tcp": _ports,
    "udp": _ports,
    "sctp": _ports,
    "recent": _recent,
}
_TARGETS: dict[str, Callable[[Target], Target]] = {"MARK": _mark_target, "REJECT": _reject}
