"""A number of Pods that may be given as a share of all: `3`, or `25%`.

Models apimachinery pkg/util/intstr GetScaledValueFromIntOrPercent (v1.36).
"""

from __future__ import annotations


def scaled_value(value: int | str, whole: int, *, round_up: bool = True) -> int:
    """A number as it is, a percentage as a share of `whole`, rounded. Validation has let nothing else through."""
    if isinstance(value, int):
        return value
    exact = int(value.removesuffix("%")) * whole
    return -(-exact // 100) if round_up else exact // 100
