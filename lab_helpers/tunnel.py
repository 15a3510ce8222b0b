"""`servicelab tunnel`: a port of this machine that leads to a Service, as `minikube service --url` opens one.

Every connection is one from the cluster's node to the Service's address, through kube-proxy's rules: each may be
answered by another Pod. Connecting is left to the cluster's shell server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import InvalidInput, NodeShellError
from .pocketkube import shell

if TYPE_CHECKING:
    from .clusters import EmbeddedCluster

_CHUNK = 1 << 16


@dataclass(frozen=True)
class Target:
    """The address and port of a Service."""

    ip: str
    port: int


def find_target(cluster: EmbeddedCluster, service: str, *, namespace: str = "default", port: str = "") -> Target:
    """The address of a Service and one of its ports, by name or number; the first if none is named.

    Raises InvalidInput if there is no such Service, or nothing to lead to.
    """
    asked = cluster.kubectl("get", "service", service, "-n", namespace, "-o", "json")
    if not asked.ok:
        raise InvalidInput(asked.stderr.strip(), hint="Look with: servicelab kubectl get services -A")
    spec: dict[str, Any] = json.loads(asked.stdout)["spec"]
    if spec.get("clusterIP") in (None, "", "None"):
        raise InvalidInput(f"The Service {service!r} has no address of its own.", hint="Use: kubectl port-forward")
    ports = [entry for entry in spec["ports"] if entry.get("protocol") == "TCP"]
    chosen = [entry for entry in ports if port in ("", str(entry["port"]), entry.get("name"))]
    if not chosen:
        known = ", ".join(str(entry["port"]) for entry in ports) or "none of TCP"
        raise InvalidInput(f"The Service {service!r} has no such port.", hint=f"Its ports are: {known}.")
    return Target(spec["clusterIP"], chosen[0]["port"])


async def serve(cluster: EmbeddedCluster, target: Target, local_port: int, tell: Callable[[str], None]) -> None:
    """Leads connections to the target until cancelled; tells the URL first. Raises OSError if the port is taken."""

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, NodeShellError):
            place = cluster.nodes()[0]
            end = await asyncio.to_thread(shell.dial, cluster.config.shell_socket, place, target.ip, target.port)
            there, back = await asyncio.open_connection(sock=end)
            with contextlib.closing(back):
                await asyncio.gather(_copy(reader, back), _copy(there, writer))

    server = await asyncio.start_server(lead, "127.0.0.1", local_port)
    tell(url(server.sockets[0].getsockname()[1]))
    async with server:
        await server.serve_forever()


def url(port: int) -> str:
    """Where a browser finds a local port: behind JupyterHub by the way of its proxy."""
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    return f"{prefix}proxy/{port}/" if prefix else f"http://127.0.0.1:{port}/"


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copies to the end, and tells that end."""
    while data := await source.read(_CHUNK):
        target.write(data)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()
