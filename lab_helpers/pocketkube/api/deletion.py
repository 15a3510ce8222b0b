"""Deletion: at once, after a grace period, or when the last finalizer is gone.

Ending what a deleted object stands for is left to the kubelet and the controllers.
Models apiserver pkg/registry/rest/delete.go, generic/registry/store.go and core/namespace/storage (v1.36).
"""

from __future__ import annotations

from ..clock import format_rfc3339, parse_rfc3339
from ..custom.definition import DEFINITIONS
from ..objects import Obj, copy, name_of, uid_of
from ..resources.metadata import FOREGROUND, ORPHAN
from ..resources.namespace import PROTECTED
from ..resources.table import Resource
from .registry import Registry, qualified_kind
from .request import DeleteOptions, RequestContext
from .status import StatusError, success


def delete_object(
    registry: Registry, ctx: RequestContext, resource: Resource, current: Obj, options: DeleteOptions
) -> Obj:
    """Deletes or marks for deletion; answers with the object or, when that kind does so, with a Status."""
    options.check()
    _check_preconditions(resource, current["metadata"], options)
    if resource.name == "namespaces":
        return _delete_namespace(registry, ctx, resource, current)
    meta = current["metadata"]
    warning = registry.strategy(resource).propagation_warning
    if warning and options.propagation_policy is None and options.orphan_dependents is None:
        ctx.warn(warning)
    if _is_pending(meta, options, registry, resource, current):
        return current
    if resource.name == DEFINITIONS and not ctx.dry_run and not meta.get("deletionTimestamp"):
        finalizers, status = registry.definitions.leaving(current)
        current = registry.update_metadata(resource, current, {"finalizers": finalizers}, status=status)
        meta = current["metadata"]
    changes = _marks(registry, resource, current, options)
    finalizers = changes.get("finalizers", meta.get("finalizers"))
    waits = bool(finalizers) or bool(changes.get("deletionGracePeriodSeconds"))
    if ctx.dry_run:
        return _answer(registry, resource, _with(current, changes) if changes else current, gone=not waits)
    if changes:
        current = registry.update_metadata(resource, current, changes)
    if waits:
        return current
    return _answer(registry, resource, registry.remove(resource, current), gone=True)


def _check_preconditions(resource: Resource, meta: Obj, options: DeleteOptions) -> None:
    """Models rest.BeforeDelete, which names the kind rather than the resource."""
    why = ""
    if options.uid and options.uid != meta["uid"]:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({meta['uid']}). "
            "The object might have been deleted and then recreated"
        )
    elif options.resource_version and options.resource_version != meta["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion "
            f"in record ({meta['resourceVersion']}). The object might have been modified"
        )
    if why:
        raise StatusError.conflict(qualified_kind(resource), meta["name"], why)


def _is_pending(meta: Obj, options: DeleteOptions, registry: Registry, resource: Resource, current: Obj) -> bool:
    """A graceful deletion is under way, and this request doesn't shorten it."""
    if not meta.get("deletionTimestamp"):
        return False
    if registry.strategy(resource).grace_period(current, options.grace_period_seconds) is None:
        return False
    running = meta.get("deletionGracePeriodSeconds")
    if not running:
        return False
    return options.grace_period_seconds is None or options.grace_period_seconds >= running


def _marks(registry: Registry, resource: Resource, current: Obj, options: DeleteOptions) -> Obj:
    """What deletion changes in the metadata; empty if the object can go as it is."""
    meta = current["metadata"]
    changes: Obj = {}
    finalizers = _finalizers(registry, resource, meta, options)
    if finalizers != (meta.get("finalizers") or []):
        changes["finalizers"] = finalizers or None
    grace = registry.strategy(resource).grace_period(current, options.grace_period_seconds)
    if meta.get("deletionTimestamp"):
        return changes | _shortened(meta, grace)
    if grace is None and not finalizers:
        return changes
    seconds = grace or 0
    changes["deletionTimestamp"] = format_rfc3339(registry.seconds() + seconds)
    changes["deletionGracePeriodSeconds"] = seconds
    if meta.get("generation"):
        changes["generation"] = meta["generation"] + 1
    return changes


def _shortened(meta: Obj, grace: int | None) -> Obj:
    running = meta.get("deletionGracePeriodSeconds")
    if grace is None or not running or grace >= running:
        return {}
    due = parse_rfc3339(meta["deletionTimestamp"]) - (running - grace)
    return {"deletionTimestamp": format_rfc3339(due), "deletionGracePeriodSeconds": grace}


def _finalizers(registry: Registry, resource: Resource, meta: Obj, options: DeleteOptions) -> list[str]:
    """The finalizers after the request said what becomes of dependents."""
    present: list[str] = list(meta.get("finalizers") or [])
    default = registry.strategy(resource).default_propagation
    if default is None:
        return present
    wanted = _policy(options, present, default)
    kept = [name for name in present if name not in (ORPHAN, FOREGROUND)]
    if wanted == "Orphan":
        return [*kept, ORPHAN]
    return [*kept, FOREGROUND] if wanted == "Foreground" else kept


def _policy(options: DeleteOptions, present: list[str], default: str) -> str:
    if options.orphan_dependents is not None:
        return "Orphan" if options.orphan_dependents else "Background"
    if options.propagation_policy:
        return options.propagation_policy
    if ORPHAN in present:
        return "Orphan"
    return "Foreground" if FOREGROUND in present else default


def _delete_namespace(registry: Registry, ctx: RequestContext, resource: Resource, current: Obj) -> Obj:
    name, meta = name_of(current), current["metadata"]
    if name in PROTECTED:
        raise StatusError.forbidden("namespaces", name, "this namespace may not be deleted")
    if not meta.get("deletionTimestamp"):
        changes: Obj = {"deletionTimestamp": registry.now()}
        status = {**(current.get("status") or {}), "phase": "Terminating"}
        if ctx.dry_run:
            return {**_with(current, changes), "status": status}
        current = registry.update_metadata(resource, current, changes, status=status)
        if (current.get("spec") or {}).get("finalizers") or meta.get("finalizers"):
            return current
    elif (current.get("spec") or {}).get("finalizers"):
        why = (
            "The system is ensuring all content is removed from this namespace.  Upon completion, this namespace "
            "will automatically be purged by the system."
        )
        raise StatusError.conflict("namespaces", name, why)
    if ctx.dry_run or meta.get("finalizers"):
        return current
    return _answer(registry, resource, registry.remove(resource, current), gone=True)


def _with(obj: Obj, changes: Obj) -> Obj:
    changed = copy(obj)
    for field, value in changes.items():
        if value is None:
            changed["metadata"].pop(field, None)
        else:
            changed["metadata"][field] = value
    return changed


def _answer(registry: Registry, resource: Resource, obj: Obj, *, gone: bool) -> Obj:
    if not gone or registry.strategy(resource).returns_deleted:
        return registry.present(resource, obj)
    return success(resource.name, name_of(obj), uid_of(obj))
