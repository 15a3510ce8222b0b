"""The addresses of sockets as programs and the kernel write them down: struct sockaddr and its kin.

The simulated network has IPv4 alone: of IPv6 there are the forms that stand for an address of IPv4.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

Address = tuple[str, int]

ANY, ANY_SIX, LOOPBACK = "0.0.0.0", "::", "127.0.0.1"


def family_of(raw: bytes) -> int:
    """The kind of address; -1 for none."""
    return int(struct.unpack_from("=H", raw)[0]) if len(raw) >= 2 else -1


def destination_of(raw: bytes) -> Address:
    """Address and port of a struct sockaddr_in or sockaddr_in6. Raises OSError (EINVAL)."""
    if family_of(raw) == socket.AF_INET and len(raw) >= 8:
        return socket.inet_ntoa(raw[4:8]), int.from_bytes(raw[2:4], "big")
    if family_of(raw) == socket.AF_INET6 and len(raw) >= 24:
        address, port = raw[8:24], int.from_bytes(raw[2:4], "big")
        if address == b"\0" * 16:
            return ANY, port
        if address == b"\0" * 15 + b"\1":
            return LOOPBACK, port
        if address[:12] == b"\0" * 10 + b"\xff\xff":
            return socket.inet_ntoa(address[12:]), port
        return socket.inet_ntop(socket.AF_INET6, address), port
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def socket_address(family: int, address: Address) -> bytes:
    """A struct sockaddr_in or sockaddr_in6."""
    ip, port = address
    if family == socket.AF_INET:
        return struct.pack("=H", family) + port.to_bytes(2, "big") + socket.inet_aton(ip) + b"\0" * 8
    packed = b"\0" * 16 if ip in (ANY, ANY_SIX) else b"\0" * 10 + b"\xff\xff" + socket.inet_aton(ip)
    return struct.pack("=H", family) + port.to_bytes(2, "big") + b"\0" * 4 + packed + b"\0" * 4


def unix_path(raw: bytes) -> str:
    """The path of a Unix socket; empty for one without."""
    return os.fsdecode(raw[2:].partition(b"\0")[0])
