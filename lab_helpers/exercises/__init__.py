"""Exercises and their verification: one module a chapter, all on the same few classes.

`exercise` says what an exercise is, `workspace` where it happens, `runner` how a check is run, `progress` what is kept.
"""

from __future__ import annotations

from ..errors import ExerciseError
from .exercise import Chapter, Exercise


def chapter(number: int) -> Chapter:
    """The chapter of that number. Raises ExerciseError."""
    from . import chapter02

    known = {2: chapter02.CHAPTER}
    if number not in known:
        chapters = ", ".join(map(str, sorted(known)))
        raise ExerciseError(f"There is no chapter {number}.", hint=f"These are there: {chapters}.")
    return known[number]


__all__ = ["Chapter", "Exercise", "chapter"]
