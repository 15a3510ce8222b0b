"""What `servicelab status` tells of an embedded cluster: asked of its API over the Unix socket, and of /proc.

Reads only; standard library only, so that the command starts quickly.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from pathlib import Path
from typing import Any

from ..paths import name_option
from ..pocketkube.config import KUBERNETES_VERSION, ClusterConfig
from ..pocketkube.state import Lock, StateDir

DEADLINE = 5.0
"""Seconds to wait for an answer of the API server."""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=DEADLINE)
        self._path = path

    def connect(self) -> None:
        """Connects to the socket's file instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(str(self._path))


def status(config: ClusterConfig) -> dict[str, Any]:
    """State (`running`, `starting`, `died`, `absent`) and, while it runs, what is in it."""
    state = StateDir(config.state_dir)
    report: dict[str, Any] = {"name": config.name, "kind": "embedded"}
    option = name_option(config.name)
    if not config.state_dir.is_dir():
        return report | {"state": "absent", "next": f"servicelab up{option}"}
    if not state.is_held(Lock.SUPERVISOR):
        return report | {"state": "died", "next": f"servicelab up{option} --resume, or servicelab down{option}"}
    info = state.info()
    if info is None:
        return report | {"state": "starting", "next": f"servicelab status{option}"}
    report |= {"state": "running", **info, "version": KUBERNETES_VERSION, "kubeconfig": str(config.kubeconfig)}
    try:
        report |= _contents(config)
    except OSError as error:
        report |= {"state": "not answering", "next": f"servicelab down{option}, then servicelab up{option}"}
        report["problem"] = str(error)
    if pid := state.supervisor_pid():
        report["memory"] = f"{round(memory_of_tree(pid) / 1e6)} MB"
    return report


def _contents(config: ClusterConfig) -> dict[str, Any]:
    connection = _UnixConnection(config.api_socket)
    with contextlib.closing(connection):
        nodes = _get(connection, "/api/v1/nodes")["items"]
        pods = _get(connection, "/api/v1/pods")["items"]
    return {
        "nodes": [f"{node['metadata']['name']} ({_readiness(node)})" for node in nodes],
        "pods": f"{sum(_readiness(pod) == 'Ready' for pod in pods)} of {len(pods)} Ready",
    }


def _get(connection: http.client.HTTPConnection, path: str) -> Any:
    connection.request("GET", path)
    return json.loads(connection.getresponse().read())


def _readiness(obj: dict[str, Any]) -> str:
    conditions = obj.get("status", {}).get("conditions") or []
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return "Ready" if ready else "NotReady"


def memory_of_tree(root: int) -> int:
    """Proportional set size, in bytes, of a process and all below it: shared pages are counted once."""
    return sum(_proportional_size(pid) for pid in processes_below(root))


def processes_below(root: int) -> list[int]:
    """A process and all its descendants, by /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            children.setdefault(_parent_of(entry), []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def _parent_of(entry: Path) -> int:
    try:
        # The command name in parentheses may hold anything: count fields from its end.
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _proportional_size(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
