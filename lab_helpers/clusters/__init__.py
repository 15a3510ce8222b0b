"""The clusters a lesson can run on: `find` one that runs, or bring one `up`.

`base` has the protocol; `embedded` is the cluster that needs nothing.
"""

from __future__ import annotations

from .base import Capabilities, Cluster, CommandResult
from .embedded import EmbeddedCluster

__all__ = ["Capabilities", "Cluster", "CommandResult", "EmbeddedCluster", "find", "up"]


def find(name: str | None = None) -> EmbeddedCluster:
    """The running cluster of that name (default: $SERVICELAB_NAME, else `servicelab`). Raises ClusterNotRunning."""
    cluster = EmbeddedCluster(name)
    cluster.require_running()
    return cluster


def up(name: str | None = None) -> EmbeddedCluster:
    """The cluster of that name, started if it does not run, resumed if it died."""
    cluster = EmbeddedCluster(name)
    if not cluster.is_running():
        cluster.start(resume=cluster.has_stale_state())
    return cluster
