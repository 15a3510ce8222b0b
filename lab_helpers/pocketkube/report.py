"""How the processes of a starting cluster tell `servicelab up` what is done: JSON lines on a pipe.

    {"step": "API server"}   {"step": "ready", "ready": true}   {"error": "...", "hint": "...", "kind": "..."}

Whether anybody still reads is of no matter to the cluster once it is ready.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
from typing import Any

from ..errors import LabError


class Report:
    """The writing end, shared by the supervisor and its children."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._ready = mmap.mmap(-1, 1)
        """One byte shared with the children: 1 once the cluster was ready."""

    def step(self, name: str) -> None:
        """Tells that a step is done."""
        self._write({"step": name})

    def ready(self) -> None:
        """Tells that all is ready; the reader goes on with its own work."""
        self._ready[0] = 1
        self._write({"step": "ready", "ready": True})
        with contextlib.suppress(OSError):
            os.close(self._descriptor)

    def is_ready(self) -> bool:
        """True once any of the processes has said so."""
        return self._ready[0] == 1

    def error(self, error: LabError) -> None:
        """Tells why the cluster can't start."""
        self._write({"error": error.message, "hint": error.hint, "kind": type(error).__name__})

    def _write(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            os.write(self._descriptor, json.dumps(message).encode() + b"\n")
