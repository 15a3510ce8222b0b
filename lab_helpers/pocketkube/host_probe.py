"""Whether this machine allows the kernel engine, found out by trying it in a forked child: quick and without traces.

The answer names the exact setting that is in the way. What to do without the kernel engine is left to the caller.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ..errors import ToolMissing, UnsupportedHost
from . import linux
from .linux import MountFlag, Namespace

OLDEST_KERNEL = (5, 12)
"""setns with a pidfd needs 5.8, overlays in a user namespace 5.11, recursive read-only binds 5.12."""

NO_IPTABLES = "iptables is not installed"

LESSON_PROGRAMS = ("iptables", "iptables-save", "iptables-restore")
"""What a learner types on a node, and kube-proxy calls."""

RESTORE_PROGRAMS = ("iptables-restore", "iptables-nft-restore", "iptables-legacy-restore")
"""In order of preference: what the machine calls iptables, then the kernel's newer and older interface."""

_RULES = """\
*nat
:PROBE - [0:0]
-A PROBE -d 10.96.0.1/32 -p tcp -m tcp --dport 1 -j DNAT --to-destination 10.244.0.2
COMMIT
"""


@dataclass(frozen=True)
class Probe:
    """What was found. `reason` and `next_step` are empty when the kernel engine works."""

    reason: str = ""
    next_step: str = ""
    iptables: str | None = None
    """Path of an iptables-restore that works in a network namespace of one's own."""

    @property
    def usable(self) -> bool:
        """True if the kernel engine works here."""
        return not self.reason


def probe() -> Probe:
    """Tries namespaces, mounts and iptables as `sandbox.enter` and the kernel engine use them."""
    if not sys.platform.startswith("linux"):
        return Probe(f"the kernel engine needs Linux, this is {sys.platform}")
    if _kernel_version() < OLDEST_KERNEL:
        wanted = ".".join(map(str, OLDEST_KERNEL))
        reason = f"Linux {wanted} or newer is needed, this is {os.uname().release}"
        return Probe(reason, "Update the kernel.")
    if not all(map(linux.find_program, LESSON_PROGRAMS)):
        return Probe(NO_IPTABLES, "Install it; servicelab doctor names the command for this system.")
    found = _in_child()
    if "failed" in found:
        step = found["failed"] if found["user_namespace"] else "user"
        reason, next_step = _explain(step, found["errno"], found["text"])
        return Probe(reason, next_step)
    if "iptables" in found:
        return Probe(iptables=found["iptables"])
    return Probe(f"iptables can't make rules in a namespace: {found['text']}", "Try: servicelab doctor")


def require_kernel_engine() -> Probe:
    """The probe's answer if the kernel engine works. Raises ToolMissing or UnsupportedHost otherwise."""
    found = probe()
    if found.usable:
        return found
    if found.reason == NO_IPTABLES:
        raise ToolMissing(f"{NO_IPTABLES}.", hint=found.next_step)
    raise UnsupportedHost(f"This machine can't run the kernel engine: {found.reason}.", hint=found.next_step)


def best_engine() -> str:
    """`kernel` where it works; else `userspace`. Raises UnsupportedHost or ToolMissing where neither does."""
    if probe().usable:
        return "kernel"
    if not why_no_userspace_engine():
        return "userspace"
    require_kernel_engine()
    return "kernel"


def why_no_userspace_engine() -> str:
    """What stands in the way of the simulated engine; empty if it works."""
    from .interception.probe import why_not

    return why_not()


def require_userspace_engine() -> None:
    """Raises UnsupportedHost where the simulated engine does not work."""
    if why := why_no_userspace_engine():
        raise UnsupportedHost(f"This machine can't run the simulated engine: {why}.", hint="Try: servicelab doctor")


def _kernel_version() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(filter(str.isdigit, minor)) or 0)


