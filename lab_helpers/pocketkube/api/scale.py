"""The `scale` subresource: a workload seen as an autoscaling/v1 Scale, and what a written Scale does to the workload.

Every verb works on the Scale with the part of the workload's managedFields that is about `replicas`; the outcome is
translated back. Entries that come back that way have no time, as upstream's have none.
Models pkg/registry/apps/deployment/storage (ScaleREST) and managedfields/scalehandler.go (v1.36).
"""

from __future__ import annotations

from typing import Any

from ..objects import Obj, copy, name_of
from ..resources.metadata import validate_metadata
from ..resources.table import Resource
from .apply import apply, track_update
from .managed_fields import Owned, Ownership, write_entries
from .preconditions import check_name, uid_mismatch
from .registry import Registry
from .request import RequestContext
from .selectors import format_label_selector, format_labels
from .status import StatusError, invalid_value

SCALE = "scale"
_SCALES = Resource("scales", "Scale", group="autoscaling")
_META = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
_REPLICAS = ("f:spec", "f:replicas")
"""The path is the same in all workloads and in their Scales."""


def scale_of(obj: Obj) -> Obj:
    """The autoscaling/v1 Scale of a workload."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    replicas = spec.get("replicas", 1)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: obj["metadata"][field] for field in _META if field in obj["metadata"]},
        "spec": {"replicas": replicas} if replicas else {},
        "status": {"replicas": status.get("replicas") or 0, "selector": _selector_text(spec.get("selector") or {})},
    }


def _selector_text(selector: Obj) -> str:
    """As kubectl takes it: a set-based selector, or the plain labels of a ReplicationController."""
    set_based = "matchLabels" in selector or "matchExpressions" in selector
    return format_label_selector(selector) if set_based else format_labels(selector)


def owned_scale_of(obj: Obj) -> Obj:
    """The Scale with who owns its replicas, as patches see it."""
    scale = scale_of(obj)
    owners = [
        Owned(owned.manager._replace(api_version=_SCALES.api_version), {_REPLICAS}, owned.time)
        for owned in Ownership.of(obj).entries
        if _REPLICAS in owned.fields
    ]
    write_entries(scale, owners)
    return scale


def replace_scale(registry: Registry, ctx: RequestContext, resource: Resource, current: Obj, scale: Obj) -> Obj:
    """Sets `spec.replicas` and answers with the new Scale."""
    new = {**scale, "metadata": {k: v for k, v in (scale.get("metadata") or {}).items() if k != "managedFields"}}
    track_update(owned_scale_of(current), new, ctx.manager, SCALE, _SCALES, registry.now())
    return _store(registry, ctx, resource, current, new)


def apply_scale(registry: Registry, ctx: RequestContext, resource: Resource, current: Obj, config: Any) -> Obj:
    """Server-side apply of a Scale."""
    live = owned_scale_of(current)
    new = apply(live, config, ctx.manager, ctx.force, _SCALES, registry.now(), SCALE)
    return _store(registry, ctx, resource, current, new)


def _store(registry: Registry, ctx: RequestContext, resource: Resource, current: Obj, scale: Obj) -> Obj:
    name, meta = name_of(current), scale["metadata"]
    check_name(meta, name)
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    causes = validate_metadata({**meta, "namespace": current["metadata"]["namespace"]}, True, lambda _name: [])
    if replicas < 0:
        causes.append(invalid_value("spec.replicas", replicas, "must be greater than or equal to 0"))
    if causes:
        raise StatusError.invalid("Scale.autoscaling", name, causes)
    if meta.get("uid") not in (None, "", current["metadata"]["uid"]):
        why = uid_mismatch(meta["uid"], current["metadata"])
        raise StatusError.conflict(f"{resource.plural}/scale.{resource.group}".rstrip("."), name, why)
    obj = copy(current)
    obj.setdefault("spec", {})["replicas"] = replicas
    obj["metadata"]["resourceVersion"] = meta.get("resourceVersion") or ""
    write_entries(obj, _owners_after(Ownership.of(current), Ownership.of(scale), resource))
    return scale_of(registry.replace(ctx, resource, current, obj, subresource=SCALE, applied=True))


def _owners_after(workload: Ownership, scale: Ownership, resource: Resource) -> list[Owned]:
    """The workload's owners once its Scale has been written. Models ScaleHandler.ToParent.

    An updater is another one in the Scale's version, so that its claim moves to an entry of its own.
    """
    owners = {owned.manager.identity: owned for owned in scale.entries}
    after = []
    for owned in workload.entries:
        if _REPLICAS in owned.fields and owners.pop(owned.manager.identity, None) is None:
            owned = Owned(owned.manager, owned.fields - {_REPLICAS}, owned.time)
        if owned.fields:
            after.append(owned)
    after += [
        Owned(owned.manager._replace(api_version=resource.api_version), {_REPLICAS}, None)
        for owned in owners.values()
        if _REPLICAS in owned.fields
    ]
    return after
