"""Reads the questions of one tree of processes, and has them answered.

The processes are those that a start of a program brought forth; they end their questions by ending. What is answered
is left to `sockets` and `files`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import select
from collections.abc import Callable, Mapping
from functools import lru_cache

from . import calls
from .files import Files
from .notifications import CallerGone, Question, next_question
from .sockets import Sockets

log = logging.getLogger(__name__)

_MOST_AT_ONCE = 64
_FIELD = 65


class Interceptor:
    """Answers for the processes behind one seccomp listener, until the last of them has ended."""

    def __init__(self, listener: int, hostname: str, sockets: Sockets, files: Files | None) -> None:
        """`listener` belongs to this object from now on."""
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when no process is left."""
        self._listener = listener
        self._hostname = hostname
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        answers: dict[str, Callable[[Question], None]] = {
            "socket": sockets.make,
            "connect": sockets.connect,
            "accept": sockets.accept,
            "accept4": sockets.accept4,
            "bind": sockets.bind,
            "getsockname": sockets.getsockname,
            "getpeername": sockets.getpeername,
            "setsockopt": sockets.setsockopt,
            "sendto": sockets.sendto,
            "sendmsg": sockets.sendmsg,
            "sendmmsg": sockets.sendmmsg,
            "uname": self._uname,
        }
        for name in calls.numbers(calls.FILE_CALLS):
            answers[name] = _go_on if files is None else files.answer_to(name)
        self._answers: Mapping[int, Callable[[Question], None]] = {
            number: answers[name] for name, number in _numbers().items()
        }
        asyncio.get_running_loop().add_reader(listener, self._on_questions)

    def close(self) -> None:
        """Answers no more; processes that still run find calls that do not exist."""
        if self.gone.done():
            return
        asyncio.get_running_loop().remove_reader(self._listener)
        os.close(self._listener)
        self.gone.set_result(None)

    def _on_questions(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            ready = self._poll.poll(0)
            if not ready:
                return
            if not ready[0][1] & select.POLLIN:
                self.close()
                return
            question = next_question(self._listener)
            if question is not None:
                self._answer(question)

    def _answer(self, question: Question) -> None:
        try:
            self._answers[question.number](question)
        except CallerGone:
            return
        except OSError as error:
            question.refuse(error.errno or errno.EIO)
        except Exception:
            log.exception("system call %s could not be answered", question.number)
            question.refuse(errno.EIO)

    def _uname(self, question: Question) -> None:
        facts = os.uname()
        fields = (facts.sysname, self._hostname, facts.release, facts.version, facts.machine, "(none)")
        question.write(
            question.arguments[0], b"".join(text.encode()[: _FIELD - 1].ljust(_FIELD, b"\0") for text in fields)
        )
        question.give()


def _go_on(question: Question) -> None:
    question.go_on()


@lru_cache(maxsize=1)
def _numbers() -> dict[str, int]:
    return calls.numbers(calls.SOCKET_CALLS, calls.NAME_CALLS, calls.FILE_CALLS)
