"""Prints the API server's figures under load: 1,000 Pods, 1,000 Services, 500 watchers, 1,000 writes over HTTPS.

    python tests/bench/api.py [--runs 5] [-o json]

The server runs in a process of its own, as in a cluster, but without controllers and nodes. Times are those of a
client with keep-alive connections, so they contain its own work; the bounds are for two cores that do nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab_helpers.clusters.inspection import memory_of_tree
from lab_helpers.pocketkube.api.operations import Operations
from lab_helpers.pocketkube.api.server import ApiServer
from lab_helpers.pocketkube.config import ClusterConfig
from lab_helpers.pocketkube.pki import ensure_pki
from lab_helpers.pocketkube.store import Store

OBJECTS, WATCHERS, WRITES, CONNECTIONS, CHANGES = 1000, 500, 1000, 8, 20
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
NAMESPACED = "/api/v1/namespaces/default"


@dataclass
class Figure:
    """One figure: what, its runs, its unit, and the bound we hold ourselves to (at most; a rate: at least)."""

    name: str
    runs: list[float]
    unit: str
    bound: float

    @property
    def is_rate(self) -> bool:
        return self.unit == "/s"

    def line(self) -> str:
        median = statistics.median(self.runs)
        ratio = median / self.bound
        within = ratio >= 1 if self.is_rate else ratio <= 1
        span = f"{min(self.runs):.1f}-{max(self.runs):.1f} ({len(self.runs)})"
        verdict = "within" if within else "OUTSIDE"
        return f"{self.name:<46} {median:>8.1f} {self.unit:<3} {span:<20} {verdict:<8}{self.bound:>6g} {ratio:>6.2f}"


class Connection:
    """One keep-alive connection: as little client as possible."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, tls: ssl.SSLContext) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))

    async def send(self, method: str, path: str, body: Any = None, accept: str = "application/json") -> bytes:
        """Sends a request and returns its answer's body, compressed if it is large."""
        length = await self._ask(method, path, body, accept)
        assert length is not None, "an answer without a length"
        return await self._reader.readexactly(length)

    async def revision(self) -> str:
        """A resourceVersion of now."""
        found = json.loads(await self.send("GET", f"{NAMESPACED}/configmaps?limit=1"))
        return str(found["metadata"]["resourceVersion"])

    async def watch(self, path: str) -> None:
        """Starts a watch; `event` reads on."""
        await self._ask("GET", path, None, "application/json")

    async def event(self) -> None:
        """Reads one event: a chunk of its own."""
        size = int(await self._reader.readline(), 16)
        await self._reader.readexactly(size + 2)

    async def _ask(self, method: str, path: str, body: Any, accept: str) -> int | None:
        data = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nAccept-Encoding: gzip\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        self._writer.write(head.encode() + data)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert answer.startswith("http/1.1 2"), answer
        _, found, rest = answer.partition("content-length: ")
        return int(rest.split("\r\n")[0]) if found else None

    def close(self) -> None:
        self._writer.close()


def config_map(name: str) -> Any:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": {"key": "value"}}


def pod(name: str) -> Any:
    container = {"name": "httpd", "image": "httpd", "ports": [{"containerPort": 80}]}
    metadata = {"name": name, "labels": {"app": "httpd", "pod-template-hash": "7c5ddbdf54"}}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {"containers": [container]}}


def service(name: str) -> Any:
    spec = {"selector": {"app": "httpd"}, "ports": [{"port": 80}]}
    return {"kind": "Service", "apiVersion": "v1", "metadata": {"name": name}, "spec": spec}


async def write_all(connections: list[Connection], collection: str, objects: Iterator[Any]) -> float:
    """Creates the objects, each connection its next one when it is free, and returns the seconds that took."""

    async def work(connection: Connection) -> None:
        for obj in objects:
            await connection.send("POST", f"{NAMESPACED}/{collection}", obj)

    began = time.perf_counter()
    await asyncio.gather(*(work(connection) for connection in connections))
    return time.perf_counter() - began


