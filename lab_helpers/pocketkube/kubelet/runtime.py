"""What the kubelet may ask of the thing that runs Pods: the Container Runtime Interface in small.

`container_runtime.py` implements it with namespaces and a warm template process. Pod life cycle, probes and status are
left to the kubelet.
Models k8s.io/cri-api (RunPodSandbox, StartContainer, StopContainer, Exec).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..linux import CONTAINER_CAPABILITIES
from ..network.host_ports import PortMapping


@dataclass(frozen=True)
class SandboxSpec:
    """What a Pod's containers share: a network, a host name, and the files that name things."""

    node: str
    hostname: str
    host_network: bool = False
    ports: tuple[PortMapping, ...] = ()
    """The node's ports that lead to the Pod."""
    resolv_conf: str = ""
    hosts: str = ""


@dataclass(frozen=True)
class Sandbox:
    """A running Pod sandbox: namespaces that last as long as the Pod, and its address."""

    id: str
    """64 hex digits, as containerd's."""
    ip: str


@dataclass(frozen=True)
class Mount:
    """A folder of the machine (made by the kubelet in its own tmpfs) seen at `path` in the container."""

    source: Path
    path: str
    read_only: bool = False


@dataclass(frozen=True)
class Layer:
    """Files of an image that lie on the machine: a file or a whole tree, seen at `path`; what is written there stays
    in the container."""

    source: Path
    path: str


@dataclass(frozen=True)
class Identity:
    """Whom a process runs as. Names are those of the container's own /etc/passwd and /etc/group."""

    user: str = "0"
    """A number or a name."""
    group: str = ""
    """A number or a name; the user's own, or 0, if empty."""
    groups: tuple[int, ...] = ()
    with_image_groups: bool = True
    """True to add the groups of which /etc/group says that the user is a member."""


@dataclass(frozen=True)
class Rights:
    """What a process may do."""

    capabilities: tuple[str, ...] = tuple(sorted(CONTAINER_CAPABILITIES))
    may_gain_more: bool = True
    """False if no program may give it more rights than it has (no_new_privs)."""
    writable_root: bool = True
    """False if only the volumes can be written to."""


@dataclass(frozen=True)
class ContainerSpec:
    """One container: its image's files and what to run.

    `argv` is a command line looked up on the container's PATH; when `builtin` is set, the named Python
    function of the image catalogue (`module:function`) runs instead, called with `argv`, in a process that is
    forked warm and so starts in milliseconds.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    builtin: str = ""
    working_dir: str = "/"
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Files of the image itself: path -> content, written to the private layer."""
    layers: Sequence[Layer] = ()
    """Files of an image that was added, from the machine's disk."""
    mounts: Sequence[Mount] = ()
    identity: Identity = Identity()
    rights: Rights = Rights()
    memory_limit: int = 0
    """Bytes; 0 for no limit."""
    tty: bool = False
    stdin: bool = False
    log_path: Path | None = None
    """Where output goes, in the CRI log format `TIME stdout|stderr F|P LINE`."""


@dataclass(frozen=True)
class ExitStatus:
    """How a process ended: `exit_code` is 128+n after signal n, as container runtimes report it."""

    exit_code: int
    signal: int = 0
    finished_at: float = 0.0
    """Seconds since the epoch."""
    out_of_memory: bool = False
    """True if it was ended because it had more than its limit."""


class Process(Protocol):
    """A process started in a container (a container's first one, or one of `exec`)."""

    @property
    def pid(self) -> int:
        """Its process id as the node process sees it."""
        ...

    @property
    def stdin(self) -> asyncio.StreamWriter | None:
        """Its standard input (the terminal when `tty`), if it was asked for."""
        ...

    @property
    def stdout(self) -> asyncio.StreamReader | None:
        """Its standard output (the terminal when `tty`), if it was asked for."""
        ...

    @property
    def stderr(self) -> asyncio.StreamReader | None:
        """Its standard error, if it was asked for and there is no terminal."""
        ...

    def resize(self, width: int, height: int) -> None:
        """Sets the terminal's size in characters."""
        ...

    def kill(self, signal: int) -> None:
        """Sends a signal; nothing if it has ended."""
        ...

    async def wait(self) -> ExitStatus:
        """Waits until it has ended; may be awaited by several tasks."""
        ...


@dataclass(frozen=True)
class ContainerExited:
    """A container's first process has ended."""

    sandbox_id: str
    container_id: str
    status: ExitStatus


class Runtime(Protocol):
    """Runs Pod sandboxes and containers on the nodes of one node process."""

    async def run_sandbox(self, spec: SandboxSpec) -> Sandbox:
        """Makes the Pod's namespaces and its network; returns when its address works."""
        ...

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """Ends every process of the Pod and gives its address back. Stopping twice does nothing."""
        ...

    async def start_container(self, sandbox_id: str, spec: ContainerSpec) -> str:
        """Starts a container and returns its id (64 hex digits). Raises RuntimeError with a sentence for the user."""
        ...

    async def stop_container(self, container_id: str, grace_seconds: float) -> ExitStatus:
        """SIGTERM, then SIGKILL after the grace period; returns how it ended."""
        ...

    def kill_container(self, container_id: str, signal: int) -> None:
        """Sends a signal to a container's first process."""
        ...

    async def exec(self, container_id: str, argv: Sequence[str], *, tty: bool = False, stdin: bool = False) -> Process:
        """Starts a further process in a container, with pipes (or one terminal) attached."""
        ...

    async def attach(self, container_id: str) -> Process:
        """The container's first process with its streams: new output from now on."""
        ...

    async def dial(
        self, sandbox_id: str, port: int, *, host: str = "127.0.0.1"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TCP connection made inside the Pod's network: to itself (port-forward), or to its address (probes)."""
        ...

    def exits(self) -> AsyncIterator[ContainerExited]:
        """Every container's end, in order, from the time of the call."""
        ...
