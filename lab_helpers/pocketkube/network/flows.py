"""The connections that a kernel keeps track of: lists those of UDP, and forgets some, as `conntrack -L` and `-D` do.

Speaks ctnetlink to the network namespace that the calling thread is in. Which connections have to be forgotten is
left to `proxy.conntrack`. Models pkg/proxy/conntrack/conntrack.go (v1.36).
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_PROTOCOL_NETFILTER = 12
_CONNTRACK = 1 << 8  # NFNL_SUBSYS_CTNETLINK
_GET, _DELETE = _CONNTRACK | 1, _CONNTRACK | 2
_ERROR, _DONE = 2, 3
_REQUEST, _ACKNOWLEDGE, _DUMP = 0x1, 0x4, 0x300
_KIND = 0x3FFF  # Without the flags for nesting and byte order.

_ORIGINAL, _REPLY, _ID = 1, 2, 12
_ADDRESSES, _PROTOCOL = 1, 2
_SOURCE, _DESTINATION = 1, 2
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3

_HEADER = struct.Struct("=IHHII")
_FAMILY = struct.pack("!BBH", socket.AF_INET, 0, 0)
_BUFFER = 1 << 16


@dataclass(frozen=True)
class Flow:
    """One UDP connection: where its first packet was sent, and who answers."""

    destination: str
    port: int
    server: str
    server_port: int
    identity: bytes = b""
    """What tells it apart from all others, in the kernel's own form."""


def udp_flows() -> list[Flow]:
    """All UDP connections over IPv4. Raises OSError."""
    with _socket() as end:
        end.send(_message(_GET, _REQUEST | _DUMP, _FAMILY))
        return [flow for body in _answers(end) if (flow := _flow(body)) is not None]


def forget(flows: Iterable[Flow]) -> int:
    """Forgets connections, and says how many were still there. Raises OSError."""
    forgotten = 0
    with _socket() as end:
        for flow in flows:
            end.send(_message(_DELETE, _REQUEST | _ACKNOWLEDGE, _FAMILY + flow.identity))
            with contextlib.suppress(FileNotFoundError):
                list(_answers(end))
                forgotten += 1
    return forgotten


def _socket() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _PROTOCOL_NETFILTER)


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body


def _answers(end: socket.socket) -> Iterator[bytes]:
    """The bodies of all messages of one answer."""
    while True:
        received = end.recv(_BUFFER)
        position = 0
        while position < len(received):
            size, kind, _flags, _sequence, _port = _HEADER.unpack_from(received, position)
            body = received[position + _HEADER.size : position + size]
            position += (size + 3) & ~3
            if kind == _DONE:
                return
            if kind == _ERROR:
                number = -struct.unpack_from("=i", body)[0]
                if number:
                    raise OSError(number, f"conntrack: {os.strerror(number)}")
                return
            yield body


def _attributes(data: bytes) -> dict[int, bytes]:
    found, position = dict[int, bytes](), 0
    while position + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, position)
        found[kind & _KIND] = data[position + 4 : position + size]
        position += (max(size, 4) + 3) & ~3
    return found


def _flow(body: bytes) -> Flow | None:
    """A connection as it came from the kernel; None if it is not UDP."""
    attributes = _attributes(body[len(_FAMILY) :])
    original, reply = (_attributes(attributes.get(kind, b"")) for kind in (_ORIGINAL, _REPLY))
    protocol = _attributes(original.get(_PROTOCOL, b""))
    if protocol.get(_NUMBER) != bytes([socket.IPPROTO_UDP]):
        return None
    identity = b"".join(_attribute(kind, attributes[kind]) for kind in (_ORIGINAL, _ID) if kind in attributes)
    return Flow(
        socket.inet_ntoa(_attributes(original[_ADDRESSES])[_DESTINATION]),
        _port(protocol[_DESTINATION_PORT]),
        socket.inet_ntoa(_attributes(reply[_ADDRESSES])[_SOURCE]),
        _port(_attributes(reply[_PROTOCOL])[_SOURCE_PORT]),
        identity,
    )


def _attribute(kind: int, payload: bytes) -> bytes:
    nested = 0x8000 if kind == _ORIGINAL else 0
    size = 4 + len(payload)
    return struct.pack("=HH", size, kind | nested) + payload + b"\0" * (-size % 4)


def _port(raw: bytes) -> int:
    return int.from_bytes(raw, "big")
