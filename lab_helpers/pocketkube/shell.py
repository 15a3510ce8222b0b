"""Runs a command on a node or outside the cluster, from a process that is on the host: the client's side.

The caller's own standard streams are handed to the command, so there is nothing in between; where both ends are a
terminal, the command gets a terminal of the node and this side passes keys and output on. Closing the connection,
as the client's death does, ends the command. Imports next to nothing: `servicelab node -- curl ...` waits for it.
The other side is `shell_server`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from ..errors import ClusterNotRunning, CommandNotFound, NodeShellError
from . import packets

PASSED_ENVIRONMENT = ("TERM", "LANG", "LC_ALL", "COLORTERM", "NO_COLOR")
"""What of the caller's environment a command sees."""

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)


class Captured(NamedTuple):
    """What a command wrote and how it ended."""

    returncode: int
    stdout: str
    stderr: str


def run_shell(socket_path: Path, place: str, argv: Sequence[str] = ()) -> int:
    """Runs a command (a login shell if none is given) on the caller's own streams; returns its exit code.

    `place` is a node's name or `outside`. Raises NodeShellError if it can't be started.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if os.isatty(0) and os.isatty(1):
        return _run_in_terminal(socket_path, place, argv)
    with _connect(socket_path) as end:
        # A signal that comes while the command is being started waits until there is a command to pass it to.
        signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
        try:
            _request(end, place, argv, None, [0, 1, 2])
            with _Signals(end):
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
                return _await_exit(end)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)


def capture(
    socket_path: Path, place: str, argv: Sequence[str], *, input: str | None = None, timeout: float | None = None
) -> Captured:
    """Runs a command and returns what it wrote. Raises NodeShellError if it can't be started or takes too long."""
    streams = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
    try:
        with open(streams[0], "wb", closefd=False) as file:
            file.write((input or "").encode())
        os.lseek(streams[0], 0, os.SEEK_SET)
        with _connect(socket_path) as end:
            end.settimeout(timeout)
            try:
                _request(end, place, argv, None, streams)
                code = _await_exit(end)
            except TimeoutError:
                command = " ".join(argv)
                raise NodeShellError(f"{command!r} was still running after {timeout:g} s and was ended.") from None
        return Captured(code, _contents(streams[1]), _contents(streams[2]))
    finally:
        for stream in streams:
            os.close(stream)


def dial(socket_path: Path, place: str, ip: str, port: int) -> socket.socket:
    """A TCP connection that is made on a node or outside, for use here. Raises NodeShellError if it can't be made."""
    with _connect(socket_path) as end:
        packets.send(end, {"dial": [place, ip, port]})
        answer, descriptors = _receive(end)
    if "error" in answer:
        raise NodeShellError(answer["error"])
    return socket.socket(fileno=descriptors[0])


def _connect(socket_path: Path) -> socket.socket:
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        end.connect(str(socket_path))
    except OSError as error:
        end.close()
        raise ClusterNotRunning(
            f"The cluster's nodes can't be reached: {error.strerror}.", hint="Look with: servicelab status"
        ) from error
    return end


def _request(
    end: socket.socket, place: str, argv: Sequence[str], size: tuple[int, int] | None, streams: Sequence[int]
) -> int:
    """Asks for a command; returns the terminal's descriptor if one was asked for."""
    environment = {name: os.environ[name] for name in PASSED_ENVIRONMENT if name in os.environ}
    message = {"place": place, "argv": list(argv), "terminal": size, "environment": environment}
    packets.send(end, message, streams)
    answer, descriptors = _receive(end)
    if "not found in $PATH" in answer.get("error", ""):
        raise CommandNotFound(answer["error"])
    if "error" in answer:
        raise NodeShellError(answer["error"])
    return descriptors[0] if descriptors else -1


def _await_exit(end: socket.socket) -> int:
    return int(_receive(end)[0]["exit"])


def _receive(end: socket.socket) -> tuple[packets.Message, list[int]]:
    packet = packets.receive(end)
    if packet is None:
        raise NodeShellError("The cluster ended while the command was running.", hint="Look with: servicelab status")
    return packet


def _contents(descriptor: int) -> str:
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        return file.read().decode(errors="replace")


class _Signals:
    """Passes Ctrl-C and its like on to the command while it runs."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> None:
        for signum in _FORWARDED:
            self._before[signum] = signal.signal(signum, self._forward)

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _forward(self, signum: int, _frame: FrameType | None) -> None:
        packets.send(self._end, {"signal": signum})


def _run_in_terminal(socket_path: Path, place: str, argv: Sequence[str]) -> int:
    """Keys go to a terminal on the node as they are typed, and its output comes back."""
    import termios
    import tty

    before = termios.tcgetattr(0)
    with _connect(socket_path) as end:
        size = os.get_terminal_size(0)
        terminal = _request(end, place, argv, (size.columns, size.lines), [])
        resized = signal.signal(signal.SIGWINCH, lambda _signum, _frame: _copy_size(terminal))
        try:
            tty.setraw(0)
            return _relay(end, terminal)
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
            signal.signal(signal.SIGWINCH, resized)
            os.close(terminal)


def _copy_size(terminal: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8))


def _relay(end: socket.socket, terminal: int) -> int:
    """Copies until the command has ended and its last output was shown."""
    import select

    poll = select.poll()
    for descriptor in (0, terminal, end.fileno()):
        poll.register(descriptor, select.POLLIN)
    code: int | None = None
    while True:
        ready = dict(poll.poll(None if code is None else 0))
        if terminal in ready and not _copy(terminal, 1):
            poll.unregister(terminal)
        elif code is not None:
            return code
        if end.fileno() in ready and code is None:
            code = _await_exit(end)
            poll.unregister(end)
        if 0 in ready and code is None and not _copy(0, terminal):
            poll.unregister(0)


def _copy(source: int, target: int) -> bool:
    """Copies what is there; False at the end."""
    try:
        data = os.read(source, 65536)
    except OSError:  # EIO: the last process has closed the terminal.
        return False
    while data:
        data = data[os.write(target, data) :]
        if not data:
            return True
    return False


def main(arguments: Sequence[str]) -> int:
    """`python -m lab_helpers.pocketkube.shell SOCKET PLACE [COMMAND...]`."""
    socket_path, place, *argv = arguments
    try:
        return run_shell(Path(socket_path), place, argv)
    except (NodeShellError, ClusterNotRunning) as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
