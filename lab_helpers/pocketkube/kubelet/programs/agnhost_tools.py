"""agnhost's subcommands that do one thing and end: connect, dns-suffix, dns-server-list, etc-hosts, mounttest, ...

Models test/images/agnhost (v1.36).
"""

from __future__ import annotations

import os
import random
import signal
import socket
import stat
import sys
import time
from pathlib import Path
from typing import Any

from .agnhost_flags import Command, Flag
from .go_net import why

_NEW_CONTENT = "mount-tester new file\n"
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


def connect(flags: dict[str, Any], arguments: list[str]) -> int:
    """Opens a connection; what goes wrong begins with TIMEOUT, DNS, REFUSED, OTHER or UNKNOWN."""
    host, colon, port = arguments[0].rpartition(":")
    if not colon or not port.isdigit():
        return _say(f"UNKNOWN: address {arguments[0]}: missing port in address")
    kinds = {
        "tcp": (socket.SOCK_STREAM, 0), "udp": (socket.SOCK_DGRAM, 0), "sctp": (socket.SOCK_STREAM, 132)
    }  # fmt: skip
    protocol = flags["protocol"] or "tcp"
    if protocol not in kinds:
        return _say("Unsupported protocol\n")
    try:
        address = socket.getaddrinfo(host.strip("[]"), int(port), socket.AF_INET)[0][4]
    except OSError:
        return _say(f"DNS: lookup {host}: no such host")
    kind, number = kinds[protocol]
    own = ""
    try:
        with socket.socket(socket.AF_INET, kind, number) as client:
            client.settimeout(flags["timeout"] or None)
            client.connect(address)
            own = "{}:{}".format(*client.getsockname())
            if protocol != "tcp":
                client.send(f"{flags[f'{protocol}_data']}\n".encode())
                client.recv(1024)
    except TimeoutError as error:
        return _say("TIMEOUT" if protocol != "udp" else f"TIMEOUT: read udp {own}->{arguments[0]}: {why(error)}")
    except ConnectionRefusedError:
        refused = "connection refused"
        words = {"tcp": "REFUSED", "udp": f"REFUSED: read udp {own}->{arguments[0]}: read: {refused}"}
        return _say(words.get(protocol, f"OTHER: {refused}"))
    except OSError as error:
        return _say(f"OTHER: dial {protocol} {arguments[0]}: {why(error)}")
    return 0


def dns_suffix(_flags: dict[str, Any], _arguments: list[str]) -> int:
    """The search list of /etc/resolv.conf."""
    return _resolv_conf("search")


def dns_server_list(_flags: dict[str, Any], _arguments: list[str]) -> int:
    """The first name server line of /etc/resolv.conf."""
    return _resolv_conf("nameserver")


def etc_hosts(_flags: dict[str, Any], _arguments: list[str]) -> int:
    """The file itself."""
    print(Path("/etc/hosts").read_text())
    return 0


def pause(_flags: dict[str, Any], _arguments: list[str]) -> int:
    """Waits for a signal, and says which it was."""
    ends = {signal.SIGINT: ("interrupt", 1), signal.SIGTERM: ("terminated", 2)}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    print("Paused\nSignals registered", flush=True)
    name, code = ends[signal.Signals(signal.sigwait(ends))]
    words = f'exiting because of signal "{name}"\n'
    try:
        Path(os.environ.get("TERMINATION_MESSAGE_PATH") or "/dev/termination-log").write_text(words)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
    sys.stdout.write(words)
    return code


def entrypoint_tester(_flags: dict[str, Any], _arguments: list[str]) -> int:
    """Its own command line."""
    print(f"[{' '.join(sys.argv)}]")
    return 0


def logs_generator(flags: dict[str, Any], _arguments: list[str]) -> int:
    """Lines that look like an API server's, spread over the time that is given."""
    total, seconds = flags["log_lines_total"], flags["run_duration"]
    if total <= 0 or seconds <= 0:
        return _say(f"Invalid total number of lines: {total}" if total <= 0 else f"Invalid duration: {seconds}")
    for number in range(total):
        pod = "".join(random.choices(_LETTERS, k=random.randint(3, 4)))
        method, namespace = random.choice(("GET", "POST", "PUT")), random.choice(("kube-system", "default", "ns"))
        url = f"/api/v1/namespaces/{namespace}/pods/{pod}"
        stamp = f"I{time.strftime('%m%d %H:%M:%S')}.{time.time_ns() // 1000 % 10**6:06d}{os.getpid():8d}"
        sys.stderr.write(f"{stamp} logs_generator.go:76] {number} {method} {url} {random.randint(200, 599)}\n")
        sys.stderr.flush()
        time.sleep(seconds / total)
    return 0


