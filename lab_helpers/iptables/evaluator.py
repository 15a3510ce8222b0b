"""Follows a packet through the rules of a machine: every rule it meets, every way it may go, and how likely.

    trace(Packet("10.244.0.7", "10.96.0.20", 80, in_interface="veth1"), ruleset, Host(("192.168.49.2",)))
      -> two outcomes of probability 1/2: ACCEPT, DNAT to 10.244.0.5:80, ... and ... 10.244.0.6:80

Models the order of hooks of netfilter: raw, mangle, nat, filter; PREROUTING, routing, INPUT or FORWARD, OUTPUT,
POSTROUTING; nat sees the first packet of a connection only. With a `random`, chance picks one way, as in the kernel.
Keeping counters, `recent` lists and connections from packet to packet is left to the caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from random import Random
from typing import NamedTuple

from ..errors import InvalidInput
from .canonical import xmark
from .matching import CompiledRule, compile_rule
from .model import Ruleset, Target
from .packet import Flow, Host, Packet, Step, Trail, address

_MOST_OUTCOMES = 20_000


class Hook(NamedTuple):
    """A place where a packet meets a built-in chain of a table."""

    table: str
    chain: str


_BEFORE_ROUTING = tuple(Hook(table, "PREROUTING") for table in ("raw", "mangle", "nat"))
_INPUT = tuple(Hook(table, "INPUT") for table in ("mangle", "filter", "nat"))
_FORWARD = tuple(Hook(table, "FORWARD") for table in ("mangle", "filter"))
_OUTPUT = tuple(Hook(table, "OUTPUT") for table in ("raw", "mangle", "nat", "filter"))
_AFTER_ROUTING = tuple(Hook(table, "POSTROUTING") for table in ("mangle", "nat"))
# A packet to the machine itself comes in again by lo; its connection has been through nat already.
_LOOPBACK = (Hook("raw", "PREROUTING"), Hook("mangle", "PREROUTING"), Hook("mangle", "INPUT"), Hook("filter", "INPUT"))


@dataclass(frozen=True)
class Outcome:
    """One way a packet may go."""

    probability: Fraction
    verdict: str
    """ACCEPT, DROP or REJECT."""
    packet: Packet
    """The packet as it is delivered: after DNAT and SNAT, with its mark."""
    dnat: str
    """`IP:port` of the new destination, or the empty string."""
    snat: str
    """The new source address, or the empty string."""
    out_interface: str
    remembered: tuple[tuple[str, str], ...]
    """The (list, address) pairs that `-m recent --set` would add."""
    trail: Trail | None

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every rule that was met, in order: those whose counters would go up."""
        found = []
        trail = self.trail
        while trail is not None:
            found.append(trail.step)
            trail = trail.before
        return tuple(reversed(found))

    @property
    def words(self) -> str:
        """The outcome as one sentence."""
        change = f", sent on to {self.dnat}" if self.dnat else ""
        change += f", with the source address {self.snat}" if self.snat else ""
        return f"{self.probability}: {self.verdict}{change}"


@dataclass(frozen=True)
class Trace:
    """All ways a packet may go; their probabilities add up to 1."""

    outcomes: tuple[Outcome, ...]
    unknown: tuple[str, ...]
    """Extensions met on the way that are not known here: rules with such a match were passed over."""

    def destinations(self) -> dict[str, Fraction]:
        """For each delivered destination `IP:port` how likely it is."""
        found: dict[str, Fraction] = {}
        for outcome in self.outcomes:
            if outcome.verdict == "ACCEPT":
                where = f"{outcome.packet.destination}:{outcome.packet.dport}"
                found[where] = found.get(where, Fraction(0)) + outcome.probability
        return found

    def verdicts(self) -> dict[str, Fraction]:
        """For each verdict how likely it is."""
        found: dict[str, Fraction] = {}
        for outcome in self.outcomes:
            found[outcome.verdict] = found.get(outcome.verdict, Fraction(0)) + outcome.probability
        return found


def trace(packet: Packet, ruleset: Ruleset, host: Host, *, random: Random | None = None) -> Trace:
    """Follows one packet. Who has many should keep an `Evaluator`."""
    return Evaluator(ruleset).trace(packet, host, random=random)


