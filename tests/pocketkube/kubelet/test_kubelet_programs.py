"""The servers inside the images, run as processes of their own on the loopback address."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PAGE = "<html><body><h1>It works!</h1></body></html>\n"


@dataclass
class Server:
    """A running program and what it has printed once it has ended."""

    process: subprocess.Popen[str]
    port: int

    def get(self, path: str = "/", method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request(method, path, headers={key.replace("_", "-"): value for key, value in headers.items()})
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response, body

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=5)
        return self.process.returncode, out, err


@contextmanager
def serving(module: str, folder: Path, function: str = "main", argv: str = "[]", **env: str) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = (
        f"import sys; from pathlib import Path; from lab_helpers.pocketkube.kubelet.programs import {module} as m\n"
        f"m.PORT = {port}\n"
        f"for name in ('Httpd', 'Nginx'):\n"
        f"    if hasattr(m, name): getattr(m, name).document_root = Path({str(folder)!r})\n"
        f"sys.exit(m.{function}(['program', *{argv}]))"
    )
    env = {**os.environ, **{key: value.replace("{port}", str(port)) for key, value in env.items()}}
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )
    try:
        _wait_for_port(port, process)
        yield Server(process, port)
    finally:
        process.kill()
        process.communicate()


def _wait_for_port(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise AssertionError("the server does not listen")


@pytest.fixture
def htdocs(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a b.txt").write_text("text")
    return tmp_path


def test_httpd_answers_and_logs_as_apache_does(htdocs: Path) -> None:
    with serving("httpd", htdocs) as server:
        response, body = server.get()
        assert (response.status, body.decode()) == (200, PAGE)
        assert response.getheader("Server") == "Apache/2.4 (ServiceLab; simulated)"
        assert response.getheader("Content-Type") == "text/html"
        assert response.getheader("Content-Length") == "45"
        etag = response.getheader("ETag") or ""
        assert server.get(If_None_Match=etag)[0].status == 304
        head, nothing = server.get(method="HEAD")
        assert (head.status, head.getheader("Content-Length"), nothing) == (200, "45", b"")
        response, body = server.get("/nosuch?x=1")
        assert response.status == 404
        assert b"<p>The requested URL was not found on this server.</p>" in body
        assert server.get(method="POST")[0].status == 405
        assert server.get(method="BREW")[0].status == 405
        assert server.get("/files")[0].getheader("Location", "").endswith("/files/")
        assert b'<a href="a%20b.txt"> a b.txt</a>' in server.get("/files/")[1]
        assert server.get("/files/a%20b.txt")[1] == b"text"
        assert server.get("/%2e%2e/etc/passwd")[0].status == 400
        code, out, err = server.end()
    assert code == 0
    lines = out.splitlines()
    assert re.fullmatch(
        r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET / HTTP/1\.1" 200 45', lines[0]
    )
    assert lines[2].endswith('"HEAD / HTTP/1.1" 200 -')
    assert lines[3].endswith('"GET /nosuch?x=1 HTTP/1.1" 404 196')
    told = err.splitlines()
    assert told[0] == told[1] and told[0].startswith("AH00558: httpd: Could not reliably determine")
    assert "[mpm_event:notice] [pid 1:tid 1] AH00489: Apache/2.4 (ServiceLab; simulated) configured" in told[2]
    assert told[3].endswith("AH00094: Command line: 'httpd -D FOREGROUND'")
    assert told[-1].endswith("AH00491: caught SIGTERM, shutting down")


def test_httpd_keeps_connections_open_and_serves_many_at_once(htdocs: Path) -> None:
    failures: list[object] = []

    def client(port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for _ in range(20):
            connection.request("GET", "/")
            response = connection.getresponse()
            if response.read().decode() != PAGE or response.will_close:
                failures.append(response.status)
        connection.close()

    with serving("httpd", htdocs) as server:
        idle = socket.create_connection(("127.0.0.1", server.port))
        threads = [threading.Thread(target=client, args=(server.port,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        idle.close()
        code, out, _ = server.end(signal.SIGWINCH)
    assert failures == [] and code == 0
    assert len(out.splitlines()) == 400


def test_httpd_survives_nonsense_and_clients_that_leave(htdocs: Path) -> None:
    with serving("httpd", htdocs) as server:
        for request in (
            b"\r\n\r\n",
            b"nonsense\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /",
            b"\xff" * 70_000 + b"\r\n",
        ):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(request)
        assert server.get()[0].status == 200
        code, _, err = server.end()
    assert code == 0 and "Traceback" not in err


def test_httpd_says_when_its_port_is_taken(htdocs: Path) -> None:
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        script = (
            "from lab_helpers.pocketkube.kubelet.programs import httpd\n"
            f"httpd.PORT = {other.getsockname()[1]}\nraise SystemExit(httpd.main(['httpd']))"
        )
        ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=10)
    assert ended.returncode == 1
    assert "AH00072: make_sock: could not bind to address" in ended.stderr


def test_nginx_serves_its_page_and_logs_in_its_own_format(htdocs: Path) -> None:
    with serving("nginx", htdocs) as server:
        response, body = server.get(User_Agent="probe")
        assert (response.status, body.decode(), response.getheader("Server")) == (
            200,
            PAGE,
            "nginx (ServiceLab; simulated)",
        )
        assert b"<center><h1>404 Not Found</h1></center>" in server.get("/nosuch")[1]
        assert server.get("/files/")[0].status == 403
        code, out, err = server.end(signal.SIGQUIT)
    assert code == 0
    assert '"GET / HTTP/1.1" 200 45 "-" "probe" "-"' in out
    assert "signal 3 (SIGQUIT) received, shutting down" in err


def test_whoami_names_host_client_and_request(tmp_path: Path) -> None:
    with serving("whoami", tmp_path, WHOAMI_PORT_NUMBER="{port}") as server:
        text = server.get("/x", X_Test="1")[1].decode()
        assert text.startswith(f"Hostname: {socket.gethostname()}\nIP: 127.0.0.1\n")
        assert "RemoteAddr: 127.0.0.1:" in text and "\nGET /x HTTP/1.1\n" in text and "\nX-Test: 1\n" in text
        assert b'"method": "POST"' in server.get("/api", method="POST")[1]
        assert server.get("/health")[0].status == 200
        assert server.end()[0] == 0


def test_the_other_answering_servers_answer(tmp_path: Path) -> None:
    with serving("whoami", tmp_path, "hello_app", PORT="{port}", HELLO_APP_TAG="2.0") as server:
        text = server.get()[1].decode()
        assert text == f"Hello, world!\nVersion: 2.0.0\nHostname: {socket.gethostname()}\n"
    with serving("whoami", tmp_path, "echo_server", PORT="{port}") as server:
        assert "GET /a HTTP/1.1" in server.get("/a")[1].decode()
    with serving("whoami", tmp_path, "http_echo", "['-text=hi', f'-listen=:{m.PORT}']") as server:
        assert server.get()[1] == b"hi\n"
