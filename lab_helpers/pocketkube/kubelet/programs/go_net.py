"""Servers that look like those of Go's net/http and net, for programs that stand in for ones written in Go.

A thread a listener and one a connection; all of them sleep until something comes. What is answered is left to the
programs.
"""

from __future__ import annotations

import html
import json
import os
import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

BACKLOG = 511
LONGEST_DATAGRAM = 2048
PLAIN = "text/plain; charset=utf-8"

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_HTML = re.compile(rb"\s*<(!doctype html|html|head|body|h1|p|div|br|a)[\s>]", re.IGNORECASE)


class Handler(BaseHTTPRequestHandler):
    """One connection. `routes` belong to the server; the longest path that fits is taken, `/` fits all."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: HttpServer

    def dispatch(self) -> None:
        """Reads the request's body and calls the route."""
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length) if length else b""
        path, query = self.server.override or self.path, ""
        split = urlsplit(path)
        path, query = unquote(split.path), split.query
        form = parse_qs(query, keep_blank_values=True)
        if self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            form = parse_qs(self.body.decode(errors="replace"), keep_blank_values=True) | form
        self.form = {key: values[0] for key, values in form.items()}
        route = self.server.routes.get(path) or self.server.routes["/"]
        try:
            route(self)
        except OSError:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = dispatch

    @property
    def client(self) -> str:
        """`ADDRESS:PORT`."""
        return "{}:{}".format(*self.client_address[:2])

    def answer(self, body: str | bytes, code: int = 200, **headers: str) -> None:
        """Sends a whole answer."""
        raw = body.encode() if isinstance(body, str) else body
        self.send_response_only(code)
        kind = "text/html; charset=utf-8" if _HTML.match(raw) else PLAIN
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if code not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            if raw:
                named.setdefault("Content-Type", kind)
            named["Content-Length"] = str(len(raw))
        for name, value in named.items():
            self.send_header(name, value)
        if named.get("Connection") == "close":
            self.close_connection = True
        self.send_header("Date", self.date_time_string())
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def redirect(self, location: str, code: int) -> None:
        """As Go's http.Redirect."""
        body = ""
        if self.command in ("GET", "HEAD"):
            body = f'<a href="{html.escape(location)}">{HTTPStatus(code).phrase}</a>.\n\n'
        self.answer(body, code, Location=location)

    def fail(self, message: str, code: int) -> None:
        """As Go's http.Error."""
        self.answer(f"{message}\n", code, X_Content_Type_Options="nosniff")

    def log_message(self, format: str, *args: object) -> None:
        """Each program writes its own log."""

    def handle_one_request(self) -> None:
        """A client that goes away ends its connection."""
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True


class HttpServer(ThreadingMixIn, TCPServer):
    """Listens from the start; `start` begins to serve."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = BACKLOG

    def __init__(self, port: int, routes: dict[str, Callable[[Any], None]], *, override: str = "") -> None:
        super().__init__(("", port), Handler)
        self.routes = routes
        self.override = override

    def start(self, certificate: str = "", key: str = "") -> None:
        """Serves in a thread; over TLS if there is a certificate. Raises OSError if that can't be used."""
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key or None)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        in_background(lambda: self.serve_forever(poll_interval=None))  # type: ignore[arg-type]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Mistakes of a client are its own."""


def serve_streams(port: int, answer: Callable[[socket.socket, str], None], *, protocol: int = 0) -> None:
    """Listens (TCP, or IPPROTO_SCTP), then answers each connection in a thread of its own. Raises OSError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", port))
    listener.listen(BACKLOG)

    def one(connection: socket.socket, client: str) -> None:
        with connection:
            try:
                answer(connection, client)
            except OSError:
                return

    def accept() -> None:
        while True:
            connection, address = listener.accept()
            client = "{}:{}".format(*address[:2])
            in_background(lambda taken=connection, whose=client: one(taken, whose))  # type: ignore[misc]

    in_background(accept)


def serve_datagrams(port: int, answer: Callable[[bytes, str], bytes | None], *, address: str = "") -> None:
    """Listens, then answers each UDP datagram in a thread. Raises OSError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind((address, port))

    def receive() -> None:
        while True:
            try:
                data, client = listener.recvfrom(LONGEST_DATAGRAM)
                reply = answer(data, "{}:{}".format(*client[:2]))
                if reply is not None:
                    listener.sendto(reply, client)
            except ConnectionError:
                continue  # an earlier client had gone

    in_background(receive)


def in_background(work: Callable[[], object]) -> None:
    """Runs it in a thread that does not keep the program alive."""
    threading.Thread(target=work, daemon=True).start()


def log(text: str, source: str = "log.go:244") -> None:
    """A line as klog writes it, into which agnhost's programs log."""
    now = time.time_ns()
    stamp = f"I{time.strftime('%m%d %H:%M:%S', time.gmtime(now // 10**9))}.{now // 1000 % 10**6:06d}"
    sys.stderr.write(f"{stamp} {os.getpid():7d} {source}] {text}\n")
    sys.stderr.flush()


def to_json(value: Any, *, sort_keys: bool = True) -> str:
    """As Go's encoding/json: keys in order, no spaces, and what HTML could stumble over written in hexadecimal."""
    text = json.dumps(value, sort_keys=sort_keys, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def duration(text: str) -> float:
    """Seconds of Go's `1h2m3.5s`. Raises ValueError."""
    sign = -1 if text.startswith("-") else 1
    rest = text.lstrip("+-")
    if rest == "0":
        return 0.0
    parts = _DURATION.findall(rest)
    if not parts or "".join(number + unit for number, unit in parts) != rest:
        raise ValueError(f'time: invalid duration "{text}"')
    return sign * sum(float(number) * _UNITS[unit] for number, unit in parts)


def why(error: OSError) -> str:
    """The kernel's words in Go's spelling."""
    if isinstance(error, TimeoutError):
        return "i/o timeout"
    calls = "connect: " if isinstance(error, ConnectionRefusedError) or error.errno in (101, 113) else ""
    return calls + (error.strerror or str(error)).lower()
