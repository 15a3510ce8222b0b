"""The paths of intercepted processes: a call that names a file of the container's own is done here, with its real path.

Calls that name the machine's own files by an absolute path go on as they are. What a path means is left to `view`,
what it is relative to to `folders`, how the kernel finds a program to `programs`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial

from . import calls
from .folders import WorkingFolders, process_of
from .notifications import Question
from .programs import Programs
from .view import Place, View

_HERE = -100  # AT_FDCWD
_NO_FOLLOW = 0x100  # AT_SYMLINK_NOFOLLOW
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_STATX_SIZE = 256
_STATFS_SIZE = 120
_STAT_SIZE = {"x86_64": 144, "aarch64": 128}

_libc = ctypes.CDLL(None, use_errno=True)


class Change(Enum):
    """What a call does to the files that it names."""

    NONE = "none"
    MAKE = "make"
    ALTER = "alter"
    REMOVE = "remove"


@dataclass(frozen=True)
class _Shape:
    """Which arguments of a call are paths, and where it writes its result."""

    paths: tuple[tuple[int, int], ...]
    """(argument of the folder's descriptor or -1, argument of the path)"""
    change: Change = Change.NONE
    follow: bool = True
    """False if a symbolic link itself is meant."""
    flags: int = -1
    """The argument whose flags may say so."""
    result: int = -1
    """The argument that points to the result."""
    result_size: int = 0
    """Its bytes; 0 if the argument after it says so and the call returns how many there are."""


class Files:
    """Answers what the processes of one container ask about paths."""

    def __init__(self, view: View, programs: Programs) -> None:
        self._view = view
        self.programs = programs
        self._folders = WorkingFolders()

    def answer_to(self, name: str) -> Callable[[Question], None]:
        """What answers a call."""
        special = {
            "open": self._open,
            "openat": self._openat,
            "openat2": self._openat2,
            "creat": self._creat,
            "execve": self._execve,
            "execveat": self._execveat,
            "chdir": self._chdir,
            "fchdir": self._fchdir,
            "getcwd": self._getcwd,
            **dict.fromkeys(_ATTRIBUTE_CALLS, self._attribute),
            "inotify_add_watch": self._watch,
        }
        return special.get(name) or partial(self._shaped, _SHAPES[name])

    def place(self, question: Question, path: str, *, writing: bool = False) -> str | None:
        """Where a path that a process names is in reality; None if it is the machine's own, and named as such."""
        named = self._named(question, _HERE, path)
        found = self._view.find(named, writing=writing)
        return found.path if found else None if path.startswith("/") else named

    # Opening.

    def _open(self, question: Question) -> None:
        self._open_path(question, _HERE, question.arguments[0], question.signed(1), question.signed(2))

    def _creat(self, question: Question) -> None:
        flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC
        self._open_path(question, _HERE, question.arguments[0], flags, question.signed(1))

    def _openat(self, question: Question) -> None:
        self._open_path(question, question.signed(0), question.arguments[1], question.signed(2), question.signed(3))

    def _openat2(self, question: Question) -> None:
        flags, mode = struct.unpack("=QQ", question.read(question.arguments[2], 16))
        self._open_path(question, question.signed(0), question.arguments[1], flags, mode)

    def _open_path(self, question: Question, folder: int, address: int, flags: int, mode: int) -> None:
        text = question.text(address)
        path = self._named(question, folder, text)
        produced = self._view.produced(path)
        if produced is not None:
            self._hand_out(question, _memory_file(produced), flags)
            return
        writing = bool(flags & _WRITES) and not flags & os.O_PATH
        found = self._view.find(path, writing=writing and not os.path.isdir(path), follow=not flags & os.O_NOFOLLOW)
        if folder == _HERE and not text.startswith("/"):
            found = self._relative(text, path, found)
        if found is None:
            question.go_on()
            return
        if writing and found.read_only:
            question.refuse(errno.EROFS)
            return
        with contextlib.suppress(OSError):
            if stat.S_ISFIFO(os.stat(found.path).st_mode):
                flags |= os.O_NONBLOCK  # Nobody here may wait for its other end.
        # A descriptor that only names a file can't be given to another process.
        opened = os.open(found.path, flags & ~os.O_PATH | os.O_CLOEXEC | os.O_NOCTTY, mode & 0o7755)
        self._hand_out(question, opened, flags)

    def _hand_out(self, question: Question, descriptor: int, flags: int) -> None:
        try:
            question.give(question.put(descriptor, close_on_exec=bool(flags & os.O_CLOEXEC)))
        finally:
            os.close(descriptor)

    # Everything else.

    def _shaped(self, shape: _Shape, question: Question) -> None:
        follow = shape.follow and not (shape.flags >= 0 and question.arguments[shape.flags] & _NO_FOLLOW)
        named: list[str] = []
        places: list[Place | None] = []
        for folder_index, index in shape.paths:
            text = question.text(question.arguments[index]) if question.arguments[index] else ""
            if not text:  # About a descriptor, or an error that the kernel knows best.
                question.go_on()
                return
            folder = question.signed(folder_index) if folder_index >= 0 else _HERE
            path = self._named(question, folder, text)
            found = self._view.find(path, follow=follow)
            if found is None and shape.change is not Change.NONE and not self._view.is_kernels(path):
                found = self._changed(path, shape.change)
            if folder == _HERE and not text.startswith("/"):
                found = self._relative(text, path, found)
            named.append(path)
            places.append(found)
        if not any(places):
            question.go_on()
            return
        if shape.change is not Change.NONE and any(place.read_only for place in places if place):
            question.refuse(errno.EROFS)
            return
        real = [place.path if place else path for place, path in zip(places, named, strict=True)]
        self._perform(question, shape, real)

    def _changed(self, path: str, change: Change) -> Place | None:
        """Where something of the machine's own is changed instead. Raises OSError where it can't be."""
        there = os.path.lexists(path)
        if change is Change.MAKE:
            if there:
                raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
            if not os.path.isdir(os.path.dirname(path)):
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            return self._view.find(path, writing=True)
        if not there:
            return None if change is Change.REMOVE else self._view.find(path, writing=True)
        if change is Change.REMOVE or os.path.isdir(path):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return self._view.find(path, writing=True)

    def _perform(self, question: Question, shape: _Shape, places: list[str]) -> None:
        """The same call, made here with the real paths; its result goes to the caller."""
        arguments: list[object] = [ctypes.c_long(_as_long(value)) for value in question.arguments]
        for (folder, index), place in zip(shape.paths, places, strict=True):
            if place.startswith("/proc/self/"):
                place = f"/proc/{question.thread}/{place[len('/proc/self/') :]}"
            arguments[index] = ctypes.c_char_p(os.fsencode(place))
            if folder >= 0:
                arguments[folder] = ctypes.c_long(_HERE)
        copied = self._copy_in(question, shape, arguments)
        result_size = shape.result_size or (question.arguments[shape.result + 1] if shape.result >= 0 else 0)
        buffer = ctypes.create_string_buffer(max(1, min(result_size, 1 << 16)))
        if shape.result >= 0:
            arguments[shape.result] = buffer
        value = _libc.syscall(ctypes.c_long(question.number), *arguments)
        if value < 0:
            question.refuse(ctypes.get_errno())
            return
        if shape.result >= 0:
            question.write(question.arguments[shape.result], buffer.raw[: shape.result_size or value])
        question.give(value)
        del copied

    def _copy_in(self, question: Question, shape: _Shape, arguments: list[object]) -> list[object]:
        """What a call reads besides paths: times, and the target of a symbolic link."""
        number, kept = question.number, list[object]()
        for name, index, size in _INPUTS:
            if _NUMBERS.get(name) != number or not question.arguments[index]:
                continue
            data = question.read(question.arguments[index], size) if size else _text(question, index)
            kept.append(ctypes.create_string_buffer(data, len(data)))
            arguments[index] = kept[-1]
        return kept

    def _attribute(self, question: Question) -> None:
        """A container's own files have no extended attributes."""
        if self.place(question, question.text(question.arguments[0])) is None:
            question.go_on()
        else:
            question.refuse(errno.EOPNOTSUPP)

    def _watch(self, question: Question) -> None:
        """Only the machine's own files can be watched: who wants to follow others has to look again and again."""
        if self.place(question, question.text(question.arguments[1])) is None:
            question.go_on()
        else:
            question.refuse(errno.ENOSPC)

    # Working folders.

    def _chdir(self, question: Question) -> None:
        path = self._named(question, _HERE, question.text(question.arguments[0]))
        found = self._view.find(path)
        real = found.path if found else path
        if not stat.S_ISDIR(os.stat(real).st_mode):
            question.refuse(errno.ENOTDIR)
        elif not os.access(real, os.X_OK):
            question.refuse(errno.EACCES)
        else:
            self._folders.enter(process_of(question.thread), path)
            question.give()

    def _fchdir(self, question: Question) -> None:
        real = os.readlink(f"/proc/{question.thread}/fd/{question.signed(0)}")
        if not os.path.isdir(real):
            question.refuse(errno.ENOTDIR)
            return
        self._folders.enter(process_of(question.thread), self._view.outside_in(real))
        question.give()

    def _getcwd(self, question: Question) -> None:
        data = os.fsencode(self._folders.of(process_of(question.thread))) + b"\0"
        if len(data) > question.arguments[1]:
            question.refuse(errno.ERANGE)
            return
        question.write(question.arguments[0], data)
        question.give(len(data))

    def _named(self, question: Question, folder: int, path: str) -> str:
        """A path of a process, completed from the folder that it is relative to."""
        if path.startswith("/"):
            return path
        if folder == _HERE:
            return os.path.join(self._folders.of(process_of(question.thread)), path)
        return os.path.join(self._view.outside_in(os.readlink(f"/proc/{question.thread}/fd/{folder}")), path)

    def _relative(self, text: str, path: str, found: Place | None) -> Place:
        """Where a relative path is: the kernel must not look for it. It may be the name that a script was shown as."""
        if not os.path.lexists(found.path if found else path) and (program := self.programs.behind(text)):
            return Place(program, read_only=True)
        return found or Place(path)

    # Programs.

    def _execve(self, question: Question) -> None:
        self._execute(question, _HERE, question.arguments[0])

    def _execveat(self, question: Question) -> None:
        if question.text(question.arguments[1]):
            self._execute(question, question.signed(0), question.arguments[1])
        else:
            question.go_on()

    def _execute(self, question: Question, folder: int, address: int) -> None:
        """The kernel looks for programs by itself: it is shown a link in the one folder that it knows."""
        text = question.text(address)
        path = self._named(question, folder, text)
        found = self._view.find(path)
        if found is None and (folder != _HERE or text.startswith("/")):
            question.go_on()
            return
        real = found.path if found else path
        os.stat(real)
        if not os.access(real, os.X_OK) or os.path.isdir(real):
            question.refuse(errno.EACCES)
            return
        shown = self.programs.show(real, text)
        if shown != text:
            question.write(address, os.fsencode(shown) + b"\0")
        question.go_on()


def _text(question: Question, index: int) -> bytes:
    return os.fsencode(question.text(question.arguments[index])) + b"\0"


def _as_long(value: int) -> int:
    return value - (1 << 64) if value & (1 << 63) else value


def _memory_file(content: bytes) -> int:
    descriptor = os.memfd_create("produced", os.MFD_CLOEXEC)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


_ATTRIBUTE_CALLS = (
    "getxattr", "lgetxattr", "listxattr", "llistxattr", "setxattr", "lsetxattr", "removexattr", "lremovexattr",
)  # fmt: skip
_NUMBERS = calls.numbers(calls.FILE_CALLS) if calls.is_known_machine() else {}
_STAT = _STAT_SIZE.get(os.uname().machine, 144)

_SHAPES = {
    "stat": _Shape(((-1, 0),), result=1, result_size=_STAT),
    "lstat": _Shape(((-1, 0),), result=1, result_size=_STAT, follow=False),
    "newfstatat": _Shape(((0, 1),), result=2, result_size=_STAT, flags=3),
    "statx": _Shape(((0, 1),), result=4, result_size=_STATX_SIZE, flags=2),
    "statfs": _Shape(((-1, 0),), result=1, result_size=_STATFS_SIZE),
    "access": _Shape(((-1, 0),)),
    "faccessat": _Shape(((0, 1),)),
    "faccessat2": _Shape(((0, 1),), flags=3),
    "readlink": _Shape(((-1, 0),), result=1, follow=False),
    "readlinkat": _Shape(((0, 1),), result=2, follow=False),
    "mkdir": _Shape(((-1, 0),), Change.MAKE, follow=False),
    "mkdirat": _Shape(((0, 1),), Change.MAKE, follow=False),
    "mknod": _Shape(((-1, 0),), Change.MAKE, follow=False),
    "mknodat": _Shape(((0, 1),), Change.MAKE, follow=False),
    "rmdir": _Shape(((-1, 0),), Change.REMOVE, follow=False),
    "unlink": _Shape(((-1, 0),), Change.REMOVE, follow=False),
    "unlinkat": _Shape(((0, 1),), Change.REMOVE, follow=False),
    "rename": _Shape(((-1, 0), (-1, 1)), Change.ALTER, follow=False),
    "renameat": _Shape(((0, 1), (2, 3)), Change.ALTER, follow=False),
    "renameat2": _Shape(((0, 1), (2, 3)), Change.ALTER, follow=False),
    "symlink": _Shape(((-1, 1),), Change.MAKE, follow=False),
    "symlinkat": _Shape(((1, 2),), Change.MAKE, follow=False),
    "link": _Shape(((-1, 0), (-1, 1)), Change.MAKE, follow=False),
    "linkat": _Shape(((0, 1), (2, 3)), Change.MAKE, follow=False),
    "chmod": _Shape(((-1, 0),), Change.ALTER),
    "fchmodat": _Shape(((0, 1),), Change.ALTER),
    "fchmodat2": _Shape(((0, 1),), Change.ALTER, flags=3),
    "chown": _Shape(((-1, 0),), Change.ALTER),
    "lchown": _Shape(((-1, 0),), Change.ALTER, follow=False),
    "fchownat": _Shape(((0, 1),), Change.ALTER, flags=4),
    "truncate": _Shape(((-1, 0),), Change.ALTER),
    "utime": _Shape(((-1, 0),), Change.ALTER),
    "utimes": _Shape(((-1, 0),), Change.ALTER),
    "futimesat": _Shape(((0, 1),), Change.ALTER),
    "utimensat": _Shape(((0, 1),), Change.ALTER, flags=3),
}
_INPUTS = (
    ("symlink", 0, 0), ("symlinkat", 0, 0), ("utime", 1, 16), ("utimes", 1, 32), ("futimesat", 2, 32),
    ("utimensat", 2, 32),
)  # fmt: skip
"""(call, argument, bytes; 0 for a string)"""
