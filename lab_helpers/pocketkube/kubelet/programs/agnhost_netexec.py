"""agnhost netexec: an HTTP(S), UDP and SCTP server whose endpoints tell who answers, who asks, and reach further.

Models test/images/agnhost/netexec (v1.36).
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from .agnhost_flags import Command, Flag
from .go_net import Handler, HttpServer, duration, log, serve_datagrams, serve_streams, to_json, why

_DIAL_SECONDS = 5.0
_UPLOADS = "/uploads"

_ending = threading.Event()
_ready = threading.Event()


def run(flags: dict[str, Any], _arguments: list[str]) -> int:
    """Serves until a signal or a request ends it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # Before there are threads, which inherit it.
    port = flags["http_port"]
    routes = _routes(port)
    try:
        if flags["udp_port"] != -1:
            for address in sorted({part for part in flags["udp_listen_addresses"].split(",") if part}) or [""]:
                serve_datagrams(flags["udp_port"], _commands("UDP", flags["udp_port"]), address=address)
                log(f"Started UDP server on port {address} {flags['udp_port']}")
                _ready.set()
        if flags["sctp_port"] != -1:
            _serve_sctp(flags["sctp_port"])
        server = HttpServer(port, routes, override=flags["http_override"])
        server.start(flags["tls_cert_file"], flags["tls_private_key_file"])
    except OSError as error:
        log(f"listen tcp :{port}: {why(error)}")
        return 1
    log(f"Started HTTP server on port {port}")
    while signal.sigwait({signal.SIGTERM}) != signal.SIGTERM:
        continue
    _ending.set()
    if flags["delay_shutdown"] > 0:
        log(f"Sleeping {flags['delay_shutdown']} seconds before terminating...")
        time.sleep(flags["delay_shutdown"])
    return 0


COMMAND = Command(
    "netexec",
    "HTTP(S), UDP and SCTP servers with many endpoints",
    run,
    [
        Flag("delay-shutdown", 0, "seconds to go on after SIGTERM"),
        Flag("http-override", "", "answer every request as if it were a GET of this path"),
        Flag("http-port", 8080, "port of the HTTP server"),
        Flag("sctp-port", -1, "port of the SCTP server"),
        Flag("tls-cert-file", "", "certificate that makes HTTP HTTPS"),
        Flag("tls-private-key-file", "", "its private key"),
        Flag("udp-listen-addresses", "", "addresses of the UDP server, with commas"),
        Flag("udp-port", 8081, "port of the UDP server; -1 for none"),
    ],
)


def _routes(port: int) -> dict[str, Callable[[Handler], None]]:
    def tell(path: str, text: Callable[[Handler], str]) -> Callable[[Handler], None]:
        def route(request: Handler) -> None:
            log(f"GET {path}")
            request.answer(text(request))

        return route

    return {
        "/": tell("/", lambda _: f"NOW: {time.strftime('%Y-%m-%d %H:%M:%S')}.{time.time_ns() % 10**9:09d} +0000 UTC"),
        "/clientip": tell("/clientip", lambda request: request.client),
        "/serverport": tell("/serverport", lambda _: str(port)),
        "/hostname": tell("/hostname", lambda _: socket.gethostname()),
        "/hostName": tell("/hostName", lambda _: socket.gethostname()),
        "/header": _header,
        "/dial": _dial,
        "/echo": _echo,
        "/exit": _exit,
        "/healthz": _healthz,
        "/readyz": _readyz,
        "/redirect": _redirect,
        "/shell": _shell,
        "/shutdown": _shutdown,
        "/upload": _upload,
    }


def _header(request: Handler) -> None:
    key = request.form.get("key", "")
    log(f"GET /header?key={key}" if key else "GET /header")
    if key:
        request.answer(request.headers.get(key, ""))
        return
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        if name.lower() != "host":
            headers.setdefault("-".join(part.capitalize() for part in name.split("-")), []).append(value)
    request.answer(to_json(headers))


def _echo(request: Handler) -> None:
    message, code = request.form.get("msg", ""), request.form.get("code", "")
    log(f"GET /echo?msg={message}&code={code}")
    if _is_code(request, code):
        request.answer(message, int(code or 200))


