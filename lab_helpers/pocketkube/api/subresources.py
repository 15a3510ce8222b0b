"""The verbs on part of an object: binding, eviction, finalize, ephemeral containers.

`status` is an ordinary update of another part of the object and is done by the registry; `scale` is in `scale.py`.
Models pkg/registry/core/pod/storage and core/namespace/storage (v1.36).
"""

from __future__ import annotations

from typing import Any

from ..objects import Obj, copy, name_of
from ..resources.metadata import NOT_STANDARD, STANDARD_FINALIZERS
from ..resources.naming import label_key_problems
from ..resources.table import Resource
from .apply import track_update
from .eviction import evict
from .preconditions import uid_mismatch
from .registry import Registry
from .request import RequestContext
from .status import Cause, StatusError, go_quote, invalid_value, not_supported, required


def bind_pod(registry: Registry, ctx: RequestContext, resource: Resource, current: Obj, binding: Obj) -> Obj:
    """Assigns a Pod to a node, once. Models core/pod/storage assignPod."""
    name, target = name_of(current), binding.get("target") or {}
    causes: list[Cause] = []
    if target.get("kind") not in (None, "", "Node"):
        causes.append(not_supported("target.kind", target["kind"], ["Node", "<empty>"]))
    if not target.get("name"):
        causes.append(required("target.name"))
    if causes:
        said = ", ".join(str(cause) for cause in causes)
        raise StatusError.unclassified(said if len(causes) == 1 else f"[{said}]")
    meta, spec = current["metadata"], current.get("spec") or {}
    uid = (binding.get("metadata") or {}).get("uid")
    why = ""
    if uid and uid != meta["uid"]:
        why = uid_mismatch(uid, meta)
    elif meta.get("deletionTimestamp"):
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
    elif spec.get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        raise StatusError.conflict("pods/binding", name, why)
    if not ctx.dry_run:
        _assign(registry, resource, current, binding)
    return accepted()


def check_named_in_url(name: str, subresource: str, body: Obj) -> None:
    """A binding or eviction names its Pod as the URL does."""
    given = (body.get("metadata") or {}).get("name") or ""
    if given != name:
        raise StatusError.bad_request(f"name in URL does not match name in {subresource.capitalize()} object")


def _assign(registry: Registry, resource: Resource, current: Obj, binding: Obj) -> None:
    """The Pod takes the node, and the labels and annotations that the scheduler sends along."""
    status = dict(current.get("status") or {})
    scheduled = {
        "type": "PodScheduled",
        "status": "True",
        "observedGeneration": current["metadata"].get("generation", 1),
        "lastProbeTime": None,
        "lastTransitionTime": registry.now(),
    }
    others = [condition for condition in status.get("conditions") or [] if condition.get("type") != "PodScheduled"]
    status["conditions"] = [*others, scheduled]
    spec = {**current["spec"], "nodeName": str(binding["target"]["name"])}
    given = binding.get("metadata") or {}
    changes: Obj = {
        field: {**(current["metadata"].get(field) or {}), **given[field]}
        for field in ("labels", "annotations")
        if given.get(field)
    }
    registry.update_metadata(resource, current, changes, spec=spec, status=status)


def evict_pod(registry: Registry, ctx: RequestContext, resource: Resource, current: Obj, eviction: Obj) -> Obj:
    """Deletes a Pod as `kubectl drain` asks for it; see `eviction`."""
    evict(registry, ctx, current, eviction)
    return accepted()


def validate_finalizer_names(names: list[str]) -> list[Cause]:
    """Models pkg/apis/core/validation ValidateNamespaceFinalizeUpdate."""
    causes: list[Cause] = []
    for index, name in enumerate(names):
        path = f"spec.finalizers[{index}]"
        causes += [invalid_value(path, name, problem) for problem in label_key_problems(name)]
        if "/" not in name and name not in STANDARD_FINALIZERS:
            causes.append(invalid_value(path, name, NOT_STANDARD))
    return causes


def finalize_namespace(registry: Registry, ctx: RequestContext, resource: Resource, current: Obj, given: Obj) -> Obj:
    """Replaces `spec.finalizers`; a namespace that is being deleted and has none left is gone."""
    version = (given.get("metadata") or {}).get("resourceVersion")
    if version and version != current["metadata"]["resourceVersion"]:
        raise StatusError.conflict(resource.name, name_of(current))
    finalizers = (given.get("spec") or {}).get("finalizers") or []
    problems = validate_finalizer_names(finalizers)
    if problems:
        raise StatusError.invalid("Namespace", name_of(current), problems)
    spec: Obj = {"finalizers": finalizers} if finalizers else {}
    changed = {**current, "spec": spec, "metadata": dict(current["metadata"])}
    track_update(current, changed, ctx.manager, "finalize", resource, registry.now())
    if ctx.dry_run:
        return changed
    owners = changed["metadata"].get("managedFields")
    updated = registry.update_metadata(resource, current, {"managedFields": owners}, spec=spec)
    meta = updated["metadata"]
    if meta.get("deletionTimestamp") and not finalizers and not meta.get("finalizers"):
        return registry.remove(resource, updated)
    return updated


def with_ephemeral_containers(current: Obj, given: Obj) -> Obj:
    """The current Pod with the ephemeral containers of the given one. They can be added, never changed or removed.

    Models pkg/apis/core/validation ValidatePodEphemeralContainersUpdate.
    """
    old: list[Any] = (current.get("spec") or {}).get("ephemeralContainers") or []
    new: list[Any] = (given.get("spec") or {}).get("ephemeralContainers") or []
    kept = {container["name"]: container for container in new}
    path = "spec.ephemeralContainers"
    for container in old:
        if container["name"] not in kept:
            why = f"existing ephemeral containers {go_quote(container['name'])} may not be removed\n"
            cause = Cause("FieldValueForbidden", path, f"Forbidden: {why}")
            raise StatusError.invalid("Pod", name_of(current), [cause])
    merged = copy(current)
    merged["spec"]["ephemeralContainers"] = copy(new)
    merged["metadata"]["resourceVersion"] = (given.get("metadata") or {}).get("resourceVersion") or ""
    return merged


def accepted() -> Obj:
    """The Status that answers a binding or an eviction."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
