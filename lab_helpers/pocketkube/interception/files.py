"""The paths of intercepted processes: a call that names a file of the container's own is done here, with its real path.

Calls on the machine's own files go on as they are. The working folder of a process may be one that only its container
has: the kernel knows of none, so it is remembered here, and relative paths are completed with it.
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
from .notifications import Question
from .view import Place, View

_HERE = -100  # AT_FDCWD
_EMPTY_PATH = 0x1000
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_STATX_SIZE = 256
_STATFS_SIZE = 120
_STAT_SIZE = {"x86_64": 144, "aarch64": 128}
_MOST_REMEMBERED = 4096

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
    result: int = -1
    """The argument that points to the result."""
    result_size: int = 0
    """Its bytes; 0 if the argument after it says so and the call returns how many there are."""


class Files:
    """Answers what the processes of one container ask about paths."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._folders: dict[int, str] = {}

    def answer_to(self, name: str) -> Callable[[Question], None]:
        """What answers a call."""
        special = {
            "open": self._open,
            "openat": self._openat,
            "openat2": self._openat2,
            "creat": self._creat,
            "chdir": self._chdir,
            "fchdir": self._fchdir,
            "getcwd": self._getcwd,
            **dict.fromkeys(_ATTRIBUTE_CALLS, self._attribute),
            "inotify_add_watch": self._watch,
        }
        return special.get(name) or partial(self._shaped, _SHAPES[name])

    def place(self, question: Question, path: str, *, writing: bool = False) -> str | None:
        """Where a path that a process names is in reality; None if it is the machine's own."""
        found = self._view.find(self._absolute(question, _HERE, path)[0], writing=writing)
        return found.path if found else None

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
        path, remembered = self._absolute(question, folder, question.text(address))
        produced = self._view.produced(path)
        if produced is not None:
            self._hand_out(question, _memory_file(produced), flags)
            return
        writing = bool(flags & _WRITES) and not flags & os.O_PATH
        found = self._view.find(path, writing=writing and not os.path.isdir(path))
        if found is None and remembered:
            found = Place(path)
        if found is None:
            question.go_on()
            return
        if writing and found.read_only:
            question.refuse(errno.EROFS)
            return
        with contextlib.suppress(OSError):
            if stat.S_ISFIFO(os.stat(found.path).st_mode):
                flags |= os.O_NONBLOCK  # Nobody here may wait for its other end.
        self._hand_out(question, os.open(found.path, flags | os.O_CLOEXEC | os.O_NOCTTY, mode & 0o7755), flags)

    def _hand_out(self, question: Question, descriptor: int, flags: int) -> None:
        try:
            question.give(question.put(descriptor, close_on_exec=bool(flags & os.O_CLOEXEC)))
        finally:
            os.close(descriptor)

    # Everything else.

    def _shaped(self, shape: _Shape, question: Question) -> None:
        places: list[Place | None] = []
        for folder, index in shape.paths:
            text = question.text(question.arguments[index]) if question.arguments[index] else ""
            if not text:  # About a descriptor, or an error that the kernel knows best.
                question.go_on()
                return
            path, remembered = self._absolute(question, question.signed(folder) if folder >= 0 else _HERE, text)
            found = self._view.find(path)
            if found is None and shape.change is not Change.NONE and not self._view.is_kernels(path):
                found = self._changed(path, shape.change)
            places.append(Place(path) if found is None and remembered else found)
        if not any(places):
            question.go_on()
            return
        if shape.change is not Change.NONE and any(place.read_only for place in places if place):
            question.refuse(errno.EROFS)
            return
        self._perform(question, shape, places)

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

    def _perform(self, question: Question, shape: _Shape, places: list[Place | None]) -> None:
        """The same call, made here with the real paths; its result goes to the caller."""
        arguments: list[object] = [ctypes.c_long(_as_long(value)) for value in question.arguments]
        for (folder, index), place in zip(shape.paths, places, strict=True):
            text = place.path if place else question.text(question.arguments[index])
            arguments[index] = ctypes.c_char_p(os.fsencode(text))
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
        path, remembered = self._absolute(question, _HERE, question.text(question.arguments[0]))
        found = self._view.find(path)
        process = _process_of(question.thread)
        if found is None and not remembered:
            self._folders.pop(process, None)
            question.go_on()
            return
        if not stat.S_ISDIR(os.stat(found.path if found else path).st_mode):
            question.refuse(errno.ENOTDIR)
            return
        self._remember(process, os.path.normpath(path))
        question.give()

    def _fchdir(self, question: Question) -> None:
        real = os.readlink(f"/proc/{question.thread}/fd/{question.signed(0)}")
        seen = self._view.outside_in(real)
        process = _process_of(question.thread)
        if seen != real:
            self._remember(process, seen)
            question.give()
            return
        self._folders.pop(process, None)
        question.go_on()

    def _getcwd(self, question: Question) -> None:
        folder = self._folder_of(_process_of(question.thread))
        if folder is None:
            question.go_on()
            return
        data = os.fsencode(folder) + b"\0"
        if len(data) > question.arguments[1]:
            question.refuse(errno.ERANGE)
            return
        question.write(question.arguments[0], data)
        question.give(len(data))

    def _remember(self, process: int, folder: str) -> None:
        if len(self._folders) > _MOST_REMEMBERED:
            self._folders = {known: path for known, path in self._folders.items() if os.path.exists(f"/proc/{known}")}
        self._folders[process] = folder

    def _folder_of(self, process: int) -> str | None:
        """The remembered working folder of a process: its own, or what it has from the one that forked it."""
        if not self._folders:
            return None
        if process in self._folders:
            return self._folders[process]
        parent = _parent_of(process)
        if parent in self._folders and _kernels_folder(parent) == _kernels_folder(process):
            self._folders[process] = self._folders[parent]
            return self._folders[process]
        return None

    def _absolute(self, question: Question, folder: int, path: str) -> tuple[str, bool]:
        """A path of a process, completed from the folder that it is relative to.

        Also whether that was a remembered one: then the kernel must not be left to complete it.
        """
        if path.startswith("/"):
            return path, False
        if folder != _HERE:
            base = self._view.outside_in(os.readlink(f"/proc/{question.thread}/fd/{folder}"))
            return os.path.join(base, path), False
        process = _process_of(question.thread)
        known = self._folder_of(process)
        return os.path.join(known or self._view.outside_in(_kernels_folder(process)), path), known is not None


