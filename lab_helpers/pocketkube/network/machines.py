"""The machines of a simulated network: nodes, Pods and the one outside, and who listens on them.

An address is an entry in a table. Behind a listening port stands a real socket on the loopback of the machine that all
this runs on. Which way a connection takes is left to `routing`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from ...iptables import Evaluator, Host, Outcome, Packet, Route, Tables
from .ipam import PodAddresses

TCP, UDP = "tcp", "udp"
EPHEMERAL = (32768, 60999)
"""The ports that a machine gives to those who don't ask for one."""
_ANY, _ANY_SIX = "0.0.0.0", "::"
_LOOPBACK = "127.0.0.1"
_FIRST_PACKET = 60
"""Bytes of a packet that opens a connection."""


@dataclass(frozen=True)
class Arrival:
    """Where a connection comes out: the machine and what it sees."""

    machine: Machine
    ip: str
    port: int
    source: str
    source_port: int


@dataclass(eq=False)
class Listener:
    """Who answers on a port of a machine."""

    protocol: str
    ip: str
    """One of the machine's addresses, 0.0.0.0 for all, or :: for those of IPv6, of which there are none."""
    port: int
    end: socket.socket
    """Our copy of the real socket; it shares everything with the one that the program has."""
    holder: tuple[int, int] | None = None
    """(thread, descriptor) of the program that has it; None for parts of the cluster itself."""
    interrupted: deque[tuple[socket.socket, Arrival]] = field(default_factory=deque)
    """Connections that were accepted for a program which a signal interrupted before it had them."""
    on_close: Callable[[], None] | None = None
    """Called before the socket is closed, by whoever waits for its connections."""

    @property
    def real(self) -> tuple[str, int]:
        """Where it listens in reality."""
        return _LOOPBACK, self.end.getsockname()[1]

    @property
    def alive(self) -> bool:
        """True while the program, or one that it gave the socket to, still has it open."""
        if self.holder is None:
            return True
        inode = os.fstat(self.end.fileno()).st_ino
        thread, descriptor = self.holder
        if _has(thread, descriptor, inode):
            return True
        found = _find_holder(inode)
        if found is not None:
            self.holder = found
        return found is not None

    def close(self) -> None:
        """Forgets the socket; a program that has it keeps it."""
        if self.on_close is not None:
            self.on_close()
        self.end.close()
        for connection, _arrival in self.interrupted:
            connection.close()


@dataclass(eq=False)
class Machine:
    """Something with an address: a Pod, a node, or the machine outside."""

    name: str
    ip: str
    hostname: str
    node: SimulatedNode | None = None
    """The node that a Pod is on."""
    link: str = ""
    """What its node calls the Pod's end."""
    listeners: list[Listener] = field(default_factory=list)

    def is_own(self, ip: str) -> bool:
        """True for its own address and all of the loopback."""
        return ip == self.ip or ip.startswith("127.")

    def listener(self, protocol: str, ip: str, port: int) -> Listener | None:
        """Who answers there; listeners whose program has ended are forgotten on the way."""
        for listener in [entry for entry in self.listeners if entry.port == port and entry.protocol == protocol]:
            if listener.ip not in (ip, _ANY):
                continue
            if listener.alive:
                return listener
            self.forget(listener)
        return None

    def listen(self, protocol: str, ip: str, port: int, real: socket.socket) -> Listener:
        """Notes a new listener; port 0 means any that is free. Raises OSError where it is taken."""
        wanted = port or self.free_port(protocol)
        taken = [entry for entry in self.listeners if entry.port == wanted and entry.protocol == protocol]
        for other in taken:
            if ip == other.ip or (_ANY in (ip, other.ip) and _ANY_SIX not in (ip, other.ip)):
                if other.alive:
                    raise OSError(98, os.strerror(98))
                self.forget(other)
        listener = Listener(protocol, ip, wanted, real)
        self.listeners.append(listener)
        return listener

    def forget(self, listener: Listener) -> None:
        """Nobody answers there any more."""
        with contextlib.suppress(ValueError):
            self.listeners.remove(listener)
            listener.close()

    def close(self) -> None:
        """The machine is gone."""
        for listener in [*self.listeners]:
            self.forget(listener)

    def free_port(self, protocol: str) -> int:
        """A port that nobody listens on."""
        taken = {entry.port for entry in self.listeners if entry.protocol == protocol}
        while (port := _chance.randint(*EPHEMERAL)) in taken:
            pass
        return port


@dataclass(eq=False)
class SimulatedNode(Machine):
    """A node: a machine with rules, that forwards what is not for itself."""

    pods: PodAddresses = field(default_factory=lambda: PodAddresses("10.244.0.0/24"))
    routes: tuple[Route, ...] = ()
    tables: Tables = field(default_factory=Tables)
    clock: Callable[[], float] = time.monotonic
    _recent: dict[str, dict[str, float]] = field(default_factory=dict)
    _evaluator: Evaluator | None = None

    def restore(self, text: str) -> None:
        """Applies one `iptables-restore --noflush`. Raises InvalidInput."""
        self.tables.restore(text)
        self._evaluator = None

    def source_for(self, destination: str) -> str:
        """The address that the node's own packets to a destination come from."""
        return self._host().route(destination).source or self.ip

    def meet(self, packet: Packet, random: Random) -> Outcome:
        """What the node's rules do with the first packet of a connection; counted and remembered as by a kernel."""
        if self._evaluator is None:
            self._evaluator = Evaluator(self.tables.ruleset)
        (outcome,) = self._evaluator.trace(packet, self._host(), random=random).outcomes
        self.tables.count(outcome.steps, _FIRST_PACKET)
        for name, address in outcome.remembered:
            self._recent.setdefault(name, {})[address] = self.clock()
        return outcome

    def _host(self) -> Host:
        now = self.clock()
        ages = {name: {ip: now - seen for ip, seen in entries.items()} for name, entries in self._recent.items()}
        return Host((self.ip,), self.routes, ages)


_chance = Random()


def _has(thread: int, descriptor: int, inode: int) -> bool:
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/{thread}/fd/{descriptor}").readlink()) == f"socket:[{inode}]"
    return False


def _find_holder(inode: int) -> tuple[int, int] | None:
    """Another process that has a socket, as one that the program forked."""
    own = os.getpid()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == own:
            continue
        with contextlib.suppress(OSError):
            for descriptor in (entry / "fd").iterdir():
                if _has(int(entry.name), int(descriptor.name), inode):
                    return int(entry.name), int(descriptor.name)
    return None
