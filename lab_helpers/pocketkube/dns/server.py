"""The sockets of the DNS server: queries over UDP and TCP, and small pages over HTTP for probes and metrics.

What is answered is left to the function that `DnsServer` is given.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from typing import cast

from dnslib import QTYPE, RCODE, DNSError, DNSHeader, DNSRecord

from .answer import fit

log = logging.getLogger(__name__)

_IDLE_SECONDS = 10.0
_LENGTH = struct.Struct("!H")

Answer = Callable[[DNSRecord], DNSRecord]
Page = Callable[[], tuple[int, str]]


class DnsServer:
    """Answers on one address and port over UDP and TCP, and counts what it answered."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._closers: list[Callable[[], None]] = []
        self.requests: Counter[tuple[str, str]] = Counter()
        """Queries by (protocol, type)."""
        self.responses: Counter[str] = Counter()
        """Answers by response code."""

    async def start(self, host: str, port: int) -> int:
        """Opens both sockets; with port 0 on the same free one, which is returned."""
        loop = asyncio.get_running_loop()
        tcp = await asyncio.start_server(self._serve_tcp, host, port)
        port = tcp.sockets[0].getsockname()[1]
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=(host, port))
        self._closers += [tcp.close, transport.close]
        return port

    def close(self) -> None:
        """Closes both sockets."""
        for close in self._closers:
            close()
        self._closers.clear()

    def respond(self, wire: bytes, protocol: str) -> bytes | None:
        """The answer to the bytes of a query, or None if they are not even the beginning of one."""
        try:
            query = DNSRecord.parse(wire)
        except DNSError:
            return self._format_error(wire, protocol)
        if query.header.qr:
            # Answering an answer could go on forever between two servers.
            return None
        reply = self._answer(query)
        self._count(protocol, QTYPE[query.q.qtype] if query.questions else "other", RCODE[reply.header.rcode])
        return fit(reply, query) if protocol == "udp" else bytes(reply.pack())

    def _format_error(self, wire: bytes, protocol: str) -> bytes | None:
        if len(wire) < 12 or wire[2] & 0x80:
            return None
        self._count(protocol, "other", "FORMERR")
        (identifier,) = _LENGTH.unpack_from(wire)
        return bytes(DNSRecord(DNSHeader(id=identifier, qr=1, rcode=RCODE.FORMERR)).pack())

    def _count(self, protocol: str, kind: str, code: str) -> None:
        self.requests[protocol, kind] += 1
        self.responses[code] += 1

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(_IDLE_SECONDS):
                    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                    wire = await reader.readexactly(length)
                reply = self.respond(wire, "tcp")
                if reply is None:
                    return
                writer.write(_LENGTH.pack(len(reply)) + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            return
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not every loop's transport is an instance of the class that asyncio documents for it.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._server.respond(data, "udp")
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)


async def serve_pages(host: str, port: int, pages: Mapping[str, Page]) -> asyncio.Server:
    """Serves a few pages of plain text over HTTP/1.1: path -> (status, text)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_IDLE_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            words = head.split(b" ", 2)
            path = words[1].decode("latin-1").partition("?")[0] if len(words) == 3 else ""
            status, text = pages[path]() if path in pages else (404, "404 page not found\n")
            body = text.encode()
            lines = (
                f"HTTP/1.1 {status} {'OK' if status == 200 else 'Not available'}",
                "Content-Type: text/plain; charset=utf-8",
                f"Content-Length: {len(body)}",
                "Connection: close",
            )
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ConnectionError):
            return
        finally:
            writer.close()

    return await asyncio.start_server(serve, host, port)
