"""The stand-in for agnhost. What it must answer was recorded from the real program (2.63.0)."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from waiting import until

PROGRAM = [sys.executable, "-S", "-P", "-m", "lab_helpers.pocketkube.kubelet.programs.agnhost"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
NAME = socket.gethostname()
PLAIN = "text/plain; charset=utf-8"


def agnhost(*args: str) -> tuple[int, str, str]:
    done = subprocess.run([*PROGRAM, *args], capture_output=True, text=True, env=ENVIRONMENT, timeout=30)
    return done.returncode, done.stdout, done.stderr


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    process: subprocess.Popen[str]
    port: int
    udp: int

    def get(self, path: str, method: str = "GET", body: str = "", **headers: str) -> tuple[int, str, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text, dict(answer.getheaders())

    def datagram(self, text: str, port: int = 0) -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.connect(("127.0.0.1", port or self.udp))
            client.send(text.encode())
            return client.recv(2048).decode()

    def answers(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def serving(*args: str, **env: str) -> Iterator[Server]:
    port, udp = free_port(), free_port(socket.SOCK_DGRAM)
    filled = [word.format(port=port, udp=udp) for word in args]
    variables = {key.format(port=port, udp=udp): value for key, value in env.items()}
    process = subprocess.Popen(
        [*PROGRAM, *filled], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT | variables
    )
    server = Server(process, port, udp)
    try:
        until(server.answers, "agnhost listens")
        yield server
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def netexec() -> Iterator[Server]:
    with serving("netexec", "--http-port={port}", "--udp_port", "{udp}") as server:
        until(lambda: server.get("/healthz")[0] == 200, "its UDP server is there")
        yield server


@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("/hostname", 200, NAME),
        ("/hostName", 200, NAME),
        ("/echo?msg=hello%20you", 200, "hello you"),
        ("/echo?msg=x&code=418", 418, "x"),
        ("/echo?msg=x&code=abc", 200, "argument 'code' must be an integer or empty, got \"abc\"\n"),
        ("/header?key=X-Test", 200, "v"),
        ("/header?key=nosuch", 200, ""),
        ("/redirect?location=/echo%3Fmsg=a", 302, '<a href="/echo?msg=a">Found</a>.\n\n'),
        ("/redirect?location=/x&code=307", 307, '<a href="/x">Temporary Redirect</a>.\n\n'),
        ("/shell?cmd=echo%20hi", 200, '{"output":"hi\\n"}'),
        ("/shell?cmd=echo%20no%3Bexit%203", 200, '{"error":"exit status 3","output":"no\\n"}'),
        ("/shell?cmd=kill%20-9%20$$", 200, '{"error":"signal: killed"}'),
        ("/readyz", 200, "ok"),
        ("/exit?code=abc", 200, "argument 'code' must be an integer [0-127] or empty, got \"abc\"\n"),
        ("/dial?host=127.0.0.1&port={port}&request=hostname&tries=2", 200, f'{{"responses":["{NAME}","{NAME}"]}}'),
        ("/dial?host=127.0.0.1&port={udp}&request=echo%20Hi&protocol=UDP", 200, '{"responses":["hi"]}'),
        (
            "/dial?host=127.0.0.1&port=9&request=x",
            200,
            '{"errors":["Get \\"http://127.0.0.1:9/x\\": dial tcp 127.0.0.1:9: connect: connection refused"]}',
        ),
        ("/dial?host=127.0.0.1&port=9", 400, "request parameter not specified. <nil>\n"),
        ("/dial?host=127.0.0.1&port=9&request=x&protocol=foo", 400, "unsupported protocol. foo\n"),
        (
            "/dial?host=127.0.0.1&port=bad&request=x",
            400,
            "host and/or port param are invalid. lookup tcp/bad: unknown port\n",
        ),
    ],
)
def test_netexec_answers_as_the_real_one(netexec: Server, path: str, code: int, text: str) -> None:
    assert netexec.get(path.format(port=netexec.port, udp=netexec.udp), X_Test="v")[:2] == (code, text)


def test_netexec_says_who_asks_and_where(netexec: Server) -> None:
    code, text, headers = netexec.get("/clientip")
    assert (code, headers["Content-Type"], text.partition(":")[0]) == (200, PLAIN, "127.0.0.1")
    assert netexec.get("/serverport")[1] == str(netexec.port)
    assert netexec.get("/any/other")[1].startswith("NOW: 2")
    assert netexec.get("/hostname", "HEAD")[2]["Content-Length"] == str(len(NAME))
    assert json.loads(netexec.get("/header", x_test="<&>")[1])["X-Test"] == ["<&>"]
    assert "\\u003c\\u0026\\u003e" in netexec.get("/header", x_test="<&>")[1]
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    assert netexec.get("/echo", "POST", "msg=posted", **form)[1] == "posted"


def test_netexec_speaks_udp(netexec: Server) -> None:
    assert netexec.datagram("hostname") == NAME
    assert netexec.datagram("echo Abc D") == "abc d"
    assert netexec.datagram("serverport\n") == str(netexec.udp)
    assert netexec.datagram("clientip").startswith("127.0.0.1:")


def test_netexec_ends_as_it_is_told() -> None:
    with serving("netexec", "--http-port={port}", "--udp-port=-1") as server:
        assert server.get("/healthz")[0] == 412, "there is no UDP server"
        with pytest.raises(http.client.RemoteDisconnected):
            server.get("/exit?code=7")
        assert server.process.wait(10) == 7
    with serving("netexec", "--http-port={port}", "--udp-port={udp}", "--delay-shutdown=30") as server:
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.get("/readyz")[:2] == (503, "shutting down"), "it says that it is ending")
        assert server.get("/healthz")[0] == 200
    with serving("netexec", "--http-port={port}", "--udp-port={udp}") as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0


def test_serve_hostname_serves_it_over_everything() -> None:
    with serving("serve-hostname", "--port={port}", "--http=false", "--tcp", "--udp") as server:
        with socket.create_connection(("127.0.0.1", server.port), 10) as client:
            assert client.recv(100).decode() == NAME
        assert server.datagram("x", server.port) == NAME
    with serving("serve-hostname", "--port={port}", "--close") as server:
        assert server.get("/x")[1] == NAME
        assert server.get("/x")[2]["Connection"] == "close"


def test_porter_serves_what_its_variables_say() -> None:
    with serving("porter", "--json-response", **{"SERVE_PORT_{port}": "foo<", "SERVE_UDP_PORT_{udp}": "bar"}) as server:
        assert server.get("/", "PUT")[1] == '{"Method":"PUT","Body":"foo\\u003c"}'
        until(lambda: server.datagram("x") == "bar")


def test_pause_says_why_it_ends() -> None:
    process = subprocess.Popen([*PROGRAM, "pause"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env=ENVIRONMENT)  # fmt: skip
    assert process.stdout
    assert [process.stdout.readline() for _ in range(2)] == ["Paused\n", "Signals registered\n"]
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10)[0] == 'exiting because of signal "terminated"\n'
    assert process.returncode == 2


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["connect", "127.0.0.1:9"], (1, "", "REFUSED\n")),
        (["connect", "127.0.0.1"], (1, "", "UNKNOWN: address 127.0.0.1: missing port in address\n")),
        (["connect"], (1, "", "Error: accepts 1 arg(s), received 0\n")),
        (
            ["connect", "--timeout=q", "x:1"],
            (1, "", 'Error: invalid argument "q" for "--timeout" flag: time: invalid duration "q"\n'),
        ),
        (["netexec", "--nosuch"], (1, "", "Error: unknown flag: --nosuch\n")),
        (["pause", "-c"], (1, "", "Error: unknown shorthand flag: 'c' in -c\n")),
        (["nosuch"], (1, "", 'Error: unknown command "nosuch" for "app"\n')),
        (["mounttest", "--file_mode=/etc/passwd"], (0, 'mode of file "/etc/passwd": -rw-r--r--\n', "")),
        (["mounttest", "--file-mode", "/tmp"], (0, 'mode of file "/tmp": dtrwxrwxrwx\n', "")),
        (["mounttest", "--file_perm=/tmp"], (0, 'perms of file "/tmp": -rwxrwxrwx\n', "")),
        (
            ["mounttest", "--file_content=/nosuch"],
            (1, 'error reading file content for "/nosuch": open /nosuch: no such file or directory\n', ""),
        ),
    ],
)
def test_commands_answer_as_the_real_ones(args: list[str], expected: tuple[int, str, str]) -> None:
    assert agnhost(*args) == expected


def test_it_says_that_it_is_a_stand_in_and_how_to_get_the_real_one() -> None:
    assert "simulated" in agnhost("--help")[1]
    code, _, error = agnhost("webhook", "--port=1")
    assert code == 1 and "servicelab image add agnhost --from" in error
