"""The standard streams of containers and of the processes started in them, as asyncio streams.

A container's output goes to its log, in the format that `kubectl logs` is made from, and to whoever is attached at
that moment. Who may attach, and how streams travel to a client, is left to the kubelet's server.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import struct
import termios
import time
import weakref
from pathlib import Path

LONGEST_LINE = 16 * 1024
"""A longer line is logged in parts (max_container_log_line_size of containerd's CRI plugin)."""

LONGEST_BACKLOG = 4 << 20
"""An attached reader that is so many bytes behind is cut off: it must not hold the container up."""


class ContainerLog:
    """A log file in the CRI format: `TIME stdout|stderr F|P LINE`. Models k8s.io/cri-api's logging format."""

    def __init__(self, path: Path | None) -> None:
        self._file = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        self._rest: dict[str, bytes] = {}

    def write(self, stream: str, data: bytes) -> None:
        """Logs what a stream brought; an unfinished line waits for its end."""
        if self._file is None:
            return
        *lines, rest = (self._rest.get(stream, b"") + data).split(b"\n")
        head = f"{_now()} {stream} ".encode()
        entries = [part for line in lines for part in _entries(head, line)]
        while len(rest) > LONGEST_LINE:
            entries.append(head + b"P " + rest[:LONGEST_LINE] + b"\n")
            rest = rest[LONGEST_LINE:]
        self._rest[stream] = rest
        self._append(b"".join(entries))

    def end(self, stream: str) -> None:
        """Logs what is left of a stream that has ended without an end of line."""
        if rest := self._rest.pop(stream, b""):
            self._append(f"{_now()} {stream} P ".encode() + rest + b"\n")

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, data: bytes) -> None:
        if data and self._file is not None:
            with contextlib.suppress(OSError):  # A full disk costs log lines; the container goes on.
                self._file.write(data)


def _entries(head: bytes, line: bytes) -> list[bytes]:
    cuts = [line[start : start + LONGEST_LINE] for start in range(0, len(line), LONGEST_LINE)] or [b""]
    return [head + b"P " + cut + b"\n" for cut in cuts[:-1]] + [head + b"F " + cuts[-1] + b"\n"]


def _now() -> str:
    """RFC 3339 with nanoseconds, in UTC."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09d}Z"


class OutputPump(asyncio.Protocol):
    """Reads one output stream of a container into its log and to the attached readers."""

    def __init__(self, stream: str, log: ContainerLog) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stream = stream
        self._log = log
        self._readers: weakref.WeakSet[asyncio.StreamReader] = weakref.WeakSet()

    def attach(self) -> asyncio.StreamReader:
        """What comes from now on, for as long as the reader is kept."""
        reader = asyncio.StreamReader(limit=LONGEST_BACKLOG)
        if self.ended.done():
            reader.feed_eof()
        else:
            self._readers.add(reader)
        return reader

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        self._log.write(self._stream, data)
        for reader in self._readers:
            reader.feed_data(data)
        self._cut_off_slow_readers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        self._log.end(self._stream)
        for reader in self._readers:
            reader.feed_eof()
        self._readers.clear()
        if not self.ended.done():
            self.ended.set_result(None)

    def _cut_off_slow_readers(self) -> None:
        for reader in list(self._readers):
            if len(reader._buffer) > LONGEST_BACKLOG:  # type: ignore[attr-defined]
                reader.feed_eof()
                self._readers.discard(reader)


class _ReaderProtocol(asyncio.StreamReaderProtocol):
    """A terminal whose last process has closed it says EIO: that is its end of file."""

    def connection_lost(self, exc: Exception | None) -> None:
        hung_up = isinstance(exc, OSError) and exc.errno == errno.EIO
        super().connection_lost(None if hung_up else exc)


async def pump(descriptor: int, stream: str, log: ContainerLog) -> OutputPump:
    """Starts to read a descriptor, which is the pump's from now on."""
    loop = asyncio.get_running_loop()
    _transport, protocol = await loop.connect_read_pipe(
        lambda: OutputPump(stream, log), os.fdopen(descriptor, "rb", buffering=0)
    )
    return protocol


async def reader_of(descriptor: int) -> asyncio.StreamReader:
    """A stream that reads a descriptor, which is the stream's from now on."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: _ReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0))
    return reader


async def writer_of(descriptor: int) -> asyncio.StreamWriter:
    """A stream that writes to a descriptor, which is the stream's from now on."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(descriptor, "wb", buffering=0)
    )
    return asyncio.StreamWriter(transport, protocol, None, loop)


def set_terminal_size(terminal: int, width: int, height: int) -> None:
    """Sets a terminal's size in characters; its foreground programs are told."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
