"""The embedded cluster as a lesson sees it: pocketkube behind the `Cluster` protocol.

Starting and ending it is asking `lifecycle` to run pocketkube's supervisor; everything else goes through its
kubeconfig and its shell socket.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ClusterNotRunning, InvalidInput, NodeShellError, ToolMissing
from ..kubectl import kubectl_environment, kubectl_path
from ..paths import check_name, default_name, name_option, state_dir
from ..pocketkube.config import PROXY_MODES, ClusterConfig
from ..pocketkube.host_probe import best_engine
from ..pocketkube.linux import find_program
from ..pocketkube.state import StateDir
from . import inspection, lifecycle
from .base import Capabilities, CommandResult

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


class EmbeddedCluster:
    """One pocketkube by name. Making this object starts nothing."""

    kind = "embedded"

    def __init__(self, name: str | None = None) -> None:
        self.name = check_name(default_name() if name is None else name)
        self._folder = state_dir(self.name)

    @property
    def config(self) -> ClusterConfig:
        """The cluster's fixed facts, with what was chosen when it was started."""
        return ClusterConfig(name=self.name, state_dir=self._folder, **StateDir(self._folder).choices())

    @property
    def kubeconfig(self) -> Path:
        """The admin kubeconfig, mode 0600."""
        return self.config.kubeconfig

    @property
    def capabilities(self) -> Capabilities:
        """What its engine offers."""
        config = self.config
        return Capabilities(
            several_nodes=config.nodes > 1, proxy_mode=config.proxy_mode, simulated=config.engine != "kernel"
        )

    def is_running(self) -> bool:
        """True while the supervisor of this cluster is alive and the cluster was ready."""
        return lifecycle.is_running(self.config)

    def has_stale_state(self) -> bool:
        """True if a cluster of this name died and left its state."""
        return lifecycle.is_stale(self.config)

    def require_running(self) -> None:
        """Raises ClusterNotRunning, with the command that starts it."""
        if self.is_running():
            return
        option = name_option(self.name)
        resume = " --resume" if self.has_stale_state() else ""
        raise ClusterNotRunning(
            f"The cluster {self.name!r} is not running.", hint=f"Start it with: servicelab up{option}{resume}"
        )

    def start(
        self,
        *,
        resume: bool = False,
        api_port: int = 0,
        nodes: int | None = None,
        proxy_mode: str | None = None,
        engine: str | None = None,
        on_progress: Callable[[str], None] | None = None,
    ) -> dict[str, float]:
        """Starts the cluster and returns when API, nodes and DNS are ready.

        What is not chosen (`nodes`, `proxy_mode`, `engine`) is as it was if the cluster is brought back, else the
        default: of the engines the one that is real, where this machine allows it.
        Returns the seconds from the start to each step. Raises ClusterAlreadyUp, StaleState (unless `resume`),
        UnsupportedHost, ToolMissing or StartFailed; after an error nothing is left behind.
        """
        tell = on_progress or (lambda _step: None)
        if engine is None and not (resume and self.has_stale_state()):
            engine = best_engine()
        chosen: dict[str, Any] = {"nodes": nodes, "proxy_mode": proxy_mode, "engine": engine}
        config = replace(self.config, **{field: value for field, value in chosen.items() if value is not None})
        _check_proxy_mode(config)
        return lifecycle.start(config, resume=resume, api_port=api_port, on_progress=tell)

    def delete(self) -> bool:
        """Ends the cluster and removes its files; False if there was nothing."""
        return lifecycle.delete(self.config)

    def status(self) -> dict[str, Any]:
        """What `servicelab status` shows: `state`, and while it runs, what is in it."""
        return inspection.status(self.config)

    @cached_property
    def environment(self) -> dict[str, str]:
        """Variables with which any program talks to this cluster."""
        return {
            **kubectl_environment(self.kubeconfig, self.config.state_dir / "kubectl-cache"),
            "SERVICELAB_NAME": self.name,
        }

    def kubectl(self, *args: str, input: str | None = None, timeout: float | None = 60) -> CommandResult:
        """Runs the real kubectl against this cluster. Raises ClusterNotRunning."""
        self.require_running()
        argv = (str(kubectl_path()), *args)
        done = subprocess.run(
            argv,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, **self.environment},
            check=False,
        )
        return CommandResult(("kubectl", *args), done.returncode, done.stdout, done.stderr)

    def api_client(self) -> ApiClient:
        """The official client, connected; importing it takes most of a second the first time."""
        self.require_running()
        from kubernetes import config as kubernetes_config

        client: ApiClient = kubernetes_config.new_client_from_config(config_file=str(self.kubeconfig))
        return client

    def nodes(self) -> list[str]:
        """Names of the nodes, the first being the control plane's."""
        return [self.config.node_name(index) for index in range(self.config.nodes)]

    def node_shell(
        self, argv: Sequence[str], *, node: str | None = None, input: str | None = None, timeout: float | None = 60
    ) -> CommandResult:
        """Runs a command on a node. Raises NodeShellError if there is no such node or command."""
        return self._run_at(self.node_or_error(node), argv, input, timeout)

    def outside(self, argv: Sequence[str], *, input: str | None = None, timeout: float | None = 60) -> CommandResult:
        """Runs a command on the machine outside the cluster."""
        return self._run_at("outside", argv, input, timeout)

    def iptables_save(self, node: str | None = None) -> str:
        """`iptables-save` of a node."""
        mode = self.config.proxy_mode
        if mode != "iptables":
            raise NodeShellError(
                f"On this cluster kube-proxy writes {mode}, not iptables.",
                hint="Look at its table with: servicelab node -- nft list table ip kube-proxy",
            )
        saved = self.node_shell(["iptables-save"], node=node)
        if not saved.ok:
            raise NodeShellError("The node's iptables rules can't be read.", hint=saved.stderr.strip())
        return saved.stdout

    def node_or_error(self, node: str | None) -> str:
        """The node of that name, or the first. Raises NodeShellError naming the nodes there are."""
        nodes = self.nodes()
        if node is None:
            return nodes[0]
        if node in nodes:
            return node
        raise NodeShellError(f"There is no node {node!r}.", hint=f"The nodes are: {', '.join(nodes)}.")

    def launch(self, argv: Sequence[str], *, place: str = "node", node: str | None = None) -> subprocess.Popen[str]:
        """Starts a command that goes on while its output is read; killing it ends it in its place too."""
        self.require_running()
        where = "outside" if place == "outside" else self.node_or_error(node)
        client = [sys.executable, "-m", "lab_helpers.pocketkube.shell", str(self.config.shell_socket), where, *argv]
        return subprocess.Popen(
            client, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )

    def interact(self, place: str, argv: Sequence[str]) -> int:
        """Runs a command on a node or `outside` on the caller's own terminal; a login shell if there is none."""
        from ..pocketkube.shell import run_shell

        return run_shell(self.config.shell_socket, place, argv)

    def _run_at(self, place: str, argv: Sequence[str], input: str | None, timeout: float | None) -> CommandResult:
        self.require_running()
        from ..pocketkube.shell import capture

        done = capture(self.config.shell_socket, place, argv, input=input, timeout=timeout)
        return CommandResult(tuple(argv), done.returncode, done.stdout, done.stderr)


def _check_proxy_mode(config: ClusterConfig) -> None:
    """Raises InvalidInput or ToolMissing if kube-proxy can't work in its mode."""
    if config.proxy_mode == "iptables":
        return
    if config.proxy_mode not in PROXY_MODES:
        raise InvalidInput(
            f"There is no proxy mode {config.proxy_mode!r} here; upstream's ipvs is deprecated since Kubernetes 1.35.",
            hint="Choose iptables or, as upstream advises in place of ipvs, nftables.",
        )
    if config.engine != "kernel":
        raise InvalidInput(
            "The proxy mode nftables needs the kernel engine; the simulated one has rules of iptables alone.",
            hint="Leave out --proxy-mode, or ask why the kernel engine does not work here: servicelab doctor",
        )
    if not find_program("nft"):
        hint = "Install nftables with your system's package manager, or leave out --proxy-mode."
        raise ToolMissing("The program nft is missing.", hint=hint)
