"""The health check node ports: on each, whether this node has endpoints of a Service with external policy Local.

A load balancer asks every node, and sends traffic only to those that answer 200.
Models pkg/proxy/healthcheck/service_health.go (v1.36).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping

from ..network.engine import EngineError
from .health import ProxyHealth
from .service_ports import Ports

log = logging.getLogger(__name__)

Listen = Callable[[int], socket.socket]
"""Opens a port on all addresses of the node. Raises OSError or EngineError."""

_MOST_REQUEST = 1 << 16
_REASONS = {200: "OK", 503: "Service Unavailable"}


def local_ready_endpoints(ports: Ports) -> int:
    """How many Pods of this node answer for a Service, on whatever port."""
    return len({e.ip for _, endpoints in ports for e in endpoints if e.local and e.ready})


def health_check_port(ports: Ports) -> int:
    """The health check node port of a Service, or 0."""
    return next((port.health_check_node_port for port, _ in ports if port.health_check_node_port), 0)


class ServiceHealthServers:
    """One small HTTP server for each Service with a health check node port."""

    def __init__(self, listen: Listen) -> None:
        self._listen = listen
        self._open: dict[str, _Door] = {}
        self._refused: set[tuple[str, int]] = set()
        self.proxy_health: ProxyHealth | None = None
        """The health of kube-proxy as a whole; without it, it is well."""

    async def sync(self, services: Mapping[str, Ports]) -> None:
        """Opens and closes ports, and takes note of how many endpoints there are."""
        wanted = {key: port for key, ports in services.items() if (port := health_check_port(ports))}
        for key in [key for key, door in self._open.items() if wanted.get(key) != door.port]:
            self._open.pop(key).server.close()
        self._refused &= set(wanted.items())
        for key, port in wanted.items():
            if key not in self._open:
                await self._try_to_open(key, port)
            if key in self._open:
                self._open[key].endpoints = local_ready_endpoints(services[key])

    def close(self) -> None:
        """Closes all ports."""
        for door in self._open.values():
            door.server.close()
        self._open.clear()

    async def _try_to_open(self, key: str, port: int) -> None:
        door = _Door(key, port, self)
        try:
            listener = self._listen(port)
            listener.setblocking(False)
            door.server = await asyncio.start_server(door.serve, sock=listener, limit=_MOST_REQUEST)
        except (OSError, EngineError) as error:
            if (key, port) not in self._refused:
                log.error("the health check of %s can't be served on port %d: %s", key, port, error)
            self._refused.add((key, port))
            return
        self._open[key] = door


class _Door:
    server: asyncio.Server

    def __init__(self, key: str, port: int, servers: ServiceHealthServers) -> None:
        self.port = port
        self.endpoints = 0
        self._namespace, _, self._name = key.partition("/")
        self._servers = servers

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers every request alike, whatever its path."""
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(self._answer())
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass
        finally:
            writer.close()

    def _answer(self) -> bytes:
        health = self._servers.proxy_health
        healthy = health is None or health.healthy
        code = 200 if self.endpoints and healthy else 503
        body = (
            "{\n"
            '\t"service": {\n'
            f'\t\t"namespace": "{self._namespace}",\n'
            f'\t\t"name": "{self._name}"\n'
            "\t},\n"
            f'\t"localEndpoints": {self.endpoints},\n'
            f'\t"serviceProxyHealthy": {str(healthy).lower()}\n'
            "}"
        )
        head = (
            f"HTTP/1.1 {code} {_REASONS[code]}",
            "Content-Type: application/json",
            "X-Content-Type-Options: nosniff",
            f"X-Load-Balancing-Endpoint-Weight: {self.endpoints}",
            f"Content-Length: {len(body)}",
        )
        return ("\r\n".join((*head, "", "")) + body).encode()
