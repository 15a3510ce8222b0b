"""`ping` for Pods on a machine that has none: `ping [-c COUNT] [-i SECONDS] [-W SECONDS] [-w SECONDS] [-q] HOST`.

The output has the form of Linux' ping. Needs the right to open a raw or an ICMP socket, as every ping does.
"""

from __future__ import annotations

import argparse
import itertools
import os
import socket
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

_ECHO, _REPLY, _UNREACHABLE = 8, 0, 3
_PAYLOAD = bytes(range(56))
_IP_HEADER = 20
_WHY = {0: "Destination Net Unreachable", 1: "Destination Host Unreachable", 3: "Destination Port Unreachable"}


@dataclass
class _Tally:
    """What was sent, and how long each answer took, in milliseconds."""

    sent: int = 0
    times: list[float] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    """0 if anything answered, 1 if nothing did, 2 if there was no one to ask."""
    parser = argparse.ArgumentParser(prog="ping")
    parser.add_argument("-c", dest="count", type=int, help="packets to send; without it, until Ctrl-C")
    parser.add_argument("-i", dest="interval", type=float, default=1.0, help="seconds between them")
    parser.add_argument("-W", dest="timeout", type=float, default=1.0, help="seconds to wait for an answer")
    parser.add_argument("-w", dest="deadline", type=float, help="seconds after which to stop")
    parser.add_argument("-q", dest="quiet", action="store_true", help="print the summary alone")
    parser.add_argument("host")
    options = parser.parse_args(argv)
    try:
        address = socket.gethostbyname(options.host)
    except OSError:
        return _refuse(f"ping: {options.host}: Name or service not known")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.getprotobyname("icmp")) as asking:
            return _ping(asking, address, options)
    except PermissionError:
        return _refuse("ping: this container may not open a raw socket")
    except OSError as error:
        return _refuse(f"ping: {error.strerror or error}")


def _ping(asking: socket.socket, address: str, options: argparse.Namespace) -> int:
    print(f"PING {options.host} ({address}) {len(_PAYLOAD)}({len(_PAYLOAD) + 28}) bytes of data.", flush=True)
    tally, started = _Tally(), time.monotonic()
    try:
        for number in itertools.count(1):
            asking.settimeout(options.timeout)
            _ask(asking, address, number, tally, options.quiet)
            is_late = options.deadline is not None and time.monotonic() - started >= options.deadline
            if number == options.count or is_late:
                break
            time.sleep(options.interval)
    except KeyboardInterrupt:
        pass  # then the summary is wanted
    _summarize(options.host, tally, time.monotonic() - started)
    return 0 if tally.times else 1


def _ask(asking: socket.socket, address: str, number: int, tally: _Tally, quiet: bool) -> None:
    identity = os.getpid() & 0xFFFF
    packet = _packet(identity, number)
    asking.sendto(packet, (address, 0))
    tally.sent += 1
    began = time.monotonic()
    while True:
        try:
            data, sender = asking.recvfrom(2048)
        except TimeoutError:
            return
        ttl, kind, code = data[8], data[_IP_HEADER], data[_IP_HEADER + 1]
        if kind == _UNREACHABLE and packet[:8] in data:
            print(f"From {sender[0]} icmp_seq={number} {_WHY.get(code, 'Destination Unreachable')}", flush=True)
            return
        if kind == _REPLY and struct.unpack("!HH", data[_IP_HEADER + 4 : _IP_HEADER + 8]) == (identity, number):
            took = (time.monotonic() - began) * 1000
            tally.times.append(took)
            if not quiet:
                size = len(data) - _IP_HEADER
                print(f"{size} bytes from {sender[0]}: icmp_seq={number} ttl={ttl} time={took:.3f} ms", flush=True)
            return


def _packet(identity: int, number: int) -> bytes:
    blank = struct.pack("!BBHHH", _ECHO, 0, 0, identity, number) + _PAYLOAD
    return struct.pack("!BBHHH", _ECHO, 0, _checksum(blank), identity, number) + _PAYLOAD


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def _summarize(host: str, tally: _Tally, seconds: float) -> None:
    lost = 100 * (tally.sent - len(tally.times)) / max(tally.sent, 1)
    counts = f"{tally.sent} packets transmitted, {len(tally.times)} received, {lost:g}% packet loss"
    print(f"\n--- {host} ping statistics ---\n{counts}, time {seconds * 1000:.0f}ms")
    if tally.times:
        mean = sum(tally.times) / len(tally.times)
        deviation = sum(abs(took - mean) for took in tally.times) / len(tally.times)
        print(f"rtt min/avg/max/mdev = {min(tally.times):.3f}/{mean:.3f}/{max(tally.times):.3f}/{deviation:.3f} ms")


def _refuse(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
