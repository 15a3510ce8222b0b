"""HTTP servers that do not say what they are made of: an answer has no `Server` header, as Go's have none.

What is answered is left to the servers: the API's (`api/server.py`), kube-proxy's (`proxy/server.py`), the kubelet's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http import SERVER_SOFTWARE


async def withhold_software(_: web.BaseRequest, response: web.StreamResponse) -> None:
    """Takes the name of our own software off an answer; what a Pod says of itself is passed on."""
    if response.headers.get("Server") == SERVER_SOFTWARE:
        del response.headers["Server"]


class Request(web.BaseRequest):
    """A request whose answer does not introduce the server."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        await withhold_software(self, response)


def plain_server(answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> web.Server:
    """A server of the simplest kind."""

    def make_request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> Request:
        return Request(message, payload, protocol, writer, task, asyncio.get_running_loop())

    return web.Server(answer, access_log=None, request_factory=make_request)
