"""The text for `nft -f`: commands on the table `ip kube-proxy`, in as few transactions as the kernel takes.

As with iptables (`restore_text`), who is not root on the machine itself can't send more than a fixed size at once.
The usual text is a single transaction: all or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

TABLE = "ip kube-proxy"
LARGEST_TRANSACTION = 180_000
_COMMAND_SIZE, _CHARACTER_SIZE = 250, 5
"""What a command takes at most: its frame, and what it says."""


def quoted(text: str) -> str:
    """A comment behind a rule or an element."""
    return f' comment "{text}"'


class Transactions:
    """Commands in order; each group that is added comes whole into one transaction, if it fits."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._lines: list[str] = []
        self._size = 0

    def add(self, commands: Iterable[str]) -> None:
        """Adds a group of commands."""
        group = list(commands)
        size = sum(map(_size_of, group))
        if self._size and self._size + size > LARGEST_TRANSACTION:
            self._close()
        for command in group:
            if self._size > LARGEST_TRANSACTION:
                self._close()
            self._lines.append(command)
            self._size += _size_of(command)

    def texts(self) -> list[str]:
        """One text for each call of `nft -f`."""
        if self._lines:
            self._close()
        return self._texts

    def _close(self) -> None:
        self._texts.append("\n".join([*self._lines, ""]))
        self._lines, self._size = [], 0


def add_chain(chain: str) -> tuple[str, str]:
    """Makes a chain, or empties it."""
    return f"add chain {TABLE} {chain}", f"flush chain {TABLE} {chain}"


def add_rule(chain: str, rule: str, comment: str = "") -> str:
    """Adds a rule at the end of a chain."""
    return f"add rule {TABLE} {chain} {rule}{quoted(comment) if comment else ''}"


def _size_of(command: str) -> int:
    return _COMMAND_SIZE + _CHARACTER_SIZE * len(command)
