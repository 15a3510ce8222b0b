"""The sandbox: the node process's own small machine, made of namespaces, that vanishes with it.

`enter` puts the calling process into new user, network, mount, process, UTS and IPC namespaces and goes on as their
first process. Whatever runs in there ends when that process ends, however it ends; and that process ends when its
creator does. What is built inside is left to `network.kernel` and `kubelet`.
"""

from __future__ import annotations

import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from . import linux
from .linux import MountFlag, Namespace

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class Sandbox:
    """The sandbox that this process is the first process of."""

    files: Path
    """An empty tmpfs that only the sandbox sees."""
    all_users: bool
    """True if every user id exists inside, and uid 0 is the machine's root; otherwise only uid 0 exists."""


def enter(files: Path) -> Sandbox:
    """Makes the sandbox and returns inside it, in a new process; the calling process waits and never returns.

    To be called early in a forked child that has one thread. `files` is a folder that becomes the sandbox's tmpfs.
    Raises OSError if the kernel refuses.
    """
    parent = os.getppid()
    all_users = _unshare_user()
    linux.die_with_parent()
    if os.getppid() != parent:
        os._exit(1)
    linux.unshare(Namespace.NET | Namespace.MOUNT | Namespace.PID | Namespace.UTS | Namespace.IPC)
    alive, held = os.pipe()
    pid = os.fork()
    if pid:
        os.close(alive)
        _wait_for(pid)
    os.close(held)
    linux.die_with_parent()
    if select.select([alive], [], [], 0)[0]:
        os._exit(1)  # The parent died before it could be watched.
    os.close(alive)
    os.setsid()
    _mount(files)
    return Sandbox(files, all_users)


def _unshare_user() -> bool:
    """Enters a user namespace as its root; returns whether all users were taken along."""
    user, group = os.geteuid(), os.getegid()
    if user != 0:
        linux.unshare(Namespace.USER)
    else:
        try:
            if _unshare_with_all_users():
                return True
        except OSError:
            return _has_all_users()  # Root can make the other namespaces without one.
    linux.become_root(user, group)
    return False


def _has_all_users() -> bool:
    """False where this process is in a user namespace already that knows root alone, as in some containers."""
    ranges = [line.split() for line in Path("/proc/self/gid_map").read_text().splitlines()]
    return sum(int(size) for _inside, _outside, size in ranges) > 1


def _unshare_with_all_users() -> bool:
    """Enters a user namespace; a process outside of it, as the kernel wants, maps all users. False if it may not."""
    target = os.getpid()
    ready, go = os.pipe()
    writer = os.fork()
    if writer == 0:
        os.close(go)
        os._exit(_write_full_maps(ready, target))
    os.close(ready)
    try:
        linux.unshare(Namespace.USER)
        os.write(go, b".")
    finally:
        os.close(go)
        status = os.waitpid(writer, 0)[1]
    return status == 0


def _write_full_maps(ready: int, target: int) -> int:
    """Maps every user and group that exists here to itself."""
    if not os.read(ready, 1):
        return 1
    try:
        for name in ("uid_map", "gid_map"):
            ranges = (line.split() for line in Path("/proc/self", name).read_text().splitlines())
            Path(f"/proc/{target}/{name}").write_text("".join(f"{first} {first} {size}\n" for first, _, size in ranges))
    except OSError:
        return 1
    return 0


def _wait_for(pid: int) -> NoReturn:
    """What is left of the calling process: passes signals on, and ends as the sandbox ends."""

    def forward(signum: int, _frame: FrameType | None) -> None:
        os.kill(pid, signum)

    for signum in FORWARDED:
        signal.signal(signum, forward)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os._exit(code if code >= 0 else 128 - code)


def _mount(files: Path) -> None:
    linux.mount("none", "/", flags=MountFlag.PRIVATE | MountFlag.RECURSIVE)
    files.mkdir(mode=0o700, parents=True, exist_ok=True)
    linux.mount("tmpfs", str(files), "tmpfs", options="mode=0755")
    try:
        linux.mount("proc", "/proc", "proc", MountFlag.NOSUID | MountFlag.NODEV | MountFlag.NOEXEC)
    except PermissionError:
        return  # Inside some containers a new /proc is refused; the one that is there shows more, and works.
