"""What a lesson may ask of a cluster, whichever kind it is.

A cluster is a kubeconfig and a node shell. No exercise, picture or widget knows more than this protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


@dataclass(frozen=True)
class CommandResult:
    """What a command printed and how it ended. `returncode` is 128+n after signal n."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """True if it ended with 0."""
        return self.returncode == 0


class RunningCommand(Protocol):
    """A command that goes on while its output is read; a `subprocess.Popen` in text mode is one."""

    stdout: IO[str] | None

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end and gives the exit code."""
        ...

    def kill(self) -> None:
        """Ends it, in the place where it runs too."""
        ...


@dataclass(frozen=True)
class Capabilities:
    """What this cluster can show. A missing one is a skipped exercise with this reason, never a failure."""

    node_shell: bool = True
    outside: bool = True
    load_balancer: bool = False
    several_nodes: bool = False
    proxy_mode: str = "iptables"
    simulated: bool = False


class Cluster(Protocol):
    """A running cluster: a kubeconfig, a node shell and a place outside."""

    @property
    def name(self) -> str:
        """The name a user gave it."""
        ...

    @property
    def kind(self) -> str:
        """`embedded`, `kind`, `minikube` or `kubeconfig`, for display only."""
        ...

    @property
    def kubeconfig(self) -> Path:
        """Path of a kubeconfig whose current context is this cluster."""
        ...

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which any program, kubectl above all, talks to this cluster."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this cluster can show."""
        ...

    def kubectl(self, *args: str, input: str | None = None, timeout: float | None = 60) -> CommandResult:
        """Runs the real kubectl against this cluster."""
        ...

    def api_client(self) -> ApiClient:
        """The official client, connected. Imported when first asked for (0.8 s)."""
        ...

    def nodes(self) -> list[str]:
        """Names of the nodes."""
        ...

    def node_shell(
        self, argv: Sequence[str], *, node: str | None = None, input: str | None = None, timeout: float | None = 60
    ) -> CommandResult:
        """Runs a command on a node (default: the first). Raises NodeShellError if it can't be started."""
        ...

    def outside(self, argv: Sequence[str], *, input: str | None = None, timeout: float | None = 60) -> CommandResult:
        """Runs a command on a machine outside the cluster."""
        ...

    def launch(self, argv: Sequence[str], *, place: str = "node", node: str | None = None) -> RunningCommand:
        """Starts a long-running command on a node (`place="node"`) or outside (`place="outside"`).

        Its standard output and error are one text stream, to be read line by line while it runs. Pods are reached
        by `kubectl exec`.
        """
        ...

    def iptables_save(self, node: str | None = None) -> str:
        """`iptables-save` of a node."""
        ...
