"""The StatefulSet controller: Pods with names that stay, made and ended in order.

    first    every ordinal has its Pod; each waits until those before it serve (unless the policy is Parallel)
    then     Pods beyond the wanted number are ended, the highest ordinal first
    last     Pods of an old revision are ended, the highest first, to be made anew by the first step

Models pkg/controller/statefulset/stateful_set_control.go (v1.36), without the claims for persistent volumes.
"""

from __future__ import annotations

from ..api.status import StatusError
from ..client import Client
from ..clock import Clock, parse_rfc3339
from ..informer import SharedInformers
from ..objects import (
    Obj,
    copy,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from .events import EventRecorder
from .history import RESOURCE as REVISIONS
from .history import REVISION_HASH, RevisionHistory
from .owner import OwnerController, min_ready_seconds
from .pods import is_finished, seconds_until_available
from .stateful_pods import (
    identity,
    is_healthy,
    is_of_revision,
    is_parallel,
    is_rolling,
    is_serving,
    max_unavailable,
    new_pod,
    ordinal_of,
    ordinals,
    parent_and_ordinal,
    partition,
)

_RESOURCE = "statefulsets.apps"
_LEAST_LIFE = 1.0
_HASH_LABEL = "controller.kubernetes.io/hash"


class StatefulSetController(OwnerController):
    """Keeps StatefulSets. A key is a set's."""

    name = "statefulset"
    resource = _RESOURCE
    kind = "StatefulSet"

    def __init__(self, client: Client, informers: SharedInformers, recorder: EventRecorder, clock: Clock) -> None:
        super().__init__(client, informers, recorder, clock)
        self._history = RevisionHistory(client, informers.get(REVISIONS), _RESOURCE, _HASH_LABEL)

    async def reconcile(self, key: str) -> None:
        """Takes one step, and writes down how far the set is."""
        owner = self._owners.get(key)
        if owner is None:
            return
        selector = self.selector_of(owner)
        if not selector.requirements:
            return
        pods = await self.claim(
            owner, (pod for pod in self._owned.list(namespace_of(owner)) if self.may_adopt(owner, pod))
        )
        known = await self._history.of(owner, selector)
        update, collisions = await self._history.latest(owner, known)
        named = (owner.get("status") or {}).get("currentRevision")
        current = next((revision for revision in known if name_of(revision) == named), update)
        failure: StatusError | None = None
        try:
            if not is_deleting(owner):
                await self._step(owner, pods, current, update)
        except StatusError as error:
            failure = error
        # Looked at again: what the step did is in the informer by now.
        pods = [pod for pod in self._owned.owned_by(uid_of(owner)) if selector.matches(labels_of(pod))]
        await self._write_status(owner, pods, current, update, collisions)
        if failure is not None:
            raise failure
        live = {name_of(current), name_of(update), *(_revision_name(pod) for pod in pods)}
        await self._history.truncate(owner, known, live)
        self.look_again_when_available(key, owner, pods)

    # --- acting ---

    async def _step(self, owner: Obj, pods: list[Obj], current: Obj, update: Obj) -> None:
        wanted = ordinals(owner)
        by_ordinal = {ordinal_of(pod): pod for pod in pods}
        condemned = sorted((n for n in by_ordinal if n not in wanted), reverse=True)
        for ordinal in wanted:
            goes_on = await self._ensure(owner, ordinal, by_ordinal, current, update)
            if not goes_on and not is_parallel(owner):
                return
        for ordinal in condemned:
            if await self._condemn(owner, ordinal, by_ordinal) and not is_parallel(owner):
                return
        if is_rolling(owner):
            await self._roll(owner, by_ordinal, update)

    async def _ensure(self, owner: Obj, ordinal: int, by_ordinal: dict[int, Obj], current: Obj, update: Obj) -> bool:
        """Sees to one ordinal; True if its Pod does well, so that the next one may be looked at."""
        pod = by_ordinal.get(ordinal)
        if pod is None:
            by_ordinal[ordinal] = await self._create(owner, new_pod(owner, ordinal, current, update))
            return False
        if is_finished(pod):
            if not is_deleting(pod):
                await self._replace_finished(owner, pod)
            return False
        if not is_healthy(pod, min_ready_seconds(owner), self.clock.now()):
            return False
        if not identity(owner, ordinal).items() <= labels_of(pod).items():
            patch = {"metadata": {"labels": identity(owner, ordinal), "uid": uid_of(pod)}}
            await self._client.patch("pods", name_of(pod), patch, namespace_of(pod))
        return True

    async def _replace_finished(self, owner: Obj, pod: Obj) -> None:
        """Makes room for a new Pod; one that a node refuses again and again is not made more than once a second."""
        wait = parse_rfc3339(pod["metadata"]["creationTimestamp"]) + _LEAST_LIFE - self.clock.now()
        if wait > 0:
            self.queue.add_after(key_of(owner), wait)
        else:
            await self._delete(owner, pod)

    async def _condemn(self, owner: Obj, ordinal: int, by_ordinal: dict[int, Obj]) -> bool:
        """Ends a Pod beyond the wanted number; True if the next one has to wait."""
        pod = by_ordinal[ordinal]
        if is_deleting(pod):
            return True
        now, seconds = self.clock.now(), min_ready_seconds(owner)
        if not is_parallel(owner) and not is_healthy(pod, seconds, now):
            # One that is ill may go only if no other is: two at a time could be too many.
            ill = [n for n in sorted(by_ordinal) if not is_healthy(by_ordinal[n], seconds, now)]
            if ill[0] != ordinal:
                return True
        await self._delete(owner, pod)
        return True

    async def _roll(self, owner: Obj, by_ordinal: dict[int, Obj], update: Obj) -> None:
        """Ends Pods of old revisions, as many as may be missing."""
        wanted = ordinals(owner)
        now, seconds = self.clock.now(), min_ready_seconds(owner)
        missing = sum(not is_healthy(by_ordinal[n], seconds, now) for n in wanted)
        room = max_unavailable(owner) - missing
        for ordinal in reversed(wanted[partition(owner) :]):
            pod = by_ordinal[ordinal]
            if room <= 0:
                return
            if not is_of_revision(pod, update) and not is_deleting(pod):
                await self._delete(owner, pod)
                room -= 1

    async def _create(self, owner: Obj, pod: Obj) -> Obj:
        what = f"Create Pod {name_of(pod)} in StatefulSet {name_of(owner)}"
        try:
            written = await self._client.create("pods", pod)
        except StatusError as error:
            self._recorder.event(owner, "Warning", "FailedCreate", f"{what} failed error: {error.message}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulCreate", f"{what} successful")
        await self._owned.has_seen(written)
        return written

    async def _delete(self, owner: Obj, pod: Obj) -> None:
        what = f"Delete Pod {name_of(pod)} in StatefulSet {name_of(owner)}"
        try:
            written = await self._client.delete("pods", name_of(pod), namespace_of(pod), uid=uid_of(pod))
        except StatusError as error:
            if error.code == 404:
                return
            self._recorder.event(owner, "Warning", "FailedDelete", f"{what} failed error: {error.message}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulDelete", f"{what} successful")
        await self._owned.has_seen(written)

    # --- telling ---

    async def _write_status(self, owner: Obj, pods: list[Obj], current: Obj, update: Obj, collisions: int) -> None:
        status = self._status(owner, pods, current, update, collisions)
        if status == (owner.get("status") or {}):
            return
        changed = copy(owner)
        changed["status"] = status
        # Another step may follow at once, and must know what this one wrote.
        await self._owners.has_seen(await self._client.update(_RESOURCE, changed, subresource="status"))

    def _status(self, owner: Obj, pods: list[Obj], current: Obj, update: Obj, collisions: int) -> Obj:
        now, seconds = self.clock.now(), min_ready_seconds(owner)
        staying = [pod for pod in pods if not is_deleting(pod)]
        ready = [pod for pod in pods if is_serving(pod)]
        counts = {
            "readyReplicas": len(ready),
            "availableReplicas": sum(seconds_until_available(pod, seconds, now) == 0.0 for pod in ready),
            "currentReplicas": sum(is_of_revision(pod, current) for pod in staying),
            "updatedReplicas": sum(is_of_revision(pod, update) for pod in staying),
        }
        wanted = int(owner["spec"]["replicas"])
        if is_rolling(owner) and wanted == len(pods) == counts["updatedReplicas"] == counts["readyReplicas"]:
            current = update
            counts["currentReplicas"] = counts["updatedReplicas"]
        return {
            "observedGeneration": owner["metadata"].get("generation", 0),
            "replicas": len(pods),
            # Zero counts are left out, as upstream's encoding leaves them out.
            **{name: count for name, count in counts.items() if count},
            "currentRevision": name_of(current),
            "updateRevision": name_of(update),
            "collisionCount": collisions,
        }

    # --- what changed ---

    def may_adopt(self, owner: Obj, orphan: Obj) -> bool:
        """A stray that bears one of its names; `claim` looks at its labels."""
        return parent_and_ordinal(name_of(orphan))[0] == name_of(owner)


def _revision_name(pod: Obj) -> str:
    return labels_of(pod).get(REVISION_HASH, "")
