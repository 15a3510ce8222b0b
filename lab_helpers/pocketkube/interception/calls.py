"""The numbers of the system calls that a container's processes ask about, by processor.

A call that a processor does not have is left out there. Models the kernel's own syscall tables (Linux 6.18).
"""

from __future__ import annotations

import os

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Machine name -> column of the tables below, and what seccomp calls it (AUDIT_ARCH_*)."""

SOCKET_CALLS: dict[str, tuple[int, int]] = {
    "socket": (41, 198),
    "connect": (42, 203),
    "accept": (43, 202),
    "accept4": (288, 242),
    "bind": (49, 200),
    "getsockname": (51, 204),
    "getpeername": (52, 205),
    "setsockopt": (54, 208),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
}
NAME_CALLS: dict[str, tuple[int, int]] = {"uname": (63, 160)}
FILE_CALLS: dict[str, tuple[int, int]] = {
    "open": (2, -1),
    "openat": (257, 56),
    "openat2": (437, 437),
    "creat": (85, -1),
    "stat": (4, -1),
    "lstat": (6, -1),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, -1),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, -1),
    "readlinkat": (267, 78),
    "mkdir": (83, -1),
    "mkdirat": (258, 34),
    "mknod": (133, -1),
    "mknodat": (259, 33),
    "rmdir": (84, -1),
    "unlink": (87, -1),
    "unlinkat": (263, 35),
    "rename": (82, -1),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "symlink": (88, -1),
    "symlinkat": (266, 36),
    "link": (86, -1),
    "linkat": (265, 37),
    "chmod": (90, -1),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, -1),
    "lchown": (94, -1),
    "fchownat": (260, 54),
    "truncate": (76, 45),
    "utime": (132, -1),
    "utimes": (235, -1),
    "futimesat": (261, -1),
    "utimensat": (280, 88),
    "getxattr": (191, 8),
    "lgetxattr": (192, 9),
    "listxattr": (194, 11),
    "llistxattr": (195, 12),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "statfs": (137, 43),
    "inotify_add_watch": (254, 27),
    "execve": (59, 221),
    "execveat": (322, 281),
    "chdir": (80, 49),
    "fchdir": (81, 50),
    "getcwd": (79, 17),
}
REFUSED_CALLS: dict[str, tuple[int, int]] = {"io_uring_setup": (425, 425)}
"""They would go around the filter; programs do without them."""

SECCOMP: tuple[int, int] = (317, 277)


def is_known_machine() -> bool:
    """True if this processor's numbers are known."""
    return os.uname().machine in _ARCHITECTURES


def architecture() -> int:
    """What seccomp calls this processor."""
    return _ARCHITECTURES[os.uname().machine][1]


def number(pair: tuple[int, int]) -> int:
    """The one of the two numbers that holds for this processor; negative if there is none."""
    return pair[_ARCHITECTURES[os.uname().machine][0]]


def numbers(*tables: dict[str, tuple[int, int]]) -> dict[str, int]:
    """Name -> number on this processor."""
    found = {name: number(pair) for table in tables for name, pair in table.items()}
    return {name: value for name, value in found.items() if value >= 0}
