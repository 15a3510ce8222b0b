"""Field ownership: what an update takes, and server-side apply, which only changes what its manager may.

    track_update   after POST, PUT and the other patches: whoever changed a field owns it
    apply          merges a configuration, drops what it no longer says, and refuses to change what others own

Models apimachinery pkg/util/managedfields and sigs.k8s.io/structured-merge-diff v6 (merge), as used by v1.36.
"""

from __future__ import annotations

import json
from typing import Any

from ..objects import Obj, copy
from ..resources.table import Resource
from ..schema import TypeName
from . import fields, scalars
from .fieldset import Comparison, FieldSet, Path, compare, fields_of, order_of, path_text, with_named_parents
from .managed_fields import APPLY, UPDATE, Manager, Ownership, is_reset
from .status import Cause, StatusError, go_json
from .typed_merge import merge, problems_of, remove

KUBECTL = "kubectl"
BEFORE_FIRST_APPLY = "before-first-apply"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MAX_ANNOTATIONS = 256 * 1024

_METADATA = "f:metadata"
_UNOWNED: FieldSet = {("f:apiVersion",), ("f:kind",), (_METADATA,)} | {
    (_METADATA, f"f:{name}")
    for name in (
        "clusterName", "creationTimestamp", "generation", "managedFields", "name", "namespace", "resourceVersion",
        "selfLink", "uid",
    )
}  # fmt: skip
"""What the server sets or the URL says; nobody owns it."""


def track_update(old: Obj | None, new: Obj, manager: str, subresource: str, resource: Resource, now: str) -> None:
    """Sets `new.metadata.managedFields`: the manager owns what it changed, and nobody owns what is gone.

    Both objects are in their stored form (`fields.decode_body`). To own what upstream's managers own, call this
    before the server fills in what the client did not send (allocated addresses, the uid).
    """
    type_name = fields.type_of(resource)
    if subresource:
        ownership = Ownership.of(old)
    else:
        ownership = Ownership([]) if is_reset(new) else Ownership.of(new) or Ownership.of(old)
    if old is not None and not ownership:
        # Nobody has been watched so far, or somebody wished so: that begins with the first apply.
        new["metadata"].pop("managedFields", None)
        return
    live = old if old is not None else fields.empty(type_name)
    _update(ownership, live, new, Manager(manager, UPDATE, resource.api_version, subresource), resource, now)
    ownership.cap()
    ownership.write(new)


def _update(ownership: Ownership, live: Obj, new: Obj, manager: Manager, resource: Resource, now: str) -> None:
    changes = _changes(live, new, manager.subresource, resource)
    ownership.take(changes.touched | changes.removed)
    took = changes.touched - _UNOWNED
    if took:
        before = ownership.get(manager)
        ownership.put(manager, took | (before.fields if before else set()), now)


def _changes(live: Obj, new: Obj, subresource: str, resource: Resource) -> Comparison:
    """What differs, but for the parts that a request to this subresource can't change."""
    changes = compare(_unmanaged(live), _unmanaged(new), fields.type_of(resource))
    ignored = _ignored(resource, subresource)
    return Comparison(*({path for path in part if not _is_below(path, ignored)} for part in changes))


def _ignored(resource: Resource, subresource: str) -> tuple[Path, ...]:
    if subresource == "status":
        return (("f:spec",),)
    return (("f:status",),) if not subresource and "status" in resource.subresources else ()


def _is_below(path: Path, parents: tuple[Path, ...]) -> bool:
    return any(path[: len(parent)] == parent for parent in parents)


def _unmanaged(obj: Obj) -> Obj:
    meta = {name: value for name, value in (obj.get("metadata") or {}).items() if name != "managedFields"}
    return {**obj, "metadata": meta}


def apply(
    live: Obj | None, config: Any, manager: str, force: bool, resource: Resource, now: str, subresource: str = ""
) -> Obj:
    """The object after a server-side apply, with its managedFields; `live` is None if it does not exist yet.

    StatusError 409 names the fields that others own and the configuration would change, unless `force` is set.
    The caller brings the outcome into its stored form and validates it.
    """
    applier = Manager(manager, APPLY, resource.api_version, subresource)
    type_name = fields.type_of(resource)
    config = _checked(config, resource, subresource)
    ownership = Ownership.of(live)
    if live is not None and not ownership:
        earlier = Manager(BEFORE_FIRST_APPLY, UPDATE, applier.api_version, subresource)
        _update(ownership, fields.empty(type_name), live, earlier, resource, now)
    stored = _unmanaged(live) if live is not None else {"metadata": {}}

    claimed = fields_of(config, type_name)
    last = ownership.get(applier)
    merged = merge(stored, config, type_name)
    if last and last.fields:
        owned = _owned_after(ownership, applier, claimed)
        merged = _pruned(merged, last.fields, owned, type_name)
    changes = _changes(stored, merged, subresource, resource)

    conflicts = _conflicts(ownership, applier, changes)
    if manager == KUBECTL and conflicts:
        allowed = _client_side_applied(stored, type_name)
        conflicts = [(owner, paths - allowed) for owner, paths in conflicts if paths - allowed]
    if conflicts and not force:
        raise _conflict_error(conflicts)

    ownership.take(changes.touched | changes.removed, keeper=applier)
    claimed -= _UNOWNED
    time: str | None = now
    if live is not None and merged == stored:
        time = last.time if last else None
    ownership.put(applier, claimed, time)
    applied = copy(merged)
    if manager == KUBECTL:
        _renew_last_applied(applied, config)
    ownership.cap()
    ownership.write(applied)
    return applied


