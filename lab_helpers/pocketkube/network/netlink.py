"""Network links, addresses and routes by rtnetlink messages: what `ip` does, without starting a program.

A `Netlink` socket belongs to the network namespace in which it was opened, for good. So one process can hold one
for each node and Pod. Also makes netfilter accounting objects (nfacct). Which links there are is left to `kernel`.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence

_PROTOCOL_ROUTE = 0
_PROTOCOL_NETFILTER = 12

_ERROR = 2
_NEW_LINK, _DELETE_LINK, _GET_LINK = 16, 17, 18
_NEW_ADDRESS, _NEW_ROUTE, _DELETE_ROUTE, _SET_NEIGHBOUR_TABLE = 20, 24, 25, 67
_NEW_ACCOUNTING = 7 << 8  # NFNL_SUBSYS_ACCT, NFNL_MSG_ACCT_NEW
_GET_GENERATION = 10 << 8 | 16  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN

_REQUEST, _ACKNOWLEDGE = 0x1, 0x4
_CREATE = 0x400 | 0x200  # NLM_F_CREATE, NLM_F_EXCL
_REPLACE = 0x400 | 0x100  # NLM_F_CREATE, NLM_F_REPLACE

_NESTED = 0x8000
_LINK_NAME, _LINK_MASTER, _LINK_INFO, _LINK_NAMESPACE_FD = 3, 10, 18, 28
_INFO_KIND, _INFO_DATA = 1, 2
_VETH_PEER = 1
_ADDRESS, _ADDRESS_LOCAL, _ADDRESS_BROADCAST = 1, 2, 4
_ROUTE_DESTINATION, _ROUTE_LINK, _ROUTE_GATEWAY, _ROUTE_MULTIPATH = 1, 4, 5, 9
_NEIGHBOUR_NAME, _NEIGHBOUR_PARAMETERS = 1, 6
_PARAMETER_LINK, _PARAMETER_PROXY_DELAY = 1, 13
_ACCOUNTING_NAME = 1

_UP = 1
_TABLE_MAIN = 254
_ORIGIN_STATIC = 4
_SCOPE_ANYWHERE, _SCOPE_LINK = 0, 253
_UNICAST = 1

LOOPBACK = 1
"""Index of `lo` in every network namespace."""


def _attribute(kind: int, payload: bytes) -> bytes:
    size = 4 + len(payload)
    return struct.pack("=HH", size, kind) + payload + b"\0" * (-size % 4)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _number(kind: int, number: int) -> bytes:
    return _attribute(kind, struct.pack("=I", number))


def _link_header(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, change)


def _route_to(destination: str) -> bytes:
    """The beginning of a message about the route to one address, over a gateway."""
    facts = (socket.AF_INET, 32, 0, 0, _TABLE_MAIN, _ORIGIN_STATIC, _SCOPE_ANYWHERE, _UNICAST, 0)
    return struct.pack("=BBBBBBBBI", *facts) + _attribute(_ROUTE_DESTINATION, socket.inet_aton(destination))


class Netlink:
    """The network configuration of the namespace in which this was made."""

    def __init__(self) -> None:
        self._route = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _PROTOCOL_ROUTE)
        self._sequence = 0

    def close(self) -> None:
        """Closes the socket; the configuration stays."""
        self._route.close()

    def index(self, link: str) -> int:
        """Number of a link. Raises OSError if there is none of that name."""
        answer = self._request(self._route, _GET_LINK, 0, _link_header() + _text(_LINK_NAME, link))
        return int(struct.unpack_from("=i", answer, 4)[0])

    def add_bridge(self, name: str) -> int:
        """Makes a bridge and returns its index."""
        info = _attribute(_LINK_INFO | _NESTED, _text(_INFO_KIND, "bridge"))
        self._create(_NEW_LINK, _link_header() + _text(_LINK_NAME, name) + info)
        return self.index(name)

    def add_veth(self, name: str, peer: str, peer_namespace: int, *, master: int = 0) -> int:
        """Makes a pair of connected links, `name` here and `peer` in another namespace; returns this end's index."""
        other = _link_header() + _text(_LINK_NAME, peer) + _number(_LINK_NAMESPACE_FD, peer_namespace)
        data = _attribute(_INFO_DATA | _NESTED, _attribute(_VETH_PEER | _NESTED, other))
        info = _attribute(_LINK_INFO | _NESTED, _text(_INFO_KIND, "veth") + data)
        port_of = _number(_LINK_MASTER, master) if master else b""
        self._create(_NEW_LINK, _link_header() + _text(_LINK_NAME, name) + port_of + info)
        return self.index(name)

    def set_up(self, index: int) -> None:
        """Switches a link on."""
        self._change(_NEW_LINK, _link_header(index, _UP, _UP))

    def delete_link(self, index: int) -> None:
        """Removes a link, and its peer."""
        self._change(_DELETE_LINK, _link_header(index))

    def add_address(self, index: int, address: str, prefix: int, *, broadcast: str = "") -> None:
        """Gives a link an IPv4 address."""
        raw = socket.inet_aton(address)
        body = struct.pack("=BBBBi", socket.AF_INET, prefix, 0, _SCOPE_ANYWHERE, index)
        body += _attribute(_ADDRESS_LOCAL, raw) + _attribute(_ADDRESS, raw)
        if broadcast:
            body += _attribute(_ADDRESS_BROADCAST, socket.inet_aton(broadcast))
        self._create(_NEW_ADDRESS, body)

    def add_route(self, index: int, destination: str, prefix: int, *, via: str = "") -> None:
        """Adds a route through a link, to a gateway or to neighbours."""
        scope = _SCOPE_ANYWHERE if via else _SCOPE_LINK
        body = struct.pack("=BBBBBBBBI", socket.AF_INET, prefix, 0, 0, _TABLE_MAIN, _ORIGIN_STATIC, scope, _UNICAST, 0)
        if prefix:
            body += _attribute(_ROUTE_DESTINATION, socket.inet_aton(destination))
        if via:
            body += _attribute(_ROUTE_GATEWAY, socket.inet_aton(via))
        self._create(_NEW_ROUTE, body + _number(_ROUTE_LINK, index))

    def spread_route(self, index: int, destination: str, gateways: Sequence[str]) -> None:
        """Sends packets for one address to several gateways, each connection to one; instead of what was there."""
        hops = b""
        for gateway in gateways:
            via = _attribute(_ROUTE_GATEWAY, socket.inet_aton(gateway))
            hops += struct.pack("=HBBi", 8 + len(via), 0, 0, index) + via
        body = _route_to(destination) + _attribute(_ROUTE_MULTIPATH, hops)
        self._request(self._route, _NEW_ROUTE, _REPLACE | _ACKNOWLEDGE, body)

    def delete_route(self, destination: str) -> None:
        """Forgets the way to one address. Raises OSError if there is none."""
        self._change(_DELETE_ROUTE, _route_to(destination))

    def answer_arp_at_once(self, index: int) -> None:
        """Lets a link with proxy_arp answer without the random delay (up to 0.8 s) of a proxy among others.

        The sysctl for it does not exist in a user namespace.
        """
        parameters = _number(_PARAMETER_LINK, index) + _attribute(_PARAMETER_PROXY_DELAY, struct.pack("=Q", 0))
        body = struct.pack("=BBH", socket.AF_INET, 0, 0) + _text(_NEIGHBOUR_NAME, "arp_cache")
        self._change(_SET_NEIGHBOUR_TABLE, body + _attribute(_NEIGHBOUR_PARAMETERS | _NESTED, parameters))

    def add_accounting(self, name: str) -> None:
        """Makes an nfacct object, a named counter of packets. Raises OSError if the kernel has none."""
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _PROTOCOL_NETFILTER) as end:
            header = struct.pack("!BBH", socket.AF_UNSPEC, 0, 0)
            self._request(end, _NEW_ACCOUNTING, _CREATE | _ACKNOWLEDGE, header + _text(_ACCOUNTING_NAME, name))

    def rules_generation(self) -> int:
        """A number that grows with every change of the rules of nf_tables, also through iptables.

        Raises OSError if the kernel has no nf_tables.
        """
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _PROTOCOL_NETFILTER) as end:
            answer = self._request(end, _GET_GENERATION, 0, struct.pack("!BBH", socket.AF_UNSPEC, 0, 0))
        return int(struct.unpack_from("!I", answer, 8)[0])

    def _create(self, kind: int, body: bytes) -> None:
        self._request(self._route, kind, _CREATE | _ACKNOWLEDGE, body)

    def _change(self, kind: int, body: bytes) -> None:
        self._request(self._route, kind, _ACKNOWLEDGE, body)

    def _request(self, end: socket.socket, kind: int, flags: int, body: bytes) -> bytes:
        """Sends one message and returns the body of the answer; an error answer becomes an OSError."""
        self._sequence += 1
        end.sendto(struct.pack("=IHHII", 16 + len(body), kind, flags | _REQUEST, self._sequence, 0) + body, (0, 0))
        answer = end.recv(1 << 16)
        _size, answer_kind, _flags, _sequence, _port = struct.unpack_from("=IHHII", answer)
        if answer_kind == _ERROR:
            number = -struct.unpack_from("=i", answer, 16)[0]
            if number:
                raise OSError(number, f"rtnetlink request {kind}: {os.strerror(number)}")
        return answer[16:]
