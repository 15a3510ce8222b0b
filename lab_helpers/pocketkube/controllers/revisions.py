"""Which ReplicaSet stands for which revision of a Deployment: template hashes, revision numbers, history.

`kubectl rollout history` and `undo` read nothing but these annotations. All functions are pure.
Models pkg/controller/deployment/util/deployment_util.go (v1.36).
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from ..clock import parse_rfc3339
from ..objects import Obj, annotations_of, copy, name_of, uid_of
from ..resources.naming import SAFE_ALPHABET

POD_TEMPLATE_HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"

_NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
}


def safe_encode(text: str) -> str:
    """Text in an alphabet that spells no words. Models apimachinery rand.SafeEncodeString."""
    return "".join(SAFE_ALPHABET[ord(character) % len(SAFE_ALPHABET)] for character in text)


def template_hash(template: Obj, collision_count: int = 0) -> str:
    """The name of a Pod template: the same for the same template, such as `7c5ddbdf54`.

    Upstream hashes a dump of the Go structure; here it is the JSON, so the alphabet agrees and the value doesn't.
    """
    text = json.dumps(_bare(template), sort_keys=True, separators=(",", ":"))
    number = 0x811C9DC5
    for byte in (text + (str(collision_count) if collision_count else "")).encode():
        number = ((number ^ byte) * 0x01000193) & 0xFFFFFFFF
    return safe_encode(str(number))


def same_template(one: Obj, other: Obj) -> bool:
    """True if two Pod templates differ in their hash label at most."""
    return bool(_bare(one) == _bare(other))


def _bare(template: Obj) -> Obj:
    """A template without its hash label, and without what says nothing."""
    metadata = {key: value for key, value in (template.get("metadata") or {}).items() if value}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != POD_TEMPLATE_HASH}
    metadata.pop("labels", None)
    if labels:
        metadata["labels"] = labels
    return {"metadata": metadata, "spec": template.get("spec") or {}}


def oldest_first(sets: Iterable[Obj]) -> list[Obj]:
    """ReplicaSets by age, then by name."""
    return sorted(sets, key=lambda rs: (parse_rfc3339(rs["metadata"]["creationTimestamp"]), name_of(rs)))


def find_new(deployment: Obj, sets: Iterable[Obj]) -> Obj | None:
    """The ReplicaSet of the Deployment's current template; the oldest, should there be several."""
    wanted = deployment["spec"]["template"]
    return next((rs for rs in oldest_first(sets) if same_template(rs["spec"]["template"], wanted)), None)


def all_but(new: Obj | None, sets: Iterable[Obj]) -> list[Obj]:
    """The ReplicaSets of other templates."""
    return [rs for rs in sets if new is None or uid_of(rs) != uid_of(new)]


def revision_of(obj: Obj) -> int:
    """The revision annotation as a number; 0 if there is none."""
    text = annotations_of(obj).get(REVISION, "")
    return int(text) if text.isdigit() else 0


def next_revision(old: Iterable[Obj]) -> int:
    """One more than the highest revision among the old ReplicaSets."""
    return max((revision_of(rs) for rs in old), default=0) + 1


def size_annotations(desired: int, max_replicas: int) -> dict[str, str]:
    """What a ReplicaSet remembers of its Deployment's size, for proportional scaling."""
    return {DESIRED_REPLICAS: str(desired), MAX_REPLICAS: str(max_replicas)}


def revision_annotations(deployment: Obj, rs: Obj, revision: int) -> dict[str, str]:
    """The annotations of the new ReplicaSet: the Deployment's own, its revision, and the revisions it was before."""
    annotations = dict(annotations_of(rs))
    annotations |= {key: value for key, value in annotations_of(deployment).items() if key not in _NOT_COPIED}
    before = revision_of(rs)
    if before < revision:
        annotations[REVISION] = str(revision)
        if before:
            history = annotations.get(REVISION_HISTORY, "")
            annotations[REVISION_HISTORY] = f"{history},{before}" if history else str(before)
    return annotations


def hashed_template(template: Obj, hash_: str) -> Obj:
    """A copy of a Pod template that carries its hash as a label."""
    hashed = copy(template)
    metadata = hashed.setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), POD_TEMPLATE_HASH: hash_}
    return hashed


def hashed_selector(selector: Obj, hash_: str) -> Obj:
    """A copy of a label selector that selects one template's Pods only."""
    hashed = copy(selector)
    hashed["matchLabels"] = {**(hashed.get("matchLabels") or {}), POD_TEMPLATE_HASH: hash_}
    return hashed
