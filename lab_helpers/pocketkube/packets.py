"""Messages between our own processes: one JSON object a packet, with file descriptors beside it.

Over SOCK_SEQPACKET Unix sockets: packets keep their borders, and the other end's death is an empty packet.
What is said is left to the two ends: `kubelet.template` and `shell`.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Sequence
from typing import Any

Message = dict[str, Any]

LARGEST_INLINE = 48 * 1024
"""A longer message travels as a memory file: a packet has to fit the socket's buffer."""

_MAX_DESCRIPTORS = 32


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(end: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Sends one message; the descriptors stay the sender's own, too."""
    data = json.dumps(message).encode()
    if len(data) <= LARGEST_INLINE:
        _send(end, data, descriptors)
        return
    body = os.memfd_create("message")
    try:
        os.write(body, data)
        _send(end, b"\0", [*descriptors, body])
    finally:
        os.close(body)


def receive(end: socket.socket) -> tuple[Message, list[int]] | None:
    """The next message and its descriptors, now the receiver's; None when the other end is gone."""
    try:
        data, ancillary, _flags, _address = end.recvmsg(
            LARGEST_INLINE + 1, socket.CMSG_SPACE(_MAX_DESCRIPTORS * 4), socket.MSG_CMSG_CLOEXEC
        )
    except ConnectionResetError:
        return None
    descriptors = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
    if not data:
        return None
    received = descriptors.tolist()
    if data == b"\0":
        body = received.pop()
        data = os.pread(body, os.fstat(body).st_size, 0)
        os.close(body)
    return json.loads(data), received


def _send(end: socket.socket, data: bytes, descriptors: Sequence[int]) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    end.sendmsg([data], rights)
