"""What only root can try: a small disk under a cluster, and another user of the machine at its door.

Not marked `kernel`: where that mark is required, an unprivileged user's skip would be a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab_helpers.clusters import EmbeddedCluster
from lab_helpers.errors import LabError
from lab_helpers.pocketkube.host_probe import require_kernel_engine

TESTS = Path(__file__).parent


@pytest.fixture(autouse=True)
def able() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk, and act as another user")
    try:
        require_kernel_engine()
    except LabError as error:
        pytest.skip(str(error))


def test_a_full_disk_is_named_and_harms_nothing(tmp_path: Path) -> None:
    """In a mount namespace of its own, with a small file system for the state."""
    mount = 'mount -t tmpfs -o size=6m,mode=700 tmpfs "$1" && exec "$2" "$3" "$1"'
    driver = str(TESTS / "full_disk.py")
    command = ["unshare", "--mount", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, driver]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "HOME": "/tmp"})
    assert done.returncode == 0, done.stdout + done.stderr


INTRUDER = """
import socket, ssl, sys, urllib.request, urllib.error
port, folder = sys.argv[1], sys.argv[2]
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
for method, path in ("GET", "/api/v1/secrets"), ("GET", "/apis"), ("POST", "/api/v1/namespaces/default/pods"):
    try:
        request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", method=method)
        urllib.request.urlopen(request, context=context)
        print(path, "is open")
    except urllib.error.HTTPError as error:
        assert error.code in (401, 403), error.code
assert urllib.request.urlopen(f"https://127.0.0.1:{port}/healthz", context=context).read() == b"ok"
for name in "api.sock", "kubelet.sock", "shell.sock", "door.sock":
    try:
        socket.socket(socket.AF_UNIX).connect(f"{folder}/{name}")
        print(name, "is open")
    except PermissionError:
        pass
for name in "kubeconfig", "store.sqlite", "pki/ca.key", "logs/control-plane.log", ".":
    try:
        open(f"{folder}/{name}")
        print(name, "is open")
    except PermissionError:
        pass
"""


def test_other_users_of_the_machine_reach_the_port_and_nothing_behind_it(cluster: EmbeddedCluster) -> None:
    port = (cluster.config.state_dir / "api-port").read_text()
    python = shutil.which("python3", path="/usr/bin") or pytest.skip("no Python that every user can run")
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    command = [*nobody, python, "-c", INTRUDER, port, str(cluster.config.state_dir)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
