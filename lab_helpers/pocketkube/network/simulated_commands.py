"""What `iptables-save`, `iptables` and their like print on the machines of a simulated network.

They read and change the tables that the evaluator follows; every print-out says that it is simulated. How a shell comes
to call these functions is left to `userspace_places`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...errors import InvalidInput
from .machines import SimulatedNode

SIMULATED = "# Simulated: these rules are followed by ServiceLab itself, not by this machine's kernel.\n"
NO_PACKETS = "the simulated network has connections, but no packets: {} has nothing to send or to see"

SCRIPT = """\
#!/bin/sh
# Asks the simulated network; the first line of the answer is the exit code.
line={name}
for word in "$@"; do
  line="$line '$word'"
done
{{
  read -r code
  if [ "$code" = 0 ]; then cat; else cat >&2; fi
  exit "$code"
}} < "{folder}$line"
"""


def run(node: SimulatedNode | None, words: Sequence[str]) -> str:
    """What a command prints. `node` is None on the machine outside, which has no rules. Raises InvalidInput."""
    return COMMANDS[words[0]](node, words)


def _save(node: SimulatedNode | None, words: Sequence[str]) -> str:
    table, counters = "", False
    rest = iter(words[1:])
    for word in rest:
        if word in ("-t", "--table"):
            table = next(rest, "")
        elif word in ("-c", "--counters"):
            counters = True
        elif word.startswith("-t"):
            table = word[2:]
    return SIMULATED + (node.tables.save(table, counters=counters) if node else "")


def _restore(node: SimulatedNode | None, words: Sequence[str]) -> str:
    raise InvalidInput("rules can be changed one by one here (iptables -A, -D, -F ...), not from a file")


def _iptables(node: SimulatedNode | None, words: Sequence[str]) -> str:
    table, rest = "filter", [*words[1:]]
    for flag in ("-t", "--table"):
        if flag in rest:
            place = rest.index(flag)
            table = rest[place + 1] if place + 1 < len(rest) else ""
            del rest[place : place + 2]
    rest = [word for word in rest if word not in ("-w", "--wait", "-n", "--numeric")]
    if not rest or node is None:
        raise InvalidInput("no command specified" if node else "there are no rules on this machine")
    if rest[0] in ("-S", "--list-rules"):
        return SIMULATED + _list_rules(node, table, rest[1] if len(rest) > 1 else "")
    if rest[0].startswith("-") and "L" in rest[0] or rest[0] == "--list":
        chain = next((word for word in rest[1:] if not word.startswith("-")), "")
        return SIMULATED + _list_rules(node, table, chain)
    if rest[0] in ("-A", "-I", "-D", "-F", "-N", "-X"):
        line = " ".join(_quoted(word) for word in rest)
        node.restore(f"*{table}\n{line}\nCOMMIT\n")
        return ""
    raise InvalidInput(f"{rest[0]} is not part of the simulated network; iptables-save shows all rules")


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word


def _list_rules(node: SimulatedNode, table: str, chain: str) -> str:
    """`iptables -S`: the lines of iptables-save in its form."""
    lines = []
    for line in node.tables.save(table, counters=False).splitlines():
        name, _, rest = line.lstrip(":").partition(" ")
        if line.startswith(":") and chain in ("", name):
            policy = rest.split()[0]
            lines.append(f"-N {name}" if policy == "-" else f"-P {name} {policy}")
        elif line.startswith("-A ") and chain in ("", line.split()[1]):
            lines.append(line)
    if not lines:
        raise InvalidInput("No chain/target/match by that name.")
    return "\n".join(lines) + "\n"


def _conntrack(node: SimulatedNode | None, words: Sequence[str]) -> str:
    raise InvalidInput("the simulated network keeps no table of connections")


def _no_packets(node: SimulatedNode | None, words: Sequence[str]) -> str:
    raise InvalidInput(NO_PACKETS.format(words[0]))


def _ip(node: SimulatedNode | None, words: Sequence[str]) -> str:
    raise InvalidInput("the simulated network has addresses, but no interfaces and routes")


COMMANDS: dict[str, Callable[[SimulatedNode | None, Sequence[str]], str]] = {
    "iptables-save": _save,
    "iptables-restore": _restore,
    "iptables": _iptables,
    "conntrack": _conntrack,
    "ping": _no_packets,
    "traceroute": _no_packets,
    "tcpdump": _no_packets,
    "ip": _ip,
    "ifconfig": _ip,
}
