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


class IptablesMode:
    """The iptables rules of one node."""

    name = "iptables"

    def __init__(self, engine: Engine, node: NodeInfo, options: ProxyOptions) -> None:
        self._engine = engine
        self._node = node.name
        self._book = RuleBook(node, options)
        self._in_kernel: set[str] = set()
        self._expectation = Expectation()

    @property
    def changed(self) -> bool:
        """True if there are rules that the kernel has not seen yet."""
        return bool(self._book.changed)

    def set_service(self, key: str, ports: Ports) -> None:
        """Takes note of what a Service is now."""
        self._book.set_service(key, ports)

    async def write(self, *, full: bool) -> None:
        """One `iptables-restore`. Raises EngineError."""
        changed, self._book.changed = self._book.changed, set()
        wanted = self._book.chains()
        if full:
            saved = parse(await self._engine.save(self._node))
            stale = service_chains(saved) - wanted
            text = self._book.full_text(jumps=missing_jumps(saved), stale=stale)
        else:
            stale = self._in_kernel - wanted
            text = self._book.partial_text(changed, stale=stale)
        await self._engine.restore(self._node, text)
        self._in_kernel = wanted
        self._expectation.written(text, full=full, deleted=stale)
        log.info("%s: wrote %s", self._node, "all rules" if full else "the rules of " + ", ".join(sorted(changed)))

    async def missing(self) -> list[str]:
        """The chains that are not as they were written. Raises EngineError."""
        return [key.chain for key in self._expectation.missing(await self._engine.save(self._node))]
