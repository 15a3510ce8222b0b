"""Events about one container: they belong to the Pod, and name the container as the part they are about."""

from __future__ import annotations

from ..objects import Obj
from .container_record import ContainerKind
from .recorder import Recorder

_FIELDS: dict[ContainerKind, str] = {
    "init": "initContainers",
    "sidecar": "initContainers",
    "main": "containers",
    "ephemeral": "ephemeralContainers",
}


class ContainerEvents:
    """Writes Events about one container of a Pod."""

    def __init__(self, recorder: Recorder, pod: Obj, name: str, kind: ContainerKind) -> None:
        self._recorder = recorder
        self._pod = pod
        self._field_path = f"spec.{_FIELDS[kind]}{{{name}}}"

    def normal(self, reason: str, message: str) -> None:
        """Something went as it should."""
        self._recorder.event(self._pod, "Normal", reason, message, field_path=self._field_path)

    def warning(self, reason: str, message: str) -> None:
        """Something went wrong."""
        self._recorder.event(self._pod, "Warning", reason, message, field_path=self._field_path)