def mounttest(flags: dict[str, Any], _arguments: list[str]) -> int:
    """Looks at files and writes new ones; what it finds is one line each."""
    os.umask(0)
    steps = [
        (flags["fs_type"], _fs_type),
        *((flags[f"new_file_{mode}"], _writer(mode)) for mode in ("0644", "0666", "0660", "0777")),
        (flags["file_mode"], lambda path: print(f'mode of file "{path}": {_go_mode(Path(path).stat().st_mode)}')),
        (flags["file_perm"], lambda path: print(f'perms of file "{path}": {_permissions(Path(path).stat().st_mode)}')),
        (flags["file_owner"], _owner),
        (flags["file_content"], _content),
        (flags["file_content_in_loop"], lambda path: _content_in_loop(path, flags)),
    ]
    failed = False
    for path, step in steps:
        if not path:
            continue
        try:
            step(path)
        except OSError as error:
            failed = True
            words = (error.strerror or str(error)).lower()
            print(f'error {"reading file content for" if step is _content else "with"} "{path}": open {path}: {words}')
    return int(failed)


def _fs_type(path: str) -> None:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    real = Path(path).resolve()
    found = max((fields for fields in mounts if real.is_relative_to(fields[1])), key=lambda fields: len(fields[1]))
    print(f'mount type of "{path}": {found[2]}')


def _writer(mode: str) -> Any:
    def write(path: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, int(mode, 8))
        os.write(descriptor, _NEW_CONTENT.encode())
        os.close(descriptor)
        _content(path)

    return write


def _owner(path: str) -> None:
    state = Path(path).stat()
    print(f'owner UID of "{path}": {state.st_uid}\nowner GID of "{path}": {state.st_gid}')


def _content(path: str) -> str:
    text = Path(path).read_text(errors="replace")
    print(f'content of file "{path}": {text}', flush=True)
    return text


def _content_in_loop(path: str, flags: dict[str, Any]) -> None:
    deadline = time.monotonic() + flags["retry_time"]
    while time.monotonic() < deadline:
        try:
            text = _content(path)
        except OSError as error:
            print(f"Error reading file {path}: {error.strerror}, retrying", flush=True)
        else:
            if flags["break_on_expected_content"]:
                if text == _NEW_CONTENT:
                    return
                print(f"Unexpected content. Expected: {_NEW_CONTENT}. Retrying", flush=True)
        time.sleep(2)


def _permissions(mode: int) -> str:
    """`-rw-r--r--`, as Go shows a mode's permissions alone."""
    return "-" + stat.filemode(stat.S_IFREG | (mode & 0o777))[1:]


def _go_mode(mode: int) -> str:
    """As Go shows a whole mode: letters for what is special about it come first."""
    special = (
        (stat.S_ISDIR(mode), "d"), (stat.S_ISLNK(mode), "L"), (stat.S_ISFIFO(mode), "p"), (stat.S_ISSOCK(mode), "S"),
        (bool(mode & stat.S_ISUID), "u"), (bool(mode & stat.S_ISGID), "g"), (bool(mode & stat.S_ISVTX), "t"),
    )  # fmt: skip
    letters = "".join(letter for applies, letter in special if applies)
    return (letters or "-") + _permissions(mode)[1:]


def _resolv_conf(keyword: str) -> int:
    for line in Path("/etc/resolv.conf").read_text().splitlines():
        if line.startswith(keyword):
            print(",".join(line.split(" ")[1:]))
            return 0
    sys.stderr.write("panic: Could not find DNS search list!\n")
    return 2


def _say(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return 1


COMMANDS = [
    Command(
        "connect",
        "tries a TCP, UDP or SCTP connection and says what went wrong",
        connect,
        [
            Flag("protocol", "tcp", "tcp, udp or sctp"),
            Flag("sctp-data", "hostname", "what is sent over SCTP"),
            Flag("timeout", 0, "how long to try", seconds=True),
            Flag("udp-data", "hostname", "what is sent over UDP"),
        ],
        "[host:port]",
    ),
    Command("dns-server-list", "prints the name servers", dns_server_list),
    Command("dns-suffix", "prints the DNS search list", dns_suffix),
    Command("entrypoint-tester", "prints its command line", entrypoint_tester, arguments="..."),
    Command("etc-hosts", "prints /etc/hosts", etc_hosts),
    Command(
        "logs-generator",
        "writes log lines for a while",
        logs_generator,
        [
            Flag("log-lines-total", 0, "how many", "t"),
            Flag("run-duration", 0, "for how long", "d", seconds=True),
        ],
    ),
    Command(
        "mounttest",
        "looks at files and mounts, and writes files",
        mounttest,
        [
            Flag("break-on-expected-content", True, "end the loop when a file has the content that is waited for"),
            *(Flag(name, "", "a path") for name in (
                "file-content", "file-content-in-loop", "file-mode", "file-owner", "file-perm", "fs-type",
                "new-file-0644", "new-file-0660", "new-file-0666", "new-file-0777",
            )),
            Flag("retry-time", 180, "seconds that the loop lasts"),
        ],
    ),
    Command("pause", "waits for a signal", pause),
]  # fmt: skip
