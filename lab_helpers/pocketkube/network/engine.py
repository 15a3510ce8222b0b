"""What the node process may ask of a network: the one protocol of the two engines.

`kernel.py` answers with namespaces, veths and iptables in the kernel; a user-space engine answers with sockets.
Which Pods exist is the kubelet's business, which rules are written is kube-proxy's.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Protocol

from .flows import Flow

INVALID_DROPPED_COUNTER = "ct_state_invalid_dropped_pkts"
LOCALHOST_NODE_PORTS_COUNTER = "localhost_nps_accepted_pkts"
NFACCT_COUNTERS = frozenset({INVALID_DROPPED_COUNTER, LOCALHOST_NODE_PORTS_COUNTER})
"""The nfacct objects that kube-proxy's rules count with, where they exist."""


class Engine(Protocol):
    """The network of all nodes of one cluster, and the machine outside it."""

    simulated: bool

    nfacct: frozenset[str]
    """The nfacct counters that exist on every node, so that rules may name them."""

    async def restore(self, node: str, text: str) -> None:
        """Applies one `iptables-restore --noflush --counters` input on a node, all of it or nothing.

        Raises EngineError with iptables' own words.
        """
        ...

    async def save(self, node: str, table: str = "", *, counters: bool = False) -> str:
        """`iptables-save [-t TABLE] [-c]` of a node."""
        ...

    async def generation(self, node: str) -> int | None:
        """A number that is another one whenever somebody has changed a node's rules; None if there is none.

        Reading it costs next to nothing, reading the rules of a large cluster does.
        """
        ...

    async def command(self, node: str, argv: Sequence[str], *, input: str = "") -> str:
        """Runs an administration command (ip, nft, conntrack) on a node and returns its output."""
        ...

    async def udp_flows(self, node: str) -> list[Flow]:
        """The UDP connections that a node keeps track of. Raises EngineError."""
        ...

    async def forget_flows(self, node: str, flows: Sequence[Flow]) -> None:
        """Makes a node forget connections: their next packet is looked at as the first of a new one.

        Raises EngineError.
        """
        ...

    def listen(self, node: str, ip: str, port: int) -> socket.socket:
        """A listening TCP socket on a node; it may be handed to a process that is elsewhere. Raises OSError."""
        ...

    async def dial(self, place: str, ip: str, port: int) -> socket.socket:
        """A TCP connection from a node or from `outside`; it does not block. Raises OSError."""
        ...

    def balance(self, address: str, nodes: Sequence[str]) -> None:
        """Lets the outside machine send connections to an address to these nodes in turn, or to nobody."""
        ...


class EngineError(Exception):
    """The network refused; the text is the tool's own."""