def _in_child() -> dict[str, Any]:
    """Runs the trial in a child, which alone may leave its namespaces, and returns what it wrote."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Forking a notebook's kernel, which has threads.
        pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    if not answer:
        return {"failed": "start", "errno": errno.EIO, "text": "the trial ended early", "user_namespace": False}
    found: dict[str, Any] = json.loads(answer)
    return found


def _child(writing: int) -> NoReturn:
    found: dict[str, Any] = {"user_namespace": False}
    step = "user"
    try:
        _enter_user_namespace(found)
        step = "namespaces"
        linux.unshare(Namespace.NET | Namespace.MOUNT | Namespace.UTS | Namespace.IPC)
        step = "mount"
        linux.mount("none", "/", flags=MountFlag.PRIVATE | MountFlag.RECURSIVE)
        linux.mount("tmpfs", "/tmp", "tmpfs")
        _try_iptables(found)
        step = "namespaces"
        linux.unshare(Namespace.PID)
    except OSError as error:
        found |= {"failed": step, "errno": error.errno, "text": os.strerror(error.errno or 0)}
    finally:
        os.write(writing, json.dumps(found).encode())
        os._exit(0)


def _enter_user_namespace(found: dict[str, Any]) -> None:
    """As root a machine without user namespaces is good enough."""
    user, group = os.geteuid(), os.getegid()
    try:
        linux.unshare(Namespace.USER)
        linux.become_root(user, group)
    except OSError:
        if user != 0:
            raise
    else:
        found["user_namespace"] = True


def _try_iptables(found: dict[str, Any]) -> None:
    """Notes the first iptables-restore that the kernel obeys, or the last one's complaint."""
    found["tried"] = []
    rules, said = os.memfd_create("rules"), os.memfd_create("said")
    os.write(rules, _RULES.encode())
    environment = {"PATH": linux.ADMIN_PATH, "XTABLES_LOCKFILE": "/tmp/xtables.lock"}
    for name in RESTORE_PROGRAMS:
        path = linux.find_program(name)
        if path is None:
            continue
        found["tried"].append(path)
        os.lseek(rules, 0, os.SEEK_SET)
        os.ftruncate(said, 0)
        streams = [(os.POSIX_SPAWN_DUP2, rules, 0), (os.POSIX_SPAWN_DUP2, said, 1), (os.POSIX_SPAWN_DUP2, said, 2)]
        pid = os.posix_spawn(path, [name, "--noflush"], environment, file_actions=streams)
        if os.waitpid(pid, 0)[1] == 0:
            found["iptables"] = path
            return
        found["text"] = os.pread(said, 500, 0).decode(errors="replace").strip()


def _explain(step: str, number: int, text: str) -> tuple[str, str]:
    """The setting that is in the way, in words, and what to do about it."""
    if step == "user" and _setting("user/max_user_namespaces") == "0":
        return "the sysctl user.max_user_namespaces is 0", "sudo sysctl -w user.max_user_namespaces=15000"
    if step == "user" and _setting("kernel/unprivileged_userns_clone") == "0":
        return "the sysctl kernel.unprivileged_userns_clone is 0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    if _setting("kernel/apparmor_restrict_unprivileged_userns") == "1" and os.geteuid() != 0:
        return (
            "AppArmor forbids unprivileged user namespaces (kernel.apparmor_restrict_unprivileged_userns=1)",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
    if number == errno.ENOSPC:
        return "the limit of namespaces is reached (sysctl user.max_*_namespaces)", "End other sandboxes, or raise it."
    if number in (errno.ENOSYS, errno.EINVAL):
        return f"this kernel was built without {_SUBJECTS.get(step, step)}", "Use another kernel."
    if number in (errno.EPERM, errno.EACCES) and _has_seccomp():
        return (
            f"a seccomp filter forbids {_SUBJECTS.get(step, step)}",
            "In a container: docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined ...",
        )
    return (
        f"the kernel refuses {_SUBJECTS.get(step, step)} ({text})",
        "Ask who runs this machine to allow unprivileged user namespaces, or use another machine.",
    )


_SUBJECTS = {
    "user": "user namespaces",
    "namespaces": "network, mount and process namespaces",
    "mount": "mounts in a namespace of one's own",
}


def _setting(name: str) -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys", name).read_text().strip()
    return ""


def _has_seccomp() -> bool:
    with contextlib.suppress(OSError):
        return "\nSeccomp:\t2" in Path("/proc/self/status").read_text()
    return False