def _exit(request: Handler) -> None:
    wanted = {key: request.form.get(key, "") for key in ("code", "timeout", "wait")}
    log("GET /exit?" + "&".join(f"{key}={value}" for key, value in wanted.items()))
    seconds = {}
    for key in ("timeout", "wait"):
        try:
            seconds[key] = duration(wanted[key]) if wanted[key] else 0.0
        except ValueError:
            request.answer(f"argument '{key}' must be a valid golang duration or empty, got \"{wanted[key]}\"\n")
            return
    if wanted["code"] and not _is_number(wanted["code"]):
        request.answer(f"argument 'code' must be an integer [0-127] or empty, got \"{wanted['code']}\"\n")
        return
    time.sleep(seconds["wait"])
    if seconds["timeout"] > 0:
        request.answer("", Connection="close")
        request.wfile.flush()
        log("Graceful shutdown completed with: <nil>")
    _end(int(wanted["code"] or 0))


def _healthz(request: Handler) -> None:
    log("GET /healthz")
    request.answer("", 200 if _ready.is_set() else 412)


def _readyz(request: Handler) -> None:
    log("GET /readyz")
    if _ending.is_set():
        request.answer("shutting down", 503)
    else:
        request.answer(*(("ok", 200) if _ready.is_set() else ("", 412)))


def _redirect(request: Handler) -> None:
    location, code = request.form.get("location", ""), request.form.get("code", "")
    log(f"{request.command} /redirect?msg={location}&code={code}")
    if _is_code(request, code):
        request.redirect(location, int(code or 302))


def _is_code(request: Handler, code: str) -> bool:
    """True for a number or nothing; else says what is wrong."""
    if code and not _is_number(code):
        request.answer(f"argument 'code' must be an integer or empty, got \"{code}\"\n")
        return False
    return True


def _shutdown(_request: Handler) -> None:
    log("GET /shutdown")
    _end(0)


