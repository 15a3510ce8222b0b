"""The `proxy` subresources: carries HTTP requests of any kind to a Pod, and its answers back.

Pods are in the node process' network, so that connections are made by the kubelet's server, which upgrades a request
of ours to the plain connection. Links that lead back to the Pod are changed to lead through the API server again.
Which Pod is meant is left to `proxy_target.py`.
Models apimachinery pkg/util/proxy, upgradeaware.go and transport.go (v1.36).
"""

from __future__ import annotations

import asyncio
import posixpath
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from aiohttp import web
from multidict import CIMultiDict

from ..pki import unverified_context
from ..upgrade import CHUNK, Connection, Upgraded, splice
from .proxy_target import ProxyTarget, unreachable

_LONGEST_HEAD = 64 * 1024
_LARGEST_PAGE = 4 * 1024 * 1024
_PATH = re.compile(r"/+api/+v1/+(?:namespaces/+[^/]+/+)?[^/]+/+[^/]+/+proxy(?P<rest>/.*)?")
_OURS = frozenset(
    {
        *("authorization", "connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer"),
        *(
            "transfer-encoding",
            "upgrade",
            "x-forwarded-for",
            "x-forwarded-uri",
            "impersonate-user",
            "impersonate-group",
        ),
    }
)
"""Headers that concern one connection, or the API server alone."""
_LINK = re.compile(
    r"""(?P<start><[a-z][^>]*?\s(?:action|cite|data|formaction|href|longdesc|poster|src|usemap)\s*=\s*["']?)"""
    r"""(?P<url>[^"'\s>]+)""",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Head:
    """Status line and headers of an answer."""

    raw: bytes
    status: int
    reason: str
    headers: CIMultiDict[str]

    @classmethod
    async def read(cls, reader: asyncio.StreamReader) -> _Head:
        raw = await reader.readuntil(b"\r\n\r\n")
        status_line, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        _, status, reason = [*status_line.split(" ", 2), "", ""][:3]
        headers = CIMultiDict(
            (name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)
        )
        if not status.isdigit():
            raise unreachable(f"malformed HTTP response {status_line!r}")
        return cls(raw, int(status), reason, headers)


async def serve_proxy(request: web.BaseRequest, target: ProxyTarget, kubelet: Path) -> web.StreamResponse:
    """Answers with what the target answers. StatusError 503 if there is no answer."""
    url = urlsplit(request.raw_path)
    found = _PATH.fullmatch(url.path)
    path = (found["rest"] if found else "") or ""
    if not path and request.method in ("GET", "HEAD"):
        again = f"{url.path}/" + (f"?{url.query}" if url.query else "")
        return web.Response(status=301, headers={"Location": again})
    prefix = url.path.removesuffix(path) if path else url.path
    reader, writer = await _connect(target, kubelet)
    try:
        writer.write(
            _request_head(request, urlunsplit(("", "", f"{target.folder}{path or '/'}", url.query, "")), prefix, path)
        )
        sending = asyncio.create_task(_send_body(request, writer))
        try:
            head = await _Head.read(reader)
            while 100 <= head.status < 200 and head.status != 101:
                head = await _Head.read(reader)
            if head.status == 101:
                await splice(Connection(request, head.raw), reader, writer)
                return Upgraded()
            return await _relay(request, head, reader, _Links(prefix, target, request.headers.get("Host", "")))
        finally:
            sending.cancel()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise unreachable("EOF") from error
    finally:
        writer.close()


async def _connect(target: ProxyTarget, kubelet: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        reader, writer = await asyncio.open_unix_connection(str(kubelet), limit=_LONGEST_HEAD)
    except OSError as error:
        raise unreachable(f"the node is away: {error}") from error
    if not target.dial:
        return reader, writer
    try:
        writer.write(
            f"GET {target.dial} HTTP/1.1\r\nHost: kubelet\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()
        )
        head = await _Head.read(reader)
        if head.status != 101:
            why = await reader.readexactly(int(head.headers.get("Content-Length", "0")))
            raise unreachable(f"dial tcp {target.address}: {why.decode()}")
        if target.secure:
            await writer.start_tls(unverified_context())
    except ssl.SSLError as error:
        writer.close()
        plain = error.reason == "WRONG_VERSION_NUMBER"
        raise unreachable("http: server gave HTTP response to HTTPS client" if plain else str(error)) from error
    except (asyncio.IncompleteReadError, OSError) as error:
        writer.close()
        raise unreachable(str(error)) from error
    except BaseException:
        writer.close()
        raise
    return reader, writer


# --- the way there ---


def _request_head(request: web.BaseRequest, target: str, prefix: str, path: str) -> bytes:
    lines = [f"{request.method} {target} HTTP/1.1"]
    for name, value in request.headers.items():
        if name.lower() not in _OURS:
            lines.append(f"{name}: {value}")
    forwarded = posixpath.join(prefix, path.lstrip("/"))
    lines += [f"X-Forwarded-For: {request.remote or '127.0.0.1'}", f"X-Forwarded-Uri: {forwarded}"]
    if upgrade := request.headers.get("Upgrade"):
        lines += ["Connection: Upgrade", f"Upgrade: {upgrade}"]
    else:
        lines.append("Connection: close")
    if _is_chunked(request):
        lines.append("Transfer-Encoding: chunked")
    elif request.body_exists or request.method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {request.content_length or 0}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


def _is_chunked(request: web.BaseRequest) -> bool:
    return request.body_exists and request.content_length is None


async def _send_body(request: web.BaseRequest, writer: asyncio.StreamWriter) -> None:
    if not request.body_exists or request.headers.get("Upgrade"):
        return
    chunked = _is_chunked(request)
    async for data in request.content.iter_any():
        writer.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
        await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")


# --- the way back ---


@dataclass(frozen=True)
class _Links:
    """How links in an answer are made to lead through the proxy again."""

    prefix: str
    target: ProxyTarget
    host: str

    def rewrite(self, link: str) -> str:
        """A link to a path of the target gets the proxy's path before it; any other is left alone."""
        url = urlsplit(link)
        if url.netloc not in ("", self.host, self.target.address) or not url.path.startswith("/"):
            return link
        here = ("", "") if url.netloc != self.host else (url.scheme, url.netloc)
        path = url.path if url.path.startswith(self.prefix) else f"{self.prefix}{url.path}"
        return urlunsplit((*here, path, url.query, url.fragment))

    def rewrite_page(self, page: str) -> str:
        """All links of an HTML page."""
        return _LINK.sub(lambda found: found["start"] + self.rewrite(found["url"]), page)


async def _relay(
    request: web.BaseRequest, head: _Head, reader: asyncio.StreamReader, links: _Links
) -> web.StreamResponse:
    headers = CIMultiDict((name, value) for name, value in head.headers.items() if name.lower() not in _OURS)
    if "Location" in headers:
        headers["Location"] = links.rewrite(headers["Location"])
    length = head.headers.get("Content-Length")
    bodiless = request.method == "HEAD" or head.status in (204, 304)
    body = _nothing() if bodiless else _body(head.headers, reader)
    if _is_page(headers) and not bodiless and int(length or 0) <= _LARGEST_PAGE:
        page = b"".join([chunk async for chunk in body])
        text = links.rewrite_page(page.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        return web.Response(status=head.status, reason=head.reason, headers=headers, body=text)
    response = web.StreamResponse(status=head.status, reason=head.reason, headers=headers)
    if length is not None and "Transfer-Encoding" not in head.headers:
        response.content_length = int(length)
    elif not bodiless:
        response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        async for chunk in body:
            await response.write(chunk)
    except (asyncio.IncompleteReadError, ValueError):
        # The target has broken off, which the client must see too: without the end, the answer is not whole.
        if request.transport is not None:
            request.transport.abort()
    return response


def _is_page(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Type", "").startswith("text/html") and "Content-Encoding" not in headers


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


async def _body(headers: Mapping[str, str], reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    if headers.get("Transfer-Encoding", "").lower() == "chunked":
        while size := int((await reader.readline()).partition(b";")[0], 16):
            async for part in _exactly(reader, size):
                yield part
            await reader.readexactly(2)
        return
    length = headers.get("Content-Length")
    if length is not None:
        async for part in _exactly(reader, int(length)):
            yield part
        return
    while part := await reader.read(CHUNK):
        yield part


async def _exactly(reader: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    while size:
        part = await reader.read(min(size, CHUNK))
        if not part:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(part)
        yield part
