"""Services as iptables rules: one `iptables-restore` for each change, its text by `rules`.

Models syncProxyRules in pkg/proxy/iptables/proxier.go (v1.36): everything at first and after a failure, else the
shared chains and those of the Services that changed.
"""

from __future__ import annotations

import logging

from ...iptables import parse
from ..network.engine import Engine
from .base_rules import missing_jumps, service_chains
from .drift import Expectation
from .options import NodeInfo, ProxyOptions
from .rules import RuleBook
from .service_ports import Ports

log = logging.getLogger(__name__)

_BUILT_IN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")


class IptablesMode:
    """The iptables rules of one node."""

    name = "iptables"

    def __init__(self, engine: Engine, node: NodeInfo, options: ProxyOptions) -> None:
        self._engine = engine
        self._node = node.name
        self._book = RuleBook(node, options)
        self._expectation = Expectation()

    @property
    def changed(self) -> bool:
        """True if there are rules that the kernel has not seen yet."""
        return bool(self._book.changed)

    def set_service(self, key: str, ports: Ports) -> None:
        """Takes note of what a Service is now."""
        self._book.set_service(key, ports)

    def set_node(self, node: NodeInfo) -> None:
        """Takes note that the node is another place in the network's topology now."""
        self._book.set_node(node)

    async def write(self, *, full: bool) -> None:
        """One `iptables-restore`. Raises EngineError."""
        if full:
            saved = await self._engine.save(self._node)
            text = self._book.full_text(jumps=missing_jumps(parse(_built_in(saved))), present=service_chains(saved))
        else:
            text = self._book.partial_text()
        await self._engine.restore(self._node, text)
        self._expectation.written(text, full=full)
        log.info("%s: wrote %s, %d bytes", self._node, "all rules" if full else "what changed", len(text))

    async def missing(self) -> list[str]:
        """The chains that are not as they were written. Raises EngineError."""
        return [key.chain for key in self._expectation.missing(await self._engine.save(self._node))]


def _built_in(saved: str) -> str:
    """What a node's rules say of the kernel's own chains: in them stand the jumps to kube-proxy's."""
    kept = ("*", "COMMIT", *(f"{mark}{chain} " for mark in (":", "-A ") for chain in _BUILT_IN))
    return "\n".join([line for line in saved.splitlines() if line.startswith(kept)] + [""])
