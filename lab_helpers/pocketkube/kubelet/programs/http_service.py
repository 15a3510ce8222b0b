"""What the HTTP servers of the image catalogue share: listening, one thread a connection, ending on a signal.

The main thread sleeps in `select` until a client or a signal comes, so an idle server costs nothing. SIGTERM ends it
as soon as the requests in progress are answered. Which answer a request gets is left to the handler of each program.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import FrameType

BACKLOG = 511
"""Connections that may wait to be accepted (Apache's ListenBackLog)."""

_LAST_ANSWERS_SECONDS = 2.0
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH)


class RequestHandler(BaseHTTPRequestHandler):
    """One connection. Subclasses add `do_GET` and friends and call `answer`."""

    protocol_version = "HTTP/1.1"
    timeout = 5.0
    wbufsize = -1  # headers and body leave in one segment
    disable_nagle_algorithm = True
    service: HttpService

    def answer(self, status: HTTPStatus, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> None:
        """Sends a whole answer; the body is left out for HEAD and where HTTP forbids one."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        bodiless = status in (HTTPStatus.NOT_MODIFIED, HTTPStatus.NO_CONTENT)
        if not bodiless:
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", content_type)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if not bodiless and self.command != "HEAD":
            self.wfile.write(body)
        self.log_answer(int(status), len(body))

    def log_answer(self, status: int, size: int) -> None:
        """Writes the access log line; a program without one leaves this as it is."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """The base class logs before the size is known; `log_answer` does it after."""

    def log_message(self, format: str, *args: object) -> None:
        """The base class writes its own messages to standard error; a server's log has its own format."""

    def handle_one_request(self) -> None:
        """Reads one request and answers it; a client that goes away or stays silent ends the connection."""
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True
        finally:
            self.service.request_done(self)

    def parse_request(self) -> bool:
        """From here on the request counts as being in progress."""
        self.service.request_begun(self)
        return super().parse_request()


class HttpService:
    """A listening socket, the threads that serve it, and the signals that end it."""

    def __init__(self, handler: type[RequestHandler], port: int) -> None:
        self._handler = type(handler.__name__, (handler,), {"service": self})
        self._socket = _listen(port)
        self._busy: set[RequestHandler] = set()
        self._changed = threading.Condition()
        self._stop_signal = 0

    def run(self, on_stop: Callable[[int], None] | None = None) -> int:
        """Serves until SIGTERM, SIGINT, SIGQUIT or SIGWINCH; tells `on_stop` which; returns the exit code."""
        wake_in, wake_out = os.pipe()
        os.set_blocking(wake_out, False)
        for number in _STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(wake_out, warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(wake_in, selectors.EVENT_READ)
            while not self._stop_signal:
                for key, _ in selector.select():
                    if key.fileobj is self._socket:
                        self._accept()
        if on_stop is not None:
            on_stop(self._stop_signal)
        self._socket.close()
        with self._changed:
            self._changed.wait_for(lambda: not self._busy, _LAST_ANSWERS_SECONDS)
        return 0

    def request_begun(self, handler: RequestHandler) -> None:
        """A request line has been read."""
        with self._changed:
            self._busy.add(handler)

    def request_done(self, handler: RequestHandler) -> None:
        """The request, if there was one, has its answer."""
        with self._changed:
            self._busy.discard(handler)
            self._changed.notify_all()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._stop_signal = number

    def _accept(self) -> None:
        try:
            connection, client = self._socket.accept()
        except OSError:
            return  # the client was quicker to leave than we to accept
        connection.setblocking(True)
        threading.Thread(target=self._serve, args=(connection, client), daemon=True).start()

    def _serve(self, connection: socket.socket, client: tuple[str, int]) -> None:
        try:
            self._handler(connection, client, self)
        except OSError:
            pass  # the client went away
        finally:
            connection.close()


def own_address() -> str:
    """The address of this Pod: the one that its host name stands for in /etc/hosts."""
    hostname = socket.gethostname()
    for line in Path("/etc/hosts").read_text().splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if hostname in names and not address.startswith("127."):
            return address
    return "127.0.0.1"


def write_line(text: str, *, error: bool = False) -> None:
    """One line to standard output (or error) in one piece, so that lines of several threads never mix."""
    os.write(2 if error else 1, text.encode() + b"\n")


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", port))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener
