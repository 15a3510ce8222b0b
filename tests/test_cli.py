"""The `servicelab` command, as scripts and people use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab_helpers.cli import main
from lab_helpers.clusters import EmbeddedCluster
from lab_helpers.notebooks import copy_chapters


def servicelab(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "lab_helpers", *args], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("command", ["node", "outside", "kubectl", "env"])
def test_without_a_cluster_the_next_step_is_named(servicelab_home: Path, command: str) -> None:
    result = CliRunner().invoke(main, [command, "--name", "nobody", *(["--", "true"] if command != "env" else [])])
    assert result.exit_code == 3
    assert "servicelab up --name nobody" in result.output


def test_status_of_an_absent_cluster_ends_with_3(servicelab_home: Path) -> None:
    result = CliRunner().invoke(main, ["status", "--name", "nobody", "-o", "json"])
    assert (result.exit_code, json.loads(result.output)["state"]) == (3, "absent")


def test_down_without_a_cluster_is_no_error(servicelab_home: Path) -> None:
    result = CliRunner().invoke(main, ["down", "--name", "nobody"])
    assert (result.exit_code, result.output) == (0, "There is no cluster 'nobody'.\n")


@pytest.mark.parametrize("name", ["", "Upper", "-x", "x_y", "a" * 41, "../up", "x-"])
def test_a_name_that_no_node_can_have_is_refused(servicelab_home: Path, name: str) -> None:
    result = CliRunner().invoke(main, ["status", f"--name={name}"])
    assert result.exit_code == 2
    assert "can't be named" in result.output


def test_a_state_folder_too_deep_for_sockets_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SERVICELAB_HOME", str(tmp_path / ("x" * 100)))
    result = CliRunner().invoke(main, ["status"])
    assert result.exit_code == 2
    assert "SERVICELAB_HOME" in result.output


def test_a_state_folder_that_cannot_be_made_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SERVICELAB_HOME", str(tmp_path / "file"))
    result = CliRunner().invoke(main, ["up"])
    assert result.exit_code == 9
    assert "SERVICELAB_HOME" in result.output


@pytest.mark.kernel
def test_node_runs_a_command_with_its_input_output_and_exit_code(cluster: EmbeddedCluster) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab_helpers", "node", "--name", cluster.name, "--", "sh", "-c", "cat; exit 7"],
        input="through",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (7, "through")


@pytest.mark.kernel
def test_an_unknown_node_is_answered_with_those_that_exist(cluster: EmbeddedCluster) -> None:
    own = cluster.nodes()[0]
    for words in (("-n", own, "--"), (own, "--"), ("--",)):
        assert servicelab("node", "--name", cluster.name, *words, "hostname").stdout.strip() == own
    assert servicelab("node", "--name", cluster.name, "nowhere", "--", "true").returncode != 0
    done = servicelab("node", "--name", cluster.name, "-n", "nowhere", "--", "true")
    assert done.returncode == 126
    assert cluster.nodes()[0] in done.stderr


@pytest.mark.kernel
def test_outside_reaches_the_node_but_no_cluster_ip(cluster: EmbeddedCluster) -> None:
    node_ip = cluster.config.node_ip(0)
    inside = servicelab("outside", "--name", cluster.name, "--", "curl", "-sk", f"https://{node_ip}:8443/version")
    assert "gitVersion" in inside.stdout
    refused = servicelab(
        "outside", "--name", cluster.name, "--", "curl", "-sk", "--max-time", "1", "https://10.96.0.1/"
    )
    assert refused.returncode != 0


@pytest.mark.kernel
@pytest.mark.kubectl
def test_kubectl_is_passed_through_with_its_exit_code(cluster: EmbeddedCluster) -> None:
    assert cluster.nodes()[0] in servicelab("kubectl", "--name", cluster.name, "get", "nodes").stdout
    missing = servicelab("kubectl", "--name", cluster.name, "-n", "default", "get", "pod", "missing")
    assert missing.returncode == 1
    assert 'pods "missing" not found' in missing.stderr


@pytest.mark.kernel
@pytest.mark.kubectl
def test_env_makes_any_kubectl_use_the_cluster(cluster: EmbeddedCluster) -> None:
    script = f'eval "$({sys.executable} -m lab_helpers env --name {cluster.name})"; kubectl config current-context'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == cluster.name


@pytest.mark.kernel
def test_status_tells_engine_nodes_pods_and_memory(cluster: EmbeddedCluster) -> None:
    report = json.loads(servicelab("status", "--name", cluster.name, "-o", "json").stdout)
    assert report["state"] == "running"
    assert report["engine"] == cluster.config.engine
    assert report["nodes"] == [f"{cluster.name} (Ready)"]
    assert report["memory"].endswith(" MB")


def test_chapters_are_copied_once_and_never_over_a_learners_work(tmp_path: Path) -> None:
    first = copy_chapters(tmp_path)
    assert tmp_path / "manifests" / "service.yml" in first
    (tmp_path / "manifests" / "service.yml").write_text("mine")
    assert copy_chapters(tmp_path) == []
    assert (tmp_path / "manifests" / "service.yml").read_text() == "mine"


def test_doctor_reports_each_finding_with_its_verdict() -> None:
    findings = json.loads(CliRunner().invoke(main, ["doctor", "-o", "json"]).output)
    assert {"Python", "network engine", "iptables", "kubectl"} <= {finding["subject"] for finding in findings}
    assert all(finding["next_step"] for finding in findings if finding["verdict"] != "works")
