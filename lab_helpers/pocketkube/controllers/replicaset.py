"""The ReplicaSet controller: as many Pods of one template as `spec.replicas` says."""

from __future__ import annotations

from .replication import ReplicationManager


class ReplicaSetController(ReplicationManager):
    """Selects Pods by a set-based label selector."""

    name = "replicaset"
    resource = "replicasets.apps"
    kind = "ReplicaSet"
    counts_terminating = True