def _text(question: Question, index: int) -> bytes:
    return os.fsencode(question.text(question.arguments[index])) + b"\0"


def _as_long(value: int) -> int:
    return value - (1 << 64) if value & (1 << 63) else value


def _memory_file(content: bytes) -> int:
    descriptor = os.memfd_create("produced", os.MFD_CLOEXEC)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _process_of(thread: int) -> int:
    """The process that a thread belongs to."""
    with contextlib.suppress(OSError), open(f"/proc/{thread}/status") as file:
        for line in file:
            if line.startswith("Tgid:"):
                return int(line.split()[1])
    return thread


def _parent_of(process: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{process}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])
    return 0


def _kernels_folder(process: int) -> str:
    try:
        return os.readlink(f"/proc/{process}/cwd")
    except OSError:
        return ""


_ATTRIBUTE_CALLS = (
    "getxattr", "lgetxattr", "listxattr", "llistxattr", "setxattr", "lsetxattr", "removexattr", "lremovexattr",
)  # fmt: skip
_NUMBERS = calls.numbers(calls.FILE_CALLS) if calls.is_known_machine() else {}
_STAT = _STAT_SIZE.get(os.uname().machine, 144)

_SHAPES = {
    "stat": _Shape(((-1, 0),), result=1, result_size=_STAT),
    "lstat": _Shape(((-1, 0),), result=1, result_size=_STAT),
    "newfstatat": _Shape(((0, 1),), result=2, result_size=_STAT),
    "statx": _Shape(((0, 1),), result=4, result_size=_STATX_SIZE),
    "statfs": _Shape(((-1, 0),), result=1, result_size=_STATFS_SIZE),
    "access": _Shape(((-1, 0),)),
    "faccessat": _Shape(((0, 1),)),
    "faccessat2": _Shape(((0, 1),)),
    "readlink": _Shape(((-1, 0),), result=1),
    "readlinkat": _Shape(((0, 1),), result=2),
    "mkdir": _Shape(((-1, 0),), Change.MAKE),
    "mkdirat": _Shape(((0, 1),), Change.MAKE),
    "mknod": _Shape(((-1, 0),), Change.MAKE),
    "mknodat": _Shape(((0, 1),), Change.MAKE),
    "rmdir": _Shape(((-1, 0),), Change.REMOVE),
    "unlink": _Shape(((-1, 0),), Change.REMOVE),
    "unlinkat": _Shape(((0, 1),), Change.REMOVE),
    "rename": _Shape(((-1, 0), (-1, 1)), Change.ALTER),
    "renameat": _Shape(((0, 1), (2, 3)), Change.ALTER),
    "renameat2": _Shape(((0, 1), (2, 3)), Change.ALTER),
    "symlink": _Shape(((-1, 1),), Change.MAKE),
    "symlinkat": _Shape(((1, 2),), Change.MAKE),
    "link": _Shape(((-1, 0), (-1, 1)), Change.MAKE),
    "linkat": _Shape(((0, 1), (2, 3)), Change.MAKE),
    "chmod": _Shape(((-1, 0),), Change.ALTER),
    "fchmodat": _Shape(((0, 1),), Change.ALTER),
    "fchmodat2": _Shape(((0, 1),), Change.ALTER),
    "chown": _Shape(((-1, 0),), Change.ALTER),
    "lchown": _Shape(((-1, 0),), Change.ALTER),
    "fchownat": _Shape(((0, 1),), Change.ALTER),
    "truncate": _Shape(((-1, 0),), Change.ALTER),
    "utime": _Shape(((-1, 0),), Change.ALTER),
    "utimes": _Shape(((-1, 0),), Change.ALTER),
    "futimesat": _Shape(((0, 1),), Change.ALTER),
    "utimensat": _Shape(((0, 1),), Change.ALTER),
}
_INPUTS = (
    ("symlink", 0, 0), ("symlinkat", 0, 0), ("utime", 1, 16), ("utimes", 1, 32), ("futimesat", 2, 32),
    ("utimensat", 2, 32),
)  # fmt: skip
"""(call, argument, bytes; 0 for a string)"""
