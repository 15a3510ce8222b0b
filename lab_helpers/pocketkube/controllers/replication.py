"""Keeping a number of Pods: what ReplicaSets and ReplicationControllers have in common.

    wanted = spec.replicas, observed = active Pods that belong to it
    too few: create, in batches that double (a Pod that can't be made fails once, not a thousand times)
    too many: delete those that would be missed least
    then: write down how many there are, are ready, are available

Models pkg/controller/replicaset/replica_set.go and replica_set_utils.go (v1.36).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ..api.status import StatusError
from ..client import Client, EventType
from ..clock import Clock
from ..informer import SharedInformers
from ..objects import (
    Obj,
    controller_ref_of,
    copy,
    is_deleting,
    key_of,
    labels_of,
    namespace_of,
    uid_of,
)
from .events import EventRecorder
from .expectations import Expectations
from .owner import OwnerController, min_ready_seconds
from .pods import (
    PodControl,
    deletion_order,
    is_active,
    is_available,
    is_namespace_terminating,
    is_ready,
    pod_keys,
)

_BURST_REPLICAS = 500


class ReplicationManager(OwnerController):
    """Reconciles one kind of replica keeper; a subclass says which, and how it selects its Pods."""

    counts_terminating = False

    def __init__(self, client: Client, informers: SharedInformers, recorder: EventRecorder, clock: Clock) -> None:
        super().__init__(client, informers, recorder, clock)
        self._pod_control = PodControl(client, recorder)
        self._expectations = Expectations(clock)

    async def reconcile(self, key: str) -> None:
        """Creates or deletes Pods until there are as many as wanted."""
        owner = self._owners.get(key)
        if owner is None:
            self._expectations.forget(key)
            return
        # Looked at before the Pods are: what is seen to be satisfied now is true of everything read below.
        may_act = self._expectations.satisfied(key)
        pods = await self._claimed_pods(owner)
        active = [pod for pod in pods if is_active(pod)]
        failure: StatusError | None = None
        if may_act and not is_deleting(owner):
            failure = await self._manage(owner, active)
        owner = await self._write_status(owner, active, sum(is_deleting(pod) for pod in pods), failure)
        if failure is not None:
            raise failure
        self.look_again_when_available(key, owner, active)

    # --- what changed ---

    def _on_owned(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        pod = new or old or {}
        owner = self.owner_of(pod)
        if owner is not None and event == "ADDED" and not is_deleting(pod):
            self._expectations.creation_observed(key_of(owner))
        elif owner is not None and (event == "DELETED" or is_deleting(pod)):
            self._expectations.deletion_observed(key_of(owner), key_of(pod))
        super()._on_owned(event, new, old)

    # --- acting ---

    async def _claimed_pods(self, owner: Obj) -> list[Obj]:
        """The Pods that belong to the owner and still matter: active ones, and those being deleted."""
        if not self.selector_of(owner).requirements:
            return []
        candidates = [pod for pod in self._owned.list(namespace_of(owner)) if is_active(pod) or is_deleting(pod)]
        return await self.claim(owner, candidates)

    async def _manage(self, owner: Obj, active: list[Obj]) -> StatusError | None:
        missing = int(owner["spec"].get("replicas", 1)) - len(active)
        if missing > 0:
            return await self._create(owner, min(missing, _BURST_REPLICAS))
        if missing < 0:
            related = self._related_pods(owner)
            surplus = deletion_order(active, related)[: min(-missing, _BURST_REPLICAS)]
            return await self._delete(owner, surplus)
        return None

    async def _create(self, owner: Obj, count: int) -> StatusError | None:
        key = key_of(owner)
        self._expectations.expect_creations(key, count)
        batch = 1
        remaining = count
        while remaining:
            size = min(batch, remaining)
            creations = (self._pod_control.create(owner["spec"]["template"], owner) for _ in range(size))
            results = await asyncio.gather(*creations, return_exceptions=True)
            remaining -= size
            failures = list(_status_errors(results))
            for _ in failures:
                self._expectations.creation_observed(key)
            if failures:
                for _ in range(remaining):
                    self._expectations.creation_observed(key)
                return None if is_namespace_terminating(failures[0]) else failures[0]
            batch *= 2
        return None

    async def _delete(self, owner: Obj, pods: list[Obj]) -> StatusError | None:
        key = key_of(owner)
        self._expectations.expect_deletions(key, pod_keys(pods))
        first: StatusError | None = None
        for pod in pods:
            try:
                await self._pod_control.delete(pod, owner)
            except StatusError as error:
                self._expectations.deletion_observed(key, key_of(pod))
                if error.code != 404:
                    first = first or error
        return first

    def _related_pods(self, owner: Obj) -> list[Obj]:
        """Active Pods of everything that has the same controller (all ReplicaSets of one Deployment)."""
        ref = controller_ref_of(owner)
        siblings = [owner]
        if ref is not None:
            siblings = [other for other in self._owners.owned_by(ref["uid"])] or siblings
        return [pod for sibling in siblings for pod in self._owned.owned_by(uid_of(sibling)) if is_active(pod)]

    # --- telling ---

    async def _write_status(self, owner: Obj, active: list[Obj], terminating: int, failure: StatusError | None) -> Obj:
        status = self._status(owner, active, terminating, failure)
        if status == (owner.get("status") or {}):
            return owner
        changed = copy(owner)
        changed["status"] = status
        return await self._client.update(self.resource, changed, subresource="status")

    def _status(self, owner: Obj, active: list[Obj], terminating: int, failure: StatusError | None) -> Obj:
        now = self.clock.now()
        min_ready = min_ready_seconds(owner)
        template_labels = labels_of({"metadata": owner["spec"]["template"].get("metadata") or {}})
        counts = {
            "fullyLabeledReplicas": sum(template_labels.items() <= labels_of(pod).items() for pod in active),
            "readyReplicas": sum(is_ready(pod) for pod in active),
            "availableReplicas": sum(is_available(pod, min_ready, now) for pod in active),
        }
        status: Obj = {"replicas": len(active), "observedGeneration": owner["metadata"].get("generation", 0)}
        # Zero counts are left out, as upstream's encoding leaves them out.
        status |= {name: count for name, count in counts.items() if count}
        if self.counts_terminating:
            status["terminatingReplicas"] = terminating
        conditions = self._conditions(owner, active, failure)
        if conditions:
            status["conditions"] = conditions
        return status

    def _conditions(self, owner: Obj, active: list[Obj], failure: StatusError | None) -> list[Obj]:
        before = (owner.get("status") or {}).get("conditions") or []
        others = [condition for condition in before if condition["type"] != "ReplicaFailure"]
        if failure is None:
            return others
        missing = int(owner["spec"].get("replicas", 1)) > len(active)
        known = [condition for condition in before if condition["type"] == "ReplicaFailure"]
        if known:
            return before
        condition = {
            "type": "ReplicaFailure",
            "status": "True",
            "lastTransitionTime": self.clock.rfc3339(),
            "reason": "FailedCreate" if missing else "FailedDelete",
            "message": failure.message,
        }
        return [*others, condition]


def _status_errors(results: Iterable[Obj | BaseException]) -> Iterable[StatusError]:
    for result in results:
        if isinstance(result, StatusError):
            yield result
        elif isinstance(result, BaseException):
            raise result
