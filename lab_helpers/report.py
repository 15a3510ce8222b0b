"""Small pieces of HTML for results in a notebook: findings and reports that read well on light and dark pages.

Everything is plain text in plain tags with inline styles, so that it survives saving, exporting and grading.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_GOOD, _BAD = "#1a7f37", "#cf222e"
_WIDTH, _HEIGHT = 640, 30


def document(lines: Sequence[str], drawing: str = "") -> str:
    """Paragraphs, the first one bold, then a drawing."""
    head, *rest = lines
    body = "".join(f"<div>{escape(line)}</div>" for line in rest)
    return f'<div style="line-height:1.5"><div><b>{escape(head)}</b></div>{body}{drawing}</div>'


def bars(marks: Iterable[tuple[float, bool]], duration: float) -> str:
    """A strip of time: a short bar for each success, a tall one for each failure."""
    span = max(duration, 0.001)
    drawn = "".join(_bar(_WIDTH * at / span, good) for at, good in marks)
    return (
        f'<svg width="{_WIDTH + 4}" height="{_HEIGHT + 16}" role="img" aria-label="requests over time">'
        f'<rect width="{_WIDTH + 4}" height="{_HEIGHT + 16}" fill="white"/>{drawn}'
        f'<text x="2" y="{_HEIGHT + 12}" font-size="10" fill="#57606a">0 s</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + 12}" font-size="10" fill="#57606a" text-anchor="end">{duration:.1f} s; '
        "tall bars are failures</text></svg>"
    )


def _bar(x: float, good: bool) -> str:
    height = 10 if good else _HEIGHT
    return (
        f'<rect x="{x + 1:.1f}" y="{_HEIGHT - height}" width="2" height="{height}" fill="{_GOOD if good else _BAD}"/>'
    )
