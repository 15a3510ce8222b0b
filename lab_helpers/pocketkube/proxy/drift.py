"""Whether a node's rules are still those that were written: how many rules each chain has.

Counting takes a fraction of parsing, and finds what people do to rules: flushing a table, deleting a chain, deleting
or adding a rule. Kubernetes looks for its canary chains only (Monitor in pkg/util/iptables, v1.36).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from .base_rules import JUMPS


class ChainKey(NamedTuple):
    """A chain of a table."""

    table: str
    chain: str


Counts = dict[ChainKey, int]


_CHANGES = {"-A ": 1, "-I ": 1, "-D ": -1}


def count_rules(text: str, counts: Counts | None = None) -> Counts:
    """The number of rules in each chain after a text; of built-in chains, that of the jumps to our chains."""
    counts = {} if counts is None else counts
    for table, line in _lines(text):
        if line.startswith(":"):
            counts[ChainKey(table, line[1:].partition(" ")[0])] = 0
        elif line.startswith("-X "):
            counts.pop(ChainKey(table, line[3:].strip()), None)
        elif change := _CHANGES.get(line[:3]):
            key = ChainKey(table, line.split(" ", 2)[1])
            if key.chain.startswith("KUBE-") or " -j KUBE-" in line:
                counts[key] = counts.get(key, 0) + change
    return counts


_JUMPS = Counter(ChainKey(jump.table, jump.chain) for jump in JUMPS)


class Expectation:
    """What the kernel should have after the texts that were written so far."""

    def __init__(self) -> None:
        self._counts: Counts = {}

    def written(self, text: str, *, full: bool) -> None:
        """Takes note of a text that the kernel accepted."""
        if full:
            self._counts = {}
        count_rules(text, self._counts)
        if full:
            # A full text puts in only those jumps that are missing.
            self._counts.update(_JUMPS)

    def missing(self, saved: str) -> list[ChainKey]:
        """The chains that are not as they were written, by the output of iptables-save."""
        found = count_rules(saved)
        return [key for key, count in self._counts.items() if found.get(key) != count]


def _lines(text: str) -> Iterator[tuple[str, str]]:
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        else:
            yield table, line
