"""The nodes and the machine outside of a simulated network, as places where commands run."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from .interception.files import Files
from .kubelet.spawn import SpawnRequest
from .kubelet.template import Child
from .kubelet.userspace_files import PrivateFiles, plain_hosts
from .kubelet.userspace_runtime import Interceptors
from .network.simulated_commands import answers
from .network.userspace import UserspaceEngine


class UserspacePlaces:
    """Implements `shell_server.Places`."""

    def __init__(self, engine: UserspaceEngine, interceptors: Interceptors, files: PrivateFiles) -> None:
        self._engine = engine
        self._interceptors = interceptors
        self._files = files
        self._seen: dict[str, Files] = {}

    def names(self) -> list[str]:
        """The names of all."""
        return self._engine.places()

    async def dial(self, place: str, ip: str, port: int) -> socket.socket:
        """A TCP connection from there. Raises OSError."""
        return await self._engine.dial(place, ip, port)

    async def start(self, place: str, request: SpawnRequest, streams: Mapping[str, int]) -> Child:
        """Starts a command. Raises SpawnError or OSError."""
        machine = self._engine.machine(place)
        if place not in self._seen:
            identity = f"machine-{place}"
            view = self._files.prepare(
                identity, hosts=plain_hosts(place), files={"/etc/hostname": f"{place}\n".encode()},
                produced=answers(self._engine, machine),
            )  # fmt: skip
            self._seen[place] = Files(view, self._files.programs(identity))
        return await self._interceptors.spawn(request, machine, place, self._seen[place], streams)
