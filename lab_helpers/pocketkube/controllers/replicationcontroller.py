"""The ReplicationController controller: the ReplicaSet's elder, with equality selectors only."""

from __future__ import annotations

from ..api.selectors import LabelSelector, compile_label_selector
from ..objects import Obj
from .replication import ReplicationManager


class ReplicationControllerController(ReplicationManager):
    """Selects Pods by equal labels."""

    name = "replicationcontroller"
    resource = "replicationcontrollers"
    kind = "ReplicationController"

    def selector_of(self, owner: Obj) -> LabelSelector:
        """`spec.selector`, a map of labels."""
        return compile_label_selector({"matchLabels": owner["spec"].get("selector") or {}})
