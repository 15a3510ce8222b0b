"""The seccomp filter of a container's processes: which system calls are asked about, which go on unasked.

Installed by a process itself right before its program runs; all that it starts inherits it. Who answers is left to
`interceptor`. The filter is a program for the kernel's classic BPF machine (linux/filter.h).
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct

from . import calls

UNASKED_DESCRIPTOR = 1021
"""Messages through this descriptor are not asked about: the new process sends the filter's own descriptor by it."""

_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER = 1
_FLAG_NEW_LISTENER = 1 << 3

_ALLOW = 0x7FFF0000
_ASK = 0x7FC00000
_FAIL = 0x00050000

_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_OTHER_ABI = 0x40000000
"""Numbers from here on are those of x86-64's 32-bit pointers."""

_libc = ctypes.CDLL(None, use_errno=True)


def install() -> int:
    """Puts the filter on this thread for good; returns the descriptor on which its questions come. Raises OSError."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), *[ctypes.c_ulong(0)] * 3), "prctl(NO_NEW_PRIVS)")
    program = ctypes.create_string_buffer(_program())
    header = struct.pack("=HxxxxxxQ", len(_program()) // 8, ctypes.addressof(program))
    descriptor = _libc.syscall(
        ctypes.c_long(calls.number(calls.SECCOMP)), ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(_FLAG_NEW_LISTENER),
        header,
    )  # fmt: skip
    _check(descriptor, "seccomp")
    return int(descriptor)


def _check(result: int, what: str) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _program() -> bytes:
    """Instructions as the kernel takes them; jumps are relative, so the blocks below can be put together."""
    asked = calls.numbers(calls.SOCKET_CALLS, calls.NAME_CALLS, calls.FILE_CALLS)
    body = _step(_LOAD, _NUMBER)
    body += _step(_JUMP_GREATER_EQUAL, _OTHER_ABI, 0, 1) + _step(_RETURN, _FAIL | errno.ENOSYS)
    for refused in calls.numbers(calls.REFUSED_CALLS).values():
        body += _step(_JUMP_EQUAL, refused, 0, 1) + _step(_RETURN, _FAIL | errno.ENOSYS)
    for name, number in asked.items():
        answer = _CONDITIONS.get(name, _step(_RETURN, _ASK))
        body += _step(_JUMP_EQUAL, number, 0, len(answer) // 8) + answer
    body += _step(_RETURN, _ALLOW)
    # Another processor's calls (32-bit programs) are not known here, and not allowed.
    return (
        _step(_LOAD, _ARCHITECTURE)
        + _step(_JUMP_EQUAL, calls.architecture(), 1, 0)
        + _step(_RETURN, _FAIL | errno.ENOSYS)
        + body
    )


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _argument(index: int, half: int = 0) -> bytes:
    """Loads the low (0) or high (1) half of an argument."""
    return _step(_LOAD, _ARGUMENTS + 8 * index + 4 * half)


_CONDITIONS = {
    # Whether a socket for IPv6 takes connections of IPv4, too.
    "setsockopt": (
        _argument(1)
        + _step(_JUMP_EQUAL, socket.IPPROTO_IPV6, 0, 3)
        + _argument(2)
        + _step(_JUMP_EQUAL, socket.IPV6_V6ONLY, 0, 1)
        + _step(_RETURN, _ASK)
        + _step(_RETURN, _ALLOW)
    ),
    # Only what names its destination: everything else goes to where the socket is connected.
    "sendto": (
        _argument(4)
        + _step(_JUMP_EQUAL, 0, 0, 2)
        + _argument(4, 1)
        + _step(_JUMP_EQUAL, 0, 1, 0)
        + _step(_RETURN, _ASK)
        + _step(_RETURN, _ALLOW)
    ),
    "sendmsg": (
        _argument(0) + _step(_JUMP_EQUAL, UNASKED_DESCRIPTOR, 0, 1) + _step(_RETURN, _ALLOW) + _step(_RETURN, _ASK)
    ),
}
