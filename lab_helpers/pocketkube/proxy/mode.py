"""What tells the proxy modes apart: how the Services of a cluster get into one node's kernel.

`iptables_mode` and `nftables.mode` implement it. When to write is left to `proxier`.
"""

from __future__ import annotations

from typing import Protocol

from .options import NodeInfo
from .service_ports import Ports


class ProxyMode(Protocol):
    """Keeps what one node's kernel should have, and writes it."""

    @property
    def name(self) -> str:
        """As `--proxy-mode` and /proxyMode call it."""
        ...

    @property
    def changed(self) -> bool:
        """True if the kernel has not been told yet of all Services that were set."""
        ...

    def set_service(self, key: str, ports: Ports) -> None:
        """Takes note of what a Service (`namespace/name`) is now; no ports: it is gone."""
        ...

    def set_node(self, node: NodeInfo) -> None:
        """Takes note that the node is another place in the network's topology now; everything changes with it."""
        ...

    async def write(self, *, full: bool) -> None:
        """Writes everything, or only what changed since. Raises EngineError; a full write has to follow then."""
        ...

    async def missing(self) -> list[str]:
        """Names of the chains that somebody else changed or took away. Raises EngineError."""
        ...
