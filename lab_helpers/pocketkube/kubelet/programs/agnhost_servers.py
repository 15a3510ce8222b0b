"""agnhost's smaller servers: serve-hostname, porter, test-webserver, liveness, nettest.

Models test/images/agnhost (v1.36).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from .agnhost_flags import Command, Flag
from .go_net import Handler, HttpServer, in_background, log, serve_datagrams, serve_streams, to_json, why

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_ROUNDS = 15
_PAUSE_SECONDS = 5.0


def serve_hostname(flags: dict[str, Any], _arguments: list[str]) -> int:
    """Answers with the host name, whatever is asked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    port, name = flags["port"], socket.gethostname()
    if flags["http"] and (flags["tcp"] or flags["udp"]):
        log("Can't server TCP/UDP mode and HTTP mode at the same time")
        return 1

    def over_http(request: Handler) -> None:
        log(f"HTTP request from {request.client}")
        if flags["close"]:
            request.answer(name, Connection="close")
        else:
            request.answer(name)

    def over_tcp(connection: socket.socket, client: str) -> None:
        log(f"TCP request from {client}")
        connection.sendall(name.encode())

    def over_udp(_data: bytes, client: str) -> bytes:
        log(f"UDP request from {client}")
        return name.encode()

    try:
        if flags["tcp"]:
            serve_streams(port, over_tcp)
        if flags["udp"]:
            serve_datagrams(port, over_udp)
        if flags["http"]:
            HttpServer(port, {"/": over_http}).start()
    except OSError as error:
        log(f"listen tcp :{port}: {why(error)}")
        return 1
    log(f"Serving on port {port}.")
    signal.sigwait({signal.SIGTERM})
    log("Shutting down after receiving signal: terminated.")
    log("Awaiting pod deletion.")
    time.sleep(60)
    return 0


def porter(flags: dict[str, Any], _arguments: list[str]) -> int:
    """Serves on each port that a variable SERVE_..._PORT_NUMBER names what the variable says."""
    for name, value in sorted(os.environ.items()):
        words, _, port = name.rpartition("_")
        kind = {
            "SERVE_PORT": "tcp", "SERVE_TCP_PORT": "tcp", "SERVE_UDP_PORT": "udp", "SERVE_TLS_PORT": "tls",
            "SERVE_SCTP_PORT": "sctp",
        }.get(words)  # fmt: skip
        if kind is None:
            continue
        try:
            _serve_value(kind, int(port), value, as_json=flags["json_response"])
        except (OSError, ValueError) as error:
            how = why(error) if isinstance(error, OSError) else str(error)
            log(f'server on port "{port}" failed: listen {kind} 0.0.0.0:{port}: {how}')
    signal.pause()
    return 0


def _serve_value(kind: str, port: int, value: str, *, as_json: bool) -> None:
    def over_http(request: Handler) -> None:
        if as_json:
            request.answer(
                to_json({"Method": request.command, "Body": value}, sort_keys=False), Content_Type="application/json"
            )  # fmt: skip
        else:
            request.answer(value)

    if kind == "udp":
        serve_datagrams(port, lambda _data, _client: value.encode())
        log(f"Started UDP server on port {port}")
    elif kind == "sctp":
        serve_streams(port, lambda connection, _: connection.sendall(value.encode()), protocol=socket.IPPROTO_SCTP)
        log("Started SCTP server")
    elif kind == "tls":
        files = os.environ.get("CERT_FILE") or "localhost.crt", os.environ.get("KEY_FILE") or "localhost.key"
        HttpServer(port, {"/": over_http}).start(*files)
    else:
        HttpServer(port, {"/": over_http}).start()


def test_webserver(flags: dict[str, Any], _arguments: list[str]) -> int:
    """Serves the container's files."""

    def files(request: Handler) -> None:
        path = Path("/", os.path.normpath(request.path.partition("?")[0]).lstrip("/"))
        if path.is_dir() and (path / "index.html").is_file():
            path /= "index.html"
        if path.is_dir():
            names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in path.iterdir())
            links = "".join(f'<a href="{name}">{name}</a>\n' for name in names)
            request.answer(f"<!doctype html>\n<pre>\n{links}</pre>\n", Cache_Control="private")
        elif path.is_file():
            request.answer(path.read_bytes(), Cache_Control="private", Access_Control_Allow_Origin="*")
        else:
            request.fail("404 page not found", 404)

    return _serve_forever(flags["port"], {"/": files})


def liveness(_flags: dict[str, Any], _arguments: list[str]) -> int:
    """Is well for ten seconds, and then no more."""
    began = time.monotonic()

    def healthz(request: Handler) -> None:
        seconds = time.monotonic() - began
        request.answer(*((f"error: {seconds}", 500) if seconds > 10 else ("ok", 200)))

    routes = {
        "/": lambda request: request.fail("404 page not found", 404),
        "/healthz": healthz,
        "/started": lambda request: request.answer(f"{time.monotonic() - began:.9f}s"),
        "/redirect": lambda request: request.redirect(request.form.get("loc", ""), 302),
    }
    return _serve_forever(8080, routes)


