"""Ports of a node that lead to one Pod (`hostPort`): rules in the nat table, as the CNI plugin `portmap` has them.

The Pod's neighbours and the node itself may use them too. Which ports a Pod wants is left to the kubelet, that no
two Pods of a node want the same to the scheduler. Models plugins/meta/portmap (containernetworking/plugins v1.9).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .engine import Engine, EngineError

_ALL, _SET_MARK, _MASQUERADE = "CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"
_MARK = "0x2000/0x2000"
_BASE = (
    f":{_ALL} - [0:0]",
    f":{_SET_MARK} - [0:0]",
    f":{_MASQUERADE} - [0:0]",
    f"-A PREROUTING -m addrtype --dst-type LOCAL -j {_ALL}",
    f"-A OUTPUT -m addrtype --dst-type LOCAL -j {_ALL}",
    f'-I POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j {_MASQUERADE}',
    f'-A {_SET_MARK} -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark {_MARK}',
    f"-A {_MASQUERADE} -m mark --mark {_MARK} -j MASQUERADE",
)
_CHAIN_LENGTH = 28


@dataclass(frozen=True)
class PortMapping:
    """One port of a node, or of one of its addresses, and the Pod's port that it leads to."""

    host_port: int
    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    """Empty: every address of the node."""


class HostPorts:
    """The host ports of all Pods of all nodes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._open: dict[str, tuple[str, list[str]]] = {}
        self._prepared: set[str] = set()
        self._lock = asyncio.Lock()

    async def open(self, pod_id: str, node: str, ip: str, mappings: Sequence[PortMapping]) -> None:
        """Lets a node's ports lead to a Pod. Raises EngineError."""
        if not mappings:
            return
        chain = _chain(pod_id)
        entries = list(_entries(chain, pod_id, mappings))
        async with self._lock:
            if node not in self._prepared:
                await self._write(node, _BASE)
                self._prepared.add(node)
            added = [f"-A {_ALL} {entry}" for entry in entries]
            await self._write(node, [f":{chain} - [0:0]", *added, *_rules(chain, ip, mappings)])
            self._open[pod_id] = node, entries
        # Who asked before is led to nobody, or to the Pod that had the port before.
        udp = {mapping.host_port for mapping in mappings if mapping.protocol == "udp"}
        if udp:
            flows = [flow for flow in await self._engine.udp_flows(node) if flow.port in udp]
            await self._engine.forget_flows(node, flows)

    async def close(self, pod_id: str) -> None:
        """Takes a Pod's ports away; nothing if it had none, or somebody flushed them."""
        async with self._lock:
            node, entries = self._open.pop(pod_id, ("", []))
            if not entries:
                return
            chain = _chain(pod_id)
            removed = [f"-D {_ALL} {entry}" for entry in entries]
            try:
                await self._write(node, [*removed, f"-F {chain}", f"-X {chain}"])
            except EngineError:
                self._prepared.discard(node)

    async def _write(self, node: str, lines: Sequence[str]) -> None:
        await self._engine.restore(node, "\n".join(["*nat", *lines, "COMMIT", ""]))


def _chain(pod_id: str) -> str:
    return f"CNI-DN-{hashlib.sha512(pod_id.encode()).hexdigest()}"[:_CHAIN_LENGTH]


def _entries(chain: str, pod_id: str, mappings: Sequence[PortMapping]) -> Iterator[str]:
    for protocol in ("tcp", "udp", "sctp"):
        ports = sorted({mapping.host_port for mapping in mappings if mapping.protocol == protocol})
        if ports:
            comment = f'-m comment --comment "dnat name: \\"pocketkube\\" id: \\"{pod_id}\\""'
            yield f"-p {protocol} {comment} -m multiport --dports {','.join(map(str, ports))} -j {chain}"


def _rules(chain: str, ip: str, mappings: Sequence[PortMapping]) -> Iterator[str]:
    for mapping in mappings:
        to = f"-d {mapping.host_ip}/32 " if mapping.host_ip not in ("", "0.0.0.0") else ""
        port = f"-p {mapping.protocol} -m {mapping.protocol} --dport {mapping.host_port}"
        # The Pod itself, and the node by its loopback, must get their answer from the node.
        for source in (ip, "127.0.0.1"):
            yield f"-A {chain} -s {source}/32 {to}{port} -j {_SET_MARK}"
        yield f"-A {chain} {to}{port} -j DNAT --to-destination {ip}:{mapping.container_port}"