class Evaluator:
    """A ruleset made ready for many packets; chains are compiled when first met."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.ruleset = ruleset
        self._compiled: dict[Hook, tuple[CompiledRule, ...]] = {}

    def trace(self, packet: Packet, host: Host, *, random: Random | None = None) -> Trace:
        """All ways of a packet, or with `random` the one that chance picks.

        Raises InvalidInput where chains lead back to themselves.
        """
        return _Run(self, host, random).trace(packet)

    def rules(self, table: str, chain: str) -> tuple[CompiledRule, ...]:
        """The rules of a chain, compiled."""
        key = Hook(table, chain)
        found = self._compiled.get(key)
        if found is None:
            found = tuple(compile_rule(rule) for rule in self.ruleset.rules(table, chain))
            self._compiled[key] = found
        return found


class _Frame(NamedTuple):
    """Where to go on after RETURN, and the chains that lead there."""

    chain: str
    position: int
    inside: frozenset[str]
    above: _Frame | None


class _Run:
    """One packet on its way."""

    def __init__(self, evaluator: Evaluator, host: Host, random: Random | None) -> None:
        self.evaluator = evaluator
        self.host = host
        self.random = random
        self.unknown: dict[str, None] = {}
        self.forks = 0

    def trace(self, packet: Packet) -> Trace:
        flow = Flow(
            address(packet.source).compressed,
            address(packet.destination).compressed,
            packet.sport,
            packet.dport,
            packet.protocol,
            packet.in_interface,
            "" if packet.in_interface else self.host.route(packet.destination).interface,
            packet.state,
            packet.mark,
        )
        outcomes = self._arrive(flow) if packet.in_interface else self._send(flow)
        return Trace(tuple(outcomes), tuple(self.unknown))

    def _arrive(self, flow: Flow) -> Iterator[Outcome]:
        for now, verdict in self._hooks(flow, _BEFORE_ROUTING):
            if verdict != "ACCEPT":
                yield _outcome(now, verdict)
            elif self.host.is_local(now.destination):
                yield from self._finish(now, _INPUT)
            else:
                routed = replace(now, out_interface=self.host.route(now.destination).interface)
                yield from self._finish(routed, _FORWARD + _AFTER_ROUTING)

    def _send(self, flow: Flow) -> Iterator[Outcome]:
        for now, verdict in self._hooks(flow, _OUTPUT + _AFTER_ROUTING):
            if verdict == "ACCEPT" and self.host.is_local(now.destination):
                yield from self._finish(replace(now, in_interface="lo", out_interface=""), _LOOPBACK)
            else:
                yield _outcome(now, verdict)

    def _finish(self, flow: Flow, hooks: tuple[Hook, ...]) -> Iterator[Outcome]:
        for now, verdict in self._hooks(flow, hooks):
            yield _outcome(now, verdict)

    def _hooks(self, flow: Flow, hooks: tuple[Hook, ...]) -> Iterator[tuple[Flow, str]]:
        """Takes the packet through one hook after the other; ends early where it is dropped or rejected."""
        if not hooks:
            yield flow, "ACCEPT"
            return
        hook, rest = hooks[0], hooks[1:]
        if hook.table == "nat" and flow.state != "NEW":
            yield from self._hooks(flow, rest)
            return
        for now, verdict in self._chain(hook, flow):
            if verdict != "ACCEPT":
                yield now, verdict
                continue
            if hook.chain == "OUTPUT" and now.destination != flow.destination:
                now = replace(now, out_interface=self.host.route(now.destination).interface)
            yield from self._hooks(now, rest)

    def _chain(self, hook: Hook, flow: Flow) -> Iterator[tuple[Flow, str]]:
        """All ways through a built-in chain, each ending in a verdict."""
        base = self.evaluator.ruleset.chain(hook.table, hook.chain)
        if base is None:
            yield flow, "ACCEPT"
            return
        waiting = [(flow, _Frame(hook.chain, 0, frozenset((hook.chain,)), None))]
        while waiting:
            now, frame = waiting.pop()
            yield self._until_verdict(hook.table, base.policy or "ACCEPT", now, frame, waiting)

    def _until_verdict(
        self, table: str, policy: str, flow: Flow, frame: _Frame, waiting: list[tuple[Flow, _Frame]]
    ) -> tuple[Flow, str]:
        """Follows one way to its verdict; ways that part from it by chance are put on the `waiting` list."""
        chain, index, inside, above = frame
        while True:
            rules = self.evaluator.rules(table, chain)
            index = self._next_match(rules, index, flow)
            if index == len(rules):
                if above is None:
                    return flow, policy
                chain, index, inside, above = above
                continue
            rule = rules[index]
            index += 1
            if rule.chance != 1:
                here = _Frame(chain, index, inside, above)
                taken = self._decide(rule.chance, flow, here, waiting)
                if taken is None:
                    continue
                flow = taken
            flow = _met(flow, Step(table, chain, index, rule.rule), rule.remembers)
            target = rule.rule.target
            if target is None:
                continue
            if self.evaluator.ruleset.chain(table, target.name) is not None:
                if target.name in inside:
                    raise InvalidInput(f"Chain {target.name} of table {table} leads back to itself.")
                above = above if target.goto else _Frame(chain, index, inside, above)
                chain, index, inside = target.name, 0, inside | {target.name}
            elif target.name == "RETURN":
                if above is None:
                    return flow, policy
                chain, index, inside, above = above
            else:
                flow, verdict = self._act(target, flow)
                if verdict:
                    return flow, verdict

    def _next_match(self, rules: tuple[CompiledRule, ...], index: int, flow: Flow) -> int:
        for position in range(index, len(rules)):
            rule = rules[position]
            if rule.unknown:
                self.unknown[rule.unknown] = None
            elif rule.holds(flow, self.host):
                return position
        return len(rules)

    def _decide(self, chance: Fraction, flow: Flow, here: _Frame, waiting: list[tuple[Flow, _Frame]]) -> Flow | None:
        """The packet that takes a rule of chance, or None if chance passed it over."""
        if self.random is not None:
            return flow if self.random.random() < chance else None
        if chance == 0:
            return None
        self.forks += 1
        if self.forks > _MOST_OUTCOMES:
            raise InvalidInput(f"The packet has more than {_MOST_OUTCOMES} ways to go.")
        waiting.append((replace(flow, probability=flow.probability * (1 - chance)), here))
        return replace(flow, probability=flow.probability * chance)

    def _act(self, target: Target, flow: Flow) -> tuple[Flow, str]:
        """What a target that is no chain does: the packet after it, and the verdict if it gives one."""
        match target.name:
            case "ACCEPT" | "DROP" | "REJECT":
                return flow, target.name
            case "MARK":
                value, mask = xmark(target)
                return replace(flow, mark=(flow.mark & ~mask) ^ value), ""
            case "DNAT":
                return _redirect(flow, *_split(target.value("--to-destination"), flow.dport)), "ACCEPT"
            case "REDIRECT":
                port = target.value("--to-ports").partition("-")[0]
                own = "127.0.0.1" if not flow.in_interface else next(iter(self.host.addresses), flow.destination)
                return _redirect(flow, own, int(port) if port else flow.dport), "ACCEPT"
            case "SNAT":
                source, sport = _split(target.value("--to-source"), flow.sport)
                return replace(flow, source=source, sport=sport, snat=source), "ACCEPT"
            case "MASQUERADE":
                own = self.host.route(flow.destination).source or next(iter(self.host.addresses), flow.source)
                return replace(flow, source=own, snat=own), "ACCEPT"
            case "LOG" | "NFLOG" | "TRACE":
                return flow, ""
        self.unknown[target.name] = None
        return flow, ""


def _split(text: str, port: int) -> tuple[str, int]:
    """`IP[:port]` (a range: its first) as address and port."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        rest = rest.removeprefix(":")
    else:
        host, _, rest = text.partition(":")
    first = rest.partition("-")[0]
    return address(host.partition("-")[0]).compressed, int(first) if first.isdecimal() else port


def _redirect(flow: Flow, destination: str, port: int) -> Flow:
    return replace(flow, destination=destination, dport=port, dnat=f"{destination}:{port}")


def _met(flow: Flow, step: Step, remembers: tuple[str, ...]) -> Flow:
    trail = Trail(step, flow.trail)
    if not remembers:
        return replace(flow, trail=trail)
    return replace(flow, trail=trail, remembered=(*flow.remembered, *((name, flow.source) for name in remembers)))


def _outcome(flow: Flow, verdict: str) -> Outcome:
    packet = Packet(
        flow.source, flow.destination, flow.dport, flow.protocol, flow.sport, flow.in_interface, flow.state, flow.mark
    )
    return Outcome(
        flow.probability, verdict, packet, flow.dnat, flow.snat, flow.out_interface, flow.remembered, flow.trail
    )
