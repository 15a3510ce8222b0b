"""Handing a listening socket from one process to the other: the door of the API server inside the cluster.

A socket stays in the network namespace in which it was made. The node process makes one at the node's address and
passes it to the control plane, again whenever the control plane was started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

RETRY_PAUSE = 0.02
LONGEST_PAUSE = 1.0

log = logging.getLogger(__name__)


@contextlib.contextmanager
def accept_sockets(path: Path, add_listener: Callable[[socket.socket], Awaitable[None]]) -> Iterator[None]:
    """Listens on a Unix socket and calls `add_listener` with every socket handed over, until the block ends."""
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    path.chmod(0o600)
    server.listen(4)
    server.setblocking(False)
    task = asyncio.create_task(_accept(server, add_listener))
    try:
        yield
    finally:
        task.cancel()
        server.close()
        path.unlink(missing_ok=True)


async def _accept(server: socket.socket, add_listener: Callable[[socket.socket], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    kept: list[socket.socket] = []
    """Connections stay open: their end tells the node process that this one has gone."""
    while True:
        connection, _address = await loop.sock_accept(server)
        kept.append(connection)
        for received in await _receive(connection):
            await add_listener(received)


async def _receive(connection: socket.socket) -> list[socket.socket]:
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection)
    _data, descriptors, _flags, _address = socket.recv_fds(connection, 1, 4)
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]


async def hand_over(path: Path, listener: socket.socket) -> None:
    """Hands `listener` to whoever listens on `path`, and again each time that process was replaced. Never returns."""
    while True:
        with contextlib.closing(await _connect(path)) as connection:
            socket.send_fds(connection, [b"s"], [listener.fileno()])
            with contextlib.suppress(ConnectionError):
                await asyncio.get_running_loop().sock_recv(connection, 1)
        log.warning("the control plane has gone; waiting for the next one")


async def _connect(path: Path) -> socket.socket:
    loop = asyncio.get_running_loop()
    pause = RETRY_PAUSE
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, str(path))
        except OSError:
            connection.close()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        else:
            return connection
