"""iptables rules as typed data: `Ruleset` > `Table` > `Chain` > `Rule` > `Match` and `Target`.

The one model behind kube-proxy's writer, the parser, the evaluator, the pictures and the checks. Matches and targets
that this package does not know are kept as they were, by name. All of it is immutable; reading text is left to
`parser`, writing it to `renderer`, what rules mean to `explanation` and `evaluator`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Counters(NamedTuple):
    """How often a rule was met: `[packets:bytes]`."""

    packets: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """One of the basic conditions of a rule (`-s`, `-d`, `-i`, `-o`, `-p`), perhaps negated by `!`."""

    value: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a match or a target: `--dport 80`, `! --ctstate NEW`, `--random-fully`."""

    name: str
    values: tuple[str, ...] = ()
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """One match extension and its options: `-m NAME --option value ...`."""

    name: str
    options: tuple[Option, ...] = ()

    def option(self, name: str) -> Option | None:
        """The option of that name (`--dport`), if given."""
        return next((option for option in self.options if option.name == name), None)

    def value(self, name: str) -> str:
        """The text of that option, or the empty string."""
        option = self.option(name)
        return " ".join(option.values) if option else ""


@dataclass(frozen=True, slots=True)
class Target:
    """What happens to a packet that matches: a verdict, a change, or a chain to go on in (`-j`, or `-g` for goto)."""

    name: str
    options: tuple[Option, ...] = ()
    goto: bool = False

    def value(self, name: str) -> str:
        """The text of that option, or the empty string."""
        return next((" ".join(option.values) for option in self.options if option.name == name), "")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a chain. Two rules are equal when they do the same, whatever they have counted."""

    source: Condition | None = None
    destination: Condition | None = None
    in_interface: Condition | None = None
    out_interface: Condition | None = None
    protocol: Condition | None = None
    fragment: Condition | None = None
    matches: tuple[Match, ...] = ()
    target: Target | None = None
    counters: Counters | None = field(default=None, compare=False)

    def match(self, name: str) -> Match | None:
        """The first match extension of that name, if any."""
        return next((match for match in self.matches if match.name == name), None)

    @property
    def comment(self) -> str:
        """The text of `-m comment`, or the empty string."""
        match = self.match("comment")
        return match.value("--comment") if match else ""

    @property
    def jump(self) -> str:
        """The name of the target, be it a chain or a verdict; empty when the rule only counts."""
        return self.target.name if self.target else ""


@dataclass(frozen=True, slots=True)
class Chain:
    """A list of rules. A built-in chain has a policy, one made by a user has none."""

    name: str
    policy: str = ""
    counters: Counters = field(default=Counters(), compare=False)
    rules: tuple[Rule, ...] = ()

    @property
    def built_in(self) -> bool:
        """True for INPUT, PREROUTING and the like, where packets enter by themselves."""
        return bool(self.policy)


@dataclass(frozen=True, slots=True)
class Table:
    """The chains of one table, in the order in which they were listed."""

    name: str
    chains: Mapping[str, Chain] = field(default_factory=dict)
    header: tuple[str, ...] = field(default=(), compare=False)
    """Comment lines that stood before the table."""


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All tables of one machine, as one `iptables-save` shows them."""

    tables: Mapping[str, Table] = field(default_factory=dict)
    footer: tuple[str, ...] = field(default=(), compare=False)
    """Comment lines that stood after the last table."""

    def chain(self, table: str, name: str) -> Chain | None:
        """That chain, if it exists."""
        found = self.tables.get(table)
        return found.chains.get(name) if found else None

    def rules(self, table: str, chain: str) -> tuple[Rule, ...]:
        """The rules of a chain; none if it does not exist."""
        found = self.chain(table, chain)
        return found.rules if found else ()

    def walk(self) -> Iterator[tuple[Table, Chain, Rule]]:
        """Every rule with its table and chain, in order."""
        for table in self.tables.values():
            for chain in table.chains.values():
                for rule in chain.rules:
                    yield table, chain, rule
