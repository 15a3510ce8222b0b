"""Every error that a user of ServiceLab can see, as one tree.

    LabError                     base: a sentence, and in `hint` the next step
      ├─ ToolMissing             a program that is needed is not on PATH
      ├─ UnsupportedHost         this machine can't do what was asked (no user namespaces, ...)
      ├─ ClusterError            a cluster could not be made, found, reached or ended
      │    ├─ ClusterNotRunning
      │    ├─ ClusterAlreadyUp
      │    ├─ StaleState         what a cluster that died left behind is in the way
      │    ├─ StateUnusable      the file behind the cluster's store is damaged or can't be written
      │    └─ StartFailed
      ├─ NodeShellError          a command on a node or outside could not be started
      │    └─ CommandNotFound    there is no such command
      ├─ InvalidInput            what the user typed or wrote in a file can't be used
      └─ ExerciseError           an exercise is unknown or its set-up failed

Errors of the Kubernetes API are data, not part of this tree: see `pocketkube.api.status.StatusError`.
This module imports nothing, so that every layer, `pocketkube` too, may use it.
"""

from __future__ import annotations


class LabError(Exception):
    """One clear sentence for the user, and in `hint` what to do next.

    `exit_code` is what the command line ends with; scripts rely on it.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidInput(LabError):
    """What the user typed, or wrote in a file, can't be used."""

    exit_code = 2


class ClusterError(LabError):
    """A cluster could not be made, found, reached or ended."""


class ClusterNotRunning(ClusterError):
    """There is no running cluster of that name."""

    exit_code = 3


class ClusterAlreadyUp(ClusterError):
    """A cluster of that name is running already."""

    exit_code = 4


class StaleState(ClusterError):
    """A cluster of that name died and left its state behind."""

    exit_code = 5


class StateUnusable(ClusterError):
    """The file behind the cluster's store is damaged, locked or can't be written."""

    exit_code = 9


class StartFailed(ClusterError):
    """The cluster did not become ready."""

    exit_code = 6


class ToolMissing(LabError):
    """A program that is needed is not on PATH."""

    exit_code = 7


class UnsupportedHost(LabError):
    """This machine can't do what was asked."""

    exit_code = 8


class NodeShellError(LabError):
    """A command on a node, or outside the cluster, could not be started."""

    exit_code = 126


class CommandNotFound(NodeShellError):
    """There is no such command on the node, or outside."""

    exit_code = 127


class ExerciseError(LabError):
    """An exercise is unknown, or its set-up failed."""
