"""Asking a gRPC server whether it is well: one call of `grpc.health.v1.Health/Check`, and as much HTTP/2 as it takes.

One request on one connection, in the clear. What the answer means for a container is left to `handlers.py`.
Models pkg/probe/grpc and, of RFC 9113 and RFC 7541, what a client of one request meets.
"""

from __future__ import annotations

import asyncio
import struct
import urllib.parse
from dataclasses import dataclass, field
from functools import cache

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _CONTINUATION = 0, 1, 3, 4, 6, 7, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 1, 1, 4, 8, 32
_STREAM = 1
_LARGEST_FRAME = 1 << 20

STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
CODES = (
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
    "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
    "Internal", "Unavailable", "DataLoss", "Unauthenticated",
)  # fmt: skip


@dataclass(frozen=True)
class HealthAnswer:
    """How a call ended: the code of gRPC, its message, and the health if the code is OK."""

    code: str
    message: str = ""
    status: str = ""


@dataclass
class _Response:
    body: bytearray = field(default_factory=bytearray)
    headers: dict[str, str] = field(default_factory=dict)


async def check_health(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str, service: str, user_agent: str
) -> HealthAnswer:
    """Asks on a new connection. Raises ConnectionError if what answers is no gRPC server."""
    writer.write(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": authority,
        "content-type": "application/grpc",
        "user-agent": user_agent,
        "te": "trailers",
    }
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in headers.items())
    message = b"\x0a" + _varint(len(service.encode())) + service.encode() if service else b""
    writer.write(_frame(_HEADERS, _END_HEADERS, _STREAM, block))
    writer.write(_frame(_DATA, _END_STREAM, _STREAM, struct.pack("!BI", 0, len(message)) + message))
    await writer.drain()
    try:
        response = await _read_response(reader, writer)
    except (asyncio.IncompleteReadError, IndexError, ValueError) as error:
        raise ConnectionError("the server speaks no gRPC") from error
    return _answer(response)


async def _read_response(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Response:
    """Everything up to the end of the stream."""
    response, block, ended = _Response(), b"", False
    while True:
        kind, flags, stream, payload = await _read_frame(reader)
        if kind == _SETTINGS and not flags & _ACK:
            writer.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            writer.write(_frame(_PING, _ACK, 0, payload))
        elif kind in (_RST_STREAM, _GOAWAY) and (kind == _GOAWAY or stream == _STREAM):
            raise ConnectionError("the server ended the call")
        if stream != _STREAM or kind not in (_DATA, _HEADERS, _CONTINUATION):
            continue
        ended = ended or (kind != _CONTINUATION and bool(flags & _END_STREAM))
        if kind == _DATA:
            response.body += _unpadded(payload, flags)
        else:
            block += payload if kind == _CONTINUATION else _unpadded(payload, flags)
            if flags & _END_HEADERS:
                response.headers |= decode_headers(block)
                block = b""
        if ended and not block:
            return response


async def _read_frame(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    head = await reader.readexactly(9)
    length = int.from_bytes(head[:3])
    if length > _LARGEST_FRAME:
        raise ValueError("no frame of HTTP/2")
    return head[3], head[4], int.from_bytes(head[5:]) & 0x7FFFFFFF, await reader.readexactly(length)


def _answer(response: _Response) -> HealthAnswer:
    code = int(response.headers.get("grpc-status", "2"))
    if code:
        name = CODES[code] if code < len(CODES) else f"Code({code})"
        return HealthAnswer(name, urllib.parse.unquote(response.headers.get("grpc-message", "")))
    message = bytes(response.body[5:])
    number = message[1] if message[:1] == b"\x08" else 0
    return HealthAnswer("OK", status=STATUSES[number] if number < len(STATUSES) else str(number))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def _unpadded(payload: bytes, flags: int) -> bytes:
    start = (1 if flags & _PADDED else 0) + (5 if flags & _PRIORITY else 0)
    return payload[start : len(payload) - (payload[0] if flags & _PADDED else 0)]


def _text(text: str) -> bytes:
    raw = text.encode()
    return _integer(len(raw), 7) + raw


def _varint(number: int) -> bytes:
    """As protobuf writes a length."""
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


# HPACK. Headers of the tables, static or dynamic, are passed over: those of gRPC that matter are none of them.


def decode_headers(block: bytes) -> dict[str, str]:
    """The headers of a block that are written out with their names."""
    found, at = {}, 0
    while at < len(block):
        first = block[at]
        if first & 0x80:  # indexed
            _, at = _read_integer(block, at, 7)
            continue
        if first & 0xE0 == 0x20:  # size of the dynamic table
            _, at = _read_integer(block, at, 5)
            continue
        index, at = _read_integer(block, at, 6 if first & 0xC0 == 0x40 else 4)
        name = ""
        if not index:
            name, at = _read_text(block, at)
        value, at = _read_text(block, at)
        if name:
            found[name] = value
    return found


def _integer(number: int, bits: int) -> bytes:
    most = (1 << bits) - 1
    return bytes([number]) if number < most else bytes([most]) + _varint(number - most)


def _read_integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    most = (1 << bits) - 1
    number = block[at] & most
    at += 1
    if number < most:
        return number, at
    shift = 0
    while True:
        part = block[at]
        number += (part & 127) << shift
        at, shift = at + 1, shift + 7
        if not part & 128:
            return number, at


def _read_text(block: bytes, at: int) -> tuple[str, int]:
    packed = bool(block[at] & 0x80)
    length, at = _read_integer(block, at, 7)
    raw = block[at : at + length]
    return (_unpacked(raw) if packed else raw).decode(errors="replace"), at + length


_CODE_LENGTHS = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c060a0a0c0d06080b0a0a080b08060606"
    "0505050606060606060607080f060c0a0d06070707070707070707070707070707070707070707070807080d130d0e06"
    "0f05060506050606060507070606060506070605050607070707070f0b0e0d1c14161414161616171617171717171817"
    "181816171817171717151617161717181615141616171715171616181516171715151615171617171416161617161617"
    "1a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b14181415161515171616191918181a17"
    "1a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a"
)
"""Bits of each byte's code in RFC 7541's Huffman code (appendix B); the codes follow from their lengths."""


@cache
def _codes() -> dict[tuple[int, int], int]:
    """(length, code) -> byte."""
    codes: dict[tuple[int, int], int] = {}
    code = before = 0
    for byte in sorted(range(256), key=lambda byte: (_CODE_LENGTHS[byte], byte)):
        code <<= _CODE_LENGTHS[byte] - before
        before = _CODE_LENGTHS[byte]
        codes[before, code] = byte
        code += 1
    return codes


def _unpacked(raw: bytes) -> bytes:
    """Huffman code back to bytes; what is left at the end is padding."""
    codes, out = _codes(), bytearray()
    code = length = 0
    for byte in raw:
        for shift in range(7, -1, -1):
            code, length = code << 1 | byte >> shift & 1, length + 1
            if (length, code) in codes:
                out.append(codes[length, code])
                code = length = 0
    return bytes(out)
