"""kube-proxy's own HTTP servers on its node: figures, mode and configuration on port 10249, health on port 10256.

Models cmd/kube-proxy/app/server.go and pkg/proxy/healthcheck/proxy_health.go (v1.36).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from aiohttp import web

from ..http_server import plain_server
from ..metrics import CONTENT_TYPE, render
from .configuration import configuration
from .proxier import Proxier

METRICS_PORT, HEALTH_PORT = 10249, 10256
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}


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
        self._servers.append(await asyncio.get_running_loop().create_server(plain_server(answer), sock=listener))


def _not_found() -> web.Response:
    return web.Response(status=404, text="404 page not found\n", headers=_NO_SNIFFING)


class _Figures:
    def __init__(self, proxier: Proxier) -> None:
        self._proxier = proxier
        self._families = list(proxier.figures.families())

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        match request.path:
            case "/proxyMode":
                return web.Response(text=self._proxier.mode.name, headers=_NO_SNIFFING)
            case "/healthz":
                return web.Response(text="ok", headers=_NO_SNIFFING)
            case "/metrics":
                return web.Response(body=render(self._families), headers={"Content-Type": CONTENT_TYPE})
            case "/configz":
                config = configuration(self._proxier.config, self._proxier.node)
                return web.json_response({"kubeproxy.config.k8s.io": config})
        return _not_found()


class _Health:
    def __init__(self, proxier: Proxier) -> None:
        self._proxier = proxier

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        health, figures = self._proxier.health, self._proxier.figures
        match request.path:
            case "/healthz":
                eligible = self._proxier.node_eligible()
                code = 200 if health.healthy and eligible else 503
                figures.healthz.count(str(code))
                return self._respond(code, health.report(node_eligible=eligible))
            case "/livez":
                code = 200 if health.healthy else 503
                figures.livez.count(str(code))
                return self._respond(code, health.report())
        return _not_found()

    @staticmethod
    def _respond(code: int, report: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(report, status=code, headers=_NO_SNIFFING)
