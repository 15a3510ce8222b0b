"""The Deployment controller: what changed, and which ReplicaSets and Pods it concerns.

The work itself is a `Rollout`. Models pkg/controller/deployment/deployment_controller.go (v1.36).
"""

from __future__ import annotations

from ..client import Client, EventType
from ..clock import Clock
from ..informer import SharedInformers
from ..objects import Obj, controller_ref_of, namespace_of, uid_of
from .events import EventRecorder
from .owner import OwnerController
from .rollout import Rollout


class DeploymentController(OwnerController):
    """Rolls Pods from one template to the next by way of ReplicaSets."""

    name = "deployment"
    resource = "deployments.apps"
    kind = "Deployment"
    owned_resource = "replicasets.apps"

    def __init__(self, client: Client, informers: SharedInformers, recorder: EventRecorder, clock: Clock) -> None:
        super().__init__(client, informers, recorder, clock)
        self._pods = informers.get("pods")
        self._pods.add_handler(self._on_pod)

    async def reconcile(self, key: str) -> None:
        """Brings one Deployment a step further."""
        deployment = self._owners.get(key)
        if deployment is None:
            return
        if not self.selector_of(deployment).requirements:
            return
        sets = await self.claim(deployment, self._owned.list(namespace_of(deployment)))
        pods = [pod for rs in sets for pod in self._pods.owned_by(uid_of(rs))]
        informers = (self._owners, self._owned)
        rollout = Rollout(self._client, self._recorder, self.clock, deployment, sets, informers)
        deadline = await rollout.step(pods)
        if deadline is not None:
            # One second late, so that the deadline has passed for certain in whole seconds.
            self.queue.add_after(key, max(0.0, deadline) + 1)

    def _on_pod(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        """Recreate waits for the last old Pod to be gone."""
        if event != "DELETED" or old is None:
            return
        ref = controller_ref_of(old)
        rs = self._owned.get(f"{namespace_of(old)}/{ref['name']}") if ref and ref["kind"] == "ReplicaSet" else None
        deployment = self.owner_of(rs) if rs is not None else None
        if deployment is not None and (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
            self.enqueue(deployment)