async def milliseconds(connection: Connection, path: str, accept: str = "application/json") -> float:
    began = time.perf_counter()
    await connection.send("GET", path, accept=accept)
    return 1000 * (time.perf_counter() - began)


async def fan_out(writer: Connection, watchers: list[Connection], run: int) -> float:
    """Events a second that reach all the watchers of some changes."""
    began = time.perf_counter()
    for number in range(CHANGES):
        await writer.send("POST", f"{NAMESPACED}/configmaps", config_map(f"fan-{run}-{number}"))

    async def read(watcher: Connection) -> None:
        for _ in range(CHANGES):
            await watcher.event()

    await asyncio.gather(*(read(watcher) for watcher in watchers))
    return CHANGES * len(watchers) / (time.perf_counter() - began)


async def measure(server: subprocess.Popen[str], folder: Path, port: int, runs: int) -> list[Figure]:
    tls = ensure_pki(ClusterConfig("bench", folder)).client_context()
    connections = [await Connection.open(port, tls) for _ in range(CONNECTIONS)]
    client = connections[0]
    await client.send("POST", "/api/v1/namespaces", {"metadata": {"name": "default"}})
    empty = memory_of_tree(server.pid)
    await write_all(connections, "pods", (pod(f"httpd-7c5ddbdf54-{number:05d}") for number in range(OBJECTS)))
    await write_all(connections, "services", (service(f"service-{number:05d}") for number in range(OBJECTS)))
    figures = [
        Figure(
            f"create {WRITES} ConfigMaps, {CONNECTIONS} connections",
            [
                WRITES / await write_all(connections, "configmaps", (config_map(f"{r}-{n}") for n in range(WRITES)))
                for r in range(runs)
            ],
            "/s",
            1000,
        )
    ]
    for collection in ("pods", "services"):
        for form, accept in (("JSON", "application/json"), ("Table", TABLE)):
            times = [await milliseconds(client, f"{NAMESPACED}/{collection}", accept) for _ in range(runs)]
            figures.append(Figure(f"list {OBJECTS} {collection} as {form}", times, "ms", 100))
    loaded = memory_of_tree(server.pid)
    watchers = [await Connection.open(port, tls) for _ in range(WATCHERS)]
    now = await client.revision()
    await asyncio.gather(
        *(watcher.watch(f"{NAMESPACED}/configmaps?watch=true&resourceVersion={now}") for watcher in watchers)
    )
    rates = [await fan_out(client, watchers, run) for run in range(runs)]
    figures.append(Figure(f"events to {WATCHERS} watchers", rates, "/s", 10_000))
    watched = memory_of_tree(server.pid)
    figures.append(Figure("memory without objects (PSS)", [empty / 1e6], "MB", 60))
    figures.append(Figure(f"memory with {2 * OBJECTS + runs * WRITES} objects", [loaded / 1e6], "MB", 120))
    figures.append(Figure(f"memory with {WATCHERS} watchers too", [watched / 1e6], "MB", 200))
    for connection in (*connections, *watchers):
        connection.close()
    return figures


async def serve(folder: Path) -> None:
    """Serves until standard input is closed."""
    config = ClusterConfig("bench", folder)
    store = Store(config.database)
    server = ApiServer(Operations(store, config), config, ensure_pki(config))
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    await server.start(listener)
    closed = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), closed.set)
    print(listener.getsockname()[1], flush=True)
    await closed.wait()
    await server.stop()
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve))
        return
    with tempfile.TemporaryDirectory(prefix="sl-bench-") as folder:
        command = [sys.executable, os.fspath(Path(__file__).resolve()), "--serve", folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdin and server.stdout
            port = int(server.stdout.readline())
            figures = asyncio.run(measure(server, Path(folder), port, options.runs))
            server.stdin.close()
    if options.output == "json":
        print(json.dumps([asdict(figure) for figure in figures], indent=1))
        return
    print(f"{'figure':<46} {'median':>8}     {'range (runs)':<20} bound          ratio")
    for figure in figures:
        print(figure.line())


if __name__ == "__main__":
    main()
