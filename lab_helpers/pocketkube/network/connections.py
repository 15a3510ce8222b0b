"""Connections of a simulated network, each with a real socket of the loopback behind it.

Which way a connection takes is found by `routing`; here it becomes a socket that is connected to whoever answers, or
one that waits in vain. Who answers learns by the real port from whom the connection came in the simulated network.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections import OrderedDict
from dataclasses import dataclass

from .machines import TCP, UDP, Arrival, Listener, Machine
from .routing import Failure, Routing

_LOOPBACK = "127.0.0.1"
_MOST_REMEMBERED = 8192
_ERRNO = {
    Failure.REFUSED: errno.ECONNREFUSED,
    Failure.NO_ROUTE: errno.ENETUNREACH,
    Failure.NO_NEIGHBOUR: errno.EHOSTUNREACH,
    Failure.LOST: errno.ETIMEDOUT,
}


@dataclass(frozen=True)
class Connection:
    """A connection that came about, or that will never be answered."""

    real: socket.socket
    """Does not block."""
    local: tuple[str, int]
    """What the one who made it sees as its own end."""
    answered: bool = True


class Connections:
    """Makes the connections of one simulated network."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing
        self._arrivals: OrderedDict[int, Arrival] = OrderedDict()
        self._hole: list[socket.socket] = []
        self._sink: socket.socket | None = None

    def connect(self, sender: Machine, ip: str, port: int, protocol: str = TCP, sport: int = 0) -> Connection | Failure:
        """A connection from a machine; one that gets lost on its way is like a real one that nobody answers."""
        sport = sport or sender.free_port(protocol)
        arrival = self._routing.find(sender, ip, port, protocol, sport)
        own = _LOOPBACK if ip.startswith("127.") else sender.ip
        if arrival is Failure.LOST:
            return Connection(self._unanswered(protocol), (own, sport), answered=False)
        real = None
        if isinstance(arrival, Arrival):
            listener = arrival.machine.listener(protocol, arrival.ip, arrival.port)
            real = self._dial(listener, arrival) if listener else None
        elif arrival is not Failure.REFUSED:
            return arrival
        if real is None and protocol == UDP:
            real = _refused_later()
        return Failure.REFUSED if real is None else Connection(real, (own, sport))

    def arrival(self, real_port: int) -> Arrival | None:
        """What a connection from a real port of the loopback is in the simulated network; told once."""
        return self._arrivals.pop(real_port, None)

    def real_destination(self, sender: Machine, ip: str, port: int) -> tuple[str, int] | Failure:
        """Where a datagram goes in reality; one that is refused or lost goes where nobody reads it."""
        arrival = self._routing.find(sender, ip, port, UDP)
        if isinstance(arrival, Arrival):
            listener = arrival.machine.listener(UDP, arrival.ip, arrival.port)
            if listener is not None:
                return listener.real
        elif arrival is not Failure.REFUSED and arrival is not Failure.LOST:
            return arrival
        return self._nowhere()

    def _nowhere(self) -> tuple[str, int]:
        """Where datagrams are lost."""
        if self._sink is None:
            self._sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._sink.bind((_LOOPBACK, 0))
        return _LOOPBACK, self._sink.getsockname()[1]

    def close(self) -> None:
        """Lets go of the sockets that lead nowhere."""
        for end in (*self._hole, *([self._sink] if self._sink else [])):
            end.close()

    def _dial(self, listener: Listener, arrival: Arrival) -> socket.socket | None:
        """A socket that is connected to a listener; None if nobody listens there any more."""
        kind = socket.SOCK_STREAM if listener.protocol == TCP else socket.SOCK_DGRAM
        real = socket.socket(socket.AF_INET, kind)
        real.bind((_LOOPBACK, 0))
        real.setblocking(False)
        if listener.protocol == TCP:
            self._arrivals[real.getsockname()[1]] = arrival
            if len(self._arrivals) > _MOST_REMEMBERED:
                self._arrivals.popitem(last=False)
        problem = real.connect_ex(listener.real)
        if problem in (0, errno.EINPROGRESS):
            return real
        real.close()
        return None

    def _unanswered(self, protocol: str) -> socket.socket:
        """A socket whose connection is never answered: its first packet is sent, and sent again, as in reality."""
        if protocol == UDP:
            lost = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            lost.connect(self._nowhere())
        else:
            lost = self._into_the_hole()
        lost.setblocking(False)
        return lost

    def _into_the_hole(self) -> socket.socket:
        """A connection to a listener whose queue is full, and stays so."""
        if not self._hole:
            hole = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            hole.bind((_LOOPBACK, 0))
            hole.listen(0)
            self._hole.append(hole)
            while _connects_at_once(filler := _begin(hole.getsockname())):
                self._hole.append(filler)
            return filler
        return _begin(self._hole[0].getsockname())


def as_errno(failure: Failure) -> int:
    """What connect(2) says."""
    return _ERRNO[failure]


def as_error(failure: Failure) -> OSError:
    """For those who connect in Python."""
    return OSError(_ERRNO[failure], os.strerror(_ERRNO[failure]))


def _refused_later() -> socket.socket:
    """A socket for datagrams whose first one is refused: connecting it can't fail, as nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind((_LOOPBACK, 0))
        where = closed.getsockname()
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end.connect(where)
    end.setblocking(False)
    return end


def _begin(where: tuple[str, int]) -> socket.socket:
    end = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    end.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        end.connect(where)
    return end


def _connects_at_once(end: socket.socket) -> bool:
    poll = select.poll()
    poll.register(end, select.POLLOUT)
    return bool(poll.poll(5))
