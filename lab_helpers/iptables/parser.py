"""Text of `iptables-save` (and the rule lines of `iptables-restore`) -> the typed model.

Reads both back ends (nft and legacy), with or without counters (`-c`), IPv4 and IPv6, and keeps unknown matches and
targets. Whatever else it is given ends in one clear `InvalidInput` with the number of the line, in time that grows
with the length of the text and no faster. What options mean is left to `evaluator`, their usual form to `canonical`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import InvalidInput
from .model import Chain, Condition, Counters, Match, Option, Rule, Ruleset, Table, Target

MAX_TEXT = 64 * 1024 * 1024
MAX_LINE = 64 * 1024
_MOST_SHOWN = 200

_CHAIN_LINE = re.compile(r":(\S+) (\S+)(?: \[(\d{1,20}):(\d{1,20})\])?\s*")
_RULE_COUNTERS = re.compile(r"\[(\d{1,20}):(\d{1,20})\]\s+")
_TOKEN = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"(?=\s|$)|([^\s"]\S*))')
_ESCAPE = re.compile(r"\\(.)")

_BASIC = {
    "-s": "source",
    "--source": "source",
    "--src": "source",
    "-d": "destination",
    "--destination": "destination",
    "--dst": "destination",
    "-i": "in_interface",
    "--in-interface": "in_interface",
    "-o": "out_interface",
    "--out-interface": "out_interface",
    "-p": "protocol",
    "--protocol": "protocol",
    "--proto": "protocol",
}

_PORT_MATCHES = frozenset({"tcp", "udp", "sctp", "dccp", "udplite"})

# Options with a fixed number of values, which may begin with a dash; those of all others end at the next option.
_ARITY = {"--comment": 1, "--nfacct-name": 1, "--name": 1, "--log-prefix": 1, "--string": 1}

# Options that may stand after another match than their own: `-m tcp -m comment --comment c --dport 80`.
_OWNERS = {
    "--dport": _PORT_MATCHES,
    "--destination-port": _PORT_MATCHES,
    "--sport": _PORT_MATCHES,
    "--source-port": _PORT_MATCHES,
    "--syn": frozenset({"tcp"}),
    "--tcp-flags": frozenset({"tcp"}),
    "--icmp-type": frozenset({"icmp"}),
    "--comment": frozenset({"comment"}),
    "--ctstate": frozenset({"conntrack"}),
    "--mark": frozenset({"mark", "connmark"}),
    "--nfacct-name": frozenset({"nfacct"}),
}


class Token(NamedTuple):
    """One word of a line, and whether it was written in quotes."""

    text: str
    quoted: bool


def parse(text: str) -> Ruleset:
    """The rules in the output of `iptables-save`, any version, any cluster.

    Raises InvalidInput, naming the line, for text that is none.
    """
    if len(text) > MAX_TEXT:
        raise InvalidInput(f"The rules are {len(text)} characters long, more than {MAX_TEXT} can't be read.")
    reader = _SaveReader()
    for number, line in enumerate(text.split("\n"), start=1):
        with_line(number, line, reader.read)
    return reader.finish()


def with_line(number: int, line: str, read: Callable[[str], None]) -> None:
    """Calls `read(line)`; an error it raises says on which line it happened."""
    if len(line) > MAX_LINE:
        raise InvalidInput(f"Line {number} of the rules is {len(line)} characters long; {MAX_LINE} are the limit.")
    try:
        read(line)
    except InvalidInput as error:
        raise InvalidInput(
            f"Line {number} of the rules can't be read: {_shortened(error.message)}: {_shortened(line)!r}",
            hint="The text has to be the output of iptables-save.",
        ) from None


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "..."


def tokenize(line: str) -> list[Token]:
    """Splits a line as iptables-restore does: at spaces; in double quotes they are text and `\\` escapes."""
    tokens = []
    position, end = 0, len(line.rstrip())
    while position < end:
        found = _TOKEN.match(line, position, end)
        if found is None:
            raise InvalidInput("a quote is not closed")
        quoted, plain = found.group(1), found.group(2)
        tokens.append(Token(plain, False) if quoted is None else Token(_ESCAPE.sub(r"\1", quoted), True))
        position = found.end()
    return tokens


def parse_chain_line(line: str) -> Chain:
    """`:NAME POLICY [packets:bytes]` as an empty chain."""
    found = _CHAIN_LINE.fullmatch(line)
    if found is None:
        raise InvalidInput("a chain is written as `:NAME POLICY [packets:bytes]`")
    name, policy, packets, size = found.groups()
    return Chain(name, "" if policy == "-" else policy, Counters(int(packets or 0), int(size or 0)))


def split_counters(line: str) -> tuple[Counters | None, str]:
    """Takes `[packets:bytes]` off the front of a rule line."""
    found = _RULE_COUNTERS.match(line)
    if found is None:
        return None, line
    return Counters(int(found.group(1)), int(found.group(2))), line[found.end() :]


def parse_rule(tokens: list[Token], counters: Counters | None = None) -> Rule:
    """The words of a rule after `-A CHAIN`, in any order iptables accepts, as a Rule."""
    return _RuleReader(tokens, counters).read()


@dataclass
class _SaveReader:
    tables: dict[str, Table] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)
    table: str = ""
    header: tuple[str, ...] = ()
    chains: dict[str, Chain] = field(default_factory=dict)
    rules: dict[str, list[Rule]] = field(default_factory=dict)

    def read(self, line: str) -> None:
        if not line.strip():
            return
        if line.startswith("#"):
            self.comments.append(line)
        elif line.startswith("*"):
            self._begin(line[1:].strip())
        elif not self.table:
            raise InvalidInput("it stands outside of a table (`*filter` ... `COMMIT`)")
        elif line.startswith(":"):
            self._declare(parse_chain_line(line))
        elif line.rstrip() == "COMMIT":
            self._commit()
        else:
            self._append(line)

    def _begin(self, name: str) -> None:
        if self.table:
            raise InvalidInput(f"table {self.table} has no COMMIT before the next table begins")
        if not name or name in self.tables:
            raise InvalidInput("a table needs a name, and only once")
        self.table, self.header, self.comments = name, tuple(self.comments), []

    def _declare(self, chain: Chain) -> None:
        if chain.name in self.chains:
            raise InvalidInput(f"chain {chain.name} is declared twice")
        self.chains[chain.name] = chain
        self.rules[chain.name] = []

    def _append(self, line: str) -> None:
        counters, rest = split_counters(line)
        tokens = tokenize(rest)
        if len(tokens) < 2 or tokens[0].text not in ("-A", "--append"):
            raise InvalidInput("a rule begins with `-A CHAIN`")
        chain = tokens[1].text
        if chain not in self.rules:
            raise InvalidInput(f"chain {chain} is not declared in table {self.table}")
        self.rules[chain].append(parse_rule(tokens[2:], counters))

    def _commit(self) -> None:
        chains = {
            name: Chain(name, chain.policy, chain.counters, tuple(self.rules[name]))
            for name, chain in self.chains.items()
        }
        self.tables[self.table] = Table(self.table, chains, self.header)
        self.table, self.chains, self.rules = "", {}, {}

    def finish(self) -> Ruleset:
        if self.table:
            raise InvalidInput(
                f"The rules of table {self.table} are cut off: there is no COMMIT.",
                hint="The text has to be the complete output of iptables-save.",
            )
        return Ruleset(self.tables, tuple(self.comments))


class _RuleReader:
    """Reads one rule word by word; options go to the match or target that they belong to."""

    def __init__(self, tokens: list[Token], counters: Counters | None) -> None:
        self.tokens = tokens
        self.position = 0
        self.basic: dict[str, Condition] = {}
        self.matches: list[tuple[str, list[Option]]] = []
        self.target: tuple[str, list[Option], bool] | None = None
        self.counters = counters

    def read(self) -> Rule:
        while self.position < len(self.tokens):
            negated = self._take_negation()
            self._read_option(self._next("an option"), negated)
        matches = tuple(Match(name, tuple(options)) for name, options in self.matches)
        target = Target(self.target[0], tuple(self.target[1]), self.target[2]) if self.target else None
        return Rule(**self.basic, matches=matches, target=target, counters=self.counters)

    def _next(self, what: str) -> Token:
        if self.position >= len(self.tokens):
            raise InvalidInput(f"{what} is missing at the end")
        token = self.tokens[self.position]
        self.position += 1
        return token

    def _take_negation(self) -> bool:
        if self.tokens[self.position] == Token("!", False):
            self.position += 1
            return True
        return False

    def _read_option(self, token: Token, negated: bool) -> None:
        name = token.text
        if token.quoted or not name.startswith("-") or name == "-":
            raise InvalidInput(f"{name!r} is not an option")
        if name in _BASIC:
            self._set_basic(_BASIC[name], Condition(self._next(f"the value of {name}").text, negated))
        elif name in ("-f", "--fragment"):
            self._set_basic("fragment", Condition("", negated))
        elif name in ("-m", "--match"):
            self.matches.append((self._next("the name of a match").text, []))
        elif name in ("-j", "--jump", "-g", "--goto"):
            self._set_target(self._next("the name of a target").text, goto=name in ("-g", "--goto"))
        elif name in ("-c", "--set-counters"):
            self.counters = Counters(self._number(), self._number())
        else:
            self._owner(name).append(Option(name, self._values(name), negated))

    def _set_basic(self, name: str, condition: Condition) -> None:
        if name in self.basic:
            raise InvalidInput(f"{name.replace('_', ' ')} is given twice")
        self.basic[name] = condition

    def _set_target(self, name: str, *, goto: bool) -> None:
        if self.target is not None:
            raise InvalidInput("a rule has one target only")
        self.target = (name, [], goto)

    def _number(self) -> int:
        text = self._next("a number").text
        if not (text.isascii() and text.isdigit() and len(text) <= 20):
            raise InvalidInput(f"{text!r} is not a number")
        return int(text)

    def _values(self, option: str) -> tuple[str, ...]:
        if option in _ARITY:
            return tuple(self._next(f"the value of {option}").text for _ in range(_ARITY[option]))
        start = self.position
        while self.position < len(self.tokens) and self._is_value(self.tokens[self.position]):
            self.position += 1
        return tuple(token.text for token in self.tokens[start : self.position])

    @staticmethod
    def _is_value(token: Token) -> bool:
        return token.quoted or not (token.text == "!" or (token.text.startswith("-") and token.text != "-"))

    def _owner(self, option: str) -> list[Option]:
        owners = _OWNERS.get(option)
        if owners is not None:
            for name, options in reversed(self.matches):
                if name in owners:
                    return options
            implied = self.basic.get("protocol")
            if implied is not None and implied.value in owners:
                self.matches.append((implied.value, []))
                return self.matches[-1][1]
        if self.target is not None:
            return self.target[1]
        if not self.matches:
            raise InvalidInput(f"{option} belongs to no match and no target")
        return self.matches[-1][1]
