"""The Lab of a notebook: checks, strictness, grading, calm words for errors, magics, and the live picture."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

sys.path.insert(0, str(Path(__file__).parent / "exercises"))
from fake_cluster import Story, fake_workspace

from lab_helpers.exercises.progress import FILE_NAME
from lab_helpers.lab import GRADING_VARIABLE, CheckFailed, Lab
from lab_helpers.topology.picture import Picture
from lab_helpers.widgets import live_topology
from lab_helpers.widgets.live_topology import LiveTopology


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    monkeypatch.setenv("KUBECONFIG", os.environ.get("KUBECONFIG", ""))
    monkeypatch.delenv(GRADING_VARIABLE, raising=False)
    with fake_workspace(tmp_path) as workspace:
        yield Story(workspace)


@pytest.fixture
def lab(story: Story, tmp_path: Path) -> Lab:
    return Lab(2, cluster=story.cluster, folder=tmp_path)  # type: ignore[arg-type]


def solve_first(story: Story) -> None:
    story.deploy()
    story.add_pod(3)


def test_a_lab_says_where_it_is_and_points_kubectl_there(
    story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Lab(2, cluster=story.cluster, folder=tmp_path)  # type: ignore[arg-type]
    assert "namespace lab-02: ready" in capsys.readouterr().out
    config = Path(os.environ["KUBECONFIG"])
    assert "namespace: lab-02" in config.read_text()
    assert config.stat().st_mode & 0o777 == 0o600


def test_a_check_says_what_is_not_there_yet(lab: Lab) -> None:
    result = lab.check("2.1")
    assert result is not None and not result.passed
    assert "there is no Deployment here" in str(result)


def test_a_passed_exercise_stays_passed(lab: Lab, story: Story, tmp_path: Path) -> None:
    solve_first(story)
    result = lab.check("2.1")
    assert result is not None and result.passed_now
    story.objects.clear()
    again = Lab(2, cluster=story.cluster, folder=tmp_path).check("2.1")  # type: ignore[arg-type]
    assert again is not None and again.passed and not again.passed_now


def test_strict_raises_and_an_earlier_pass_does_not_count(lab: Lab, story: Story) -> None:
    solve_first(story)
    lab.check("2.1", strict=True)
    story.objects.clear()
    with pytest.raises(CheckFailed, match="not there yet"):
        lab.check("2.1", strict=True)


def test_grading_raises_for_a_failure_and_prints_a_pass(
    lab: Lab, story: Story, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(GRADING_VARIABLE, "autograde")
    with pytest.raises(CheckFailed):
        lab.check("2.1")
    solve_first(story)
    assert lab.check("2.1") is None
    shown = capsys.readouterr()
    assert "passed, 3 points" in shown.out and not shown.err


def test_an_unknown_exercise_is_one_calm_sentence(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.check("9.9") is None
    assert "There is no exercise '9.9'" in capsys.readouterr().out


def test_hints_go_on_and_progress_adds_up(lab: Lab, story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    lab.hint("2.1")
    lab.hint("2.1")
    assert "Hint 2 of 3" in capsys.readouterr().out
    solve_first(story)
    lab.check("2.1")
    lab.progress()
    assert "3 of 10 points" in capsys.readouterr().out
    lab.solution("2.2")
    assert "kubectl apply -f manifests/service.yml" in capsys.readouterr().out


def test_reset_leaves_a_foreign_namespace_alone(lab: Lab, story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    story.cluster.namespace_labels = {}
    lab.reset()
    assert "was not made by the lab" in capsys.readouterr().out


def test_reset_forgets_what_was_seen_but_not_what_was_passed(lab: Lab, story: Story, tmp_path: Path) -> None:
    solve_first(story)
    story.expose()
    lab.check("2.1")
    assert "s1" in (tmp_path / FILE_NAME).read_text()
    lab.reset()
    assert "s1" not in (tmp_path / FILE_NAME).read_text()
    assert "2.1" in (tmp_path / FILE_NAME).read_text()


def test_a_picture_of_a_service_that_is_not_there_yet(lab: Lab, story: Story) -> None:
    solve_first(story)
    picture = lab.topology("demo-service")
    assert picture is not None and "no Service demo-service yet" in picture.svg
    story.expose()
    complete = lab.topology("demo-service")
    assert complete is not None and "10.244.0.3:80" in complete.svg


def test_traffic_to_an_unknown_service_is_one_calm_sentence(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.start_traffic("demo-service")
    assert "There is no Service 'demo-service'" in capsys.readouterr().out
    lab.traffic_report()
    assert "No requests are on their way" in capsys.readouterr().out


def test_traffic_in_the_background_is_reported_afterwards(lab: Lab, story: Story) -> None:
    solve_first(story)
    story.expose()
    story.cluster.answers["http://10.96.1.2/"] = (200, 0)
    lab.start_traffic("demo-service", n=3)
    report = lab.traffic_report()
    assert report is not None and len(report.requests) == 3 and not report.failed


def test_the_live_picture_follows_the_cluster_and_can_be_stopped(story: Story) -> None:
    solve_first(story)
    shown: list[Picture] = []
    first = live_topology.gather(story.cluster, "demo-service", "lab-02")  # type: ignore[arg-type]
    live = LiveTopology(story.cluster, "demo-service", "lab-02", shown.append, first)  # type: ignore[arg-type]
    story.expose()
    until(lambda: story.cluster.tell_watches() is None and bool(shown))
    assert shown[-1].topology.service is not None
    live.stop()
    assert not live.running


def test_without_a_front_end_the_picture_is_shown_once(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.delenv("VSCODE_PID", raising=False)
    assert not live_topology.has_front_end()
    monkeypatch.setenv("JPY_SESSION_NAME", "02-clusterip.ipynb")
    assert live_topology.has_front_end()
    monkeypatch.setenv(GRADING_VARIABLE, "validate")
    assert not live_topology.has_front_end()


def test_cells_run_elsewhere_and_failures_are_shown(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    from lab_helpers import magics

    shell: Any = InteractiveShell.instance()
    magics.register(lab, shell)
    launched: list[tuple[tuple[str, ...], str]] = []

    def launch(argv: Any, *, place: str = "node", node: str | None = None) -> Any:
        import subprocess

        launched.append((tuple(argv), place))
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    lab.cluster.launch = launch  # type: ignore[method-assign]
    shell.run_cell_magic("node", "", "echo one\nexit 3\n")
    shell.run_line_magic("outside", "echo two")
    shell.run_cell_magic("pod", "", "echo three\n")
    InteractiveShell.clear_instance()
    out = capsys.readouterr().out
    assert "one\n(ended with exit code 3)" in out and "two" in out and "Which Pod?" in out
    assert [place for _, place in launched] == ["node", "outside"]
