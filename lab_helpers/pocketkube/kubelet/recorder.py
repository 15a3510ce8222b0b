"""What the kubelet asks of whoever writes Events (`controllers.events.EventRecorder` does)."""

from __future__ import annotations

from typing import Literal, Protocol

from ..objects import Obj


class Recorder(Protocol):
    """Writes Events about objects; returns at once."""

    def event(
        self, obj: Obj, type: Literal["Normal", "Warning"], reason: str, message: str, *, field_path: str = ""
    ) -> None:
        """Notes something about an object, or about the part of it that `field_path` names."""
        ...
