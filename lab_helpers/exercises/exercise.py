"""What an exercise is: a task, a check of the cluster's state, hints computed from that state, and a solution.

A check looks at the end state or at behaviour, never at commands that were typed. It answers with findings. Running a
check is left to `runner`; the place where it happens to `workspace`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import ExerciseError
from .workspace import Workspace


@dataclass(frozen=True)
class Finding:
    """One thing a check looked at: what it expected, what it observed, and what that means.

    `waiting` is true when the cluster is still at work, so that looking again makes sense. `hints` are three steps
    that lead from where to look to what is different; they come from what was observed and never name a command.
    """

    expected: str
    observed: str
    passed: bool
    meaning: str = ""
    points: float = 0
    waiting: bool = False
    hints: tuple[str, ...] = ()


Check = Callable[[Workspace], Sequence[Finding]]
Commands = tuple[str, ...]
"""Command lines for a shell in the chapter's folder, with kubectl set to the chapter's namespace."""


@dataclass(frozen=True)
class Exercise:
    """One exercise. CI runs its solution, and each of its wrong answers, which must not pass."""

    id: str
    title: str
    task: str
    points: int
    check: Check
    solution: Commands
    wrong: Mapping[str, Commands] = field(default_factory=dict)
    setup: Commands = ()
    """Brings a clean namespace to where this exercise begins."""
    needs: tuple[str, ...] = ("node_shell",)
    """Capabilities a cluster must have; without one, the exercise is skipped."""
    timeout: float = 30.0
    """Seconds for which a check waits while the cluster is still at work."""
    stable: float = 0.4
    """Seconds for which the state must stay as it is to pass."""


@dataclass(frozen=True)
class Chapter:
    """The exercises of one notebook, in order, and the namespace in which they happen."""

    number: int
    title: str
    exercises: tuple[Exercise, ...]
    observe: Callable[[Workspace], None]
    """Notes in the workspace's memory what later checks compare with."""

    @property
    def namespace(self) -> str:
        """The namespace of this chapter: `lab-02`."""
        return f"lab-{self.number:02d}"

    def exercise(self, exercise_id: str) -> Exercise:
        """The exercise of that id. Raises ExerciseError naming those there are."""
        for exercise in self.exercises:
            if exercise.id == exercise_id:
                return exercise
        known = ", ".join(exercise.id for exercise in self.exercises)
        raise ExerciseError(
            f"There is no exercise {exercise_id!r} in chapter {self.number}.", hint=f"These are there: {known}."
        )
