"""How long a client lets a request take: the `timeout` of its URL, which must be a duration if it is there.

Answers take milliseconds here, so the deadline itself is left to the client.
Models apiserver pkg/endpoints/filters/request_deadline.go and Go's time.ParseDuration (v1.36).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .query import flag
from .status import StatusError, go_quote

_AMOUNT = r"(?:\d+(?:\.\d*)?|\.\d+)"
_UNITS = ("ns", "us", "µs", "μs", "ms", "s", "m", "h")
_DURATION = re.compile(rf"[-+]?(?:0|(?:{_AMOUNT}(?:{'|'.join(_UNITS)}))+)", re.ASCII)
_START = re.compile(rf"[-+]?(?:{_AMOUNT}(?:{'|'.join(_UNITS)})(?![^\d.]))*{_AMOUNT}([^\d.]*)", re.ASCII)
_LONG_RUNNING = frozenset({"attach", "exec", "log", "portforward", "proxy"})
"""Subresources whose requests last as long as they last."""


def check_timeout(parts: Sequence[str], query: Mapping[str, str]) -> None:
    """Raises StatusError 400 for a timeout that is no duration, unless the request is one that has none."""
    text = query.get("timeout", "")
    if not text or flag(query, "watch") or not _LONG_RUNNING.isdisjoint(parts):
        return
    if problem := duration_problem(text):
        raise StatusError.bad_request(f"invalid timeout specified in the request URL - time: {problem}")


def duration_problem(text: str) -> str:
    """What Go says of a text that is no duration; "" of one that is."""
    if _DURATION.fullmatch(text):
        return ""
    begun = _START.match(text)
    if begun is None:
        return f"invalid duration {go_quote(text)}"
    if unit := begun[1]:
        return f"unknown unit {go_quote(unit)} in duration {go_quote(text)}"
    return f"missing unit in duration {go_quote(text)}"
