"""The DaemonSet controller: one Pod on every node that should have one.

    manage   a Pod for each node that should run one; no second one, and none where it may not stay
    roll     Pods of an old template are ended, a few at a time, to be made anew by `manage`
    tell     how many nodes should, do, and well run it

Which node a Pod is for stands in its node affinity; binding it is left to the scheduler.
Models pkg/controller/daemon/daemon_controller.go and update.go (v1.36).
"""

from __future__ import annotations

from ..api.selectors import LabelSelector
from ..api.status import ignoring_not_found
from ..client import Client, EventType
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
from .daemon_pods import is_updated, node_of, rolling_limits, should_run, template_for
from .events import EventRecorder
from .history import RESOURCE as REVISIONS
from .history import REVISION_HASH, RevisionHistory
from .owner import OwnerController, min_ready_seconds
from .pods import PodControl, is_available, is_finished, is_ready, phase_of

_RESOURCE = "daemonsets.apps"

PodsByNode = dict[str, list[Obj]]


class DaemonSetController(OwnerController):
    """Keeps DaemonSets. A key is a set's."""

    name = "daemonset"
    resource = _RESOURCE
    kind = "DaemonSet"

    def __init__(self, client: Client, informers: SharedInformers, recorder: EventRecorder, clock: Clock) -> None:
        super().__init__(client, informers, recorder, clock)
        self._pod_control = PodControl(client, recorder)
        self._nodes = informers.get("nodes")
        self._history = RevisionHistory(client, informers.get(REVISIONS), _RESOURCE, REVISION_HASH)
        self._nodes.add_handler(self._on_node)

    async def reconcile(self, key: str) -> None:
        """Sees to every node once."""
        daemons = self._owners.get(key)
        if daemons is None:
            return
        selector = self.selector_of(daemons)
        if not selector.requirements:
            return
        known = await self._history.of(daemons, selector)
        latest, collisions = await self._history.latest(daemons, known)
        hash_ = labels_of(latest)[REVISION_HASH]
        await self.claim(daemons, self._owned.list(namespace_of(daemons)))
        if not is_deleting(daemons):
            await self._manage(daemons, self._by_node(daemons, selector), hash_)
            if daemons["spec"]["updateStrategy"]["type"] == "RollingUpdate":
                await self._roll(daemons, self._by_node(daemons, selector), hash_)
        by_node = self._by_node(daemons, selector)
        await self._write_status(daemons, by_node, hash_, collisions)
        pods = [pod for there in by_node.values() for pod in there]
        hashes = {labels_of(pod).get(REVISION_HASH) for pod in pods} | {hash_}
        live = {name_of(revision) for revision in known if labels_of(revision).get(REVISION_HASH) in hashes}
        await self._history.truncate(daemons, known, live)
        self.look_again_when_available(key, daemons, pods)

    def _by_node(self, daemons: Obj, selector: LabelSelector) -> PodsByNode:
        by_node: PodsByNode = {}
        for pod in self._owned.owned_by(uid_of(daemons)):
            if selector.matches(labels_of(pod)) and node_of(pod):
                by_node.setdefault(node_of(pod), []).append(pod)
        return by_node

    # --- one Pod a node ---

    async def _manage(self, daemons: Obj, by_node: PodsByNode, hash_: str) -> None:
        for node in sorted(self._nodes.list(), key=name_of):
            there = by_node.get(name_of(node), [])
            should, may_stay = should_run(daemons, node)
            if should and not there:
                await self._create(daemons, name_of(node), hash_)
            elif should:
                await self._tidy(daemons, there, hash_)
            elif not may_stay:
                for pod in there:
                    await self._delete(daemons, pod)

    async def _tidy(self, daemons: Obj, there: list[Obj], hash_: str) -> None:
        """Ends what has failed, and all but the oldest; while Pods are replaced with a surge, one of each template."""
        running: list[Obj] = []
        for pod in there:
            if is_deleting(pod):
                continue
            if is_finished(pod):
                await self._end_finished(daemons, pod)
            else:
                running.append(pod)
        surge = rolling_limits(daemons, 1)[1] > 0
        groups = [[p for p in running if is_updated(p, hash_) == new] for new in (True, False)] if surge else [running]
        for group in groups:
            for pod in sorted(group, key=_seniority)[1:]:
                await self._delete(daemons, pod)

    async def _end_finished(self, daemons: Obj, pod: Obj) -> None:
        where = f"daemon pod {key_of(pod)} on node {node_of(pod)}"
        if phase_of(pod) == "Failed":
            text = f"Found failed {where}, will try to kill it"
            self._recorder.event(daemons, "Warning", "FailedDaemonPod", text)
        else:
            text = f"Found succeeded {where}, will try to delete it"
            self._recorder.event(daemons, "Normal", "SucceededDaemonPod", text)
        await self._delete(daemons, pod)

    # --- from one template to the next ---

    async def _roll(self, daemons: Obj, by_node: PodsByNode, hash_: str) -> None:
        nodes = [name_of(node) for node in sorted(self._nodes.list(), key=name_of) if should_run(daemons, node)[0]]
        unavailable, surge = rolling_limits(daemons, len(nodes))
        pairs = {node: _pair(by_node.get(node, []), hash_) for node in nodes}
        if surge:
            await self._roll_with_surge(daemons, pairs, surge, hash_)
            return
        missing, ill, well = 0, [], []
        for new, old in pairs.values():
            pod = new or old
            if pod is None or (new is not None and old is not None) or not self._is_available(daemons, pod):
                missing += 1
                if old is not None and new is None and not is_deleting(old):
                    ill.append(old)
            elif new is None:
                well.append(pod)
        for pod in ill + well[: max(0, unavailable - missing)]:
            await self._delete(daemons, pod)

    async def _roll_with_surge(
        self, daemons: Obj, pairs: dict[str, tuple[Obj | None, Obj | None]], surge: int, hash_: str
    ) -> None:
        """The new Pod of a node comes before the old one goes."""
        surging = 0
        ill: list[str] = []
        well: list[str] = []
        for node, (new, old) in pairs.items():
            if old is None:
                continue
            if new is None:
                (well if self._is_available(daemons, old) else ill).append(node)
            elif self._is_available(daemons, new):
                await self._delete(daemons, old)
            else:
                surging += 1
        for node in ill + well[: max(0, surge - surging)]:
            await self._create(daemons, node, hash_)

    def _is_available(self, daemons: Obj, pod: Obj) -> bool:
        return not is_deleting(pod) and is_available(pod, min_ready_seconds(daemons), self.clock.now())

    async def _create(self, daemons: Obj, node: str, hash_: str) -> None:
        await self._owned.has_seen(await self._pod_control.create(template_for(daemons, node, hash_), daemons))

    async def _delete(self, daemons: Obj, pod: Obj) -> None:
        if is_deleting(pod):
            return
        with ignoring_not_found():
            await self._pod_control.delete(pod, daemons)

    # --- telling ---

    async def _write_status(self, daemons: Obj, by_node: PodsByNode, hash_: str, collisions: int) -> None:
        status = self._status(daemons, by_node, hash_)
        if collisions:
            status["collisionCount"] = collisions
        if status == (daemons.get("status") or {}):
            return
        changed = copy(daemons)
        changed["status"] = status
        await self._owners.has_seen(await self._client.update(_RESOURCE, changed, subresource="status"))

    def _status(self, daemons: Obj, by_node: PodsByNode, hash_: str) -> Obj:
        counts = dict.fromkeys(
            ("desiredNumberScheduled", "currentNumberScheduled", "numberMisscheduled", "numberReady"), 0
        )
        updated = available = 0
        for node in self._nodes.list():
            should, _ = should_run(daemons, node)
            there = by_node.get(name_of(node), [])
            if not should:
                counts["numberMisscheduled"] += bool(there)
                continue
            counts["desiredNumberScheduled"] += 1
            if not there:
                continue
            counts["currentNumberScheduled"] += 1
            first = min(there, key=_seniority)
            if is_ready(first):
                counts["numberReady"] += 1
                available += is_available(first, min_ready_seconds(daemons), self.clock.now())
            updated += any(is_updated(pod, hash_) for pod in there)
        status: Obj = {**counts, "observedGeneration": daemons["metadata"].get("generation", 0)}
        rest = {
            "updatedNumberScheduled": updated,
            "numberAvailable": available,
            "numberUnavailable": counts["desiredNumberScheduled"] - available,
        }
        return status | {name: count for name, count in rest.items() if count}

    # --- what changed ---

    def _on_node(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is not None and old is not None and _relevant(new) == _relevant(old):
            return
        for daemons in self._owners.list():
            self.enqueue(daemons)


def _relevant(node: Obj) -> tuple[object, ...]:
    return node["metadata"].get("labels"), (node.get("spec") or {}).get("taints")


def _pair(there: list[Obj], hash_: str) -> tuple[Obj | None, Obj | None]:
    """(Pod of the present template, Pod of an older one) of a node; what has ended doesn't count."""
    alive = sorted((pod for pod in there if not is_finished(pod)), key=_seniority)
    new = next((pod for pod in alive if is_updated(pod, hash_)), None)
    return new, next((pod for pod in alive if not is_updated(pod, hash_)), None)


def _seniority(pod: Obj) -> tuple[bool, float, str]:
    """One that has its node comes first, then by age."""
    return not pod["spec"].get("nodeName"), parse_rfc3339(pod["metadata"]["creationTimestamp"]), name_of(pod)
