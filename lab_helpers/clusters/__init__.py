"""The clusters a lesson can run on, and how to `find` one that runs.

`base` has the protocol; `embedded` is the cluster that needs nothing.
"""

from __future__ import annotations

from .base import Capabilities, Cluster, CommandResult
from .embedded import EmbeddedCluster

__all__ = ["Capabilities", "Cluster", "CommandResult", "EmbeddedCluster", "find"]


def find(name: str | None = None) -> EmbeddedCluster:
    """The running cluster of that name (default: $SERVICELAB_NAME, else `servicelab`). Raises ClusterNotRunning."""
    cluster = EmbeddedCluster(name)
    cluster.require_running()
    return cluster
