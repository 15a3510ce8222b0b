"""An API server in a process of its own, which a test may kill and start again on the same port and the same store."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

from lab_helpers.pocketkube.api.local import LocalClient
from lab_helpers.pocketkube.api.operations import Operations
from lab_helpers.pocketkube.api.server import ApiServer
from lab_helpers.pocketkube.bootstrap import bootstrap
from lab_helpers.pocketkube.config import ClusterConfig
from lab_helpers.pocketkube.pki import Pki, ensure_pki, write_kubeconfig
from lab_helpers.pocketkube.store import Store


class ServerProcess:
    """Runs from `start` to `kill`; the folder outlives it."""

    def __init__(self, folder: Path) -> None:
        self.config = ClusterConfig("lab", folder)
        self.pki: Pki = ensure_pki(self.config)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        """Stays open here, as a supervisor keeps it: connections wait for the next server instead of being refused."""
        self.port = self.listener.getsockname()[1]
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        listener = self.listener.fileno()
        command = [sys.executable, __file__, str(self.config.state_dir), str(listener)]
        self._process = subprocess.Popen(command, pass_fds=[listener], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "the server did not start"

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        if self.is_alive():
            self.kill()
        self.listener.close()

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    def session(self) -> aiohttp.ClientSession:
        """A client of its own that is the administrator, and sends every request once."""
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.pki.client_context(), limit=0))
        session._retry_connection = False  # PUT and DELETE would be repeated when their answer is lost
        return session

    def resident_megabytes(self) -> float:
        """What the process has in memory now."""
        fields = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in fields if line.startswith("VmRSS:")) / 1024

    async def answers(self) -> bool:
        """Whether it serves others within a moment."""
        began = time.monotonic()
        async with self.session() as session, session.get(self.url("/api/v1/namespaces/default")) as answer:
            return answer.status == 200 and time.monotonic() - began < 5


async def serve(folder: Path, descriptor: int) -> None:
    """Runs until it is killed."""
    config = ClusterConfig("lab", folder)
    pki = ensure_pki(config)
    store = Store(config.database)
    operations = Operations(store, config)
    listener = socket.socket(fileno=descriptor)
    await bootstrap(LocalClient(operations), config, ca_certificate=pki.ca_certificate.read_text())
    server = ApiServer(operations, config, pki)
    await server.start(listener)
    write_kubeconfig(config, pki, listener.getsockname()[1])
    print("ready", flush=True)
    await asyncio.Event().wait()


def items(found: dict[str, Any]) -> dict[str, Any]:
    """The objects of a list by name, with the kind that only the list tells."""
    head = {"kind": found["kind"].removesuffix("List"), "apiVersion": found["apiVersion"]}
    return {item["metadata"]["name"]: {**head, **item} for item in found["items"]}


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
