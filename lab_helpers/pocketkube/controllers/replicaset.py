"""The ReplicaSet controller: as many Pods of one template as `spec.replicas` says."""

from __future__ import annotations

from ..api.selectors import LabelSelector, compile_label_selector
from ..objects import Obj
from .replication import ReplicationManager


class ReplicaSetController(ReplicationManager):
    """Selects Pods by a set-based label selector."""

    name = "replicaset"
    resource = "replicasets.apps"
    kind = "ReplicaSet"
    counts_terminating = True

    def selector_of(self, owner: Obj) -> LabelSelector:
        """`spec.selector`, a metav1.LabelSelector."""
        return compile_label_selector(owner["spec"].get("selector"))
