"""exec, attach and port-forward as clients use them that don't speak WebSockets: kubectl is made to upgrade to SPDY."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from dataclasses import replace

import pytest
from streaming_cluster import Kubectl, until

pytestmark = [pytest.mark.kernel, pytest.mark.kubectl]

WITHOUT_WEBSOCKETS = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}


@pytest.fixture
def spdy(kubectl: Kubectl) -> Kubectl:
    return replace(kubectl, settings=WITHOUT_WEBSOCKETS)


def test_a_command_s_streams_and_exit_code_arrive(spdy: Kubectl) -> None:
    script = "cat; echo complaint >&2; exit 3"
    done = spdy.run("exec", "-i", "shell", "--", "sh", "-c", script, stdin="given\n", code=3)
    assert done.stdout == "given\n"
    assert done.stderr == "complaint\ncommand terminated with exit code 3\n"
    assert "executable file not found in $PATH" in spdy.fails("exec", "shell", "--", "nosuch")


def test_large_input_and_output_arrive_whole(spdy: Kubectl) -> None:
    data = os.urandom(3_000_000)
    seen = spdy("exec", "-i", "shell", "--", "sha256sum", stdin=data)
    assert seen.split()[0] == hashlib.sha256(data).hexdigest()
    assert len(spdy("exec", "shell", "--", "head", "-c", "3000000", "/dev/zero")) == 3_000_000


def test_a_container_is_attached_to(spdy: Kubectl) -> None:
    name = "echo-" + hashlib.sha256(spdy.binary.encode()).hexdigest()[:6]
    spdy("run", name, "-i", "--image=busybox", "--attach=false", "--", "cat")
    spdy("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=20s")
    assert "hello\n" in spdy("attach", "-i", name, stdin="hello\n")


def test_ports_are_forwarded(spdy: Kubectl) -> None:
    forwarding = spdy.start("port-forward", "--address=127.0.0.1", "pod/web", ":80")
    try:
        assert forwarding.stdout is not None
        said = forwarding.stdout.readline().decode()
        port = said.split(":")[1].split()[0]
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                assert b"It works!" in answer.read()
    finally:
        forwarding.kill()
        forwarding.communicate()
    until(lambda: forwarding.poll() is not None)
