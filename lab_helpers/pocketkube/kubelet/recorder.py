"""What the kubelet asks of whoever writes Events, and its names for the reasons.

Models pkg/kubelet/events/event.go (v1.36).
"""

from __future__ import annotations

from typing import Protocol

from ..objects import Obj


class Recorder(Protocol):
    """Writes Events about objects; returns at once."""

    def event(self, obj: Obj, event_type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Notes something about an object, or about the part of it that `field_path` names."""
        ...
