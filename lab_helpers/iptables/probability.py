"""Probabilities as `-m statistic` writes them, and the exact fractions that were meant.

The kernel keeps a probability as a whole number of 2^-31ths, so 1/3 comes back as 0.33333333349. Everybody who
reasons about shares wants 1/3 again.
"""

from __future__ import annotations

from fractions import Fraction

from ..errors import InvalidInput

_UNIT = 1 << 31
_LARGEST_DENOMINATOR = 10_000


def exact(text: str) -> Fraction:
    """The fraction meant by the text: the simplest one that the kernel can't tell from it."""
    try:
        written = Fraction(text) if len(text) <= 40 else None
    except (ValueError, ZeroDivisionError):
        written = None
    if written is None or not 0 <= written <= 1:
        raise InvalidInput(f"{text[:40]!r} is not a probability")
    simple = written.limit_denominator(_LARGEST_DENOMINATOR)
    return simple if abs(simple - written) <= Fraction(1, _UNIT) else written


def as_kernel_prints(text: str) -> str:
    """The text after the kernel has stored it: rounded to 2^-31, eleven digits."""
    units = round(Fraction(text) * _UNIT)
    return f"{units / _UNIT:.11f}"
