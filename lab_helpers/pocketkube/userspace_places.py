"""The nodes and the machine outside of a simulated network, as places where commands run.

The commands that would look into the kernel are small scripts that come first on PATH: they print what the simulated
network knows, and say that it is simulated. What others can't do there they say in one sentence.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import InvalidInput
from .interception.files import Files
from .kubelet.spawn import SpawnRequest
from .kubelet.template import Child
from .kubelet.userspace_files import PrivateFiles, plain_hosts
from .kubelet.userspace_runtime import Interceptors
from .network.machines import SimulatedNode
from .network.simulated_commands import COMMANDS, SCRIPT, run
from .network.userspace import UserspaceEngine

COMMAND_PATH = "/.servicelab/command/"
"""Reading a file under this folder, named by a command line, gives what the command prints; first its exit code."""


def write_scripts(folder: Path) -> None:
    """The commands that a shell finds before the machine's own."""
    folder.mkdir(parents=True)
    for name in COMMANDS:
        script = folder / name
        script.write_text(SCRIPT.format(folder=COMMAND_PATH, name=name))
        script.chmod(0o755)


class UserspacePlaces:
    """Implements `shell_server.Places`."""

    def __init__(self, engine: UserspaceEngine, interceptors: Interceptors, files: PrivateFiles, scripts: Path) -> None:
        self._engine = engine
        self._interceptors = interceptors
        self._files = files
        self._scripts = scripts
        self._seen: dict[str, Files] = {}

    def names(self) -> list[str]:
        """The names of all."""
        return self._engine.places()

    async def start(self, place: str, request: SpawnRequest, streams: Mapping[str, int]) -> Child:
        """Starts a command. Raises SpawnError or OSError."""
        if place not in self._seen:
            identity = f"machine-{place}"
            view = self._files.prepare(
                identity, hosts=plain_hosts(place), files={"/etc/hostname": f"{place}\n".encode()},
                produced=self._produced(place),
            )  # fmt: skip
            self._seen[place] = Files(view, self._files.programs(identity))
        environment = {**request.environment, "PATH": f"{self._scripts}:{request.environment['PATH']}"}
        wanted = replace(request, environment=environment)
        return await self._interceptors.spawn(wanted, self._engine.machine(place), place, self._seen[place], streams)

    def _produced(self, place: str) -> Callable[[str], bytes | None]:
        machine = self._engine.machine(place)

        def produce(path: str) -> bytes | None:
            if not path.startswith(COMMAND_PATH):
                return None
            code, printed = _answer(machine if isinstance(machine, SimulatedNode) else None, path[len(COMMAND_PATH) :])
            return f"{code}\n{printed}".encode()

        return produce


def _answer(node: SimulatedNode | None, command_line: str) -> tuple[int, str]:
    try:
        words: Sequence[str] = shlex.split(command_line)
    except ValueError as error:
        return 2, f"{error}\n"
    try:
        return 0, run(node, words)
    except InvalidInput as error:
        return 1, f"{words[0]}: {error.message}\n"
