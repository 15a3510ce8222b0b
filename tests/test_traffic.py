"""Requests over loopback: every way of failing, and what the report says of it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab_helpers import traffic
from lab_helpers.errors import InvalidInput, NodeShellError
from lab_helpers.traffic import Failure, Request, TrafficReport

pytestmark = pytest.mark.kubectl  # curl and sh come with the machine that has the cluster's other tools

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"


class Here:
    """A cluster whose node is this machine; only loopback addresses are used."""

    name = "here"

    def launch(self, argv: Sequence[str], *, place: str = "node", node: str | None = None) -> Any:
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@contextmanager
def server(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server on loopback that does with each connection what `behave` says."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    behave(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def answer(body: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(ANSWER % (len(body), body))

    return behave


def send(url: str, **options: Any) -> TrafficReport:
    return traffic.send(Here(), url, **options)  # type: ignore[arg-type]


def test_answers_are_counted_with_their_status_and_time() -> None:
    with server(answer(b"It works!\n")) as url:
        report = send(url, n=5)
    assert [request.status for request in report.requests] == [200] * 5
    assert not report.failed
    assert all(request.body == "It works!" and 0 < request.seconds < 1 for request in report.requests)
    assert report.lines[0].endswith("5 answered, 0 failed.")
    assert report.answered_by == {"unknown": 5}


def test_who_answered_is_read_from_the_answer() -> None:
    with server(answer(b"Hello from web-5d8f6c9b4-x7k2p")) as url:
        report = send(url, n=2)
    assert report.answered_by == {"web-5d8f6c9b4-x7k2p": 2}
    assert "Answered by: web-5d8f6c9b4-x7k2p 2." in report.lines


def test_a_closed_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    report = send(f"http://127.0.0.1:{port}/", n=2)
    assert [request.failure for request in report.requests] == [Failure.REFUSED] * 2
    assert "2 refused" in str(report)


def test_an_unknown_name_is_told_from_a_refusal() -> None:
    (request,) = send("http://demo-service.invalid/", n=1).requests
    assert request.failure is Failure.NAME_UNKNOWN


def test_a_server_that_hangs_up_is_a_reset() -> None:
    with server(lambda connection: None) as url:
        (request,) = send(url, n=1).requests
    assert request.failure is Failure.RESET


def test_silence_times_out() -> None:
    gone = threading.Event()
    with server(lambda connection: gone.wait(5) and None) as url:
        (request,) = send(url, n=1, timeout=0.2).requests
        gone.set()
    assert request.failure is Failure.TIMED_OUT
    assert request.seconds == pytest.approx(0.2, abs=0.15)


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        ("* connect to 10.96.0.1 port 80 failed: Connection refused", Failure.REFUSED),
        ("* connect to 10.96.0.1 port 80 failed: No route to host", Failure.UNREACHABLE),
        ("* Immediate connect fail for 10.96.0.1: Network is unreachable", Failure.UNREACHABLE),
    ],
)
def test_a_missing_way_is_told_from_a_refusal(said: str, failure: Failure) -> None:
    assert traffic.classify(7, said) is failure


def test_the_asked_rate_is_kept() -> None:
    with server(answer(b"x")) as url:
        report = send(url, n=100, rate=50)
    assert len(report.requests) == 100
    assert report.achieved_rate == pytest.approx(50, rel=0.1)
    assert "instead of" not in str(report)


def test_a_rate_out_of_reach_is_told() -> None:
    gone = threading.Event()
    with server(lambda connection: gone.wait(5) and None) as url:
        report = send(url, n=4, rate=50, timeout=0.2)
        gone.set()
    assert report.lines[1].startswith("5 a second instead of the 50 asked for")


def test_a_curl_without_a_rate_of_its_own_does_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "curl"
    old.write_text(f'#!/bin/sh\n[ "$1" = --rate ] && exit 2\nexec {shutil.which("curl")} "$@"\n')
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with server(answer(b"x")) as url:
        report = send(url, n=10, rate=10)
    assert [request.body for request in report.requests] == ["x"] * 10
    assert 0.8 < report.duration < 3


def test_every_request_has_a_connection_of_its_own() -> None:
    seen: list[bytes] = []

    def once(connection: socket.socket) -> None:
        seen.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")

    with server(once) as url:
        assert not send(f"{url}a?b={{1,2}}#here", n=20).failed
    assert len(seen) == 20
    assert all(request.startswith(b"GET /a?b={1,2} HTTP/1.1") and b"Connection: close" in request for request in seen)


def test_requests_can_be_watched_while_they_run_and_ended_early() -> None:
    with server(answer(b"x")) as url:
        running = traffic.start(Here(), url, n=10_000, rate=200)  # type: ignore[arg-type]
        seen = [request.number for request, _ in zip(running, range(3), strict=False)]
        report = running.stop()
    assert seen == [1, 2, 3]
    assert 3 <= len(report.requests) < 10_000
    assert not running.running


def test_a_place_without_curl_gives_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare(Here):
        def launch(self, argv: Sequence[str], *, place: str = "node", node: str | None = None) -> Any:
            return super().launch(["env", "PATH=/nowhere", "/bin/sh", *argv[1:]])

    with pytest.raises(NodeShellError, match="there is no curl here"):
        traffic.send(Bare(), "http://127.0.0.1:1/", n=1)  # type: ignore[arg-type]


def test_an_unknown_place_is_refused() -> None:
    with pytest.raises(InvalidInput, match="can't be sent from 'moon'"):
        send("http://127.0.0.1:1/", source="moon")


def test_failures_in_a_row_are_one_outage() -> None:
    def request(number: int, failure: Failure | None) -> Request:
        return Request(number, 100 + number / 10, 0.01, 200 if failure is None else 0, "", "", failure)

    kinds = [None, Failure.REFUSED, Failure.TIMED_OUT, None, Failure.REFUSED]
    report = TrafficReport("node", "http://x/", [request(number, kind) for number, kind in enumerate(kinds, 1)])
    assert [[r.number for r in run] for run in report.outages] == [[2, 3], [5]]
    assert "Failed from 0.10 s to 0.21 s after the start: 1 refused, 1 timed out." in report.lines
    assert "2 answered, 3 failed" in report.lines[0]
    assert "<svg" in report._repr_html_()
