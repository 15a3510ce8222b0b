"""The way of a new process from the template's fork to its program: namespaces, root, terminal, rights, exec.

Runs in the forked child alone, and tells over its status socket what went wrong, with the container runtime's
words. The other end sees the socket close without a word when the program runs. Forking and reaping is left to
`template`. Models opencontainers/runc (v1.3) libcontainer/standard_init_linux.go.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import importlib
import io
import os
import signal
import socket
import stat
import struct
import sys
import termios
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from .. import linux, packets
from ..interception import filter
from ..linux import Namespace
from .identity import ResolvedIdentity, UnknownUser, resolve
from .root_entry import RootPlan, enter_root
from .runtime import Identity, Rights

JOINED = {"net": Namespace.NET, "uts": Namespace.UTS, "ipc": Namespace.IPC, "mnt": Namespace.MOUNT}
"""Namespaces that can be joined by a descriptor of their own."""

NODE_RIGHTS = Rights(tuple(sorted(linux.NODE_CAPABILITIES)))

_EXIT_NOT_STARTED = 128
"""As Kubernetes shows a container whose program could not be started."""

_STATUS = 3


@dataclass(frozen=True)
class SpawnRequest:
    """What a new process is to be. Plain data; the descriptors that it names travel beside it."""

    argv: list[str]
    environment: dict[str, str]
    builtin: str = ""
    """`module:function` to call instead of executing argv[0]."""
    working_dir: str = "/"
    root: dict[str, Any] | None = None
    """A RootPlan to mount in a new mount namespace."""
    new_processes: bool = False
    """True for a process namespace of its own, of which it is the first process."""
    intercepted: str = ""
    """For a process without namespaces, whose system calls are answered: the folder that the kernel sees it in."""
    rights: Rights = Rights()
    identity: Identity = Identity()
    one_user: bool = False
    """True if only uid 0 exists here: another user is then uid 0 under another number. The template says so."""
    terminal: tuple[int, int] | None = None
    """(width, height) of a new terminal, which becomes its standard streams."""
    hold: bool = False
    """True to mount the root, hand over its mount namespace, and run nothing."""
    descriptors: list[str] = field(default_factory=list)
    """What each descriptor is: status, stdin, stdout, stderr, container (a pidfd), or a key of JOINED."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `read_request` reads it back."""
        return asdict(self)


def read_request(data: dict[str, Any]) -> SpawnRequest:
    """The inverse of `SpawnRequest.as_dict`."""
    rights, identity = data["rights"], data["identity"]
    return SpawnRequest(
        **{
            **data,
            "rights": Rights(**{**rights, "capabilities": tuple(rights["capabilities"])}),
            "identity": Identity(**{**identity, "groups": tuple(identity["groups"])}),
        }
    )


class _CannotStart(Exception):
    """The program can't be started, in the container runtime's words."""


def become(request: SpawnRequest, descriptors: dict[str, int]) -> NoReturn:
    """Turns this forked process into the requested one."""
    status = socket.socket(fileno=descriptors["status"])
    code = _EXIT_NOT_STARTED
    try:
        _enter(request, descriptors)
        if request.hold:
            packets.send(status, {"held": True}, [linux.open_namespace("mnt")])
            os._exit(0)
        if request.terminal:
            _open_terminal(request.terminal, status)
        else:
            for number, name in enumerate(("stdin", "stdout", "stderr")):
                os.dup2(descriptors[name], number)
        if request.intercepted:
            os.chdir(request.intercepted)
            status = _ask_from_now_on(status)
        who = resolve(request.identity)
        _change_folder(request.working_dir, create=bool(request.root or request.intercepted))
        if not request.intercepted:
            _assume(who, request, descriptors)
        request.environment.setdefault("HOME", who.home)
        if request.builtin:
            code = _call(request, status)
        else:
            _execute(request)
    except (OSError, UnknownUser, _CannotStart) as error:
        _tell(status, str(error))
    except Exception:
        _tell(status, traceback.format_exc())
    finally:
        os._exit(code)


def _tell(status: socket.socket, error: str) -> None:
    with contextlib.suppress(OSError):
        packets.send(status, {"error": error})


def _enter(request: SpawnRequest, descriptors: dict[str, int]) -> None:
    os.setsid()
    os.umask(0o022)
    if "container" in descriptors:
        linux.setns(descriptors["container"], Namespace.MOUNT | Namespace.NET | Namespace.UTS | Namespace.IPC)
    for name, kind in JOINED.items():
        if name in descriptors:
            linux.setns(descriptors[name], kind)
    if request.root is not None:
        linux.unshare(Namespace.MOUNT)
        enter_root(RootPlan(**request.root))


