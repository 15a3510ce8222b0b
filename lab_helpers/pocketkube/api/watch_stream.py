"""Watches over HTTP: one JSON event a line, until the time is up, the client goes or the server stops.

What the events are is the operations' work; a client that reads too slowly falls behind the store's history there and
is told so. Models apiserver pkg/endpoints/handlers/watch.go (v1.36).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Hashable, Sequence
from datetime import UTC, datetime

from aiohttp import web

from ..client import WatchEvent
from ..objects import Obj
from ..store import json_bytes
from .answers import Asked, add_warnings, encode_object
from .negotiate import JSON, Representation
from .request import WatchOptions
from .status import StatusError
from .tables.table import list_metadata_of, table_of

_LONGEST_WATCH = 3600.0
"""Watches without a time-out of their own end too, so that none is forgotten."""

STALLED_SECONDS = 60.0
"""How long a watcher may read nothing at all while there is something to read."""

_MOST_LINES = 64


class WatchStreams:
    """All watches that are being served."""

    def __init__(self) -> None:
        self._deadlines: set[asyncio.Timeout] = set()
        self._lines = _Lines()
        self._stopped = False

    def stop(self) -> None:
        """Ends all watches now, in good order."""
        self._stopped = True
        now = asyncio.get_running_loop().time()
        for deadline in self._deadlines:
            deadline.reschedule(now)

    async def serve(
        self,
        asked: Asked,
        events: AsyncIterator[WatchEvent],
        options: WatchOptions,
        representation: Representation,
        warnings: Sequence[str] = (),
    ) -> web.StreamResponse:
        """Answers with the events."""
        response = web.StreamResponse(headers={"Content-Type": JSON, "Cache-Control": "no-cache, private"})
        add_warnings(response, warnings)
        await response.prepare(asked.request)
        seconds = 0.0 if self._stopped else options.timeout_seconds or _LONGEST_WATCH
        try:
            async with asyncio.timeout(seconds) as deadline:
                self._deadlines.add(deadline)
                try:
                    await self._write_events(response, asked, events, representation)
                finally:
                    self._deadlines.discard(deadline)
        except TimeoutError:
            pass
        await _unless_stalled(asked, response.write_eof())
        return response

    async def _write_events(
        self,
        response: web.StreamResponse,
        asked: Asked,
        events: AsyncIterator[WatchEvent],
        representation: Representation,
    ) -> None:
        headers = True
        try:
            async for event in events:
                line = self._lines.encode(event, asked, representation, headers)
                await _unless_stalled(asked, response.write(line))
                headers = headers and event.type == "BOOKMARK"
        except StatusError as error:
            line = b'{"type":"ERROR","object":' + json_bytes(error.status) + b"}\n"
            await _unless_stalled(asked, response.write(line))
        finally:
            # An asynchronous generator that is not read to its end has to be closed, or it watches on.
            if isinstance(events, AsyncGenerator):
                await events.aclose()


async def _unless_stalled(asked: Asked, write: Awaitable[None]) -> None:
    """Writes; a client that reads nothing for too long is cut off, so that what waits for it can be let go."""
    try:
        async with asyncio.timeout(STALLED_SECONDS):
            await write
    except TimeoutError:
        transport = asked.request.transport
        if transport is not None:
            transport.abort()
        raise ConnectionResetError("the client does not read its watch") from None


class _Lines:
    """Events as lines. One that many watch in the same representation is encoded once for all of them."""

    def __init__(self) -> None:
        self._recent: dict[Hashable, tuple[Obj, bytes]] = {}

    def encode(self, event: WatchEvent, asked: Asked, representation: Representation, headers: bool) -> bytes:
        if not representation.transform or event.type == "BOOKMARK":
            return _line(event, asked, representation, headers)
        # A table shows ages, so that a line is good for one second.
        second, include = int(time.time()), asked.query.get("includeObject")
        key = (id(event.object), event.type, representation, include, headers, second)
        known = self._recent.get(key)
        if known is not None:
            return known[1]
        line = _line(event, asked, representation, headers)
        if len(self._recent) >= _MOST_LINES:
            self._recent.clear()
        self._recent[key] = event.object, line  # the object stays alive, so its id stays its own
        return line


def _line(event: WatchEvent, asked: Asked, representation: Representation, headers: bool) -> bytes:
    if event.type == "BOOKMARK" and representation.transform == "Table":
        body = json_bytes(_bookmark_table(event.object, representation.version))
    else:
        as_json = Representation(JSON, representation.transform, representation.version)
        body = encode_object(event.object, as_json, asked.query, headers=headers, custom=asked.custom)
    return b'{"type":"' + event.type.encode() + b'","object":' + body + b"}\n"


def _bookmark_table(bookmark: Obj, version: str) -> Obj:
    """A bookmark has nothing but a resourceVersion to show, so its table is empty."""
    metadata = list_metadata_of(bookmark)
    return table_of(bookmark["kind"], [], metadata, datetime.now(UTC), version=version, headers=False)
