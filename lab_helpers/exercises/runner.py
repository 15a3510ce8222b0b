"""Runs a check: looks until the state is right and stays so, or until looking longer makes no sense."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from .exercise import Exercise, Finding
from .workspace import Workspace

_PAUSE = 0.2


@dataclass(frozen=True)
class Result:
    """What a check found. `earlier` says when the exercise was passed before; then it stays passed."""

    exercise: Exercise
    findings: tuple[Finding, ...] = ()
    earlier: str = ""
    skipped: str = ""

    @property
    def passed(self) -> bool:
        """True if everything is as expected now, or was before."""
        return bool(self.earlier) or self.passed_now

    @property
    def passed_now(self) -> bool:
        """True if everything is as expected at this moment."""
        return bool(self.findings) and all(finding.passed for finding in self.findings)

    @property
    def points(self) -> float:
        """All points for a pass; else those of the findings that are right."""
        if self.passed:
            return self.exercise.points
        return sum(finding.points for finding in self.findings if finding.passed)

    @property
    def headline(self) -> str:
        """The outcome in one line."""
        name = f"Exercise {self.exercise.id}"
        if self.skipped:
            return f"{name}: skipped. {self.skipped}"
        if self.passed_now:
            return f"{name}: passed, {self.exercise.points} points."
        if self.earlier:
            return f"{name}: passed earlier ({self.earlier}), and that counts. Right now it would not pass:"
        return f"{name}: not there yet, {self.points:g} of {self.exercise.points} points."

    @property
    def lines(self) -> list[str]:
        """The outcome and every finding, as text."""
        lines = [self.headline]
        for finding in self.findings:
            lines.append(f"  [{'ok' if finding.passed else 'NOT YET'}] {finding.expected}")
            lines.append(f"      seen: {finding.observed}")
            if finding.meaning and not finding.passed:
                lines.append(f"      that means: {finding.meaning}")
        if self.findings and not self.passed_now:
            lines.append(f'  A hint: lab.hint("{self.exercise.id}")')
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(_row(finding) for finding in self.findings)
        hint = f'<div>A hint: <code>lab.hint("{escape(self.exercise.id)}")</code></div>'
        return (
            f'<div style="line-height:1.5"><b>{escape(self.headline)}</b>'
            f'<ul style="list-style:none;padding-left:0.5em;margin:0.3em 0">{rows}</ul>'
            f"{hint if self.findings and not self.passed_now else ''}</div>"
        )


def run(
    exercise: Exercise,
    workspace: Workspace,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Checks until it passes twice, `stable` seconds apart, or fails for good, or the time is over."""
    missing = [need for need in exercise.needs if not getattr(workspace.cluster.capabilities, need)]
    if missing:
        return Result(exercise, skipped=f"This cluster has no {missing[0].replace('_', ' ')}.")
    deadline = clock() + exercise.timeout
    passing_since: float | None = None
    while True:
        findings = tuple(exercise.check(workspace))
        now = clock()
        good = all(finding.passed for finding in findings)
        passing_since = (passing_since if passing_since is not None else now) if good else None
        if passing_since is not None and now - passing_since >= exercise.stable:
            return Result(exercise, findings)
        if not good and (now >= deadline or not _worth_waiting(findings)):
            return Result(exercise, findings)
        sleep(_PAUSE)


def next_hint(findings: Sequence[Finding], asked: dict[str, int]) -> str:
    """The next hint on the first thing that is not right; asking again leads one step further.

    `asked` counts by what was observed, so a new situation begins with its first hint.
    """
    wrong = next((finding for finding in findings if not finding.passed and finding.hints), None)
    if wrong is None:
        return "Everything that this exercise looks at is as expected: run the check."
    step = asked.get(wrong.expected, 0)
    asked[wrong.expected] = step + 1
    step = min(step, len(wrong.hints) - 1)
    return f"Hint {step + 1} of {len(wrong.hints)}: {wrong.hints[step]}"


def _worth_waiting(findings: Sequence[Finding]) -> bool:
    """True if the first thing that is wrong may get right by itself."""
    return next((finding.waiting for finding in findings if not finding.passed), False)


def _row(finding: Finding) -> str:
    mark, colour = ("ok", "#1a7f37") if finding.passed else ("NOT YET", "#cf222e")
    meaning = f"<br>That means: {escape(finding.meaning)}" if finding.meaning and not finding.passed else ""
    return (
        f'<li style="margin-bottom:0.3em"><b style="color:{colour}">{mark}</b> {escape(finding.expected)}'
        f'<div style="padding-left:1.5em">Seen: {escape(finding.observed)}{meaning}</div></li>'
    )