def _ask_from_now_on(status: socket.socket) -> socket.socket:
    """Installs the filter on system calls and hands its descriptor over; returns the status socket, unfiltered."""
    linux.die_with_parent()
    os.dup2(status.fileno(), filter.UNASKED_DESCRIPTOR, inheritable=False)
    status.close()
    unasked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=filter.UNASKED_DESCRIPTOR)
    listener = filter.install()
    packets.send(unasked, {"intercepted": True}, [listener])
    os.close(listener)
    return unasked


def _assume(who: ResolvedIdentity, request: SpawnRequest, descriptors: dict[str, int]) -> None:
    """Becomes that user, with the rights that are left."""
    linux.bound_capabilities(request.rights.capabilities)
    if not request.one_user:
        for number in range(3):
            if who.user and (os.isatty(number) or stat.S_ISFIFO(os.fstat(number).st_mode)):
                os.fchown(number, who.user, -1)  # So that /dev/stdout can be opened again.
        os.setgroups(who.groups)
        os.setresgid(who.group, who.group, who.group)
        os.setresuid(who.user, who.user, who.user)
    elif who.user or who.group:
        if "container" in descriptors:
            linux.setns(descriptors["container"], Namespace.USER)
        else:
            linux.unshare(Namespace.USER)
            linux.map_user(who.user, 0, who.group, 0)
        linux.bound_capabilities(request.rights.capabilities)  # A new user namespace begins with all of them.
    linux.keep_capabilities(() if who.user else request.rights.capabilities)
    if not request.rights.may_gain_more:
        linux.gain_no_privileges()
    linux.stay_reachable()


def _open_terminal(size: tuple[int, int], status: socket.socket) -> None:
    """Makes a terminal of this root's own /dev/pts the controlling one, and hands its other side over."""
    master, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    width, height = size
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    for number in range(3):
        os.dup2(terminal, number)
    packets.send(status, {"terminal": True}, [master])
    os.close(master)
    os.close(terminal)


def _change_folder(path: str, *, create: bool) -> None:
    try:
        if create:
            Path(path).mkdir(parents=True, exist_ok=True)
        os.chdir(path)
    except OSError as error:
        raise _CannotStart(f'chdir to cwd ("{path}") set in config.json failed: {_words(error)}') from error


def _execute(request: SpawnRequest) -> NoReturn:
    for signum in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(signum, signal.SIG_DFL)
    program = find_executable(request.argv[0], request.environment.get("PATH", linux.ADMIN_PATH))
    try:
        os.execve(program, request.argv, request.environment)
    except OSError as error:
        raise _CannotStart(f"exec {program}: {_words(error)}") from error


def find_executable(name: str, path: str) -> str:
    """The file that a command means. Raises _CannotStart as Go's os/exec.LookPath and runc do."""
    if not name:
        raise _CannotStart('exec: "": executable file not found in $PATH')
    if "/" in name:
        problem = _why_not_executable(name)
        if problem is None:
            return name
        what = f"stat {name}: {problem}" if problem == "no such file or directory" else problem
        raise _CannotStart(f'exec: "{name}": {what}')
    for folder in path.split(":"):
        candidate = f"{folder or '.'}/{name}"
        if _why_not_executable(candidate) is None:
            return candidate
    raise _CannotStart(f'exec: "{name}": executable file not found in $PATH')


def _why_not_executable(path: str) -> str | None:
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        return _words(error)
    if mode & 0o170000 == 0o040000:
        return "is a directory"
    return None if mode & 0o111 and os.access(path, os.X_OK) else "permission denied"


def _call(request: SpawnRequest, status: socket.socket) -> int:
    """Runs a program that is a Python function, in this very process; returns its exit code."""
    module, _, function = request.builtin.partition(":")
    program = getattr(importlib.import_module(module), function)
    status.close()
    os.closerange(_STATUS, 1 << 16)
    with contextlib.suppress(OSError):
        linux.set_process_name(request.argv[0].rpartition("/")[2])
        linux.hide_command_line(" ".join(request.argv))
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv = list(request.argv)
    _renew_streams()
    _end_on_signals()
    gc.enable()
    try:
        code = program(request.argv)
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())  # As the interpreter does at a program's end.
        code = 1
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    if isinstance(code, str):
        os.write(2, f"{code}\n".encode())
        return 1
    return (code or 0) & 0xFF


def _renew_streams() -> None:
    """The template's own stream objects wrap other descriptors, and buffer whole blocks."""
    sys.stdin = io.TextIOWrapper(io.FileIO(0, "r", closefd=False), encoding="utf-8")
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            io.BufferedWriter(io.FileIO(number, "w", closefd=False)), encoding="utf-8", line_buffering=True
        )
        for number in (1, 2)
    )


def _end_on_signals() -> None:
    """The first process of a namespace ignores what it has no handler for, and most programs should end."""

    def end(signum: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(signum, end)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _words(error: OSError) -> str:
    """The kernel's words in Go's spelling: lower case."""
    if error.errno == errno.ENOEXEC:
        return "exec format error"
    return (error.strerror or str(error)).partition(": ")[2].lower() or (error.strerror or str(error)).lower()
