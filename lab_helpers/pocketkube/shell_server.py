"""Starts the commands of `servicelab node` and `servicelab outside`: the node process's side of `shell`.

A node's root and host name last as long as the node process: what one command writes, the next one finds. A command
is a process in the node's network; it ends when its client goes away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from . import linux, packets
from .kubelet.rootfs import RootBuilder
from .kubelet.spawn import NODE_RIGHTS, SpawnRequest
from .kubelet.stand_ins import stand_ins
from .kubelet.template import Child, SpawnError, Template, receive_packet
from .network.kernel import KernelEngine

GRACE = 2.0
"""Seconds a command has to end after its client has gone."""

LOGIN_SHELL = ("/bin/bash", "-l")
_ENVIRONMENT = {
    "PATH": linux.ADMIN_PATH,
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": LOGIN_SHELL[0],
    "TERM": "dumb",
}


class Places(Protocol):
    """The nodes and the machine outside, as places where commands run."""

    def names(self) -> list[str]:
        """The names of all."""
        ...

    async def start(self, place: str, request: SpawnRequest, streams: Mapping[str, int]) -> Child:
        """Starts a command. Raises SpawnError or OSError."""
        ...

    async def dial(self, place: str, ip: str, port: int) -> socket.socket:
        """A TCP connection from there. Raises OSError."""
        ...


class KernelPlaces:
    """Places that are network namespaces, each with a root of its own."""

    def __init__(self, engine: KernelEngine, template: Template, roots: RootBuilder) -> None:
        self._engine = engine
        self._template = template
        self._roots = roots
        self._mounted: dict[str, asyncio.Task[int]] = {}

    def names(self) -> list[str]:
        """The names of all."""
        return self._engine.places()

    async def start(self, place: str, request: SpawnRequest, streams: Mapping[str, int]) -> Child:
        """Starts a command."""
        machine = self._engine.machine(place)
        joined = {"net": machine.network, "uts": machine.uts, "mnt": await self._root_of(place)}
        return await self._template.spawn(request, {**streams, **joined})

    async def dial(self, place: str, ip: str, port: int) -> socket.socket:
        """A TCP connection from there."""
        return await self._engine.dial(place, ip, port)

    async def _root_of(self, place: str) -> int:
        """A descriptor of the mount namespace of a place, made when it is first needed."""
        if place not in self._mounted:
            self._mounted[place] = asyncio.create_task(self._mount(place))
        return await asyncio.shield(self._mounted[place])

    async def _mount(self, place: str) -> int:
        machine = self._engine.machine(place)
        root = self._roots.prepare(f"machine-{place}", hostname=place, files=stand_ins(), network_settings=True)
        return await self._template.hold(root.as_dict(), {"net": machine.network, "uts": machine.uts})


class ShellServer:
    """Listens on a Unix socket that only the cluster's user can open."""

    def __init__(self, socket_path: Path, places: Places) -> None:
        self._path = socket_path
        self._places = places
        self._clients: set[asyncio.Task[None]] = set()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)

    async def __aenter__(self) -> ShellServer:
        """Begins to listen."""
        self._path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            self._listener.bind(str(self._path))
        finally:
            os.umask(mask)
        self._listener.listen(64)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops listening and ends the commands that run."""
        for client in list(self._clients):
            client.cancel()
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            end, _address = self._listener.accept()
            end.setblocking(False)
            client = asyncio.create_task(self._serve(end))
            self._clients.add(client)
            client.add_done_callback(self._clients.discard)

    async def _serve(self, end: socket.socket) -> None:
        with end, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            packet = await receive_packet(end)
            if packet is None:
                return
            message, streams = packet
            try:
                if "dial" in message:
                    await self._dial(end, *message["dial"])
                    return
                child = await self._start(message, streams)
            except (SpawnError, OSError) as error:
                packets.send(end, {"error": str(error)})
                return
            finally:
                for stream in streams:
                    os.close(stream)
            await self._attend(end, child)

    async def _dial(self, end: socket.socket, place: str, ip: str, port: int) -> None:
        """Hands a connection out; it is the client's alone from then on."""
        with await self._places.dial(place, ip, port) as made:
            packets.send(end, {"connected": True}, [made.fileno()])

    async def _start(self, message: packets.Message, streams: list[int]) -> Child:
        place = message["place"]
        if place not in self._places.names():
            raise SpawnError(f"there is no machine {place!r}; there are: {', '.join(self._places.names())}")
        size = message["terminal"]
        request = SpawnRequest(
            message["argv"] or list(LOGIN_SHELL),
            {**_ENVIRONMENT, **message["environment"]},
            working_dir="/root",
            rights=NODE_RIGHTS,
            terminal=tuple(size) if size else None,
        )
        named = {} if size else dict(zip(("stdin", "stdout", "stderr"), streams, strict=True))
        return await self._places.start(place, request, named)

    async def _attend(self, end: socket.socket, child: Child) -> None:
        """Tells the client what happens, and the command when the client wants something or has gone."""
        requests = asyncio.create_task(self._obey(end, child))
        ended = asyncio.create_task(child.wait())
        try:
            packets.send(end, {"started": True}, [child.handed] if child.handed >= 0 else [])
            if child.handed >= 0:
                os.close(child.handed)
            await asyncio.wait((requests, ended), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await self._end(child)
            packets.send(end, {"exit": (await ended).exit_code})
        finally:
            child.kill_group(signal.SIGKILL)
            requests.cancel()
            ended.cancel()

    async def _obey(self, end: socket.socket, child: Child) -> None:
        """Passes signals on until the client goes away."""
        while (packet := await receive_packet(end)) is not None:
            child.kill_group(packet[0]["signal"])

    async def _end(self, child: Child) -> None:
        for signum in (signal.SIGHUP, signal.SIGTERM, signal.SIGCONT):
            child.kill_group(signum)
        try:
            await asyncio.wait_for(child.wait(), GRACE)
        except TimeoutError:
            child.kill_group(signal.SIGKILL)
