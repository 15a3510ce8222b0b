"""How checks are run: waiting, stability, points, hints; and what is kept between them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fake_cluster import fake_workspace

from lab_helpers.clusters.base import Capabilities
from lab_helpers.exercises import chapter, runner
from lab_helpers.exercises.exercise import Exercise, Finding
from lab_helpers.exercises.progress import FILE_NAME, Progress
from lab_helpers.exercises.runner import Result
from lab_helpers.exercises.workspace import Workspace

GOOD = Finding("works", "yes", True, points=2)
BAD = Finding("works", "no", False, "It is broken.", hints=("one", "two", "three"))
WAITING = replace(BAD, waiting=True)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with fake_workspace(tmp_path) as made:
        yield made


def run(workspace: Workspace, answers: Sequence[Finding], clock: Clock, timeout: float = 5) -> Result:
    """Runs a check that gives one answer after the other, the last one again and again."""
    left = list(answers)

    def check(_: Workspace) -> list[Finding]:
        return [left.pop(0) if len(left) > 1 else left[0]]

    exercise = Exercise("0.1", "title", "task", 2, check, (), timeout=timeout, stable=0.4)
    return runner.run(exercise, workspace, clock=clock, sleep=clock.sleep)


def test_a_pass_has_to_be_stable(workspace: Workspace) -> None:
    clock = Clock()
    assert run(workspace, [GOOD], clock).passed
    assert clock.now >= 0.4


def test_a_state_that_does_not_last_is_no_pass(workspace: Workspace) -> None:
    assert not run(workspace, [GOOD, BAD], Clock()).passed


def test_it_waits_while_the_cluster_is_at_work(workspace: Workspace) -> None:
    assert run(workspace, [WAITING, WAITING, GOOD], Clock()).passed


def test_it_does_not_wait_for_what_will_not_change(workspace: Workspace) -> None:
    clock = Clock()
    assert not run(workspace, [BAD], clock).passed
    assert clock.now == 0


def test_it_does_not_wait_for_ever(workspace: Workspace) -> None:
    clock = Clock()
    assert not run(workspace, [WAITING], clock).passed
    assert 5 <= clock.now < 6


def test_what_a_cluster_can_not_show_is_skipped(workspace: Workspace) -> None:
    workspace.cluster.capabilities = Capabilities(node_shell=False)  # type: ignore[misc]
    result = run(workspace, [BAD], Clock())
    assert "skipped. This cluster has no node shell." in result.headline


def test_a_result_says_what_was_expected_seen_and_meant(workspace: Workspace) -> None:
    result = run(workspace, [BAD], Clock())
    assert "not there yet, 0 of 2 points" in str(result)
    assert "[NOT YET] works" in str(result) and "seen: no" in str(result) and "It is broken." in str(result)
    assert "NOT YET" in result._repr_html_()


def test_hints_lead_on_step_by_step_and_begin_anew_for_something_else() -> None:
    asked: dict[str, int] = {}
    assert [runner.next_hint([BAD], asked)[-3:] for _ in range(4)] == ["one", "two", "ree", "ree"]
    other = replace(BAD, expected="other")
    assert runner.next_hint([GOOD, other], asked) == "Hint 1 of 3: one"
    assert "as expected" in runner.next_hint([GOOD], asked)


def test_a_pass_stays(tmp_path: Path) -> None:
    progress = Progress(tmp_path, 2)
    progress.record_pass("2.1")
    first = progress.passed("2.1")
    progress.record_pass("2.1")
    assert first and Progress(tmp_path, 2).passed("2.1") == first
    assert not Progress(tmp_path, 3).passed("2.1")
    exercise = chapter(2).exercise("2.1")
    assert Result(exercise, (BAD,), first).passed
    assert Result(exercise, (BAD,), first).points == 3
    assert "passed earlier" in Result(exercise, (BAD,), first).headline


def test_what_the_lab_saw_is_kept_beside_the_passes(tmp_path: Path) -> None:
    progress = Progress(tmp_path, 2)
    progress.record_pass("2.1")
    progress.remember({"service": {"uid": "s1"}})
    assert Progress(tmp_path, 2).memory == {"service": {"uid": "s1"}}
    assert Progress(tmp_path, 2).passed("2.1")
    assert json.loads((tmp_path / FILE_NAME).read_text())


def test_a_damaged_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text('{"2": {"passed"')
    progress = Progress(tmp_path, 2)
    assert progress.memory == {} and not progress.passed("2.1")
    progress.record_pass("2.1")
    assert progress.passed("2.1")


def test_an_unknown_exercise_names_those_there_are() -> None:
    with pytest.raises(Exception, match=r"There is no exercise '2.9' in chapter 2. These are there: 2.1, 2.2, 2.3"):
        chapter(2).exercise("2.9")