def _owned_after(ownership: Ownership, applier: Manager, claimed: FieldSet) -> FieldSet:
    """Every field that somebody owns once the applier owns what it claims."""
    return claimed.union(*(owned.fields for owned in ownership.others(applier)))


def _checked(config: Any, resource: Resource, subresource: str) -> Obj:
    """The configuration, without what a request to this subresource can't change. StatusError if it does not fit."""
    if config is None:
        config = {}
    if not isinstance(config, dict):
        what = f"json: cannot unmarshal {scalars.json_kind(config)} into Go value of type map[string]interface {{}}"
        raise StatusError.bad_request(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {what}")
    if (config.get("apiVersion"), config.get("kind")) != (resource.api_version, resource.kind):
        raise StatusError.bad_request(f"invalid object type: {_declared_type(config)}")
    meta = config.get("metadata")
    if isinstance(meta, dict) and meta.get("managedFields") is not None:
        raise StatusError.bad_request("metadata.managedFields must be nil")
    problems = problems_of(config, fields.type_of(resource))
    if problems:
        meta = meta if isinstance(meta, dict) else {}
        who = f"{meta.get('namespace') or ''}/{meta.get('name') or ''}"
        group_version = resource.api_version if resource.group else f"/{resource.version}"
        said = problems[0] if len(problems) == 1 else "errors:" + "".join(f"\n  {problem}" for problem in problems)
        raise StatusError.unclassified(
            f"failed to create typed patch object ({who}; {group_version}, Kind={resource.kind}): {said}"
        )
    ignored = {path[0].removeprefix("f:") for path in _ignored(resource, subresource)}
    kept = {name: value for name, value in config.items() if name not in ignored}
    return {**kept, "metadata": {k: v for k, v in (meta or {}).items() if k != "managedFields"}}


def _declared_type(config: Obj) -> str:
    """`apps/v1, Kind=Deployment`: what a document says it is, as Go prints a GroupVersionKind."""
    api_version, kind = (config.get(name) for name in ("apiVersion", "kind"))
    api_version = api_version if isinstance(api_version, str) else ""
    if api_version.count("/") > 1:
        return "/, Kind="
    return f"{api_version if '/' in api_version else f'/{api_version}'}, Kind={kind if isinstance(kind, str) else ''}"


def _pruned(merged: Obj, last: FieldSet, owned: FieldSet, type_name: TypeName) -> Obj:
    """Drops what the manager applied last time and does not any more, but for what somebody owns.

    Models merge.Updater prune, addBackOwnedItems and addBackDanglingItems.
    """

    def named(paths: FieldSet) -> FieldSet:
        return with_named_parents(paths, type_name)

    everything, dropped = named(fields_of(merged, type_name)), named(last)
    pruned = remove(merged, dropped, type_name)
    kept = named(fields_of(pruned or {}, type_name))
    pruned = remove(merged, everything - (kept | named(owned)), type_name)
    kept = named(fields_of(pruned or {}, type_name))
    return remove(merged, (everything - kept) & dropped, type_name)


_Conflicts = list[tuple[Manager, FieldSet]]


def _conflicts(ownership: Ownership, applier: Manager, changes: Comparison) -> _Conflicts:
    touched = changes.touched
    found = ((owned.manager, owned.fields & touched) for owned in ownership.others(applier))
    return [(manager, paths) for manager, paths in found if paths]


def _conflict_error(conflicts: _Conflicts) -> StatusError:
    """Models managedfields internal/conflict.go."""
    named = [(manager, [path_text(path) for path in sorted(paths, key=order_of)]) for manager, paths in conflicts]
    causes = [
        Cause("FieldManagerConflict", path, f"conflict with {manager}") for manager, paths in named for path in paths
    ]
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}"
    else:
        lines = [f"conflicts with {manager}:\n- " + "\n- ".join(paths) for manager, paths in named]
        message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return StatusError.apply_conflict(message, causes)


def _client_side_applied(live: Obj, type_name: TypeName) -> FieldSet:
    """The fields that client-side apply last set and that still hold: `kubectl apply --server-side` may take them.

    Models managedfields internal/lastappliedmanager.go.
    """
    last = _last_applied(live)
    if last is None or problems_of(last, type_name):
        return set()
    changes = compare(_unmanaged(last), live, type_name)
    return fields_of(last, type_name) - changes.touched - changes.removed


def _last_applied(obj: Obj) -> Obj | None:
    text = (obj["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if not isinstance(text, str):
        return None
    try:
        last: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return last if isinstance(last, dict) else None


def _renew_last_applied(obj: Obj, config: Obj) -> None:
    """Keeps the annotation of client-side apply in step, so that a user can go back to it."""
    annotations = obj["metadata"].get("annotations") or {}
    if LAST_APPLIED not in annotations:
        return
    meta = config["metadata"]
    kept = {name: value for name, value in (meta.get("annotations") or {}).items() if name != LAST_APPLIED}
    plain = {**config, "metadata": {**meta, "annotations": kept}}
    if not kept:
        plain["metadata"].pop("annotations")
    text = go_json(json.loads(json.dumps(plain, sort_keys=True))) + "\n"
    total = sum(len(name) + len(value) for name, value in annotations.items() if name != LAST_APPLIED) + len(text)
    if total <= MAX_ANNOTATIONS:
        annotations[LAST_APPLIED] = text
    else:
        del annotations[LAST_APPLIED]
