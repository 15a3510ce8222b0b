"""Watches over HTTP: one JSON event a line, until the time is up, the client goes or the server stops.

What the events are is the operations' work; a client that reads too slowly falls behind the store's history there and
is told so. Models apiserver pkg/endpoints/handlers/watch.go (v1.36).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime

from aiohttp import web

from ..client import WatchEvent
from ..objects import Obj
from ..store import json_bytes
from .answers import Asked, encode_object
from .negotiate import JSON, Representation
from .request import WatchOptions
from .status import StatusError
from .tables.table import list_metadata_of, table_of

_LONGEST_WATCH = 3600.0
"""Watches without a time-out of their own end too, so that none is forgotten."""


class WatchStreams:
    """All watches that are being served."""

    def __init__(self) -> None:
        self._deadlines: set[asyncio.Timeout] = set()
        self._stopped = False

    def stop(self) -> None:
        """Ends all watches now, in good order."""
        self._stopped = True
        now = asyncio.get_running_loop().time()
        for deadline in self._deadlines:
            deadline.reschedule(now)

    async def serve(
        self, asked: Asked, events: AsyncIterator[WatchEvent], options: WatchOptions, representation: Representation
    ) -> web.StreamResponse:
        """Answers with the events."""
        response = web.StreamResponse(headers={"Content-Type": JSON, "Cache-Control": "no-cache, private"})
        await response.prepare(asked.request)
        seconds = 0.0 if self._stopped else options.timeout_seconds or _LONGEST_WATCH
        try:
            async with asyncio.timeout(seconds) as deadline:
                self._deadlines.add(deadline)
                try:
                    await _write_events(response, asked, events, representation)
                finally:
                    self._deadlines.discard(deadline)
        except TimeoutError:
            pass
        return response


async def _write_events(
    response: web.StreamResponse, asked: Asked, events: AsyncIterator[WatchEvent], representation: Representation
) -> None:
    headers = True
    try:
        async for event in events:
            await response.write(_line(event, asked, representation, headers))
            headers = headers and event.type == "BOOKMARK"
    except StatusError as error:
        await response.write(b'{"type":"ERROR","object":' + json_bytes(error.status) + b"}\n")
    finally:
        # An asynchronous generator that is not read to its end has to be closed, or it watches on.
        if isinstance(events, AsyncGenerator):
            await events.aclose()


def _line(event: WatchEvent, asked: Asked, representation: Representation, headers: bool) -> bytes:
    if event.type == "BOOKMARK" and representation.transform == "Table":
        body = json_bytes(_bookmark_table(event.object, representation.version))
    else:
        as_json = Representation(JSON, representation.transform, representation.version)
        body = encode_object(event.object, as_json, asked.query, headers=headers)
    return b'{"type":"' + event.type.encode() + b'","object":' + body + b"}\n"


def _bookmark_table(bookmark: Obj, version: str) -> Obj:
    """A bookmark has nothing but a resourceVersion to show, so its table is empty."""
    metadata = list_metadata_of(bookmark)
    return table_of(bookmark["kind"], [], metadata, datetime.now(UTC), version=version, headers=False)
