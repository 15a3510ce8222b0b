"""The text for `iptables-restore`: chains and rules of one table, in as few transactions as the kernel takes.

A transaction goes to the kernel as one netlink message, and who is not root on the machine itself can't send one of
more than a fixed size. So a long text is cut into several transactions of one table, each complete in itself. The
usual one is a single transaction: all or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

LARGEST_TRANSACTION = 200_000
"""In bytes; a socket's send buffer, /proc/sys/net/core/wmem_default, has 212992."""

_CHAIN_SIZE, _RULE_SIZE, _MATCH_SIZE = 70, 400, 190
"""What a chain, a rule, and each `-m` of a rule take at most."""


def chain_line(chain: str) -> str:
    """Makes a chain, or empties it."""
    return f":{chain} - [0:0]"


class TableText:
    """One table's part of a text. What is added first is in the kernel first."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._done: list[str] = []
        self._chains: list[str] = []
        self._rules: list[str] = []
        self._size = 0

    def add(self, chains: Sequence[str], rules: Iterable[str]) -> None:
        """Chains, which may jump to each other, and then rules in them or in chains that exist already."""
        rules = list(rules)
        size = len(chains) * _CHAIN_SIZE + sum(map(_size_of, rules))
        if self._size and self._size + size > LARGEST_TRANSACTION:
            self._commit()
        self._chains += map(chain_line, chains)
        self._size += len(chains) * _CHAIN_SIZE
        for rule in rules:
            if self._size > LARGEST_TRANSACTION:
                self._commit()
            self._rules.append(rule)
            self._size += _size_of(rule)

    def lines(self) -> Iterator[str]:
        """The text's lines; none if nothing was added."""
        if self._size:
            self._commit()
        return iter(self._done)

    def _commit(self) -> None:
        self._done += (f"*{self._table}", *self._chains, *self._rules, "COMMIT")
        self._chains, self._rules, self._size = [], [], 0


def _size_of(rule: str) -> int:
    return _RULE_SIZE + _MATCH_SIZE * rule.count(" -m ")
