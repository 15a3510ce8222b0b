"""One question of an intercepted process: its system call, the caller's memory, and the answer.

Models the kernel's interface in linux/seccomp.h (Linux 5.9 and newer). What to answer is left to others.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator

_RECEIVE, _SEND, _IS_VALID, _ADD_DESCRIPTOR = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
_GO_ON = 1
_AT_NUMBER = 1
_LONGEST_PATH = 4096
_PAGE = 4096
_NOT_ALLOWED = (errno.EPERM, errno.ENOSYS)

_libc = ctypes.CDLL(None, use_errno=True)


class CallerGone(Exception):
    """The process that asked does not wait for an answer any more."""


class Question:
    """A system call that waits for an answer; exactly one answer is to be given."""

    __slots__ = ("_listener", "arguments", "id", "number", "thread")

    def __init__(self, listener: int, raw: bytes) -> None:
        self._listener = listener
        self.id, self.thread, _flags, self.number, _architecture, _place, *arguments = struct.unpack("=QIIiIQ6Q", raw)
        self.arguments: tuple[int, ...] = tuple(arguments)

    def signed(self, index: int) -> int:
        """An argument that is an int."""
        value = self.arguments[index] & 0xFFFFFFFF
        return value - (1 << 32) if value & 0x80000000 else value

    def read(self, address: int, size: int) -> bytes:
        """Bytes of the caller's memory; fewer where it ends. Raises OSError (EFAULT) if nothing is there."""
        buffer = ctypes.create_string_buffer(size)
        got = _libc.process_vm_readv(
            ctypes.c_int(self.thread), ctypes.byref(_Vector(ctypes.addressof(buffer), size)), ctypes.c_ulong(1),
            ctypes.byref(_Vector(address, size)), ctypes.c_ulong(1), ctypes.c_ulong(0),
        )  # fmt: skip
        if got >= 0:
            return buffer.raw[:got]
        number = ctypes.get_errno()
        if number == errno.ESRCH:
            raise CallerGone
        if number not in _NOT_ALLOWED:
            raise OSError(number, os.strerror(number))
        with self._memory(os.O_RDONLY) as memory:
            return os.pread(memory, size, address)

    def write(self, address: int, data: bytes) -> None:
        """Changes the caller's memory. Raises OSError (EFAULT)."""
        buffer = ctypes.create_string_buffer(data, len(data))
        put = _libc.process_vm_writev(
            ctypes.c_int(self.thread), ctypes.byref(_Vector(ctypes.addressof(buffer), len(data))), ctypes.c_ulong(1),
            ctypes.byref(_Vector(address, len(data))), ctypes.c_ulong(1), ctypes.c_ulong(0),
        )  # fmt: skip
        if put < 0 and ctypes.get_errno() in _NOT_ALLOWED:
            with self._memory(os.O_WRONLY) as memory:
                put = os.pwrite(memory, data, address)
        if put != len(data):
            raise OSError(errno.EFAULT, "write to the caller's memory")

    @contextlib.contextmanager
    def _memory(self, flags: int) -> Iterator[int]:
        """The caller's memory as a file: where a container's own filter knows nothing of the quicker calls."""
        memory = os.open(f"/proc/{self.thread}/mem", flags | os.O_CLOEXEC)
        try:
            yield memory
        except OSError as error:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT)) from error
        finally:
            os.close(memory)

    def text(self, address: int) -> str:
        """A string of the caller's memory that ends with a zero byte. Raises OSError."""
        if address == 0:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        found = b""
        while len(found) < _LONGEST_PATH:
            # Up to the page's end: the next page may not be there.
            part = self.read(address + len(found), min(256, _PAGE - (address + len(found)) % _PAGE))
            head, zero, _ = part.partition(b"\0")
            found += head
            if zero:
                return os.fsdecode(found)
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))

    def still_waits(self) -> bool:
        """False once the caller has been ended or interrupted."""
        try:
            fcntl.ioctl(self._listener, _IS_VALID, struct.pack("=Q", self.id))
        except OSError:
            return False
        return True

    def go_on(self) -> None:
        """The kernel is to do what was asked for, as it is."""
        self._answer(0, 0, _GO_ON)

    def give(self, value: int = 0) -> None:
        """The call returns a value."""
        self._answer(value, 0, 0)

    def refuse(self, number: int) -> None:
        """The call fails with an errno."""
        self._answer(0, -number, 0)

    def put(self, descriptor: int, *, at: int = -1, close_on_exec: bool = False) -> int:
        """Puts a copy of our descriptor into the caller, in place of its own number `at` if one is given.

        Returns the caller's number. Raises CallerGone, or OSError (EMFILE).
        """
        flags, wanted = (_AT_NUMBER, at) if at >= 0 else (0, 0)
        request = struct.pack("=QIIII", self.id, flags, descriptor, wanted, os.O_CLOEXEC if close_on_exec else 0)
        try:
            return int(fcntl.ioctl(self._listener, _ADD_DESCRIPTOR, bytearray(request)))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINPROGRESS):
                raise CallerGone from None
            raise

    def _answer(self, value: int, error: int, flags: int) -> None:
        with contextlib.suppress(FileNotFoundError):  # Nobody waits any more.
            fcntl.ioctl(self._listener, _SEND, struct.pack("=QqiI", self.id, value, error, flags))


def next_question(listener: int) -> Question | None:
    """The question that waits; None if its asker has gone meanwhile. Blocks if there is none."""
    buffer = bytearray(80)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
    except FileNotFoundError:
        return None
    return Question(listener, bytes(buffer))


class _Vector(ctypes.Structure):
    """struct iovec"""

    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))

    def __init__(self, base: int, size: int) -> None:
        super().__init__(base, size)
