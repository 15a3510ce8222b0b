"""Asking name servers as a Pod's resolver does: `/etc/resolv.conf`, search domains, ndots, retries over TCP.

For the programs that stand in for the machine's DNS tools; printing is theirs. Models resolv.conf(5) as glibc reads it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dnslib import QTYPE, RCODE, DNSError, DNSRecord

_PORT = 53
_LARGEST = 65535


class NoAnswer(Exception):
    """No name server answered. The text says which was asked and what happened."""


@dataclass(frozen=True)
class Resolver:
    """Whom to ask, and how names are completed."""

    servers: tuple[str, ...] = ("127.0.0.1",)
    search: tuple[str, ...] = ()
    ndots: int = 1
    timeout: float = 5.0
    attempts: int = 2
    tcp: bool = False
    port: int = _PORT

    @classmethod
    def of_this_container(cls, path: Path = Path("/etc/resolv.conf")) -> Resolver:
        """What resolv.conf says; the defaults for what it leaves out, or where there is none."""
        resolver = cls()
        try:
            lines = path.read_text().splitlines()
        except OSError:
            return resolver
        servers: list[str] = []
        for line in lines:
            keyword, *words = line.split() or [""]
            if keyword == "nameserver" and words:
                servers.append(words[0])
            elif keyword in ("search", "domain"):
                resolver = replace(resolver, search=tuple(words))
            elif keyword == "options":
                resolver = resolver._with_options(words)
        return replace(resolver, servers=tuple(servers) or resolver.servers)

    def _with_options(self, words: list[str]) -> Resolver:
        numbers = {name: int(value) for name, _, value in (word.partition(":") for word in words) if value.isdigit()}
        return replace(
            self,
            ndots=numbers.get("ndots", self.ndots),
            timeout=float(numbers.get("timeout", self.timeout)),
            attempts=numbers.get("attempts", self.attempts),
        )

    def candidates(self, name: str) -> Iterator[str]:
        """The full names that a name may stand for, in the order in which they are tried."""
        if name.endswith("."):
            yield name
            return
        completed = [f"{name}.{domain.rstrip('.')}." for domain in self.search]
        yield from [f"{name}.", *completed] if name.count(".") >= self.ndots else [*completed, f"{name}."]

    def ask(self, name: str, kind: str) -> DNSRecord:
        """One question about a full name. Raises NoAnswer."""
        failures: list[str] = []
        for _ in range(self.attempts):
            for server in self.servers:
                try:
                    return self._exchange(DNSRecord.question(name, kind), server)
                except (OSError, DNSError) as error:
                    said = "timed out" if isinstance(error, TimeoutError) else str(error)
                    failures.append(f"communications error to {server}#{self.port}: {said}")
        raise NoAnswer("\n".join(failures) or "no servers could be reached")

    def search_for(self, name: str, kind: str) -> DNSRecord:
        """The answer for the first candidate that exists, else the last one's. Raises NoAnswer."""
        reply = DNSRecord()
        for candidate in self.candidates(name):
            reply = self.ask(candidate, kind)
            if reply.header.rcode == RCODE.NOERROR and reply.rr:
                return reply
        return reply

    def _exchange(self, question: DNSRecord, server: str) -> DNSRecord:
        reply = DNSRecord.parse(self._by_tcp(question, server) if self.tcp else self._by_udp(question, server))
        return DNSRecord.parse(self._by_tcp(question, server)) if reply.header.tc and not self.tcp else reply

    def _by_udp(self, question: DNSRecord, server: str) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            asked.settimeout(self.timeout)
            asked.connect((server, self.port))
            asked.send(question.pack())
            while True:
                data = asked.recv(_LARGEST)
                if data[:2] == question.header.id.to_bytes(2, "big"):
                    return data

    def _by_tcp(self, question: DNSRecord, server: str) -> bytes:
        with socket.create_connection((server, self.port), self.timeout) as asked:
            packed = question.pack()
            asked.sendall(len(packed).to_bytes(2, "big") + packed)
            with asked.makefile("rb") as stream:
                return stream.read(int.from_bytes(stream.read(2), "big"))


def is_known_type(text: str) -> bool:
    """True for a record type such as `SRV`."""
    return text.upper() in QTYPE.reverse


def reverse_name(ip: str) -> str:
    """`4.3.2.1.in-addr.arpa.` for `1.2.3.4`. ValueError if that is no IPv4 address."""
    try:
        packed = socket.inet_aton(ip)
    except OSError:
        raise ValueError(ip) from None
    return ".".join(str(byte) for byte in reversed(packed)) + ".in-addr.arpa."
