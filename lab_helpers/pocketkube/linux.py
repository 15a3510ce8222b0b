"""Linux system calls that Python 3.11 does not offer, as small typed functions that raise OSError in words.

Namespaces, mounts, process control and capabilities. Whether this machine allows them is found out by `host_probe`;
what a sandbox or a container is made of is left to `sandbox`, `network.kernel` and `kubelet`.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import struct
from collections.abc import Iterable
from enum import IntFlag
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

ADMIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where administrators' programs are; a user's own PATH often lacks the sbin folders."""


class Namespace(IntFlag):
    """The kinds of namespaces: CLONE_NEW* of <sched.h>."""

    MOUNT = 0x00020000
    UTS = 0x04000000
    IPC = 0x08000000
    USER = 0x10000000
    PID = 0x20000000
    NET = 0x40000000


class MountFlag(IntFlag):
    """MS_* of <sys/mount.h>."""

    NONE = 0
    READ_ONLY = 1
    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    BIND = 4096
    RECURSIVE = 16384
    PRIVATE = 1 << 18


# Docker's default set: https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities
CAPABILITIES = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8,
    "NET_BIND_SERVICE": 10, "NET_ADMIN": 12, "NET_RAW": 13, "SYS_CHROOT": 18, "SYS_PTRACE": 19, "MKNOD": 27,
    "AUDIT_WRITE": 29, "SETFCAP": 31,
}  # fmt: skip
CONTAINER_CAPABILITIES = frozenset(CAPABILITIES) - {"NET_ADMIN", "SYS_PTRACE"}
NODE_CAPABILITIES = frozenset(CAPABILITIES)

_HIGHEST_CAPABILITY = 63
_UMOUNT_DETACH = 2
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SYS_MOUNT_SETATTR = 442
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 1
_CAPABILITY_VERSION_3 = 0x20080522


def _check(result: int, what: str) -> None:
    if result != -1:
        return
    number = ctypes.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: Namespace) -> None:
    """Leaves the given namespaces for new ones (PID: for the children to come)."""
    _check(_libc.unshare(ctypes.c_int(int(flags))), f"unshare({flags!r})")


def become_root(user: int, group: int) -> None:
    """In a user namespace that was just entered: makes root of who this process was outside, the only user inside."""
    map_user(0, user, 0, group)


def map_user(user: int, outer_user: int, group: int, outer_group: int) -> None:
    """In a user namespace that was just entered: says who this process, the only user, is inside."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {outer_user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {outer_group} 1")


def setns(descriptor: int, flags: Namespace) -> None:
    """Joins the namespace(s) of a namespace descriptor or a pidfd (PID: for the children to come)."""
    _check(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(int(flags))), f"setns({flags!r})")


def open_namespace(kind: str) -> int:
    """A descriptor that keeps this thread's namespace (`net`, `mnt`, `uts`, `ipc`, `pid`) alive."""
    return os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


def sethostname(name: str) -> None:
    """Sets the host name of this UTS namespace."""
    raw = name.encode()
    _check(_libc.sethostname(raw, ctypes.c_size_t(len(raw))), f"sethostname({name})")


def mount(source: str, target: str, kind: str = "", flags: MountFlag = MountFlag.NONE, options: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(int(flags)), options.encode() or None
    )
    _check(result, f"mount {kind or source} on {target}")


def bind(source: str, target: str, *, read_only: bool = False) -> None:
    """Makes a file or a folder, with all that is mounted below it, visible at a second place."""
    mount(source, target, flags=MountFlag.BIND | MountFlag.RECURSIVE)
    if read_only:
        make_read_only(target)


def make_read_only(target: str) -> None:
    """Makes a mount and all below it read-only; unlike a remount it keeps the flags a user namespace locks."""
    attributes = struct.pack("=QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR), ctypes.c_int(_AT_FDCWD), target.encode(), ctypes.c_uint(_AT_RECURSIVE),
        attributes, ctypes.c_size_t(len(attributes)),
    )  # fmt: skip
    _check(result, f"make {target} read-only")


def unmount(target: str) -> None:
    """Detaches a mount; it goes away when nobody uses it any more."""
    _check(_libc.umount2(target.encode(), ctypes.c_int(_UMOUNT_DETACH)), f"umount {target}")


def pivot_root(new_root: str) -> None:
    """Makes a mounted folder the root of this mount namespace and forgets the old root."""
    os.chdir(new_root)
    _check(_libc.pivot_root(b".", b"."), f"pivot_root to {new_root}")
    unmount(".")
    os.chdir("/")


def _prctl(option: int, value: int, what: str) -> None:
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero), what)


def die_with_parent(signum: int = signal.SIGKILL) -> None:
    """Has the kernel send `signum` to this process when its parent dies.

    Entering a user namespace and changing user make the kernel forget it: call it after that.
    """
    _prctl(_PR_SET_PDEATHSIG, signum, "prctl(PR_SET_PDEATHSIG)")


def adopt_orphans() -> None:
    """Makes this process the parent of every orphan among its descendants (a child subreaper)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, "prctl(PR_SET_CHILD_SUBREAPER)")


def set_process_name(name: str) -> None:
    """Sets the short name (15 bytes) that `ps -o comm` and `top` show."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    _prctl(_PR_SET_NAME, ctypes.addressof(buffer), "prctl(PR_SET_NAME)")


def bound_capabilities(names: Iterable[str]) -> None:
    """Gives up the way to all capabilities but these, for this process and whatever it executes."""
    keep = {CAPABILITIES[name] for name in names}
    for number in range(_HIGHEST_CAPABILITY + 1):
        if number in keep:
            continue
        if _libc.prctl(ctypes.c_int(_PR_CAPBSET_DROP), ctypes.c_ulong(number), 0, 0, 0) == -1:
            break  # EINVAL: the kernel knows no higher one.
    _libc.prctl(ctypes.c_int(_PR_CAP_AMBIENT), ctypes.c_ulong(_PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0)


def keep_capabilities(names: Iterable[str]) -> None:
    """Gives up all capabilities but these, as far as this process has them."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    held = ctypes.create_string_buffer(24)
    _check(_libc.capget(header, held), "capget")
    permitted = struct.unpack("=6I", held.raw)
    mask = sum(1 << CAPABILITIES[name] for name in names)
    low, high = mask & permitted[1], (mask >> 32) & permitted[4]
    _check(_libc.capset(header, struct.pack("=6I", low, low, 0, high, high, 0)), "capset")


def stay_reachable() -> None:
    """Undoes what a change of user does to a process that executes nothing after it: others can join its namespaces."""
    _prctl(_PR_SET_DUMPABLE, 1, "prctl(PR_SET_DUMPABLE)")


def gain_no_privileges() -> None:
    """From here on no program gives this process more rights than it has."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, "prctl(PR_SET_NO_NEW_PRIVS)")


def hide_command_line(title: str) -> None:
    """Overwrites this process's command line with `title` and erases the environment that it was started with.

    A forked process shows its parent's in /proc otherwise, secrets in the environment included.
    """
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    argument_start, argument_end, environment_start, environment_end = (int(number) for number in fields[45:49])
    if not argument_start < argument_end <= environment_start <= environment_end:
        return
    ctypes.memset(environment_start, 0, environment_end - environment_start)
    size = argument_end - argument_start
    ctypes.memmove(argument_start, title.encode()[: size - 1].ljust(size, b"\0"), size)


def find_program(name: str) -> str | None:
    """Path of a program, looked for in the administrators' folders too."""
    return shutil.which(name) or shutil.which(name, path=ADMIN_PATH)
