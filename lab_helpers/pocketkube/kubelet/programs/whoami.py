"""The programs of the small images that answer with who they are: `whoami`, `hello-app`, `http-echo`, `echo-server`.

Such an image makes load balancing visible: every answer names the Pod that gave it.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Sequence
from http import HTTPStatus

from .http_service import HttpService, RequestHandler, own_address, write_line

_TEXT = "text/plain; charset=utf-8"


class _AnyMethod(RequestHandler):
    """A server that answers every method and path, after reading the request's body."""

    server_version = "ServiceLab"
    sys_version = ""

    def do_GET(self) -> None:
        """Answers with `text`."""
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length) if length else b""
        self.answer(HTTPStatus.OK, self.text().encode(), _TEXT)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_GET

    def text(self) -> str:
        """What to answer."""
        raise NotImplementedError

    def request_text(self) -> str:
        """The request as it came."""
        lines = [self.requestline, *(f"{name}: {value}" for name, value in self.headers.items())]
        return "\n".join(lines) + "\n"


class Whoami(_AnyMethod):
    """Answers with host name, addresses, client and request, as traefik/whoami does."""

    def text(self) -> str:
        """The facts, one a line; as JSON under /api, and nothing but a sign of life under /health."""
        host, address = socket.gethostname(), own_address()
        client = f"{self.client_address[0]}:{self.client_address[1]}"
        if self.path.startswith("/health"):
            return ""
        if self.path.startswith("/api"):
            facts = {
                "hostname": host,
                "ip": ["127.0.0.1", address],
                "headers": {name: [value] for name, value in self.headers.items()},
                "url": self.path,
                "host": self.headers.get("Host", ""),
                "method": self.command,
                "remoteAddr": client,
            }
            return json.dumps(facts) + "\n"
        name = os.environ.get("WHOAMI_NAME")
        first = f"Name: {name}\n" if name else ""
        return f"{first}Hostname: {host}\nIP: 127.0.0.1\nIP: {address}\nRemoteAddr: {client}\n{self.request_text()}\n"


class HelloApp(_AnyMethod):
    """Answers with a greeting, its version and its host name, as Google's hello-app does."""

    version = "1.0.0"

    def text(self) -> str:
        """Three lines."""
        return f"Hello, world!\nVersion: {self.version}\nHostname: {socket.gethostname()}\n"

    def log_answer(self, status: int, size: int) -> None:
        """One line a request."""
        write_line(f"{time.strftime('%Y/%m/%d %H:%M:%S')} Serving request: {self.path}", error=True)


class EchoServer(_AnyMethod):
    """Answers with the request it got, as echo-server does."""

    def text(self) -> str:
        """Who served it, then the request."""
        body = self.body.decode(errors="replace")
        return f"Request served by {socket.gethostname()}\n\n{self.request_text()}\n{body}"

    def log_answer(self, status: int, size: int) -> None:
        """One line a request."""
        write_line(f"{self.client_address[0]}:{self.client_address[1]} | {self.command} {self.path}")


class HttpEcho(_AnyMethod):
    """Answers with one fixed text, as hashicorp/http-echo does."""

    fixed_text = "hello-world"

    def text(self) -> str:
        """The text that was given with `-text`."""
        return self.fixed_text + "\n"

    def log_answer(self, status: int, size: int) -> None:
        """One line a request."""
        stamp = time.strftime("%Y/%m/%d %H:%M:%S")
        host = self.headers.get("Host", "-")
        agent = self.headers.get("User-Agent", "-")
        write_line(
            f'{stamp} {host} {self.client_address[0]}:{self.client_address[1]} "{self.requestline}" '
            f'{status} {size} "{agent}"'
        )


def main(argv: Sequence[str]) -> int:
    """traefik/whoami: `--port N` or WHOAMI_PORT_NUMBER, else 80."""
    port = _option(argv, "port", os.environ.get("WHOAMI_PORT_NUMBER", "80"))
    write_line(f"{time.strftime('%Y/%m/%d %H:%M:%S')} Starting up on port {port}", error=True)
    return HttpService(Whoami, int(port)).run()


def hello_app(argv: Sequence[str]) -> int:
    """hello-app: PORT, else 8080. Its version is that of the image's tag."""
    port = os.environ.get("PORT", "8080")
    tag = os.environ.get("HELLO_APP_TAG", "")
    HelloApp.version = f"{tag}.0" if tag.count(".") == 1 else HelloApp.version
    write_line(f"{time.strftime('%Y/%m/%d %H:%M:%S')} Server listening on port {port}", error=True)
    return HttpService(HelloApp, int(port)).run()


def echo_server(argv: Sequence[str]) -> int:
    """echo-server: PORT, else 8080."""
    port = os.environ.get("PORT", "8080")
    write_line(f"Echo server listening on port {port}.")
    return HttpService(EchoServer, int(port)).run()


def http_echo(argv: Sequence[str]) -> int:
    """http-echo: `-text=TEXT` (or ECHO_TEXT) and `-listen=:PORT`, else 5678."""
    port = _option(argv, "listen", ":5678").rpartition(":")[2]
    HttpEcho.fixed_text = _option(argv, "text", os.environ.get("ECHO_TEXT", HttpEcho.fixed_text))
    write_line(f"{time.strftime('%Y/%m/%d %H:%M:%S')} [INFO] server is listening on :{port}", error=True)
    return HttpService(HttpEcho, int(port)).run()


def _option(argv: Sequence[str], name: str, default: str) -> str:
    """The value of `-name value`, `-name=value`, `--name value` or `--name=value`."""
    for index, word in enumerate(argv[1:], start=1):
        flag, equals, value = word.partition("=")
        if flag in (f"-{name}", f"--{name}"):
            return value if equals else "".join(argv[index + 1 : index + 2])
    return default
