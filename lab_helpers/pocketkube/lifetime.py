"""How our processes end: on SIGTERM or SIGINT, in good order, or by what went wrong in them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any


def told_to_end() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets. To be called in the event loop, early."""
    told = asyncio.Event()
    for received in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(received, told.set)
    return told


async def run_until(told: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Does the work until told to end, and lets it clean up; raises what it raises, for the supervisor to see."""
    working = asyncio.create_task(work)
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not told.is_set():
        await working
        return
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working
