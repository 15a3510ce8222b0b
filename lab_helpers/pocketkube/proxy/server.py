"""kube-proxy's own HTTP servers on its node: figures and mode on 127.0.0.1:10249, health on port 10256.

Models cmd/kube-proxy/app/server.go and pkg/proxy/healthcheck/proxy_health.go (v1.36).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from aiohttp import web

from ..metrics import CONTENT_TYPE, Family, Gauge, process_families, render
from .proxier import Proxier

METRICS_PORT, HEALTH_PORT = 10249, 10256
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class ProxyDoors(NamedTuple):
    """One node's kube-proxy, and the listening sockets of its two servers."""

    proxier: Proxier
    metrics: socket.socket
    health: socket.socket


class ProxyServers:
    """Serve while they are entered as a context."""

    def __init__(self, doors: Sequence[ProxyDoors]) -> None:
        self._doors = doors
        self._servers: list[asyncio.Server] = []

    async def __aenter__(self) -> ProxyServers:
        for proxier, metrics, health in self._doors:
            await self._serve(metrics, _Figures(proxier).answer)
            await self._serve(health, _Health(proxier).answer)
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()

    async def _serve(self, listener: socket.socket, answer: Answer) -> None:
        listener.setblocking(False)
        server = web.Server(answer, access_log=None)
        self._servers.append(await asyncio.get_running_loop().create_server(server, sock=listener))


class _Figures:
    def __init__(self, proxier: Proxier) -> None:
        self._families: list[Family] = [
            proxier.sync_durations,
            Gauge(
                "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
                "[ALPHA] The last time proxy rules were successfully synced",
                ("ip_family",),
                lambda: [(("IPv4",), proxier.last_sync)],
            ),
            *process_families(),
        ]

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        match request.path:
            case "/proxyMode":
                return web.Response(text="iptables")
            case "/healthz":
                return web.Response(text="ok")
            case "/metrics":
                return web.Response(body=render(self._families), headers={"Content-Type": CONTENT_TYPE})
        return web.Response(status=404, text="404 page not found\n")


class _Health:
    def __init__(self, proxier: Proxier) -> None:
        self._proxier = proxier

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path not in ("/healthz", "/livez"):
            return web.Response(status=404, text="404 page not found\n")
        times = {"lastUpdated": self._proxier.last_sync, "currentTime": datetime.now(UTC).timestamp()}
        told = {name: str(datetime.fromtimestamp(seconds, UTC)) for name, seconds in times.items()}
        status = 200 if self._proxier.synced.is_set() else 503
        return web.json_response({**told, "nodeEligible": True}, status=status)
