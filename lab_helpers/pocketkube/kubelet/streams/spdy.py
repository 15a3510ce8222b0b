"""SPDY/3.1 frames: what port-forward carries its connections in, and exec and attach of older clients their streams.

A codec without input and output of its own: bytes in, frames out, and the other way round. What streams mean is
left to `port_forward.py` and `channels.py`. Push, priorities and flow control, which Kubernetes' clients don't use, are
left out.
Models the SPDY protocol, draft 3.1, and the subset of it that github.com/moby/spdystream speaks.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

LARGEST_DATA = 32 * 1024

_CONTROL = 0x80000000 | 3 << 16
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY, _HEADERS = 1, 2, 3, 6, 7, 8
_FIN = 1
_STREAM_ID = 0x7FFFFFFF
_LARGEST_FRAME = 1 << 24
_HEAD = 8
_REFUSED_STREAM = 3

_DICTIONARY_WORDS = (
    *("options", "head", "post", "put", "delete", "trace", "accept", "accept-charset", "accept-encoding"),
    *("accept-language", "accept-ranges", "age", "allow", "authorization", "cache-control", "connection"),
    *("content-base", "content-encoding", "content-language", "content-length", "content-location", "content-md5"),
    *("content-range", "content-type", "date", "etag", "expect", "expires", "from", "host", "if-match"),
    *("if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified", "location"),
    *("max-forwards", "pragma", "proxy-authenticate", "proxy-authorization", "range", "referer", "retry-after"),
    *("server", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via", "warning"),
    *("www-authenticate", "method", "get", "status", "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie"),
    *("keep-alive", "origin"),
)
_DICTIONARY_REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(_pack for word in _DICTIONARY_WORDS for _pack in (struct.pack(">I", len(word)), word.encode()))
DICTIONARY += _DICTIONARY_REST.encode()


class ProtocolError(Exception):
    """The other side does not speak SPDY/3.1."""


@dataclass(frozen=True)
class StreamOpened:
    """A new stream with its headers."""

    stream_id: int
    headers: dict[str, str]
    last: bool


@dataclass(frozen=True)
class StreamData:
    """Bytes on a stream; `last` if there will be no more."""

    stream_id: int
    data: bytes
    last: bool


@dataclass(frozen=True)
class StreamReset:
    """The other side has given a stream up."""

    stream_id: int


@dataclass(frozen=True)
class Pinged:
    """The other side wants this number back."""

    number: int


@dataclass(frozen=True)
class Goodbye:
    """The other side is leaving."""


Frame = StreamOpened | StreamData | StreamReset | Pinged | Goodbye


class SpdyCodec:
    """One connection's framing. Header compression has a memory, so every frame must pass through, in order."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflater = zlib.decompressobj(zdict=DICTIONARY)
        self._deflater = zlib.compressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with these bytes. Raises ProtocolError."""
        self._buffer += data
        while len(self._buffer) >= _HEAD:
            head, length = struct.unpack_from(">II", self._buffer)
            flags, length = length >> 24, length & (_LARGEST_FRAME - 1)
            if len(self._buffer) < _HEAD + length:
                return
            body = bytes(self._buffer[_HEAD : _HEAD + length])
            del self._buffer[: _HEAD + length]
            if not head & 0x80000000:
                yield StreamData(head, body, bool(flags & _FIN))
                continue
            try:
                frame = self._control_frame(head, flags, body)
            except (struct.error, zlib.error, UnicodeDecodeError) as error:
                raise ProtocolError(f"malformed SPDY frame: {error}") from error
            if frame is not None:
                yield frame

    def accept(self, stream_id: int) -> bytes:
        """Answers a new stream, without headers."""
        block = self._deflater.compress(struct.pack(">I", 0)) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
        return _control(_SYN_REPLY, struct.pack(">I", stream_id) + block)

    def _control_frame(self, head: int, flags: int, body: bytes) -> Frame | None:
        if head & 0x7FFF0000 != 3 << 16:
            raise ProtocolError("not SPDY/3.1")
        kind = head & 0xFFFF
        if kind == _SYN_STREAM:
            stream_id = struct.unpack_from(">I", body)[0] & _STREAM_ID
            return StreamOpened(stream_id, self._headers(body[10:]), bool(flags & _FIN))
        if kind in (_SYN_REPLY, _HEADERS):
            self._headers(body[4:])
            return None
        if kind == _RST_STREAM:
            return StreamReset(struct.unpack_from(">I", body)[0] & _STREAM_ID)
        if kind == _PING:
            return Pinged(struct.unpack_from(">I", body)[0])
        return Goodbye() if kind == _GOAWAY else None

    def _headers(self, block: bytes) -> dict[str, str]:
        plain = self._inflater.decompress(block)
        offset = 4
        texts: list[str] = []
        for _ in range(2 * struct.unpack_from(">I", plain)[0]):
            length = struct.unpack_from(">I", plain, offset)[0]
            texts.append(plain[offset + 4 : offset + 4 + length].decode())
            offset += 4 + length
        return dict(zip(texts[::2], texts[1::2], strict=True))


def data_frame(stream_id: int, data: bytes, *, last: bool = False) -> bytes:
    """Bytes on a stream."""
    return struct.pack(">II", stream_id, (_FIN if last else 0) << 24 | len(data)) + data


def ping_frame(number: int) -> bytes:
    """The answer to a ping."""
    return _control(_PING, struct.pack(">I", number))


def refuse_frame(stream_id: int) -> bytes:
    """Gives a stream up."""
    return _control(_RST_STREAM, struct.pack(">II", stream_id, _REFUSED_STREAM))


def _control(kind: int, body: bytes) -> bytes:
    return struct.pack(">II", _CONTROL | kind, len(body)) + body
