"""Chapter 2 on a real cluster: every solution passes, and no wrong answer does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab_helpers.clusters.base import Cluster
from lab_helpers.exercises import runner
from lab_helpers.exercises.chapter02 import CHAPTER
from lab_helpers.exercises.exercise import Exercise
from lab_helpers.exercises.workspace import Workspace

pytestmark = [pytest.mark.kernel, pytest.mark.kubectl]

LABS = Path(__file__).parents[2] / "labs"
WRONG = [(exercise.id, name) for exercise in CHAPTER.exercises for name in exercise.wrong]


@pytest.fixture
def workspace(cluster: Cluster) -> Iterator[Workspace]:
    made = Workspace(cluster, CHAPTER.namespace, LABS)
    made.prepare(CHAPTER.number)
    made.reset()
    yield made
    made.reset()


def begin(exercise: Exercise, workspace: Workspace) -> None:
    """Brings the namespace to where the exercise begins, and lets the lab see it as the checks before would."""
    workspace.run(exercise.setup)
    if exercise.id == "2.3":
        assert runner.run(CHAPTER.exercise("2.2"), workspace).passed


@pytest.mark.parametrize("exercise", CHAPTER.exercises, ids=lambda exercise: exercise.id)
def test_the_solution_passes(exercise: Exercise, workspace: Workspace) -> None:
    begin(exercise, workspace)
    workspace.run(exercise.solution)
    result = runner.run(exercise, workspace)
    assert result.passed, str(result)
    assert sum(finding.points for finding in result.findings) == exercise.points


@pytest.mark.parametrize(("exercise_id", "wrong"), WRONG, ids=lambda value: value.replace(" ", "-"))
def test_a_wrong_answer_does_not_pass(exercise_id: str, wrong: str, workspace: Workspace) -> None:
    exercise = CHAPTER.exercise(exercise_id)
    begin(exercise, workspace)
    workspace.run(exercise.wrong[wrong])
    result = runner.run(exercise, workspace)
    assert not result.passed, str(result)
    assert runner.next_hint(result.findings, {}).startswith("Hint 1 of 3")
