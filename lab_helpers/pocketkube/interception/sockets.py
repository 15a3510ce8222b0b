"""The sockets of intercepted processes: connect, bind, accept and the names of both ends, in a simulated network.

A socket that a program connects or binds is replaced by one of the loopback, under the same number; from then on
the kernel moves its data, and nobody asks any more. Unix sockets are found by `files`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
import struct
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from ..network.connections import Connections, as_errno
from ..network.machines import TCP, UDP, Arrival, Listener, Machine
from ..network.routing import Failure
from .addresses import ANY, ANY_SIX, LOOPBACK, Address, destination_of, family_of, socket_address, unix_path
from .files import Files
from .notifications import CallerGone, Question

_INET = (socket.AF_INET, socket.AF_INET6)
_KIND = 0xF
_NONBLOCK, _CLOEXEC = socket.SOCK_NONBLOCK, socket.SOCK_CLOEXEC
_FAST_OPEN = 0x20000000
_MESSAGE_SIZE = 64
_PATIENCE = 130.0
"""Seconds after which connect(2) gives up (tcp_syn_retries = 6)."""

_HOST_RESOLVERS = ("/run/nscd/", "/var/run/nscd/", "/run/systemd/resolve/", "/var/run/systemd/resolve/")
"""The machine's own services for names: a container asks its own name server."""

_MOST_REMEMBERED = 16384


@dataclass
class Names:
    """What a program is told about one of its sockets."""

    family: int
    kind: int
    local: Address | None = None
    peer: Address | None = None
    listener: Listener | None = None
    six_only: bool = False
    """True if a socket for IPv6 takes no connections of IPv4: then nobody reaches it here."""


class SocketBook:
    """All sockets of a simulated network's programs, by their inode. A socket may go from process to process."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, Names] = OrderedDict()

    def note(self, end: socket.socket, names: Names) -> None:
        """What there is to tell about a socket that was given to a program."""
        self._names[f"socket:[{os.fstat(end.fileno()).st_ino}]"] = names
        if len(self._names) > _MOST_REMEMBERED:
            self._names.popitem(last=False)

    def find(self, thread: int, descriptor: int) -> Names | None:
        """About a program's descriptor."""
        try:
            link = os.readlink(f"/proc/{thread}/fd/{descriptor}")
        except FileNotFoundError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
        return self._names.get(link)


