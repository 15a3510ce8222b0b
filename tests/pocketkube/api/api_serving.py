"""A real API server over a real store, in the test's own event loop, and clients for it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from lab_helpers.pocketkube.api.local import LocalClient
from lab_helpers.pocketkube.api.operations import Operations
from lab_helpers.pocketkube.api.server import ApiServer
from lab_helpers.pocketkube.config import ClusterConfig
from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.pki import Pki, ensure_pki, write_kubeconfig
from lab_helpers.pocketkube.store import Store

DEADLINE = 60


@dataclass(frozen=True)
class Reply:
    """An answer that has been read."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["message"])


@dataclass(frozen=True)
class Served:
    """The server, and a client that is its administrator."""

    server: ApiServer
    operations: Operations
    config: ClusterConfig
    pki: Pki
    port: int
    session: aiohttp.ClientSession

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    async def request(
        self, method: str, path: str, body: Any = None, session: aiohttp.ClientSession | None = None, **headers: str
    ) -> Reply:
        """Sends JSON, or bytes as they are; header names are written with underscores."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with (session or self.session).request(method, self.url(path), data=data, headers=sent) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.request("GET", path, **headers)

    async def post(self, path: str, body: Any, **headers: str) -> Reply:
        return await self.request("POST", path, body, **headers)

    async def kubectl(self, binary: str, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """Runs kubectl and returns exit code, output and errors."""
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.config.kubeconfig),
            "KUBECACHEDIR": str(self.config.state_dir / "cache"),
            "HOME": str(self.config.state_dir),
        }
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            binary, *arguments, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        )
        output, errors = await child.communicate(stdin.encode())
        return child.returncode or 0, output.decode(), errors.decode()


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    """A server with the usual namespaces, on loopback and a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="sl-") as folder:
        config = ClusterConfig("lab", Path(folder))
        pki = ensure_pki(config)
        store = Store(config.database)
        operations = Operations(store, config)
        for name in ("default", "kube-system"):
            await LocalClient(operations).create("namespaces", {"metadata": {"name": name}})
        server = ApiServer(operations, config, pki)
        tcp = socket.create_server(("127.0.0.1", 0))
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(str(config.api_socket))
        unix.listen()
        await server.start(tcp, unix)
        port = tcp.getsockname()[1]
        write_kubeconfig(config, pki, port)
        connector = aiohttp.TCPConnector(ssl=pki.client_context())
        async with aiohttp.ClientSession(connector=connector) as session:
            try:
                yield Served(server, operations, config, pki, port, session)
            finally:
                await server.stop()
                store.close()


def run(scenario: Callable[[Served], Awaitable[None]]) -> None:
    """Runs a scenario against a server of its own."""

    async def inner() -> None:
        async with asyncio.timeout(DEADLINE), serving() as served:
            await scenario(served)

    asyncio.run(inner())


def config_map(name: str, **data: str) -> Obj:
    """A small object."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
