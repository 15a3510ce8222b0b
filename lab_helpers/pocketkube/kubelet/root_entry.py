"""Going into a root folder that `rootfs` has prepared: the mounts of the process that will live there.

What is mounted is plain data, a `RootPlan`: it comes from the node process, where `RootBuilder` made it.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, field
from typing import Any

from .. import linux
from ..linux import MountFlag

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
"""Those of the host that a root has, too."""

# Models the default masked and read-only paths of opencontainers/runc (v1.3): they matter where uid 0 is the host's.
MASKED_PROC = ("kcore", "keys", "timer_list", "sched_debug")
READ_ONLY_PROC = ("bus", "fs", "irq", "sysrq-trigger")


@dataclass(frozen=True)
class RootPlan:
    """What `enter_root` has to mount. Plain data: it travels to the template as JSON."""

    root: str
    overlays: list[tuple[str, str]] = field(default_factory=list)
    """(folder in the root, mount options)"""
    binds: list[tuple[str, str, bool]] = field(default_factory=list)
    """(source, place in the root, read-only)"""
    mounts: list[tuple[str, str, bool]] = field(default_factory=list)
    """The same, for what can be written to even if the root can't."""
    read_only: bool = False
    all_users: bool = False
    network_settings: bool = False
    """True if /proc/sys/net can be written (nodes)."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `RootPlan(**data)` reads it back."""
        return asdict(self)


def enter_root(plan: RootPlan) -> None:
    """Mounts the root and goes into it for good. Needs a mount namespace of one's own, and is in the process
    and network namespaces that /proc and /sys are to show."""
    root = plan.root
    linux.bind(root, root)
    for target, options in plan.overlays:
        linux.mount("overlay", target, "overlay", options=options)
    for source, target, read_only in plan.binds:
        linux.bind(source, target, read_only=read_only)
    if plan.read_only:
        linux.make_read_only(root)
        linux.mount("tmpfs", f"{root}/dev/shm", "tmpfs", MountFlag.NOSUID | MountFlag.NODEV, "mode=1777")
    for source, target, read_only in plan.mounts:
        linux.bind(source, target, read_only=read_only)
    _mount_devices(root, plan.all_users)
    _mount_proc(root, plan)
    _mount_sys(root)
    linux.pivot_root(root)


def _mount_devices(root: str, all_users: bool) -> None:
    for name in DEVICES:
        with contextlib.suppress(FileNotFoundError):
            linux.bind(f"/dev/{name}", f"{root}/dev/{name}")
    owner = ",gid=5" if all_users else ""  # The group tty, where it exists.
    options = f"newinstance,ptmxmode=0666,mode=0620{owner}"
    linux.mount("devpts", f"{root}/dev/pts", "devpts", MountFlag.NOSUID | MountFlag.NOEXEC, options)


def _mount_proc(root: str, plan: RootPlan) -> None:
    proc = f"{root}/proc"
    try:
        linux.mount("proc", proc, "proc", MountFlag.NOSUID | MountFlag.NODEV | MountFlag.NOEXEC)
    except PermissionError:
        linux.bind("/proc", proc)
    linux.bind(f"{proc}/sys", f"{proc}/sys", read_only=True)
    if plan.network_settings:
        linux.bind("/proc/sys/net", f"{proc}/sys/net")
    if not plan.all_users:
        return
    for name in READ_ONLY_PROC:
        with contextlib.suppress(FileNotFoundError):
            linux.bind(f"{proc}/{name}", f"{proc}/{name}", read_only=True)
    for name in MASKED_PROC:
        with contextlib.suppress(FileNotFoundError):
            linux.bind("/dev/null", f"{proc}/{name}")


def _mount_sys(root: str) -> None:
    """The network namespace's own /sys where the kernel allows it, the host's otherwise."""
    flags = MountFlag.NOSUID | MountFlag.NODEV | MountFlag.NOEXEC | MountFlag.READ_ONLY
    try:
        linux.mount("sysfs", f"{root}/sys", "sysfs", flags)
    except PermissionError:
        linux.bind("/sys", f"{root}/sys", read_only=True)
