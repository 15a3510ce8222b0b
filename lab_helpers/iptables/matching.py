"""The conditions of a rule, compiled to functions of a packet on its way.

Knows the matches that kube-proxy, kubelet and the common network plugins use. A rule with a match or an option that
is not known here never matches, and its name is reported. Chance (`-m statistic`) is kept apart from the conditions.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from ..errors import InvalidInput
from .canonical import canonical_rule, number, value_and_mask
from .model import Condition, Match, Option, Rule
from .packet import Flow, Host, Network, address
from .probability import exact

_REMEMBERED_RULES = 8192

Predicate = Callable[[Flow, Host], bool]


class UnknownExtension(Exception):
    """A match, or an option of one, that this package does not know."""


@dataclass(frozen=True)
class CompiledRule:
    """One rule ready to be tried: `conditions` must all hold, and then it is taken with `chance`."""

    rule: Rule
    conditions: tuple[Predicate, ...]
    chance: Fraction
    remembers: tuple[str, ...]
    """The `recent` lists that a packet is put on when the rule is taken."""
    unknown: str = ""

    def holds(self, flow: Flow, host: Host) -> bool:
        """True if all conditions hold."""
        return all(condition(flow, host) for condition in self.conditions)


@lru_cache(maxsize=_REMEMBERED_RULES)
def compile_rule(rule: Rule) -> CompiledRule:
    """Makes a rule ready to be tried. What it has counted is of no matter."""
    rule = canonical_rule(rule)
    try:
        conditions = (*_basic(rule), *(test for match in rule.matches for test in _conditions(match)))
    except UnknownExtension as unknown:
        return CompiledRule(rule, (_never,), Fraction(1), (), str(unknown))
    chance = Fraction(1)
    for match in rule.matches:
        if match.name == "statistic":
            chance *= _chance(match)
    remembers = tuple(
        match.value("--name")
        for match in rule.matches
        if match.name == "recent" and (match.option("--set") or match.option("--update"))
    )
    return CompiledRule(rule, conditions, chance, remembers)


def _never(flow: Flow, host: Host) -> bool:
    return False


def _negate(test: Predicate, negated: bool) -> Predicate:
    return (lambda flow, host: not test(flow, host)) if negated else test


def _basic(rule: Rule) -> Iterable[Predicate]:
    if rule.protocol is not None:
        yield _protocol(rule.protocol)
    if rule.destination is not None:
        yield _destination(rule.destination)
    if rule.source is not None:
        yield _source(rule.source)
    if rule.in_interface is not None:
        yield _in_interface(rule.in_interface)
    if rule.out_interface is not None:
        yield _out_interface(rule.out_interface)
    if rule.fragment is not None and not rule.fragment.negated:
        # Connection tracking puts fragments together before the rules see them.
        yield _never


def _contains(network: Network) -> Callable[[str], bool]:
    if network.prefixlen == network.max_prefixlen:
        only = str(network.network_address)
        return lambda text: text == only
    return lambda text: address(text) in network


def _source(condition: Condition) -> Predicate:
    inside, negated = _contains(ipaddress.ip_network(condition.value)), condition.negated
    return lambda flow, host: inside(flow.source) != negated


def _destination(condition: Condition) -> Predicate:
    inside, negated = _contains(ipaddress.ip_network(condition.value)), condition.negated
    return lambda flow, host: inside(flow.destination) != negated


def _protocol(condition: Condition) -> Predicate:
    wanted, negated = condition.value, condition.negated
    return lambda flow, host: (flow.protocol == wanted) != negated


def _named(pattern: str) -> Callable[[str], bool]:
    if pattern.endswith("+"):
        return lambda name: bool(name) and name.startswith(pattern[:-1])
    return lambda name: name == pattern


def _in_interface(condition: Condition) -> Predicate:
    fits, negated = _named(condition.value), condition.negated
    return lambda flow, host: fits(flow.in_interface) != negated


def _out_interface(condition: Condition) -> Predicate:
    fits, negated = _named(condition.value), condition.negated
    return lambda flow, host: fits(flow.out_interface) != negated


def _conditions(match: Match) -> list[Predicate]:
    compile_match = _MATCHES.get(match.name)
    if compile_match is None:
        raise UnknownExtension(match.name)
    return compile_match(match)


def _no_condition(match: Match) -> list[Predicate]:
    """For matches that hold for every packet: comments, accounting, and chance, which is asked elsewhere."""
    return []


def _text(option: Option) -> str:
    return " ".join(option.values)


def _port_range(text: str) -> tuple[int, int]:
    low, colon, high = text.partition(":")
    return number(low or "0"), number(high or "65535") if colon else number(low)


def _ports(match: Match) -> list[Predicate]:
    tests: list[Predicate] = [_protocol(Condition(match.name))]
    for option in match.options:
        if option.name == "--tcp-flags":
            tests.append(_negate(_tcp_flags(_text(option)), option.negated))
            continue
        low, high = _port_range(_text(option))
        if option.name == "--dport":
            tests.append(_negate(_dport(low, high), option.negated))
        elif option.name == "--sport":
            tests.append(_negate(_sport(low, high), option.negated))
        else:
            raise UnknownExtension(f"{match.name} {option.name}")
    return tests


def _dport(low: int, high: int) -> Predicate:
    return lambda flow, host: low <= flow.dport <= high


def _sport(low: int, high: int) -> Predicate:
    return lambda flow, host: low <= flow.sport <= high


def _tcp_flags(text: str) -> Predicate:
    mask, _, wanted = text.partition(" ")
    asked = set(mask.split(","))

    def test(flow: Flow, host: Host) -> bool:
        flags = {"SYN"} if flow.state == "NEW" else {"ACK"}
        return flags & asked == (set() if wanted == "NONE" else set(wanted.split(",")))

    return test


def _multiport(match: Match) -> list[Predicate]:
    tests: list[Predicate] = []
    for option in match.options:
        ranges = [_port_range(part) for part in _text(option).split(",")]
        if option.name not in ("--dports", "--sports", "--ports"):
            raise UnknownExtension(f"multiport {option.name}")
        tests.append(_negate(_any_port(option.name, ranges), option.negated))
    return tests


def _any_port(name: str, ranges: list[tuple[int, int]]) -> Predicate:
    def inside(port: int) -> bool:
        return any(low <= port <= high for low, high in ranges)

    def test(flow: Flow, host: Host) -> bool:
        return (name != "--sports" and inside(flow.dport)) or (name != "--dports" and inside(flow.sport))

    return test


def _conntrack(match: Match) -> list[Predicate]:
    tests: list[Predicate] = []
    for option in match.options:
        if option.name not in ("--ctstate", "--state"):
            raise UnknownExtension(f"{match.name} {option.name}")
        tests.append(_negate(_state(frozenset(_text(option).split(","))), option.negated))
    return tests


def _state(states: frozenset[str]) -> Predicate:
    def test(flow: Flow, host: Host) -> bool:
        # DNAT and SNAT are no states of their own, but true beside any state once the connection was changed.
        translated = ("DNAT" in states and flow.dnat) or ("SNAT" in states and flow.snat)
        return flow.state in states or bool(translated)

    return test


def _mark(match: Match) -> list[Predicate]:
    tests: list[Predicate] = []
    for option in match.options:
        value, mask = value_and_mask(_text(option))
        tests.append(_negate(_marked(value, mask), option.negated))
    return tests


def _marked(value: int, mask: int) -> Predicate:
    return lambda flow, host: flow.mark & mask == value


def _addrtype(match: Match) -> list[Predicate]:
    tests: list[Predicate] = []
    for option in match.options:
        kinds = _text(option).upper().split(",")
        if option.name not in ("--dst-type", "--src-type") or not set(kinds) <= _ADDRESS_KINDS.keys():
            raise UnknownExtension(f"addrtype {option.name} {_text(option)}")
        tests.append(_negate(_of_kind(option.name, [_ADDRESS_KINDS[kind] for kind in kinds]), option.negated))
    return tests


def _of_kind(name: str, kinds: list[Callable[[str, Host], bool]]) -> Predicate:
    def test(flow: Flow, host: Host) -> bool:
        text = flow.destination if name == "--dst-type" else flow.source
        return any(kind(text, host) for kind in kinds)

    return test


def _is_unicast(text: str, host: Host) -> bool:
    return not host.is_local(text) and not address(text).is_multicast and text != "255.255.255.255"


_ADDRESS_KINDS: dict[str, Callable[[str, Host], bool]] = {
    "LOCAL": lambda text, host: host.is_local(text),
    "UNICAST": _is_unicast,
    "MULTICAST": lambda text, host: address(text).is_multicast,
    "BROADCAST": lambda text, host: text == "255.255.255.255",
}


def _recent(match: Match) -> list[Predicate]:
    name, seconds = match.value("--name"), match.value("--seconds")
    known = {"--set", "--rcheck", "--update", "--seconds", "--reap", "--name", "--mask", "--rsource"}
    for option in match.options:
        if option.name not in known:
            raise UnknownExtension(f"recent {option.name}")
    if match.option("--set"):
        return []
    limit = float(number(seconds)) if seconds else float("inf")

    def test(flow: Flow, host: Host) -> bool:
        if (name, flow.source) in flow.remembered:
            return True
        age = host.recent.get(name, {}).get(flow.source)
        return age is not None and age <= limit

    asked = match.option("--rcheck") or match.option("--update")
    return [_negate(test, asked is not None and asked.negated)]


def _chance(match: Match) -> Fraction:
    probability, every = match.option("--probability"), match.value("--every")
    if probability is not None:
        chance = exact(_text(probability))
        return 1 - chance if probability.negated else chance
    if every and number(every) > 0:
        return Fraction(1, number(every))
    raise InvalidInput("a statistic match says neither --probability nor --every")


_MATCHES: dict[str, Callable[[Match], list[Predicate]]] = {
    "tcp": _ports,
    "udp": _ports,
    "sctp": _ports,
    "multiport": _multiport,
    "conntrack": _conntrack,
    "state": _conntrack,
    "mark": _mark,
    "addrtype": _addrtype,
    "recent": _recent,
    "comment": _no_condition,
    "nfacct": _no_condition,
    "statistic": _no_condition,
}