class _Peers:
    """What nettest knows of the other Pods of its Service."""

    def __init__(self) -> None:
        self.hostname = socket.gethostname()
        self.sent: dict[str, int] = {}
        self.received: dict[str, int] = {}
        self.log: list[str] = []
        self.errors: list[str] = []
        self.contacting = True
        self.lock = threading.Lock()

    def verdict(self, peers: int) -> str:
        """`pass`, `running` or `fail`."""
        if len(self.sent) >= peers and len(self.received) >= peers:
            return "pass"
        return "running" if self.contacting else "fail"

    def as_json(self) -> str:
        """All of it, for `/read`."""
        state = {
            "Hostname": self.hostname,
            "Sent": self.sent or None,
            "Received": self.received or None,
            "Errors": self.errors or None,
            "Log": self.log or None,
            "StillContactingPeers": self.contacting,
        }
        return json.dumps(state, indent="\t")


def nettest(flags: dict[str, Any], _arguments: list[str]) -> int:
    """Finds the Pods of a Service, calls them all, and waits for their calls."""
    state = _Peers()

    def write(request: Handler) -> None:
        with state.lock:
            try:
                source = json.loads(request.body)["Source"]
                state.received[source] = state.received.get(source, 0) + 1
            except (ValueError, KeyError, TypeError) as error:
                state.errors.append(str(error))
        request.answer(to_json({"Hostname": state.hostname}) + "\n")

    routes = {
        "/": lambda request: request.fail("404 page not found", 404),
        "/quit": lambda _request: os._exit(0),
        "/read": lambda request: request.answer(state.as_json()),
        "/status": lambda request: request.answer(state.verdict(flags["peers"])),
        "/write": write,
    }
    in_background(lambda: _contact(state, flags))
    return _serve_forever(flags["port"], routes, delay=flags["delay_shutdown"])


def _contact(state: _Peers, flags: dict[str, Any]) -> None:
    for _ in range(_ROUNDS):
        for url in _endpoints(state, flags):
            state.log.append(f"Attempting to contact {url}")
            body = json.dumps({"Source": state.hostname, "Dest": url}).encode()
            try:
                with urllib.request.urlopen(f"{url}/write", data=body, timeout=_PAUSE_SECONDS) as answer:
                    name = json.load(answer)["Hostname"]
                with state.lock:
                    state.sent[name] = state.sent.get(name, 0) + 1
            except (OSError, ValueError, KeyError) as error:
                state.log.append(f'Warning: unable to contact the endpoint "{url}": {error}')
        if state.verdict(flags["peers"]) == "pass":
            break
        time.sleep(_PAUSE_SECONDS)
    state.contacting = False


def _endpoints(state: _Peers, flags: dict[str, Any]) -> list[str]:
    """The addresses of the Service's Pods, from the API, with the Pod's own token."""
    where = f"{flags['namespace']}/{flags['service']}"
    server = f"https://{os.environ.get('KUBERNETES_SERVICE_HOST')}:{os.environ.get('KUBERNETES_SERVICE_PORT')}"
    url = f"{server}/api/v1/namespaces/{flags['namespace']}/endpoints/{flags['service']}"
    try:
        token = (_ACCOUNT / "token").read_text()
        context = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=_PAUSE_SECONDS, context=context) as answer:
            subsets = json.load(answer).get("subsets") or []
    except (OSError, ValueError) as error:
        state.log.append(f"Unable to read the endpoints for {where}: {error}.")
        return []
    return [
        f"http://{address['ip']}:{port['port']}"
        for subset in subsets
        for address in subset.get("addresses") or []
        for port in subset.get("ports") or []
    ]


def _serve_forever(port: int, routes: dict[str, Any], *, delay: int = 0) -> int:
    if delay:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        HttpServer(port, routes).start()
    except OSError as error:
        log(f"listen tcp :{port}: {why(error)}")
        return 1
    if not delay:
        signal.pause()
        return 0
    signal.sigwait({signal.SIGTERM})
    log(f"Sleeping {delay} seconds before exit ...")
    time.sleep(delay)
    return 0


COMMANDS = [
    Command("liveness", "a server that is well for ten seconds", liveness),
    Command(
        "nettest",
        "checks that all Pods of a Service reach each other",
        nettest,
        [
            Flag("delay-shutdown", 0, "seconds to go on after SIGTERM"),
            Flag("namespace", "default", "namespace of the Service"),
            Flag("peers", 8, "how many Pods must be found"),
            Flag("port", 8080, "port of its server"),
            Flag("service", "nettest", "the Service"),
        ],
    ),
    Command(
        "porter",
        "serves what variables say on the ports that they name",
        porter,
        [Flag("json-response", False, "answer in JSON, with the method of the request")],
    ),
    Command(
        "serve-hostname",
        "serves the host name",
        serve_hostname,
        [
            Flag("close", False, "end each HTTP connection after its answer"),
            Flag("http", True, "over HTTP"),
            Flag("port", 9376, "on this port"),
            Flag("tcp", False, "over TCP"),
            Flag("udp", False, "over UDP"),
        ],
    ),
    Command("test-webserver", "serves the container's files", test_webserver, [Flag("port", 80, "on this port")]),
]
