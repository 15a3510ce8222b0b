"""The arithmetic of a Deployment: how many replicas each of its ReplicaSets should have now.

All functions are pure. Models pkg/controller/deployment/util/deployment_util.go, rolling.go and sync.go (v1.36).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ..clock import parse_rfc3339
from ..objects import Obj, annotations_of, name_of, uid_of
from .int_or_percent import scaled_value
from .revisions import DESIRED_REPLICAS, MAX_REPLICAS, oldest_first


@dataclass(frozen=True)
class Size:
    """A new size for a ReplicaSet."""

    rs: Obj
    replicas: int


def replicas_of(obj: Obj) -> int:
    """`spec.replicas`."""
    return int(obj["spec"].get("replicas", 1))


def status_count(obj: Obj, field: str) -> int:
    """A number of the status; 0 if it is left out."""
    return int((obj.get("status") or {}).get(field) or 0)


def total(sets: Iterable[Obj]) -> int:
    """The sum of `spec.replicas`."""
    return sum(replicas_of(rs) for rs in sets)


def total_status(sets: Iterable[Obj], field: str) -> int:
    """The sum of a number of the status."""
    return sum(status_count(rs, field) for rs in sets)


def is_rolling(deployment: Obj) -> bool:
    """True for the strategy RollingUpdate."""
    return bool((deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def fenceposts(deployment: Obj) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as numbers: surge rounded up, unavailable down, never both zero."""
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    replicas = replicas_of(deployment)
    surge = scaled_value(rolling.get("maxSurge", "25%"), replicas)
    unavailable = scaled_value(rolling.get("maxUnavailable", "25%"), replicas, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, unavailable


def max_surge(deployment: Obj) -> int:
    """How many Pods there may be above `spec.replicas` during a rolling update."""
    return fenceposts(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: Obj) -> int:
    """How many Pods may be missing from `spec.replicas` during a rolling update."""
    if not is_rolling(deployment) or replicas_of(deployment) == 0:
        return 0
    return min(fenceposts(deployment)[1], replicas_of(deployment))


def new_set_size(deployment: Obj, sets: Iterable[Obj], current: int) -> int:
    """How large the new ReplicaSet, now `current`, may become. `sets` are all, the new one included if it exists."""
    wanted = replicas_of(deployment)
    if not is_rolling(deployment):
        return wanted
    room = wanted + max_surge(deployment) - total(sets)
    if room <= 0:
        return current
    return current + min(room, wanted - current)


def unhealthy_first(deployment: Obj, new: Obj, old: list[Obj]) -> list[Size]:
    """First step down: old replicas that are not available serve nobody, and go before healthy ones."""
    budget = _removable(deployment, new, old)
    sizes = []
    for rs in oldest_first(old):
        unhealthy = replicas_of(rs) - status_count(rs, "availableReplicas")
        count = min(budget, unhealthy)
        if replicas_of(rs) == 0 or count <= 0:
            continue
        budget -= count
        sizes.append(Size(rs, replicas_of(rs) - count))
    return sizes


def old_sets_sizes(deployment: Obj, new: Obj, old: list[Obj]) -> list[Size]:
    """Second step down: old replicas that are not needed for the minimum of available Pods."""
    budget = total_status([*old, new], "availableReplicas") - _min_available(deployment)
    sizes = []
    for rs in oldest_first(old):
        count = min(budget, replicas_of(rs))
        if count <= 0:
            continue
        budget -= count
        sizes.append(Size(rs, replicas_of(rs) - count))
    return sizes


def may_scale_down(deployment: Obj, new: Obj, old: list[Obj]) -> bool:
    """True if any old replica can go without risking the minimum of available Pods."""
    return total(old) > 0 and _removable(deployment, new, old) > 0


def _min_available(deployment: Obj) -> int:
    return replicas_of(deployment) - max_unavailable(deployment)


def _removable(deployment: Obj, new: Obj, old: list[Obj]) -> int:
    new_unavailable = replicas_of(new) - status_count(new, "availableReplicas")
    return total([*old, new]) - _min_available(deployment) - new_unavailable


def is_saturated(deployment: Obj, new: Obj | None) -> bool:
    """True if the new ReplicaSet alone does what the Deployment asks for."""
    if new is None:
        return False
    wanted = replicas_of(deployment)
    desired = annotations_of(new).get(DESIRED_REPLICAS)
    return desired == str(wanted) == str(replicas_of(new)) == str(status_count(new, "availableReplicas"))


def was_resized(deployment: Obj, sets: Iterable[Obj]) -> bool:
    """True if `spec.replicas` changed since the ReplicaSets were sized last."""
    known = (annotations_of(rs).get(DESIRED_REPLICAS) for rs in sets if replicas_of(rs) > 0)
    return any(size is not None and size != str(replicas_of(deployment)) for size in known)


def active_or_latest(new: Obj | None, old: list[Obj]) -> Obj | None:
    """The only ReplicaSet that matters: the active one, or the latest if none is; None if several are active."""
    sets = [*old, new] if new is not None else old
    active = [rs for rs in sets if replicas_of(rs) > 0]
    if len(active) == 1:
        return active[0]
    if active:
        return None
    return new if new is not None else next(iter(reversed(oldest_first(old))), None)


def proportional_sizes(deployment: Obj, sets: list[Obj]) -> list[Size]:
    """A Deployment resized in the middle of a rollout: every active ReplicaSet gets its share, the largest the rest."""
    active = [rs for rs in sets if replicas_of(rs) > 0]
    wanted = replicas_of(deployment)
    allowed = wanted + max_surge(deployment) if wanted > 0 else 0
    to_add = allowed - total(active)
    active.sort(key=lambda rs: (-replicas_of(rs), _age(rs) if to_add < 0 else -_age(rs), name_of(rs)))
    added = 0
    sizes: dict[str, int] = {}
    for rs in active:
        share = _share(rs, deployment, to_add, added)
        sizes[uid_of(rs)] = replicas_of(rs) + share
        added += share
    if active and to_add != added:
        largest = uid_of(active[0])
        sizes[largest] = max(0, sizes[largest] + to_add - added)
    return [Size(rs, sizes[uid_of(rs)]) for rs in active]


def _age(rs: Obj) -> float:
    return parse_rfc3339(rs["metadata"]["creationTimestamp"])


def _share(rs: Obj, deployment: Obj, to_add: int, added: int) -> int:
    left = to_add - added
    if left == 0:
        return 0
    share = _fraction(rs, deployment)
    return min(share, left) if to_add > 0 else max(share, left)


def _fraction(rs: Obj, deployment: Obj) -> int:
    size = replicas_of(rs)
    if replicas_of(deployment) == 0:
        return -size
    before = annotations_of(rs).get(MAX_REPLICAS, "")
    most_before = int(before) if before.isdigit() and int(before) else status_count(deployment, "replicas")
    if most_before == 0:
        return 0
    most_now = replicas_of(deployment) + max_surge(deployment)
    # Go's math.Round: halves away from zero.
    return math.floor(size * most_now / most_before + 0.5) - size
