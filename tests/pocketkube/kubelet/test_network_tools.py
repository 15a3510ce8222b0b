"""The tools that stand in for `nc`, `wget`, `nslookup`, `dig` and `ping`, run as a Pod runs them, on loopback."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from dnslib.server import DNSServer
from dnslib.zoneresolver import ZoneResolver

from lab_helpers.pocketkube.kubelet.programs.resolver import Resolver, reverse_name
from lab_helpers.pocketkube.kubelet.runtime import Layer
from lab_helpers.pocketkube.kubelet.stand_ins import stand_ins

PROGRAMS = "lab_helpers.pocketkube.kubelet.programs"
ZONE = """
demo.default.svc.cluster.local. 30 IN A 10.96.0.7
alias.default.svc.cluster.local. 30 IN CNAME demo.default.svc.cluster.local.
_http._tcp.demo.default.svc.cluster.local. 30 IN SRV 0 100 80 demo.default.svc.cluster.local.
7.0.96.10.in-addr.arpa. 30 IN PTR demo.default.svc.cluster.local.
"""


def run(module: str, *argv: str, input: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"{PROGRAMS}.{module}", *argv]
    return subprocess.run(command, input=input, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def web_port() -> Iterator[int]:
    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/" else 404)
            self.end_headers()
            self.wfile.write(b"hello\n")

        def log_message(self, *args: object) -> None:
            """Nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Hello)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def dns_port(closed_port: int) -> Iterator[int]:
    servers = [DNSServer(ZoneResolver(ZONE), address="127.0.0.1", port=closed_port, tcp=tcp) for tcp in (False, True)]
    for server in servers:
        server.start_thread()
    yield closed_port
    for server in servers:
        server.stop()
        server.server.server_close()


def test_nc_says_whether_a_port_answers(web_port: int, closed_port: int) -> None:
    open_one = run("netcat", "-vz", "-w", "2", "localhost", str(web_port))
    assert (open_one.returncode, open_one.stdout) == (0, "")
    assert f"Connection to localhost (127.0.0.1) {web_port} port [tcp/" in open_one.stderr
    closed = run("netcat", "-v", "-w", "2", "127.0.0.1", str(closed_port))
    assert closed.returncode == 1
    assert closed.stderr == f"nc: connect to 127.0.0.1 port {closed_port} (tcp) failed: Connection refused\n"


def test_nc_carries_what_it_reads_and_prints_the_answer(web_port: int) -> None:
    done = run("netcat", "127.0.0.1", str(web_port), input="GET / HTTP/1.0\r\n\r\n")
    assert done.returncode == 0
    assert done.stdout.endswith("hello\n")


def test_nc_listens(closed_port: int) -> None:
    command = [sys.executable, "-m", f"{PROGRAMS}.netcat", "-l", "-v", "-p", str(closed_port), "-e", "cat"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as listener:
        assert listener.stderr is not None
        assert listener.stderr.readline() == f"Listening on 0.0.0.0 {closed_port}\n"
        echoed = run("netcat", "127.0.0.1", str(closed_port), input="there and back\n")
        assert echoed.stdout == "there and back\n"
        assert listener.wait(10) == 0


def test_wget_fetches_and_names_what_went_wrong(web_port: int, closed_port: int, tmp_path: Path) -> None:
    assert run("wget", "-qO-", f"127.0.0.1:{web_port}").stdout == "hello\n"
    page = tmp_path / "page"
    assert run("wget", "-O", str(page), f"http://127.0.0.1:{web_port}/").returncode == 0
    assert page.read_text() == "hello\n"
    missing = run("wget", "-qO-", f"http://127.0.0.1:{web_port}/nothing")
    assert (missing.returncode, missing.stderr) == (1, "wget: server returned error: HTTP/1.1 404 Not Found\n")
    refused = run("wget", "-qO-", "-T", "2", f"http://127.0.0.1:{closed_port}/")
    assert refused.stderr == "wget: can't connect to remote host (127.0.0.1): Connection refused\n"


def test_names_are_completed_as_resolv_conf_says(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text(
        "nameserver 10.96.0.10\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
    )
    resolver = Resolver.of_this_container(conf)
    assert resolver.servers == ("10.96.0.10",)
    assert list(resolver.candidates("demo")) == [
        "demo.default.svc.cluster.local.", "demo.svc.cluster.local.", "demo.cluster.local.", "demo.",
    ]  # fmt: skip
    assert list(resolver.candidates("demo.")) == ["demo."]
    assert next(resolver.candidates("a.b.c.d.e.f")) == "a.b.c.d.e.f."


@pytest.mark.parametrize("tcp", [False, True])
def test_the_resolver_asks_and_searches(dns_port: int, tcp: bool) -> None:
    resolver = Resolver(search=("default.svc.cluster.local",), ndots=5, tcp=tcp, port=dns_port)
    assert str(resolver.search_for("demo", "A").rr[0].rdata) == "10.96.0.7"
    assert resolver.search_for("nobody", "A").header.rcode == 3
    assert reverse_name("10.96.0.7") == "7.0.96.10.in-addr.arpa."


def test_dig_prints_answers_in_the_forms_that_scripts_read(dns_port: int) -> None:
    at = ("@127.0.0.1", "-p", str(dns_port))
    assert run("dns_lookup", "dig", *at, "+short", "demo.default.svc.cluster.local").stdout == "10.96.0.7\n"
    rows = run("dns_lookup", "dig", *at, "+noall", "+answer", "_http._tcp.demo.default.svc.cluster.local", "SRV").stdout
    assert rows.split() == [
        "_http._tcp.demo.default.svc.cluster.local.", "30", "IN", "SRV", "0", "100", "80",
        "demo.default.svc.cluster.local.",
    ]  # fmt: skip
    assert run("dns_lookup", "dig", *at, "-x", "10.96.0.7", "+short").stdout == "demo.default.svc.cluster.local.\n"
    whole = run("dns_lookup", "dig", *at, "nobody.cluster.local").stdout
    assert "status: NXDOMAIN" in whole
    assert f"SERVER: 127.0.0.1#{dns_port}" in whole


def test_a_name_server_that_is_not_there_is_named(closed_port: int) -> None:
    done = run("dns_lookup", "dig", "@127.0.0.1", "-p", str(closed_port), "+time=1", "+tries=1", "demo.")
    assert done.returncode == 9
    assert f"communications error to 127.0.0.1#{closed_port}: " in done.stdout
    assert done.stdout.endswith(";; no servers could be reached\n")


def test_ping_counts_answers() -> None:
    done = run("ping", "-c", "2", "-i", "0.01", "127.0.0.1")
    if os.geteuid() != 0:
        assert done.stderr == "ping: this container may not open a raw socket\n"
        return
    assert done.returncode == 0
    assert "2 packets transmitted, 2 received, 0% packet loss" in done.stdout


def test_an_image_keeps_tools_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nc").touch()
    wanting = set(stand_ins())
    assert set(stand_ins([Layer(tmp_path, "/")])) == wanting - {"/usr/bin/nc"}
    assert set(stand_ins([Layer(tmp_path / "bin" / "nc", "/opt/nc")])) == wanting - {"/usr/bin/nc"}
