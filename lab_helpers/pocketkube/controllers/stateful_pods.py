"""The Pods of a StatefulSet: their ordinals, names and labels. All functions are pure.

Models pkg/controller/statefulset/stateful_set_utils.go (v1.36).
"""

from __future__ import annotations

import re

from ..objects import Obj, is_deleting, labels_of, name_of
from .history import REVISION_HASH, template_of
from .int_or_percent import scaled_value
from .pods import is_available, is_ready, phase_of, pod_from_template

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"

_NAME = re.compile(r"(.*)-([0-9]+)")


def parent_and_ordinal(name: str) -> tuple[str, int]:
    """`web-3` is the fourth of `web`; the ordinal of any other name is -1."""
    match = _NAME.fullmatch(name)
    return (match[1], int(match[2])) if match else ("", -1)


def ordinal_of(pod: Obj) -> int:
    """The number at the end of its name."""
    return parent_and_ordinal(name_of(pod))[1]


def ordinals(owner: Obj) -> range:
    """Those that the set should have."""
    start = int((owner["spec"].get("ordinals") or {}).get("start") or 0)
    return range(start, start + int(owner["spec"]["replicas"]))


def partition(owner: Obj) -> int:
    """Pods with a smaller ordinal stay what they are in a rolling update."""
    return int((owner["spec"]["updateStrategy"].get("rollingUpdate") or {}).get("partition") or 0)


def max_unavailable(owner: Obj) -> int:
    """How many Pods a rolling update may take away at a time: a number, or a share rounded up, at least one."""
    value = (owner["spec"]["updateStrategy"].get("rollingUpdate") or {}).get("maxUnavailable", 1)
    return max(1, scaled_value(value, int(owner["spec"]["replicas"])))


def is_rolling(owner: Obj) -> bool:
    """True for the strategy RollingUpdate."""
    return bool(owner["spec"]["updateStrategy"]["type"] == "RollingUpdate")


def is_parallel(owner: Obj) -> bool:
    """True if Pods need not wait for one another."""
    return bool(owner["spec"].get("podManagementPolicy") == "Parallel")


def is_of_revision(pod: Obj, revision: Obj) -> bool:
    """True if the Pod was made of that revision's template."""
    return labels_of(pod).get(REVISION_HASH) == name_of(revision)


def is_serving(pod: Obj) -> bool:
    """Running and ready."""
    return phase_of(pod) == "Running" and is_ready(pod)


def is_healthy(pod: Obj, min_ready_seconds: int, now: float) -> bool:
    """Running, ready for long enough, and there to stay."""
    return is_serving(pod) and is_available(pod, min_ready_seconds, now) and not is_deleting(pod)


def identity(owner: Obj, ordinal: int) -> dict[str, str]:
    """The labels that say who a Pod is."""
    return {POD_NAME: f"{name_of(owner)}-{ordinal}", POD_INDEX: str(ordinal)}


def new_pod(owner: Obj, ordinal: int, current: Obj, update: Obj) -> Obj:
    """The Pod of that ordinal, of the current revision below the partition and of the new one above it."""
    stays = is_rolling(owner) and ordinal < ordinals(owner).start + partition(owner)
    revision = current if stays else update
    pod = pod_from_template(template_of(revision), owner)
    meta, spec = pod["metadata"], pod["spec"]
    meta["name"] = f"{name_of(owner)}-{ordinal}"
    meta["labels"] = {**(meta.get("labels") or {}), **identity(owner, ordinal), REVISION_HASH: name_of(revision)}
    # With a headless Service of that name, this makes the Pod's own DNS name.
    spec["hostname"] = meta["name"]
    if owner["spec"].get("serviceName"):
        spec["subdomain"] = owner["spec"]["serviceName"]
    return pod