class Sockets:
    """Answers what the programs of one machine ask about their sockets."""

    def __init__(self, machine: Machine, connections: Connections, book: SocketBook, files: Files | None) -> None:
        self._machine = machine
        self._connections = connections
        self._book = book
        self._files = files
        self._waiting: dict[Listener, deque[tuple[Question, int]]] = {}

    def make(self, question: Question) -> None:
        """Makes it; there is no way to the machine's own network interfaces."""
        family, kind, protocol = (question.signed(index) for index in range(3))
        if family == socket.AF_NETLINK:
            question.refuse(errno.EAFNOSUPPORT)
        elif family not in (*_INET, socket.AF_UNIX):
            question.refuse(errno.EPERM if family == socket.AF_PACKET else errno.EAFNOSUPPORT)
        elif family in _INET and (kind & _KIND not in _KINDS or protocol not in _PROTOCOLS):
            question.refuse(errno.EPERM)
        else:
            with socket.socket(family, kind & _KIND, protocol) as end:
                end.setblocking(not kind & _NONBLOCK)
                self._book.note(end, Names(family, kind & _KIND))
                question.give(question.put(end.fileno(), close_on_exec=bool(kind & _CLOEXEC)))

    def connect(self, question: Question) -> None:
        """Connects to whoever the network's rules choose."""
        raw = question.read(question.arguments[1], min(question.arguments[2], 128))
        names = self._book.find(question.thread, question.signed(0))
        family = family_of(raw)
        if family == socket.AF_UNIX:
            self._connect_unix(question, raw, names)
        elif family not in _INET or names is None or names.family not in _INET:
            question.go_on()
        else:
            self._connect_inet(question, names, destination_of(raw))

    def bind(self, question: Question) -> None:
        """Takes a port of the machine."""
        raw = question.read(question.arguments[1], min(question.arguments[2], 128))
        descriptor = question.signed(0)
        names = self._book.find(question.thread, descriptor)
        if family_of(raw) == socket.AF_UNIX:
            self._bind_unix(question, raw, names)
            return
        if names is None or names.family not in _INET:
            question.go_on()
            return
        if names.local is not None:
            question.refuse(errno.EINVAL)
            return
        ip, port = destination_of(raw)
        if ip == ANY and names.six_only:
            ip = ANY_SIX
        elif ip != ANY and not self._machine.is_own(ip):
            question.refuse(errno.EADDRNOTAVAIL)
            return
        protocol = TCP if names.kind == socket.SOCK_STREAM else UDP
        real = socket.socket(names.family, names.kind)
        try:
            _bind_loopback(real)
            listener = self._machine.listen(protocol, ip, port, real)
        except OSError:
            real.close()
            raise
        try:
            self._replace(question, descriptor, real)
        except (OSError, CallerGone):
            self._machine.forget(listener)
            raise
        listener.holder = (question.thread, descriptor)
        self._book.note(real, Names(names.family, names.kind, (ip, listener.port), listener=listener))
        question.give()

    def accept(self, question: Question) -> None:
        """Takes the next connection, as soon as there is one."""
        self._accept(question, 0)

    def accept4(self, question: Question) -> None:
        """The same, with flags for the new descriptor."""
        self._accept(question, question.signed(3))

    def getsockname(self, question: Question) -> None:
        """The own end's address."""
        self._name(question, lambda names: names.local)

    def getpeername(self, question: Question) -> None:
        """The other end's address."""
        self._name(question, lambda names: names.peer)

    def setsockopt(self, question: Question) -> None:
        """Notes whether a socket for IPv6 wants nothing else."""
        names = self._book.find(question.thread, question.signed(0))
        if names is not None and question.arguments[4] >= 4:
            names.six_only = any(question.read(question.arguments[3], 4))
        question.go_on()

    def sendto(self, question: Question) -> None:
        """A datagram to where it says."""
        if question.arguments[3] & _FAST_OPEN:
            question.refuse(errno.EOPNOTSUPP)
            return
        self._redirect(question, question.arguments[4], question.arguments[5])
        question.go_on()

    def sendmsg(self, question: Question) -> None:
        """The same, in another form."""
        self._redirect_message(question, question.arguments[1])
        question.go_on()

    def sendmmsg(self, question: Question) -> None:
        """Several datagrams."""
        for index in range(min(question.arguments[2], 1024)):
            self._redirect_message(question, question.arguments[1] + index * _MESSAGE_SIZE)
        question.go_on()

    # Connecting.

    def _connect_inet(self, question: Question, names: Names, destination: Address) -> None:
        descriptor = question.signed(0)
        if names.peer is not None and names.kind == socket.SOCK_STREAM:
            question.refuse(errno.EISCONN)
            return
        ip, port = destination
        if ":" in ip:
            question.refuse(errno.ENETUNREACH)
            return
        protocol = TCP if names.kind == socket.SOCK_STREAM else UDP
        sport = names.local[1] if names.local else 0
        found = self._connections.connect(self._machine, LOOPBACK if ip == ANY else ip, port, protocol, sport)
        if isinstance(found, Failure):
            question.refuse(as_errno(found))
            return
        with found.real:
            blocks = not read_flags(question.thread, descriptor) & os.O_NONBLOCK
            if not found.answered and protocol == TCP and blocks:
                # A blocking caller waits as long as a real one would; then there is nothing to hand out.
                asyncio.get_running_loop().call_later(_PATIENCE, question.refuse, errno.ETIMEDOUT)
                return
            self._replace(question, descriptor, found.real)
            local = names.local if names.local and names.local[0] != ANY else found.local
            self._book.note(found.real, Names(names.family, names.kind, local, destination))
            if found.answered or protocol == UDP:
                question.give()
            else:
                question.refuse(errno.EINPROGRESS)

    def _connect_unix(self, question: Question, raw: bytes, names: Names | None) -> None:
        path = unix_path(raw)
        if path.startswith(_HOST_RESOLVERS):
            question.refuse(errno.ENOENT)
        else:
            self._use_path(question, path, names, socket.socket.connect, writing=False)

    def _bind_unix(self, question: Question, raw: bytes, names: Names | None) -> None:
        self._use_path(question, unix_path(raw), names, socket.socket.bind, writing=True)

    def _use_path(
        self,
        question: Question,
        path: str,
        names: Names | None,
        use: Callable[[socket.socket, str], None],
        *,
        writing: bool,
    ) -> None:
        """Gives the caller a socket of ours that is connected or bound where its own path really is."""
        place = self._files.place(question, path, writing=writing) if self._files and path else None
        if place is None or names is None:
            question.go_on()
            return
        with socket.socket(socket.AF_UNIX, names.kind) as end, _short(place) as short:
            use(end, short)
            self._replace(question, question.signed(0), end)
            question.give()

    def _replace(self, question: Question, descriptor: int, real: socket.socket) -> None:
        """Puts a socket of ours in the place of the program's, with the program's own flags."""
        flags = read_flags(question.thread, descriptor)
        os.set_blocking(real.fileno(), not flags & os.O_NONBLOCK)
        question.put(real.fileno(), at=descriptor, close_on_exec=bool(flags & os.O_CLOEXEC))

    # Accepting.

    def _accept(self, question: Question, flags: int) -> None:
        descriptor = question.signed(0)
        names = self._book.find(question.thread, descriptor)
        if names is None or names.listener is None:
            question.go_on()
            return
        listener = names.listener
        if self._hand_out(listener, question, flags, names.family):
            return
        if read_flags(question.thread, descriptor) & os.O_NONBLOCK:
            question.refuse(errno.EAGAIN)
            return
        if listener not in self._waiting:
            self._waiting[listener] = deque()
            listener.on_close = partial(self._wait_no_more, listener)
            asyncio.get_running_loop().add_reader(listener.end, self._on_connection, listener, names.family)
        self._waiting[listener].append((question, flags))

    def _on_connection(self, listener: Listener, family: int) -> None:
        waiting = self._waiting[listener]
        while waiting and (not waiting[0][0].still_waits() or self._hand_out(listener, *waiting[0], family)):
            waiting.popleft()
        if not waiting:
            self._wait_no_more(listener)

    def _wait_no_more(self, listener: Listener) -> None:
        """Nobody waits for connections there; the programs that did are gone, or soon will be."""
        if self._waiting.pop(listener, None) is not None:
            asyncio.get_running_loop().remove_reader(listener.end)
        listener.on_close = None

    def _hand_out(self, listener: Listener, question: Question, flags: int, family: int) -> bool:
        """Gives the next connection to a program that accepts; False if there is none yet."""
        taken = self._take(listener)
        if taken is None:
            return False
        connection, arrival = taken
        source: Address = (arrival.source, arrival.source_port)
        os.set_blocking(connection.fileno(), not flags & _NONBLOCK)
        try:
            number = question.put(connection.fileno(), close_on_exec=bool(flags & _CLOEXEC))
            self._book.note(connection, Names(family, socket.SOCK_STREAM, (arrival.ip, arrival.port), source))
            if question.arguments[1]:
                _write_name(question, 1, 2, family, source)
            question.give(number)
        except CallerGone:
            # A signal has interrupted the caller, who will ask again.
            listener.interrupted.append((connection, arrival))
            return True
        connection.close()
        return True

    def _take(self, listener: Listener) -> tuple[socket.socket, Arrival] | None:
        """The next connection that came by the simulated network; others, from the machine itself, are hung up."""
        if listener.interrupted:
            return listener.interrupted.popleft()
        poll = select.poll()
        poll.register(listener.end, select.POLLIN)
        while poll.poll(0):
            try:
                connection, client = listener.end.accept()
            except OSError:
                return None  # It had gone before we came, or the listener does not listen (any more).
            arrival = self._connections.arrival(client[1])
            if arrival is not None:
                return connection, arrival
            connection.close()
        return None

    # Names.

    def _name(self, question: Question, end: Callable[[Names], Address | None]) -> None:
        names = self._book.find(question.thread, question.signed(0))
        address = end(names) if names is not None else None
        if names is None or address is None:
            question.go_on()
            return
        _write_name(question, 1, 2, names.family, address)
        question.give()

    # Datagrams.

    def _redirect_message(self, question: Question, message: int) -> None:
        name, size = struct.unpack("=QI", question.read(message, 12))
        if name:
            self._redirect(question, name, size)

    def _redirect(self, question: Question, address: int, size: int) -> None:
        """Writes the real destination over the one that a datagram names. Raises OSError if it can't get there."""
        raw = question.read(address, min(size, 128))
        if family_of(raw) not in _INET:
            return
        names = self._book.find(question.thread, question.signed(0))
        ip, port = destination_of(raw)
        if names is None or names.kind != socket.SOCK_DGRAM:
            return
        if names.local is not None and ip == LOOPBACK:
            return  # An answer: its client is known to the program by its real address.
        if ":" in ip:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        real = self._connections.real_destination(self._machine, ip, port)
        if isinstance(real, Failure):
            raise OSError(as_errno(real), os.strerror(as_errno(real)))
        question.write(address, socket_address(family_of(raw), real)[:size])


_KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
_PROTOCOLS = (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP)


def _bind_loopback(end: socket.socket) -> None:
    """Takes any port of the loopback; for IPv6 of its form that IPv4 connections come to."""
    if end.family == socket.AF_INET6:
        end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        end.bind((f"::ffff:{LOOPBACK}", 0))
    else:
        end.bind((LOOPBACK, 0))


def read_flags(thread: int, descriptor: int) -> int:
    """The open flags of another process' descriptor: O_NONBLOCK, O_CLOEXEC and so on; 0 if it is not known."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{thread}/fdinfo/{descriptor}") as file:
        for line in file:
            if line.startswith("flags:"):
                return int(line.split()[1], 8)
    return 0


def _write_name(question: Question, place: int, size: int, family: int, address: Address) -> None:
    """Writes an address as accept(2) and its like do: as much as the caller has room for, and how long it is."""
    packed = socket_address(family, address)
    (room,) = struct.unpack("=I", question.read(question.arguments[size], 4))
    question.write(question.arguments[place], packed[:room])
    question.write(question.arguments[size], struct.pack("=I", len(packed)))


@contextlib.contextmanager
def _short(place: str) -> Iterator[str]:
    """A path to the same place that fits into a socket's address."""
    folder = os.open(os.path.dirname(place), os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{os.path.basename(place)}"
    finally:
        os.close(folder)
