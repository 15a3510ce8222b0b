"""The tables of one machine, kept in memory: what `iptables-restore --noflush` does to them and `iptables-save` shows.

For places without a kernel to ask: the user-space engine, and tests that compare what kube-proxy writes with what a
real node shows. A restore is applied as a whole or not at all. Following packets is left to `evaluator`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from ..errors import InvalidInput
from .canonical import canonical_rule
from .model import Chain, Counters, Rule, Ruleset, Table
from .packet import Step
from .parser import Token, parse_chain_line, parse_rule, split_counters, tokenize, with_line
from .renderer import render

BUILT_IN = {
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}
_REMEMBERED_LINES = 8192
_VERDICTS = frozenset(
    {"", "ACCEPT", "DROP", "REJECT", "RETURN", "QUEUE", "MARK", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "LOG"}
)


@dataclass
class _Chain:
    policy: str
    counters: Counters
    rules: list[Rule] = field(default_factory=list)

    def copy(self) -> _Chain:
        return _Chain(self.policy, self.counters, list(self.rules))


_Chains = dict[str, _Chain]


class Tables:
    """The tables mangle, filter and nat, empty at first."""

    def __init__(self) -> None:
        self._tables: dict[str, _Chains] = {
            table: {name: _Chain("ACCEPT", Counters()) for name in chains} for table, chains in BUILT_IN.items()
        }

    @property
    def ruleset(self) -> Ruleset:
        """All rules as they are now."""
        return Ruleset({name: Table(name, _listed(chains)) for name, chains in self._tables.items()})

    def save(self, table: str = "", *, counters: bool = False) -> str:
        """The text of `iptables-save [-t TABLE] [-c]`."""
        ruleset = self.ruleset
        if table:
            ruleset = Ruleset({table: ruleset.tables[table]} if table in ruleset.tables else {})
        return render(ruleset, counters=counters)

    def count(self, steps: Iterable[Step], size: int) -> None:
        """Counts a packet of `size` bytes on every rule that it met (`Outcome.steps`)."""
        for step in steps:
            chain = self._tables[step.table].get(step.chain)
            if chain is None or len(chain.rules) < step.number:
                continue  # It was rewritten meanwhile.
            rules = chain.rules
            packets, octets = rules[step.number - 1].counters or Counters()
            rules[step.number - 1] = replace(rules[step.number - 1], counters=Counters(packets + 1, octets + size))

    def restore(self, text: str) -> None:
        """Applies `iptables-restore --noflush`; raises InvalidInput and changes nothing if a line is wrong."""
        restore = _Restore({name: dict(chains) for name, chains in self._tables.items()})
        for number, line in enumerate(text.split("\n"), start=1):
            with_line(number, line, restore.read)
        self._tables = restore.finish()


def _listed(chains: _Chains) -> dict[str, Chain]:
    built_in = [name for name in chains if chains[name].policy]
    made = sorted(name for name in chains if not chains[name].policy)
    return {
        name: Chain(name, chains[name].policy, chains[name].counters, tuple(chains[name].rules))
        for name in built_in + made
    }


@lru_cache(maxsize=_REMEMBERED_LINES)
def _appended(line: str) -> tuple[str, Rule]:
    """Chain and rule of an `-A` line; kube-proxy writes most of its lines again and again."""
    tokens = tokenize(line)
    if len(tokens) < 2:
        raise InvalidInput("this command is not known")
    return tokens[1].text, canonical_rule(parse_rule(tokens[2:], None))


class _Restore:
    """One run of iptables-restore over copies of the tables; chains are copied when first changed."""

    def __init__(self, tables: dict[str, _Chains]) -> None:
        self.tables = tables
        self.chains: _Chains | None = None
        self.changed: set[int] = set()
        self.commands: dict[str, Callable[[str, list[Token], Counters | None], None]] = {
            "-I": self._insert,
            "-D": self._delete,
            "-F": self._flush,
            "-N": self._new,
            "-X": self._remove,
        }

    def read(self, line: str) -> None:
        if not line.strip() or line.startswith("#"):
            return
        if line.startswith("*"):
            self._begin(line[1:].strip())
        elif line.rstrip() == "COMMIT":
            self._commit()
        elif line.startswith(":"):
            self._declare(parse_chain_line(line))
        else:
            self._command(line)

    def finish(self) -> dict[str, _Chains]:
        if self.chains is not None:
            raise InvalidInput("The rules are cut off: there is no COMMIT.")
        return self.tables

    def _begin(self, name: str) -> None:
        if self.chains is not None or name not in self.tables:
            raise InvalidInput(f"table {name} does not exist or begins before the last one ended")
        self.chains = self.tables[name]

    def _commit(self) -> None:
        chains = self._open()
        for chain in chains.values():
            for rule in chain.rules:
                if rule.jump not in _VERDICTS and rule.jump not in chains:
                    raise InvalidInput(f"chain {rule.jump} does not exist")
        self.chains = None

    def _open(self) -> _Chains:
        if self.chains is None:
            raise InvalidInput("it stands outside of a table (`*filter` ... `COMMIT`)")
        return self.chains

    def _declare(self, chain: Chain) -> None:
        chains = self._open()
        known = chains.get(chain.name)
        if known is not None and known.policy:
            self._own(chain.name).policy = chain.policy or known.policy
            return
        chains[chain.name] = fresh = _Chain("", chain.counters)
        self.changed.add(id(fresh))

    def _command(self, line: str) -> None:
        counters, rest = split_counters(line)
        if rest.startswith("-A "):
            name, rule = _appended(rest)
            self._own(name).rules.append(rule if counters is None else replace(rule, counters=counters))
            return
        tokens = tokenize(rest)
        run = self.commands.get(tokens[0].text)
        if run is None or len(tokens) < 2:
            raise InvalidInput("this command is not known")
        run(tokens[1].text, tokens[2:], counters)

    def _own(self, name: str) -> _Chain:
        """The chain, as a copy that this restore may change."""
        chains = self._open()
        if name not in chains:
            raise InvalidInput(f"chain {name} does not exist")
        if id(chains[name]) not in self.changed:
            chains[name] = chains[name].copy()
            self.changed.add(id(chains[name]))
        return chains[name]

    def _insert(self, name: str, tokens: list[Token], counters: Counters | None) -> None:
        position = 1
        if tokens and tokens[0].text.isdecimal():
            position, tokens = int(tokens[0].text[:9]), tokens[1:]
        rules = self._own(name).rules
        if not 1 <= position <= len(rules) + 1:
            raise InvalidInput(f"chain {name} has no place {position}")
        rules.insert(position - 1, canonical_rule(parse_rule(tokens, counters)))

    def _delete(self, name: str, tokens: list[Token], counters: Counters | None) -> None:
        rules = self._own(name).rules
        if len(tokens) == 1 and tokens[0].text.isdecimal():
            position = int(tokens[0].text[:9])
            if not 1 <= position <= len(rules):
                raise InvalidInput(f"chain {name} has no rule {position}")
            del rules[position - 1]
            return
        rule = canonical_rule(parse_rule(tokens, counters))
        if rule not in rules:
            raise InvalidInput(f"chain {name} has no such rule")
        rules.remove(rule)

    def _flush(self, name: str, tokens: list[Token], counters: Counters | None) -> None:
        self._own(name).rules.clear()

    def _new(self, name: str, tokens: list[Token], counters: Counters | None) -> None:
        if name in self._open():
            raise InvalidInput(f"chain {name} exists already")
        self._declare(Chain(name))

    def _remove(self, name: str, tokens: list[Token], counters: Counters | None) -> None:
        chain = self._own(name)
        if chain.policy or chain.rules:
            raise InvalidInput(f"chain {name} is built in or not empty")
        del self._open()[name]
