"""A port of this machine that leads to a Service."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from lab_helpers.clusters import EmbeddedCluster
from lab_helpers.errors import InvalidInput
from lab_helpers.tunnel import find_target, url

pytestmark = [pytest.mark.kernel, pytest.mark.kubectl]


@pytest.fixture(scope="module")
def web(cluster: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    for command in (
        ("create", "namespace", "tunnel"),
        ("-n", "tunnel", "create", "deployment", "web", "--image=whoami", "--replicas=2"),
        ("-n", "tunnel", "rollout", "status", "deployment/web", "--timeout=20s"),
        ("-n", "tunnel", "expose", "deployment", "web", "--port=80"),
    ):
        done = cluster.kubectl(*command)
        assert done.ok, done.stderr
    yield cluster
    cluster.kubectl("delete", "namespace", "tunnel", "--wait=false")


def test_each_connection_goes_to_one_of_the_pods(web: EmbeddedCluster) -> None:
    command = [sys.executable, "-m", "lab_helpers", "tunnel", "--name", web.name, "-n", "tunnel", "web"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            where = running.stdout.readline().strip()
            answers = [urllib.request.urlopen(where, timeout=10).read().decode() for _ in range(24)]
            running.send_signal(signal.SIGINT)
            assert running.wait(timeout=10) == 130
        finally:
            running.kill()
    assert len({re.search(r"Hostname: (\S+)", answer)[1] for answer in answers}) == 2  # type: ignore[index]


def test_what_can_not_be_led_to_is_said(web: EmbeddedCluster) -> None:
    with pytest.raises(InvalidInput, match="not found"):
        find_target(web, "nobody", namespace="tunnel")
    with pytest.raises(InvalidInput) as refusal:
        find_target(web, "web", namespace="tunnel", port="81")
    assert "80" in refusal.value.hint


def test_behind_jupyterhub_the_url_goes_through_its_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert url(8080) == "http://127.0.0.1:8080/"
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/jovyan/")
    assert url(8080) == "/user/jovyan/proxy/8080/"
