"""One pass over one Deployment: make the new ReplicaSet, move replicas from the old ones to it, say how far it is.

A pass does one safe step; what that step changes brings the next pass. Which ReplicaSets belong to the Deployment
is found out by `deployment`; how large each may be is computed in `scaling`.
Models pkg/controller/deployment/{sync,rolling,recreate}.go (v1.36).
"""

from __future__ import annotations

from ..api.status import StatusError
from ..client import Client
from ..clock import Clock, parse_rfc3339
from ..informer import Informer
from ..objects import (
    Obj,
    annotations_of,
    condition_of,
    controller_ref_of,
    copy,
    is_deleting,
    name_of,
    namespace_of,
    new_controller_ref,
    uid_of,
)
from . import deployment_status as progress
from .events import EventRecorder
from .pods import is_finished
from .revisions import (
    REVISION,
    all_but,
    find_new,
    hashed_selector,
    hashed_template,
    next_revision,
    revision_annotations,
    revision_of,
    same_template,
    size_annotations,
    template_hash,
)
from .scaling import (
    Size,
    active_or_latest,
    is_rolling,
    is_saturated,
    max_surge,
    may_scale_down,
    new_set_size,
    old_sets_sizes,
    proportional_sizes,
    replicas_of,
    status_count,
    total_status,
    unhealthy_first,
    was_resized,
)

_DEPLOYMENTS = "deployments.apps"
_REPLICA_SETS = "replicasets.apps"


