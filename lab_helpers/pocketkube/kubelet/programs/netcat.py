"""`nc` for Pods on a machine that has none: the options that lessons and tests use.

    nc [-v] [-z] [-u] [-w SECONDS] [-q SECONDS] HOST PORT[-PORT]
    nc -l [-k] [-u] [-v] [-p] PORT [-e PROGRAM ARGUMENTS...]

The sentences are those of OpenBSD's nc.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence

_CHUNK = 65536
_UDP_PROBE_SECONDS = 1.0


def main(argv: Sequence[str] | None = None) -> int:
    """0 if a connection was made, else 1."""
    options = _parser().parse_args(argv)
    words = options.address
    try:
        if options.listen:
            return _listen(options, int(options.port or words[-1]))
        if len(words) != 2:
            _parser().print_usage(sys.stderr)
            return 1
        return max(_connect(options, words[0], port) for port in _ports(words[1]))
    except ValueError:
        return _say(f"nc: port number invalid: {words[-1]}")
    except OSError as error:
        return _say(f"nc: {error.strerror or error}")
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nc", add_help=False)
    for flag, name in (("-l", "listen"), ("-k", "keep"), ("-u", "udp"), ("-v", "verbose"), ("-z", "scan"),
                       ("-n", "numeric"), ("-t", "telnet"), ("-N", "shutdown"), ("-4", "ipv4")):  # fmt: skip
        parser.add_argument(flag, dest=name, action="count")
    parser.add_argument("-w", dest="wait", type=float)
    parser.add_argument("-q", dest="quit", type=float)
    parser.add_argument("-i", dest="interval", type=float)
    parser.add_argument("-p", dest="port")
    parser.add_argument("-s", dest="source", default="")
    parser.add_argument("-e", "-c", dest="program", nargs=argparse.REMAINDER)
    parser.add_argument("address", nargs="*")
    return parser


def _ports(text: str) -> Iterator[int]:
    first, _, last = text.partition("-")
    yield from range(int(first), int(last or first) + 1)


def _connect(options: argparse.Namespace, host: str, port: int) -> int:
    protocol, kind = ("udp", socket.SOCK_DGRAM) if options.udp else ("tcp", socket.SOCK_STREAM)
    try:
        address = socket.getaddrinfo(host, port, socket.AF_INET, kind)[0][4]
    except socket.gaierror as error:
        return _say(f'nc: getaddrinfo for host "{host}" port {port}: {error.strerror}')
    with socket.socket(socket.AF_INET, kind) as peer:
        peer.settimeout(options.wait)
        where = f"{host} ({address[0]}) port {port}" if host != address[0] else f"{host} port {port}"
        try:
            if options.source:
                peer.bind((options.source, 0))
            peer.connect(address)
            if options.udp and options.scan:
                _probe(peer)
        except OSError as error:
            if options.verbose or not options.scan:
                why = "Operation timed out" if isinstance(error, TimeoutError) else error.strerror
                _say(f"nc: connect to {where} ({protocol}) failed: {why}")
            return 1
        if options.verbose:
            service = _service(port, protocol)
            _say(f"Connection to {where.replace(' port', '', 1)} port [{protocol}/{service}] succeeded!")
        if not options.scan:
            _copy(peer, options.wait, options.udp)
    return 0


def _probe(peer: socket.socket) -> None:
    """A port that nobody listens on tells so after the first packet."""
    peer.send(b"")
    peer.settimeout(_UDP_PROBE_SECONDS)
    with contextlib.suppress(TimeoutError):
        peer.recv(1)


def _service(port: int, protocol: str) -> str:
    try:
        return socket.getservbyport(port, protocol)
    except OSError:
        return "*"


def _listen(options: argparse.Namespace, port: int) -> int:
    kind = socket.SOCK_DGRAM if options.udp else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.source, port))
        if not options.udp:
            listener.listen()
        if options.verbose:
            _say(f"Listening on {options.source or '0.0.0.0'} {port}")
        while True:
            _serve(options, listener)
            if not options.keep:
                return 0


def _serve(options: argparse.Namespace, listener: socket.socket) -> None:
    """One client, from its first byte to its last."""
    if options.udp:
        data, sender = listener.recvfrom(_CHUNK)
        peer = listener.dup()
        peer.connect(sender)
        _write(data)
    else:
        peer, sender = listener.accept()
    with peer:
        if options.verbose:
            _say(f"Connection received on {sender[0]} {sender[1]}")
        if options.program:
            subprocess.run(options.program, stdin=peer.fileno(), stdout=peer.fileno(), check=False)
        else:
            _copy(peer, options.wait, options.udp)


def _copy(peer: socket.socket, idle: float | None, datagrams: bool) -> None:
    """Standard input to the peer, the peer to standard output, until the peer ends or nothing came for `idle` s."""
    with selectors.DefaultSelector() as watched:
        watched.register(peer, selectors.EVENT_READ)
        with contextlib.suppress(PermissionError):  # a file is always ready, and epoll refuses it
            watched.register(sys.stdin.buffer, selectors.EVENT_READ)
        if len(watched.get_map()) == 1:
            _send(peer, sys.stdin.buffer.read(), datagrams)
        while ready := watched.select(idle):
            for key, _ in ready:
                if key.fileobj is peer:
                    data = _received(peer)
                    if not data:
                        return
                    _write(data)
                elif data := os.read(sys.stdin.fileno(), _CHUNK):
                    _send(peer, data, datagrams)
                else:
                    watched.unregister(sys.stdin.buffer)
                    _half_close(peer, datagrams)


def _send(peer: socket.socket, data: bytes, datagrams: bool) -> None:
    with contextlib.suppress(OSError):  # what the peer still has to say is read all the same
        peer.sendall(data)
        if not datagrams and not data:
            peer.shutdown(socket.SHUT_WR)


def _half_close(peer: socket.socket, datagrams: bool) -> None:
    if not datagrams:
        with contextlib.suppress(OSError):
            peer.shutdown(socket.SHUT_WR)


def _received(peer: socket.socket) -> bytes:
    try:
        return peer.recv(_CHUNK)
    except OSError:
        return b""


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _say(sentence: str) -> int:
    print(sentence, file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