def _shell(request: Handler) -> None:
    command = request.form.get("shellCommand") or request.form.get("cmd", "")
    log(f"GET /shell?cmd={command}")
    done = subprocess.run(["/bin/sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    answer = {}
    if done.stdout:
        answer["output"] = done.stdout.decode(errors="replace")
    if done.returncode:
        how = f"exit status {done.returncode}"
        answer["error"] = how if done.returncode > 0 else f"signal: {signal.strsignal(-done.returncode)}".lower()
    log(f"Output: map[{' '.join(f'{key}:{answer[key]}' for key in sorted(answer))}]")
    request.answer(to_json(answer))


def _upload(request: Handler) -> None:
    log("GET /upload")
    content = _file_of(request)
    if content is None:
        request.answer(to_json({"error": "Unable to upload file."}))
        return
    try:
        descriptor, path = tempfile.mkstemp(prefix="upload", dir=_UPLOADS)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(path, 0o700)  # noqa: PTH101
    except OSError:
        request.answer(to_json({"error": "Unable to open file for write"}))
        return
    log(f"Wrote upload to {path}")
    request.answer(to_json({"output": path}), 201)


def _file_of(request: Handler) -> bytes | None:
    """The part named `file` of a form."""
    head = f"Content-Type: {request.headers.get('Content-Type', '')}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + request.body)
    for part in message.iter_parts() if message.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == "file":
            payload = part.get_payload(decode=True)
            return payload if isinstance(payload, bytes) else None
    return None


def _dial(request: Handler) -> None:
    """Asks another server, several times if wanted, and tells all answers."""
    form = {key: request.form.get(key, "") for key in ("host", "protocol", "port", "request", "tries")}
    log("GET /dial?" + "&".join(f"{key}={value}" for key, value in form.items()))
    protocol = form["protocol"].lower() or "http"
    dialers = {"http": _dial_http, "udp": _dial_udp, "sctp": _dial_sctp}
    if form["tries"] and not _is_number(form["tries"]):
        tries = form["tries"]
        request.fail(f'tries parameter is invalid. strconv.Atoi: parsing "{tries}": invalid syntax', 400)
    elif not form["request"]:
        request.fail("request parameter not specified. <nil>", 400)
    elif protocol not in dialers:
        request.fail(f"unsupported protocol. {form['protocol']}", 400)
    else:
        try:
            address = socket.getaddrinfo(form["host"], int(form["port"]), socket.AF_INET)[0][4]
        except ValueError:
            request.fail(f"host and/or port param are invalid. lookup tcp/{form['port']}: unknown port", 400)
            return
        except OSError:
            request.fail(f"host and/or port param are invalid. lookup {form['host']}: no such host", 400)
            return
        dial, host, port = dialers[protocol], str(address[0]), int(address[1])
        request.answer(to_json(_dial_all(lambda: dial(form["request"], host, port), int(form["tries"] or 1))))


def _dial_all(dial: Callable[[], str], tries: int) -> dict[str, list[str]]:
    responses: list[str] = []
    errors: list[str] = []
    last = ""
    for _ in range(tries):
        try:
            last = dial()
            responses.append(last)
        except OSError as error:
            last = ""
            errors.append(str(error))
    found = {"responses": responses} if last else {}
    return found | ({"errors": errors} if errors else {})


def _dial_http(request: str, host: str, port: int) -> str:
    url = f"http://{host}:{port}/{request}"
    connection = http.client.HTTPConnection(host, port, timeout=_DIAL_SECONDS)
    try:
        connection.request("GET", f"/{request}", headers={"User-Agent": "Go-http-client/1.1"})
        return connection.getresponse().read().decode(errors="replace")
    except TimeoutError:
        how = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        raise OSError(f'Get "{url}": {how}') from None
    except OSError as error:
        raise OSError(f'Get "{url}": dial tcp {host}:{port}: {why(error)}') from None
    except http.client.HTTPException as error:
        raise OSError(f'Get "{url}": {error or "EOF"}') from None
    finally:
        connection.close()


def _dial_udp(request: str, host: str, port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(_DIAL_SECONDS)
        try:
            client.connect((host, port))
            client.send(request.encode())
            return client.recv(2048).decode(errors="replace")
        except OSError as error:
            own = "{}:{}".format(*client.getsockname())
            how = why(error).removeprefix("connect: ")
            how = how if isinstance(error, TimeoutError) else f"read: {how}"
            raise OSError(f"reading from udp connection failed. err:'read udp {own}->{host}:{port}: {how}'") from None


def _dial_sctp(request: str, host: str, port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as client:
        client.settimeout(_DIAL_SECONDS)
        try:
            client.connect((host, port))
            client.send(request.encode())
            return client.recv(1024).decode(errors="replace")
        except OSError as error:
            raise OSError(f"sctp dial failed. err:{why(error).removeprefix('connect: ')}") from None


def _serve_sctp(port: int) -> None:
    answer = _commands("SCTP", port)

    def one(connection: socket.socket, client: str) -> None:
        reply = answer(connection.recv(1024), client)
        if reply is not None:
            connection.send(reply)

    serve_streams(port, one, protocol=socket.IPPROTO_SCTP)
    log("Started SCTP server")
    _ready.set()


def _commands(protocol: str, port: int) -> Callable[[bytes, str], bytes | None]:
    """What the servers without HTTP answer."""

    def answer(data: bytes, client: str) -> bytes | None:
        text = data.decode(errors="replace").strip().lower()
        if text == "hostname":
            log(f"Sending {protocol} hostName response")
            return socket.gethostname().encode()
        if text.startswith("echo "):
            log(f"Echoing {text[5:]} to {protocol} client {client}")
            return text[5:].encode()
        if text == "clientip":
            log(f"Sending clientip back to {protocol} client {client}")
            return client.encode()
        if text == "serverport":
            log(f"Sending server port to {protocol} client {client}")
            return str(port).encode()
        if text:
            log(f"Unknown {protocol} command received from {client}: {text}")
        return None

    return answer


def _is_number(text: str) -> bool:
    return text.lstrip("+-").isdigit()


def _end(code: int) -> None:
    sys.stdout.flush()
    os._exit(code & 0xFF)