class Rollout:
    """A Deployment, its ReplicaSets as they are now, and what to do about them."""

    def __init__(
        self,
        client: Client,
        recorder: EventRecorder,
        clock: Clock,
        deployment: Obj,
        sets: list[Obj],
        informers: tuple[Informer, Informer],
    ) -> None:
        """`informers`: those of Deployments and ReplicaSets, which must show what this pass wrote before the next."""
        self.deployment = copy(deployment)
        self._client = client
        self._recorder = recorder
        self._clock = clock
        self._deployment_informer, self._set_informer = informers
        self._new = find_new(deployment, sets)
        self._old = all_but(self._new, sets)

    @property
    def _all(self) -> list[Obj]:
        return [*self._old, self._new] if self._new is not None else self._old

    async def step(self, pods: list[Obj]) -> float | None:
        """Does what is next. `pods` are those of all ReplicaSets.

        Returns in how many seconds the deadline must be looked at.
        """
        if is_deleting(self.deployment):
            return await self._write_status(self._status())
        await self._note_pause()
        if self.deployment["spec"].get("paused"):
            await self._resize()
            await self._clean_up_history()
            return await self._write_status(self._status())
        if was_resized(self.deployment, self._all):
            await self._resize()
            return await self._write_status(self._status())
        if is_rolling(self.deployment):
            await self._roll()
        else:
            await self._recreate(pods)
        if progress.is_complete(self.deployment, self._status()):
            await self._clean_up_history()
        return await self._write_status(self._rollout_status())

    # --- strategies ---

    async def _roll(self) -> None:
        new = await self._ensure_new_set()
        grown = new_set_size(self.deployment, self._all, replicas_of(new))
        if replicas_of(new) > replicas_of(self.deployment):
            grown = replicas_of(self.deployment)
        if grown != replicas_of(new):
            await self._scale(Size(new, grown))
            return
        if not may_scale_down(self.deployment, new, self._old):
            return
        for size in unhealthy_first(self.deployment, new, self._old):
            await self._scale(size)
        assert self._new is not None
        for size in old_sets_sizes(self.deployment, self._new, self._old):
            await self._scale(size)

    async def _recreate(self, pods: list[Obj]) -> None:
        running = [rs for rs in self._old if replicas_of(rs) > 0]
        for rs in running:
            await self._scale(Size(rs, 0))
        if running or self._old_pods_run(pods):
            await self._adopt_revision()
            return
        new = await self._ensure_new_set()
        await self._scale(Size(new, replicas_of(self.deployment)))

    def _old_pods_run(self, pods: list[Obj]) -> bool:
        """True while a Pod of an old template may still be at work, a terminating one included."""
        if total_status(self._old, "replicas") > 0:
            return True
        new_uid = uid_of(self._new) if self._new is not None else ""
        return any(not is_finished(pod) and (controller_ref_of(pod) or {}).get("uid") != new_uid for pod in pods)

    async def _resize(self) -> None:
        """`spec.replicas` changed, or the Deployment is paused: keep the proportions, roll nothing."""
        await self._adopt_revision()
        only = active_or_latest(self._new, self._old)
        if only is not None:
            await self._scale(Size(only, replicas_of(self.deployment)))
            return
        if is_saturated(self.deployment, self._new):
            for rs in [rs for rs in self._old if replicas_of(rs) > 0]:
                await self._scale(Size(rs, 0))
            return
        if is_rolling(self.deployment):
            for size in proportional_sizes(self.deployment, self._all):
                await self._scale(size)

    # --- the new ReplicaSet ---

    async def _ensure_new_set(self) -> Obj:
        if self._new is None:
            await self._create_new_set()
        else:
            await self._adopt_revision()
        assert self._new is not None
        return self._new

    async def _adopt_revision(self) -> None:
        """An existing ReplicaSet of the current template becomes the newest revision, and the Deployment's."""
        if self._new is None:
            return
        new = self._new
        annotations = revision_annotations(self.deployment, new, next_revision(self._old))
        min_ready = self.deployment["spec"].get("minReadySeconds") or 0
        if annotations != annotations_of(new) or (new["spec"].get("minReadySeconds") or 0) != min_ready:
            changed = copy(new)
            changed["metadata"]["annotations"] = annotations
            changed["spec"]["minReadySeconds"] = min_ready
            self._new = new = await self._update_set(changed)
        await self._note_new_set(new, "FoundNewReplicaSet", f'Found new replica set "{name_of(new)}"', only_first=True)

    async def _create_new_set(self) -> None:
        deployment = self.deployment
        hash_ = template_hash(deployment["spec"]["template"], status_count(deployment, "collisionCount"))
        size = new_set_size(deployment, self._old, 0)
        template = hashed_template(deployment["spec"]["template"], hash_)
        wanted: Obj = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{name_of(deployment)}-{hash_}",
                "namespace": namespace_of(deployment),
                "labels": template["metadata"]["labels"],
                "ownerReferences": [new_controller_ref(deployment)],
            },
            "spec": {
                "replicas": size,
                "minReadySeconds": deployment["spec"].get("minReadySeconds") or 0,
                "selector": hashed_selector(deployment["spec"]["selector"], hash_),
                "template": template,
            },
        }
        annotations = revision_annotations(deployment, wanted, next_revision(self._old))
        sizes = size_annotations(replicas_of(deployment), replicas_of(deployment) + max_surge(deployment))
        wanted["metadata"]["annotations"] = annotations | sizes
        try:
            self._new = await self._client.create(_REPLICA_SETS, wanted)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                self._new = await self._same_or_collision(name_of(wanted), error)
                return
            await self._note_creation_failed(name_of(wanted), error)
            raise
        await self._set_informer.has_seen(self._new)
        if size > 0:
            self._announce(f"Scaled up replica set {name_of(self._new)} from 0 to {size}")
        await self._note_new_set(
            self._new, "NewReplicaSetCreated", f'Created new replica set "{name_of(self._new)}"', only_first=False
        )

    async def _same_or_collision(self, name: str, error: StatusError) -> Obj:
        """The name is taken: by what this Deployment made before, or by a template with the same hash."""
        there = await self._client.get(_REPLICA_SETS, name, namespace_of(self.deployment))
        ref = controller_ref_of(there)
        mine = ref is not None and ref["uid"] == uid_of(self.deployment)
        if mine and same_template(there["spec"]["template"], self.deployment["spec"]["template"]):
            return there
        status = copy(self.deployment.get("status") or {})
        status["collisionCount"] = status_count(self.deployment, "collisionCount") + 1
        await self._save_status(status)
        raise error

    # --- writing ---

    async def _scale(self, size: Size) -> None:
        rs, replicas, before = size.rs, size.replicas, replicas_of(size.rs)
        wanted = replicas_of(self.deployment)
        annotations = annotations_of(rs) | size_annotations(wanted, wanted + max_surge(self.deployment))
        if replicas == before and annotations == annotations_of(rs):
            return
        changed = copy(rs)
        changed["spec"]["replicas"] = replicas
        changed["metadata"]["annotations"] = annotations
        written = await self._update_set(changed)
        if self._new is not None and uid_of(written) == uid_of(self._new):
            self._new = written
        self._old = [written if uid_of(old) == uid_of(written) else old for old in self._old]
        if replicas != before:
            direction = "up" if replicas > before else "down"
            self._announce(f"Scaled {direction} replica set {name_of(rs)} from {before} to {replicas}")

    async def _update_set(self, changed: Obj) -> Obj:
        written = await self._client.update(_REPLICA_SETS, changed)
        await self._set_informer.has_seen(written)
        return written

    def _announce(self, message: str) -> None:
        self._recorder.event(self.deployment, "Normal", "ScalingReplicaSet", message)

    async def _clean_up_history(self) -> None:
        """Deletes old revisions beyond `spec.revisionHistoryLimit`."""
        limit = self.deployment["spec"].get("revisionHistoryLimit")
        if limit is None:
            return
        alive = sorted((rs for rs in self._old if not is_deleting(rs)), key=_revision_then_age)
        for rs in alive[: max(0, len(alive) - int(limit))]:
            observed = status_count(rs, "observedGeneration") >= rs["metadata"].get("generation", 0)
            if replicas_of(rs) == 0 and status_count(rs, "replicas") == 0 and observed:
                await self._client.delete(_REPLICA_SETS, name_of(rs), namespace_of(rs), uid=uid_of(rs))
                self._old = all_but(rs, self._old)

    # --- telling ---

    async def _note_new_set(self, new: Obj, reason: str, message: str, *, only_first: bool) -> None:
        """Writes the Deployment's revision, and that its ReplicaSet exists, if that is news."""
        if annotations_of(self.deployment).get(REVISION) != str(revision_of(new)):
            patch = {"metadata": {"annotations": {REVISION: str(revision_of(new))}}}
            written = await self._client.patch(
                _DEPLOYMENTS, name_of(self.deployment), patch, namespace_of(self.deployment), subresource="status"
            )
            await self._saved(written)
        if progress.deadline_of(self.deployment) is None:
            return
        if only_first and condition_of(self.deployment, "Progressing") is not None:
            return
        status = copy(self.deployment.get("status") or {})
        progress.set_condition(status, progress.new_condition(self._clock, "Progressing", "True", reason, message))
        await self._save_status(status)

    async def _note_creation_failed(self, name: str, error: StatusError) -> None:
        if progress.deadline_of(self.deployment) is None:
            return
        message = f'Failed to create new replica set "{name}": {error.message}'
        condition = progress.new_condition(self._clock, "Progressing", "False", "ReplicaSetCreateError", message)
        status = copy(self.deployment.get("status") or {})
        progress.set_condition(status, condition)
        await self._save_status(status)

    async def _note_pause(self) -> None:
        """While paused, no deadline runs; resuming starts it anew."""
        if progress.deadline_of(self.deployment) is None:
            return
        current = condition_of(self.deployment, "Progressing")
        if current is not None and current["reason"] == progress.TIMED_OUT:
            return
        paused = bool(self.deployment["spec"].get("paused"))
        was_paused = current is not None and current["reason"] == "DeploymentPaused"
        if paused == was_paused:
            return
        now = "paused" if paused else "resumed"
        word = (f"Deployment{now.capitalize()}", f"Deployment is {now}")
        status = copy(self.deployment.get("status") or {})
        progress.set_condition(status, progress.new_condition(self._clock, "Progressing", "Unknown", *word))
        await self._save_status(status)

    def _status(self) -> Obj:
        return progress.calculate(self.deployment, self._all, self._new, self._clock)

    def _rollout_status(self) -> Obj:
        status = self._status()
        progress.set_progress(self.deployment, status, self._new, self._clock)
        progress.set_replica_failure(status, self._all, self._new)
        return status

    async def _write_status(self, status: Obj) -> float | None:
        if status != (self.deployment.get("status") or {}):
            await self._save_status(status)
        if progress.is_complete(self.deployment, status):
            return None
        return progress.seconds_to_deadline(self.deployment, status, self._clock)

    async def _save_status(self, status: Obj) -> None:
        changed = {**self.deployment, "status": status}
        await self._saved(await self._client.update(_DEPLOYMENTS, changed, subresource="status"))

    async def _saved(self, written: Obj) -> None:
        self.deployment = copy(written)
        await self._deployment_informer.has_seen(written)


def _revision_then_age(rs: Obj) -> tuple[int, float]:
    return revision_of(rs), parse_rfc3339(rs["metadata"]["creationTimestamp"])
