"""The rules of `metadata` that every kind shares: its validation on create and on update.

Models apimachinery pkg/api/validation/objectmeta.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..api.status import Cause, forbidden_field, invalid_value, required, too_long
from ..objects import Obj
from .naming import label_key_problems, label_problems, label_value_problems

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
IMMUTABLE = "field is immutable"
STANDARD_FINALIZERS = ("kubernetes", ORPHAN, FOREGROUND)
NOT_STANDARD = "name is neither a standard finalizer name nor is it fully qualified"
"""What is said of a finalizer without a domain that is none of these."""

# How much of its metadata a kind's own validation of an update looks at; the others check it as an update.
_CHECKED_WHOLE = frozenset(
    {
        "ClusterRole", "ClusterRoleBinding", "ConfigMap", "ControllerRevision", "Endpoints", "Ingress", "IngressClass",
        "Job", "Namespace", "Node", "Pod", "Role", "RoleBinding", "Secret", "ServiceAccount",
    }
)  # fmt: skip
_CHECKED_AS_NEW = frozenset({"EndpointSlice", "LimitRange"})
_CHECKED_PLAINLY = frozenset({"Lease"})
_CHECKED_FOR_ALL = frozenset({"PodDisruptionBudget"})

_ANNOTATIONS_LIMIT = 256 * 1024

Problems = Callable[[str], list[str]]


def asked_name(meta: Obj) -> str:
    """How admission calls an object whose name may not be made yet. Models apiserver pkg/admission/errors.go."""
    return str(meta.get("name") or meta.get("generateName") or "Unknown")


def validate_metadata(meta: Obj, namespaced: bool, name_problems: Problems, path: str = "metadata") -> list[Cause]:
    """Everything about metadata that can be wrong in a new object."""
    causes: list[Cause] = []
    generate_name = meta.get("generateName")
    if generate_name:
        # What is generated goes behind the prefix: a dash or dot at its end is fine.
        prefix = generate_name[:-1] + "a" if generate_name.endswith("-") else generate_name
        causes += [invalid_value(f"{path}.generateName", generate_name, problem) for problem in name_problems(prefix)]
    name = meta.get("name")
    if not name:
        causes.append(required(f"{path}.name", "name or generateName is required"))
    else:
        causes += [invalid_value(f"{path}.name", name, problem) for problem in name_problems(name)]
    return causes + _validate_namespace(meta, namespaced, path) + _validate_common(meta, path)


def _validate_namespace(meta: Obj, namespaced: bool, path: str) -> list[Cause]:
    namespace = meta.get("namespace")
    if not namespaced:
        return [forbidden_field(f"{path}.namespace", "not allowed on this type")] if namespace else []
    if not namespace:
        return [required(f"{path}.namespace")]
    return [invalid_value(f"{path}.namespace", namespace, problem) for problem in label_problems(namespace)]


def _validate_common(meta: Obj, path: str) -> list[Cause]:
    return _validate_labelled(meta, path) + _validate_finalizers(meta.get("finalizers") or [], f"{path}.finalizers")


def _validate_labelled(meta: Obj, path: str) -> list[Cause]:
    causes = validate_labels(meta.get("labels") or {}, f"{path}.labels")
    causes += validate_annotations(meta.get("annotations") or {}, f"{path}.annotations")
    return causes + _validate_owners(meta.get("ownerReferences") or [], f"{path}.ownerReferences")


def validate_metadata_update(new: Obj, old: Obj, path: str = "metadata") -> list[Cause]:
    """What an update of any kind must not do to metadata. Models ValidateObjectMetaAccessorUpdate and its caller."""
    causes = _validate_kept(new, old, path) + _validate_labelled(new, path)
    return causes + _validate_labelled(new, path)  # once as a new object's, once as an update's


def validate_kind_metadata_update(
    kind: str, new: Obj, old: Obj, *, namespaced: bool, name_problems: Problems, part: bool, path: str = "metadata"
) -> list[Cause]:
    """What upstream's kinds check of metadata beside what is checked for all: the same again, some of it or no more.

    `part`: only a part of the object is written, as its status.
    """
    if kind in _CHECKED_FOR_ALL or (part and kind == "CronJob"):
        return []
    whole = kind in _CHECKED_WHOLE and not part
    causes: list[Cause] = []
    if kind not in _CHECKED_AS_NEW:
        causes += _validate_kept(new, old, path) + _validate_labelled(new, path)
        if kind not in _CHECKED_PLAINLY:
            causes += _validate_finalizers(new.get("finalizers") or [], f"{path}.finalizers")
    if whole or kind in _CHECKED_AS_NEW:
        causes += validate_metadata(new, namespaced, name_problems, path)
    return causes


def _validate_kept(new: Obj, old: Obj, path: str) -> list[Cause]:
    """What stays as it is."""
    causes: list[Cause] = []
    if old.get("deletionTimestamp"):
        added = sorted(set(new.get("finalizers") or []) - set(old.get("finalizers") or []))
        if added:
            quoted = ", ".join(f'"{name}"' for name in added)
            why = "no new finalizers can be added if the object is being deleted, found new finalizers"
            causes.append(forbidden_field(f"{path}.finalizers", f"{why} []string{{{quoted}}}"))
    if not new.get("resourceVersion"):
        causes.append(invalid_value(f"{path}.resourceVersion", "", "must be specified for an update"))
    for field in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        causes += validate_immutable(new.get(field), old.get(field), f"{path}.{field}")
    return causes


def validate_immutable(new: Any, old: Any, path: str) -> list[Cause]:
    """A field that keeps its value for life."""
    return [] if new == old else [invalid_value(path, new, IMMUTABLE)]


def validate_labels(labels: Mapping[str, str], path: str) -> list[Cause]:
    """Keys and values of labels."""
    causes: list[Cause] = []
    for key, value in sorted(labels.items()):
        causes += [invalid_value(path, key, problem) for problem in label_key_problems(key)]
        causes += [invalid_value(path, value, problem) for problem in label_value_problems(value)]
    return causes


def validate_annotations(annotations: Mapping[str, str], path: str) -> list[Cause]:
    """Keys of annotations, and the size of all together."""
    causes: list[Cause] = []
    for key in sorted(annotations):
        causes += [invalid_value(path, key, problem) for problem in label_key_problems(key.lower())]
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    return [*causes, too_long(path, _ANNOTATIONS_LIMIT)] if size > _ANNOTATIONS_LIMIT else causes


def _validate_owners(references: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    controller = ""
    for reference in references:
        if not reference.get("apiVersion"):
            causes.append(invalid_value(f"{path}.apiVersion", "", "version must not be empty"))
        for field in ("kind", "name", "uid"):
            if not reference.get(field):
                causes.append(invalid_value(f"{path}.{field}", "", "must not be empty"))
        if reference.get("apiVersion") == "v1" and reference.get("kind") == "Event":
            causes.append(invalid_value(path, reference, "/v1, Kind=Event is disallowed from being an owner"))
        if not reference.get("controller"):
            continue
        subject = f"{reference.get('kind')}/{reference.get('name')}"
        if controller:
            why = 'Only one reference can have Controller set to true. Found "true" in references for'
            causes.append(invalid_value(path, references, f"{why} {controller} and {subject}"))
        controller = controller or subject
    return causes


def _validate_finalizers(finalizers: list[str], path: str) -> list[Cause]:
    causes = [invalid_value(path, name, problem) for name in finalizers for problem in label_key_problems(name)]
    for index, name in enumerate(finalizers):
        if "/" not in name and name not in STANDARD_FINALIZERS:
            causes.append(invalid_value(f"{path}[{index}]", name, NOT_STANDARD))
    if ORPHAN in finalizers and FOREGROUND in finalizers:
        why = f"finalizer {ORPHAN} and {FOREGROUND} cannot be both set"
        causes.append(invalid_value(path, finalizers, why))
    return causes
