"""Waiting for what a test has set in motion: for a condition, never for a number of seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_PAUSE = 0.005


def until(condition: Callable[[], bool], what: str = "it", seconds: float = 20.0) -> None:
    """Returns when the condition holds; fails the test if that takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(_PAUSE)


async def until_async(condition: Callable[[], bool], what: str = "it", seconds: float = 20.0) -> None:
    """As `until`, while other tasks go on."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(_PAUSE)
