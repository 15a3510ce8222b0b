"""What `iptables-save`, `iptables`, `ip` and their like print on the machines of a simulated network.

They read and change the tables that the evaluator follows, and every print-out says that it is simulated. A shell finds
them as small scripts, which read a file that exists only while it is read: its name is the command line.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from ...errors import InvalidInput
from ...iptables.listing import listing
from .machines import Machine, SimulatedNode
from .userspace import UserspaceEngine

FOLDER = "/.servicelab/command/"
"""Reading a file below gives what a command prints; its first line is the exit code."""

SIMULATED = "# Simulated: these rules are followed by ServiceLab itself, not by this machine's kernel.\n"
SIMULATED_NETWORK = "# Simulated: this machine's address is an entry in a table of ServiceLab's.\n"
NO_PACKETS = "the network is simulated: it has connections, but no packets that {} could send or see"

_SCRIPT = """\
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
_RESTORE_HINT = "the rules of a simulated network can be changed one by one (iptables -A, -D, -F ...), not from a file"


def write_scripts(folder: Path) -> None:
    """The commands that a shell is to find before the machine's own."""
    folder.mkdir(parents=True)
    for name in _COMMANDS:
        script = folder / name
        script.write_text(_SCRIPT.format(folder=FOLDER, name=name))
        script.chmod(0o755)


def answers(engine: UserspaceEngine, machine: Machine) -> Callable[[str], bytes | None]:
    """The files of a machine that are commands: path -> content, None for any other path."""

    def produce(path: str) -> bytes | None:
        if not path.startswith(FOLDER):
            return None
        code, printed = _run(engine, machine, path[len(FOLDER) :])
        return f"{code}\n{printed}".encode()

    return produce


def _run(engine: UserspaceEngine, machine: Machine, line: str) -> tuple[int, str]:
    try:
        words = shlex.split(line)
        return 0, _COMMANDS[words[0]](engine, machine, words)
    except InvalidInput as error:
        return 1, f"{words[0]}: {error.message}\n"
    except (ValueError, KeyError, IndexError):
        return 2, f"this command line is not understood: {line}\n"


def _save(engine: UserspaceEngine, machine: Machine, words: Sequence[str]) -> str:
    table, counters = "", False
    rest = iter(words[1:])
    for word in rest:
        if word in ("-t", "--table"):
            table = next(rest, "")
        elif word in ("-c", "--counters"):
            counters = True
        elif word.startswith("-t"):
            table = word[2:]
    if not isinstance(machine, SimulatedNode):
        return SIMULATED
    return SIMULATED + machine.tables.save(table, counters=counters)


def _restore(engine: UserspaceEngine, machine: Machine, words: Sequence[str]) -> str:
    raise InvalidInput(_RESTORE_HINT)


def _iptables(engine: UserspaceEngine, machine: Machine, words: Sequence[str]) -> str:
    if not isinstance(machine, SimulatedNode):
        raise InvalidInput("only nodes have rules")
    table, rest = "filter", [*words[1:]]
    for flag in ("-t", "--table"):
        if flag in rest:
            place = rest.index(flag)
            table = rest[place + 1]
            del rest[place : place + 2]
    rest = [word for word in rest if word not in ("-w", "--wait")]
    if not rest:
        raise InvalidInput("no command specified")
    flags = [word for word in rest if word.startswith("-")]
    chain = next((word for word in rest if not word.startswith("-")), "")
    if rest[0] in ("-S", "--list-rules"):
        return SIMULATED + _list_rules(machine, table, chain)
    if any(word == "--list" or (word[1:2] != "-" and "L" in word) for word in flags):
        letters = "".join(word.lstrip("-") for word in flags if not word.startswith("--"))
        return SIMULATED + _list(machine, table, chain, letters, numbers="--line-numbers" in flags)
    if rest[0] in ("-A", "-I", "-D", "-F", "-N", "-X"):
        machine.restore(f"*{table}\n{' '.join(_quoted(word) for word in rest)}\nCOMMIT\n")
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


def _list(node: SimulatedNode, table: str, chain: str, letters: str, *, numbers: bool) -> str:
    found = node.tables.ruleset.tables.get(table)
    listed = listing(found, chain, counters="v" in letters, numbers=numbers) if found else ""
    if not listed:
        raise InvalidInput("No chain/target/match by that name.")
    return listed


def _ip(engine: UserspaceEngine, machine: Machine, words: Sequence[str]) -> str:
    asked = [word for word in words[1:] if not word.startswith("-")]
    what = asked[0] if asked else ""
    verb = asked[1] if len(asked) > 1 else "show"
    if what == "route" and verb in ("add", "del") and machine is engine.outside and len(asked) > 2:
        gateway = asked[asked.index("via") + 1] if "via" in asked else ""
        engine.route_outside(asked[2].removesuffix("/32"), gateway if verb == "add" else "")
        return ""
    shown = any(word.startswith(verb) for word in ("show", "list", "get"))
    if what and shown and "address".startswith(what):
        return SIMULATED_NETWORK + _addresses(machine)
    if what and shown and "route".startswith(what):
        return SIMULATED_NETWORK + "".join(f"{route}\n" for route in engine.routes_of(machine))
    raise InvalidInput("on a simulated network `ip address` and `ip route` show, and change nothing")


def _addresses(machine: Machine) -> str:
    prefix = 32 if machine.node else 24
    return (
        "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536\n    inet 127.0.0.1/8 scope host lo\n"
        f"2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500\n    inet {machine.ip}/{prefix} scope global eth0\n"
    )


def _nothing_kept(engine: UserspaceEngine, machine: Machine, words: Sequence[str]) -> str:
    raise InvalidInput("the network is simulated, and keeps no table of connections")


def _no_packets(engine: UserspaceEngine, machine: Machine, words: Sequence[str]) -> str:
    raise InvalidInput(NO_PACKETS.format(words[0]))


_COMMANDS: dict[str, Callable[[UserspaceEngine, Machine, Sequence[str]], str]] = {
    "iptables-save": _save,
    "iptables-restore": _restore,
    "iptables": _iptables,
    "conntrack": _nothing_kept,
    "ping": _no_packets,
    "traceroute": _no_packets,
    "tcpdump": _no_packets,
    "arping": _no_packets,
    "ip": _ip,
}
