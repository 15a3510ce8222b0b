"""`nslookup` and `dig` for Pods on a machine that has neither: the options that lessons and tests use.

What is asked, and of whom, is left to `resolver.py`. The output has BIND's form.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from dnslib import CLASS, QTYPE, RCODE, RR, DNSRecord

from .resolver import NoAnswer, Resolver, is_known_type, reverse_name

_UNREACHED, _USAGE = 9, 1


def nslookup(argv: Sequence[str]) -> int:
    """`nslookup [-type=TYPE] NAME [SERVER]`; 1 if the name has no such record or nobody answered."""
    words = [word for word in argv[1:] if not word.startswith("-")]
    if not words:
        print("usage: nslookup [-type=TYPE] NAME [SERVER]", file=sys.stderr)
        return _USAGE
    kind = next((word.partition("=")[2].upper() for word in argv[1:] if word.startswith(("-type=", "-q"))), "A")
    resolver = Resolver.of_this_container()
    if len(words) > 1:
        resolver = replace(resolver, servers=(_address_of(words[1]),))
    name = words[0]
    if _is_address(name):
        name, kind = reverse_name(name), "PTR"
    try:
        reply = resolver.search_for(name, kind)
    except NoAnswer as error:
        print("\n".join(f";; {line}" for line in str(error).splitlines()))
        print(";; no servers could be reached\n")
        return 1
    print(f"Server:\t\t{resolver.servers[0]}\nAddress:\t{resolver.servers[0]}#{resolver.port}\n")
    return _print_found(words[0], kind, reply)


def _print_found(asked: str, kind: str, reply: DNSRecord) -> int:
    if reply.header.rcode != RCODE.NOERROR:
        print(f"** server can't find {asked}: {RCODE.get(reply.header.rcode)}\n")
        return 1
    if not reply.rr:
        print(f"*** Can't find {asked}: No answer\n")
        return 1 if kind == "A" else 0
    for record in reply.rr:
        print(_described(record))
    print()
    return 0


def _described(record: RR) -> str:
    name, data, kind = str(record.rname).rstrip("."), str(record.rdata), QTYPE.get(record.rtype)
    if kind in ("A", "AAAA"):
        return f"Name:\t{name}\nAddress: {data}"
    if kind == "CNAME":
        return f"{name}\tcanonical name = {data}"
    if kind == "PTR":
        return f"{record.rname}\tname = {data}".replace(f"{name}.\t", f"{name}\t")
    return f"{name}\t{'service' if kind == 'SRV' else kind} = {data}"


def dig(argv: Sequence[str]) -> int:
    """`dig [@SERVER] NAME [TYPE] [-x IP] [+short] [+search] [+tcp] [+noall +answer]`; 9 if nobody answered."""
    question = _Question(argv[1:])
    resolver = Resolver.of_this_container()
    resolver = replace(
        resolver,
        servers=(_address_of(question.server),) if question.server else resolver.servers,
        port=question.port,
        tcp="tcp" in question.flags,
        timeout=question.timeout or resolver.timeout,
        attempts=question.attempts or resolver.attempts,
    )
    name = question.name
    started = time.monotonic()
    try:
        found = resolver.search_for(name, question.kind) if "search" in question.flags else resolver.ask(
            name if name.endswith(".") else f"{name}.", question.kind)  # fmt: skip
    except NoAnswer as error:
        print("\n".join(f";; {line}" for line in str(error).splitlines()))
        print(";; no servers could be reached")
        return _UNREACHED
    if "short" in question.flags:
        print("".join(f"{record.rdata}\n" for record in found.rr), end="")
    elif "noall" in question.flags:
        print("".join(f"{_row(record)}\n" for record in found.rr) if "answer" in question.flags else "", end="")
    else:
        _print_message(question, found, resolver, time.monotonic() - started)
    return 0


class _Question:
    """dig's command line taken apart."""

    def __init__(self, words: Sequence[str]) -> None:
        self.server, self.name, self.kind, self.port = "", ".", "A", 53
        self.flags: set[str] = set()
        self.timeout, self.attempts = 0.0, 0
        rest = list(words)
        while rest:
            self._take(rest.pop(0), rest)

    def _take(self, word: str, rest: list[str]) -> None:
        if word.startswith("@"):
            self.server = word[1:]
        elif word.startswith("+"):
            self._flag(word[1:])
        elif word == "-x" and rest:
            self.name, self.kind = reverse_name(rest.pop(0)), "PTR"
        elif word == "-p" and rest:
            self.port = int(rest.pop(0))
        elif word in ("-t", "-q") and rest:
            self._plain(rest.pop(0))
        elif not word.startswith("-"):
            self._plain(word)

    def _plain(self, word: str) -> None:
        if is_known_type(word):
            self.kind = word.upper()
        elif word.upper() != "IN":
            self.name = word

    def _flag(self, flag: str) -> None:
        name, _, value = flag.partition("=")
        if name in ("time", "timeout") and value.isdigit():
            self.timeout = float(value)
        elif name in ("tries", "retry") and value.isdigit():
            self.attempts = int(value)
        elif name.startswith("no") and name != "noall":
            self.flags.discard(name[2:])
        else:
            self.flags.add({"vc": "tcp"}.get(name, name))


def _print_message(question: _Question, reply: DNSRecord, resolver: Resolver, seconds: float) -> None:
    asked = reply.q
    print(f"\n; <<>> ServiceLab dig <<>> {question.name} {question.kind}\n;; Got answer:")
    sections = (("ANSWER", reply.rr), ("AUTHORITY", reply.auth), ("ADDITIONAL", reply.ar))
    counts = ", ".join(f"{name}: {len(records)}" for name, records in sections)
    flags = " ".join(flag for flag in ("qr", "aa", "tc", "rd", "ra") if getattr(reply.header, flag))
    status = f"status: {RCODE.get(reply.header.rcode)}, id: {reply.header.id}"
    print(f";; ->>HEADER<<- opcode: QUERY, {status}\n;; flags: {flags}; QUERY: 1, {counts}\n")
    print(f";; QUESTION SECTION:\n;{asked.qname}\t\t{CLASS.get(asked.qclass)}\t{QTYPE.get(asked.qtype)}\n")
    for name, records in sections:
        shown = [_row(record) for record in records if QTYPE.get(record.rtype) != "OPT"]
        if shown:
            print(f";; {name} SECTION:\n" + "\n".join(shown) + "\n")
    protocol = "TCP" if resolver.tcp else "UDP"
    print(f";; Query time: {seconds * 1000:.0f} msec")
    print(f";; SERVER: {resolver.servers[0]}#{resolver.port}({resolver.servers[0]}) ({protocol})")
    print(f";; MSG SIZE  rcvd: {len(reply.pack())}\n")


def _row(record: RR) -> str:
    kind = QTYPE.get(record.rtype)
    return f"{record.rname}\t{record.ttl}\t{CLASS.get(record.rclass)}\t{kind}\t{record.rdata}"


def _is_address(text: str) -> bool:
    try:
        return socket.inet_pton(socket.AF_INET, text) != b""
    except OSError:
        return False


def _address_of(server: str) -> str:
    """A name server's address; the name itself if it has none, so that asking it tells why."""
    try:
        return socket.gethostbyname(server)
    except OSError:
        return server


def main() -> int:
    """Runs the tool that the command is named after."""
    return dig(sys.argv[1:]) if sys.argv[1:2] == ["dig"] else nslookup(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
