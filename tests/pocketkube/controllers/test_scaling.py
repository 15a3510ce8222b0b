"""The arithmetic of rollouts, and its promise: never too many Pods, never too few."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab_helpers.pocketkube.controllers import scaling
from lab_helpers.pocketkube.controllers.revisions import safe_encode, size_annotations, template_hash
from lab_helpers.pocketkube.objects import Obj, uid_of


def deployment(replicas: int, surge: int | str = "25%", unavailable: int | str = "25%") -> Obj:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    spec = {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}
    return {"metadata": {"name": "web"}, "spec": spec, "status": {"replicas": replicas}}


def replica_set(name: str, replicas: int, available: int | None = None, **annotations: str) -> Obj:
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": f"2026-01-01T00:00:{len(name):02d}Z",
            "annotations": annotations,
        },
        "spec": {"replicas": replicas},
        "status": {"availableReplicas": replicas if available is None else available},
    }


amounts: Any = st.one_of(st.integers(0, 6), st.integers(0, 100).map(lambda n: f"{n}%"))


@given(st.integers(0, 40), amounts, amounts)
def test_fenceposts_always_leave_a_way_forward(replicas: int, surge: int | str, unavailable: int | str) -> None:
    found = scaling.fenceposts(deployment(replicas, surge, unavailable))
    assert min(found) >= 0 and sum(found) > 0


def test_percentages_round_up_for_surge_and_down_for_unavailable() -> None:
    assert scaling.fenceposts(deployment(3)) == (1, 0)
    assert scaling.fenceposts(deployment(10)) == (3, 2)
    assert scaling.fenceposts(deployment(10, 0, 0)) == (0, 1)
    assert scaling.fenceposts(deployment(5, "0%", "10%")) == (0, 1)


class World:
    """Two ReplicaSets whose Pods become available, and end, in any order and at any time."""

    def __init__(self, deployment: Obj, chance: random.Random) -> None:
        self.deployment = deployment
        self.chance = chance
        self.size = {"old": scaling.replicas_of(deployment), "new": 0}
        self.running = {"old": self.size["old"], "new": 0}
        self.available = {"old": self.size["old"], "new": 0}

    def live(self) -> None:
        """Replica keepers and kubelets do some of their work."""
        for name in self.size:
            if self.running[name] > self.size[name]:
                surplus = self.running[name] - self.size[name]
                unready = self.running[name] - self.available[name]
                self.running[name] = self.size[name]
                self.available[name] -= max(0, surplus - unready)
            self.running[name] += self.chance.randint(0, max(0, self.size[name] - self.running[name]))
            self.available[name] += self.chance.randint(0, self.running[name] - self.available[name])

    def sets(self) -> tuple[Obj, Obj]:
        old, new = (replica_set(name, self.size[name], self.available[name]) for name in ("old", "new"))
        return old, new

    def roll(self) -> None:
        """One step of the Deployment controller."""
        old, new = self.sets()
        grown = scaling.new_set_size(self.deployment, [old, new], scaling.replicas_of(new))
        if grown != scaling.replicas_of(new):
            self.size["new"] = grown
            return
        if not scaling.may_scale_down(self.deployment, new, [old]):
            return
        for step in scaling.unhealthy_first(self.deployment, new, [old]):
            self.size["old"] = step.replicas
        old = {**old, "spec": {"replicas": self.size["old"]}}
        for step in scaling.old_sets_sizes(self.deployment, new, [old]):
            self.size["old"] = step.replicas

    def done(self) -> bool:
        wanted = scaling.replicas_of(self.deployment)
        return self.size["old"] == 0 and self.available["new"] == self.size["new"] == wanted


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 15), amounts, amounts, st.integers(0, 10_000))
def test_a_rollout_stays_between_its_bounds_and_ends(
    replicas: int, surge: int | str, unavailable: int | str, seed: int
) -> None:
    wanted = deployment(replicas, surge, unavailable)
    world = World(wanted, random.Random(seed))
    most = replicas + scaling.max_surge(wanted)
    least = replicas - scaling.max_unavailable(wanted)
    for _ in range(1000):
        world.live()
        world.roll()
        assert sum(world.size.values()) <= most
        world.live()
        assert sum(world.available.values()) >= least
        if world.done():
            return
    raise AssertionError("the rollout never ends")


@example([3, 3, 3, 3, 3], 3)
@given(st.lists(st.integers(1, 20), min_size=2, max_size=5), st.integers(0, 60))
def test_proportional_sizes_add_up(sizes: list[int], wanted: int) -> None:
    before = sum(sizes)
    annotations = size_annotations(before, before)
    sets = [replica_set("r" * (index + 1), size, **annotations) for index, size in enumerate(sizes)]
    found = scaling.proportional_sizes(deployment(wanted, 0, 1), sets)
    total = sum(size.replicas for size in found)
    # As upstream: what rounding leaves over is taken from the largest alone, which can't give more than it has.
    assert total == wanted or (total > wanted and min(size.replicas for size in found) == 0)
    assert all(size.replicas >= 0 for size in found)
    assert {uid_of(size.rs) for size in found} == {uid_of(rs) for rs in sets}


def test_hashes_use_the_safe_alphabet_and_ignore_the_hash_label() -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "x"}]}}
    labelled = {**template, "metadata": {"labels": {"app": "web", "pod-template-hash": "abc"}}}
    assert template_hash(template) == template_hash(labelled)
    assert template_hash(template) != template_hash(template, 1)
    assert set(template_hash(template)) <= set("456789bcdf")
    assert safe_encode("0123456789") == "456789bcdf"
