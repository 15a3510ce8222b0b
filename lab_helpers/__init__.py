"""ServiceLab: how a Kubernetes Service gives a stable address to Pods that come and go.

A notebook begins with `from lab_helpers import Lab`. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .errors import LabError as LabError
    from .lab import Lab as Lab

__all__ = ["Lab", "LabError"]


def __getattr__(name: str) -> object:
    if name == "Lab":
        from .lab import Lab

        return Lab
    if name == "LabError":
        from .errors import LabError

        return LabError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
