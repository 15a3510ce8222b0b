"""`servicelab image`, as people use it, and what a running cluster makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from waiting import until

from lab_helpers.cli import main
from lab_helpers.clusters import EmbeddedCluster


def image(*args: str) -> Result:
    return CliRunner().invoke(main, ["image", *args])


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "greet"
    path.write_text('#!/bin/sh\necho "hello $*"\nexec sleep 1000\n')
    path.chmod(0o755)
    return path


def test_an_image_is_added_listed_and_removed(servicelab_home: Path, program: Path) -> None:
    added = image("add", "greet", "--from", str(program), "--cmd", "you there", "--alias", "hi", "--env", "A=b=c")
    assert (added.exit_code, "--image=greet" in added.output) == (0, True)
    first = json.loads(image("ls", "-o", "json").output)[0]
    assert (first["name"], first["where"], first["aliases"], first["cmd"]) == (
        "greet",
        "added",
        ["hi"],
        ["you", "there"],
    )
    assert image("ls").output.splitlines()[1].startswith("greet")
    assert image("rm", "greet").exit_code == 0
    assert "greet " not in image("ls").output


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["add"], "needs a name"),
        (["add", "x"], "needs files"),
        (["add", "x", "--from", "/nosuch"], "/nosuch does not exist"),
        (["add", "x", "--base", "httpd", "--entrypoint", "[1]"], "is no list of words"),
        (["add", "x", "--base", "httpd", "--cmd", "'"], "is no command line"),
        (["add", "x", "--base", "httpd", "--env", "A"], "is no variable"),
        (["add", "--file", "/nosuch.toml"], "/nosuch.toml can't be read"),
        (["rm", "nosuch"], "no added image 'nosuch'"),
        (["rm", "httpd"], "is built in and stays"),
    ],
)
def test_a_mistake_is_one_sentence_and_the_next_step(servicelab_home: Path, args: list[str], expected: str) -> None:
    result = image(*args)
    assert result.exit_code == 2
    assert expected in result.output
    assert len(result.output.splitlines()) >= (1 if "--file" in args else 2)


def test_an_image_for_a_cluster_that_does_not_run_is_refused(servicelab_home: Path, program: Path) -> None:
    result = image("add", "x", "--from", str(program), "--name", "nobody")
    assert (result.exit_code, "servicelab up --name nobody" in result.output) == (3, True)


@pytest.mark.kernel
@pytest.mark.kubectl
def test_a_running_cluster_has_an_added_image_at_once(cluster: EmbeddedCluster, program: Path) -> None:
    """Even a Pod that waits for it, although its next attempt would be 10 s away and more."""
    assert cluster.kubectl("run", "greeting", "--image=example.org/greet:v1", "--", "you").ok
    until(lambda: "ImagePull" in cluster.kubectl("get", "pod", "greeting").stdout)
    assert image("add", "greet", "--from", str(program), "--name", cluster.name).exit_code == 0
    ready = cluster.kubectl("wait", "--for=condition=Ready", "pod/greeting", "--timeout=5s")
    assert ready.ok, ready.stderr
    until(lambda: cluster.kubectl("logs", "greeting").stdout == "hello you\n")
    cluster.kubectl("delete", "pod", "greeting", "--now")
    assert image("rm", "greet", "--name", cluster.name).exit_code == 0
