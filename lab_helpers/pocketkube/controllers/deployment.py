"""The Deployment controller: what changed, and which ReplicaSets and Pods it concerns.

The work itself is a `Rollout`. Models pkg/controller/deployment/deployment_controller.go (v1.36).
"""

from __future__ import annotations

from ..api.selectors import compile_label_selector
from ..client import Client, EventType
from ..clock import Clock
from ..informer import Controller, SharedInformers
from ..objects import Obj, controller_ref_of, labels_of, namespace_of, uid_of
from .adoption import Claims
from .events import EventRecorder
from .rollout import Rollout


class DeploymentController(Controller):
    """Rolls Pods from one template to the next by way of ReplicaSets."""

    name = "deployment"

    def __init__(self, client: Client, informers: SharedInformers, recorder: EventRecorder, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._recorder = recorder
        self._deployments = informers.get("deployments.apps")
        self._sets = informers.get("replicasets.apps")
        self._pods = informers.get("pods")
        self._deployments.add_handler(self._on_deployment)
        self._sets.add_handler(self._on_set)
        self._pods.add_handler(self._on_pod)

    async def reconcile(self, key: str) -> None:
        """Brings one Deployment a step further."""
        deployment = self._deployments.get(key)
        if deployment is None:
            return
        selector = compile_label_selector(deployment["spec"].get("selector"))
        if not selector.requirements:
            return
        claims = Claims(self._client, deployment, "deployments.apps", selector, "replicasets.apps")
        sets = await claims.claim(self._sets.list(namespace_of(deployment)))
        pods = [pod for rs in sets for pod in self._pods.owned_by(uid_of(rs))]
        informers = (self._deployments, self._sets)
        rollout = Rollout(self._client, self._recorder, self.clock, deployment, sets, informers)
        deadline = await rollout.step(pods)
        if deadline is not None:
            # One second late, so that the deadline has passed for certain in whole seconds.
            self.queue.add_after(key, max(0.0, deadline) + 1)

    def _on_deployment(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        self.enqueue(new or old or {})

    def _on_set(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        rs = new or old or {}
        if new is not None and old is not None and controller_ref_of(new) != controller_ref_of(old):
            self._enqueue_owner(old)
        if controller_ref_of(rs) is not None:
            self._enqueue_owner(rs)
        elif event != "DELETED":
            self._enqueue_adopters(rs)

    def _on_pod(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        """Recreate waits for the last old Pod to be gone."""
        if event != "DELETED" or old is None:
            return
        ref = controller_ref_of(old)
        rs = self._sets.get(f"{namespace_of(old)}/{ref['name']}") if ref and ref["kind"] == "ReplicaSet" else None
        deployment = self._owner(rs) if rs is not None else None
        if deployment is not None and (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
            self.enqueue(deployment)

    def _enqueue_owner(self, rs: Obj) -> None:
        deployment = self._owner(rs)
        if deployment is not None:
            self.enqueue(deployment)

    def _owner(self, rs: Obj) -> Obj | None:
        ref = controller_ref_of(rs)
        if ref is None or ref["kind"] != "Deployment":
            return None
        deployment = self._deployments.get(f"{namespace_of(rs)}/{ref['name']}")
        return deployment if deployment is not None and uid_of(deployment) == ref["uid"] else None

    def _enqueue_adopters(self, rs: Obj) -> None:
        for deployment in self._deployments.list(namespace_of(rs)):
            selector = compile_label_selector(deployment["spec"].get("selector"))
            if selector.requirements and selector.matches(labels_of(rs)):
                self.enqueue(deployment)
