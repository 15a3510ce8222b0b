"""Whether this machine lets one of our processes answer another's system calls, found out by trying it.

It needs Linux 5.9 or newer, a processor whose calls are known, seccomp that is not forbidden itself, and the right to
read the memory of one's own descendants.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import warnings
from typing import NoReturn

_PATIENCE_MS = 2000
_PATH = "/.servicelab/probe"


def why_not() -> str:
    """What is in the way, in words; empty if nothing is."""
    if not sys.platform.startswith("linux"):
        return f"it needs Linux, this is {sys.platform}"
    from . import calls

    if not calls.is_known_machine():
        return f"the system calls of {os.uname().machine} processors are not known"
    ours, theirs = socket.socketpair()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Forking a notebook's kernel, which has threads.
        pid = os.fork()
    if pid == 0:
        _child(theirs)
    theirs.close()
    try:
        return _answer(ours)
    finally:
        ours.close()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _child(end: socket.socket) -> NoReturn:
    from . import filter

    try:
        os.dup2(end.fileno(), filter.UNASKED_DESCRIPTOR, inheritable=False)
        unasked = socket.socket(fileno=filter.UNASKED_DESCRIPTOR)
        listener = filter.install()
        socket.send_fds(unasked, [b"+"], [listener])
        os.open(_PATH, os.O_RDONLY)
    except OSError as error:
        os.write(end.fileno(), str(error).encode())
    finally:
        os._exit(0)


def _answer(end: socket.socket) -> str:
    """Answers the one question that the child asks."""
    from .notifications import CallerGone, next_question

    said, descriptors, _flags, _address = socket.recv_fds(end, 500, 1)
    if not descriptors:
        return f"seccomp is not allowed ({said.decode(errors='replace') or 'the trial ended early'})"
    listener = descriptors[0]
    try:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        if not poll.poll(_PATIENCE_MS):
            return "seccomp asks nothing"
        question = next_question(listener)
        if question is None or question.text(question.arguments[1]) != _PATH:
            return "seccomp asks something else than expected"
        with open(os.devnull) as file:
            question.put(file.fileno())
        question.give()
    except CallerGone:
        return "the trial ended early"
    except OSError as error:
        return f"the memory of other processes can't be read ({error})"
    finally:
        os.close(listener)
    return ""
