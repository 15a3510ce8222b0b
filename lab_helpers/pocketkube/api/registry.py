"""The writes that every verb comes down to: create, replace and remove one object by the rules of its kind.

Joins the store with the strategies: names, metadata, defaults, admission, validation, ownership of fields.
Which request leads to which write is left to the operations.
Models apiserver pkg/registry/generic/registry/store.go and pkg/registry/rest (v1.36).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from random import Random

from ...errors import LabError
from ..clock import format_rfc3339
from ..config import ClusterConfig
from ..custom.catalogue import Catalogue
from ..custom.definition import DEFINITIONS, CustomResource
from ..custom.definition_rules import DefinitionStrategy
from ..custom.object_rules import CustomStrategy
from ..custom.structural import as_of
from ..objects import Obj, copy, name_of, namespace_of
from ..resources import event
from ..resources.address_book import IPAddressBook
from ..resources.metadata import (
    asked_name,
    validate_kind_metadata_update,
    validate_metadata,
    validate_metadata_update,
)
from ..resources.namespace import SYSTEM_NAMESPACES
from ..resources.naming import SAFE_ALPHABET
from ..resources.quota import check_quota
from ..resources.registry import build_strategies
from ..resources.service_cidr import ADDRESSES
from ..resources.strategy import Strategy
from ..resources.table import RESOURCES, Resource
from ..store import Store
from .apply import track_update
from .preconditions import check_name, check_version
from .request import RequestContext
from .status import Cause, StatusError

_OWN_MANAGER = "kube-apiserver"
_SUFFIX = 5
_LONGEST_PREFIX = 63 - _SUFFIX
_NAME_ATTEMPTS = 8
_METADATA_ORDER = (
    "name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers",
)  # fmt: skip
_SET_BY_DELETION = ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")


class Registry:
    """One store under the rules of its kinds."""

    def __init__(self, store: Store, config: ClusterConfig, clock: Callable[[], datetime], random: Random) -> None:
        self.store = store
        self.config = config
        self.random = random
        self._clock = clock
        book = IPAddressBook(store, config.service_cidr, self._enter_address, self._strike_address)
        self._strategies = build_strategies(store, random, book)
        self.catalogue = Catalogue(store)
        self._strategies[DEFINITIONS] = self.definitions = DefinitionStrategy(store, self.now)

    # --- reading ---

    def strategy(self, resource: Resource) -> Strategy:
        """The rules of a resource."""
        if isinstance(resource, CustomResource):
            return CustomStrategy(resource)
        return self._strategies[resource.name]

    def shelf(self, resource: Resource) -> str:
        """The name under which a resource is stored: both groups' events are the same objects."""
        return "events" if resource.name == f"events.{event.GROUP}" else resource.name

    def _home(self, resource: Resource) -> Resource:
        """The resource in whose version the object is stored; custom kinds look alike in all of them."""
        return resource if isinstance(resource, CustomResource) else RESOURCES[self.shelf(resource)]

    def present(self, resource: Resource, obj: Obj) -> Obj:
        """A stored object in the version that the request speaks."""
        if isinstance(resource, CustomResource):
            shown = as_of(obj, resource.schema)
            is_own = shown["apiVersion"] == resource.api_version
            return shown if is_own else {**shown, "apiVersion": resource.api_version}
        return event.to_events_group(obj) if resource.group == event.GROUP else obj

    def find(self, resource: Resource, namespace: str | None, name: str) -> Obj:
        """The stored object, or StatusError 404."""
        found = self.store.get(self.shelf(resource), namespace if resource.namespaced else "", name)
        if found is None:
            raise StatusError.not_found(resource.name, name)
        return found

    def now(self) -> str:
        """The time as metadata has it."""
        return format_rfc3339(self.seconds())

    def seconds(self) -> float:
        """The time, in seconds since the epoch."""
        return self._clock().timestamp()

    # --- creating ---

    def create(
        self, ctx: RequestContext, resource: Resource, namespace: str | None, given: Obj, *, applied: bool = False
    ) -> Obj:
        """A new object. `applied`: its managedFields have been worked out by server-side apply."""
        strategy = self.strategy(resource)
        obj = self._own_copy(resource, given)
        meta = obj["metadata"]
        self._place(resource, namespace, meta)
        self._admit_namespace(resource, obj)
        for field in _SET_BY_DELETION:
            meta.pop(field, None)
        _drop_repeated_owners(ctx, meta, after_admission=applied)
        strategy.default(obj)
        strategy.authorize_write(ctx, obj, None)
        if not applied:
            track_update(None, obj, ctx.manager, "", self._home(resource), self.now())
        strategy.admit(ctx, obj)
        self._fill_system_fields(resource, meta)
        undo = strategy.begin_create(obj, ctx.dry_run)
        try:
            strategy.prepare_for_create(obj)
            if strategy.tracks_generation:
                meta["generation"] = 1
            causes = validate_metadata(meta, resource.namespaced, strategy.name_problems)
            self._refuse(resource, obj, causes + strategy.validate(obj))
            strategy.check_new(obj)
            check_quota(self.store, resource, obj)
            if not ctx.dry_run and _is_version(meta.get("resourceVersion")):
                raise StatusError.unclassified("resourceVersion should not be set on objects to be created")
            if self.store.get(self.shelf(resource), namespace_of(obj), name_of(obj)) is not None:
                raise StatusError.already_exists(resource.name, name_of(obj))
            self._warn(ctx, strategy, obj, None)
            if not ctx.dry_run:
                meta.pop("resourceVersion", None)
            obj = _arranged(obj)
            if not ctx.dry_run:
                return self._stored(lambda: self.store.create(self.shelf(resource), obj))
        except BaseException:
            undo()
            raise
        return obj

    def _own_copy(self, resource: Resource, given: Obj) -> Obj:
        obj = copy(given)
        obj["apiVersion"] = resource.api_version
        obj["kind"] = resource.kind
        obj["metadata"] = dict(obj.get("metadata") or {})
        return event.from_events_group(obj) if resource.group == event.GROUP else obj

    def _place(self, resource: Resource, namespace: str | None, meta: Obj) -> None:
        """Models apiserver pkg/registry/rest EnsureObjectNamespaceMatchesRequestNamespace."""
        if not resource.namespaced:
            meta.pop("namespace", None)
            return
        given = meta.get("namespace")
        if given and namespace and given != namespace:
            raise StatusError.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        meta["namespace"] = namespace or given or "default"

    def _admit_namespace(self, resource: Resource, obj: Obj) -> None:
        """Models apiserver pkg/admission/plugin/namespace/lifecycle."""
        if not resource.namespaced:
            return
        name = obj["metadata"]["namespace"]
        namespace = self.store.get("namespaces", "", name)
        if namespace is None:
            raise StatusError.not_found("namespaces", name)
        if (namespace.get("status") or {}).get("phase") != "Terminating" or name in SYSTEM_NAMESPACES:
            return
        why = f"unable to create new content in namespace {name} because it is being terminated"
        refusal = StatusError.forbidden(resource.name, asked_name(obj["metadata"]), why)
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {name} is being terminated",
            "field": "metadata.namespace",
        }
        refusal.details = {**(refusal.details or {}), "causes": [cause]}
        raise refusal

    def _fill_system_fields(self, resource: Resource, meta: Obj) -> None:
        meta["uid"] = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        meta["creationTimestamp"] = self.now()
        prefix = meta.get("generateName")
        if prefix and not meta.get("name"):
            meta["name"] = self._generated_name(resource, meta, prefix)

    def _generated_name(self, resource: Resource, meta: Obj, prefix: str) -> str:
        name = ""
        for _ in range(_NAME_ATTEMPTS):
            name = prefix[:_LONGEST_PREFIX] + "".join(self.random.choices(SAFE_ALPHABET, k=_SUFFIX))
            if self.store.get(self.shelf(resource), meta.get("namespace"), name) is None:
                return name
        raise StatusError.generate_name_conflict(resource.name, name)

    # --- replacing ---

    def replace(
        self,
        ctx: RequestContext,
        resource: Resource,
        current: Obj,
        given: Obj,
        *,
        subresource: str = "",
        applied: bool = False,
    ) -> Obj:
        """The object after an update. `current` is the stored one that the request met."""
        strategy = self.strategy(resource)
        obj = self._own_copy(resource, given)
        meta, old_meta = obj["metadata"], current["metadata"]
        self._check_identity(resource, meta, old_meta, strategy)
        self._keep_system_fields(meta, old_meta, applied)
        _drop_repeated_owners(ctx, meta, after_admission=applied)
        strategy.default(obj)
        if not applied:
            track_update(current, obj, ctx.manager, subresource, self._home(resource), self.now())
        if not subresource:
            return self._replace_whole(ctx, resource, obj, current)
        causes: list[Cause] = []
        if subresource in ("approval", "status"):
            strategy.prepare_for_status_update(obj, current)
            causes = strategy.validate_status_update(obj, current)
        elif _bump_generation(strategy, obj, current):
            causes = strategy.validate_part(obj)
        checked = self._check_metadata_update(resource, meta, old_meta, part=True)
        self._refuse(resource, obj, checked + causes)
        return self._finish_replace(ctx, resource, obj, current)

    def _replace_whole(self, ctx: RequestContext, resource: Resource, obj: Obj, current: Obj) -> Obj:
        strategy = self.strategy(resource)
        strategy.authorize_write(ctx, obj, current)
        undo = strategy.begin_update(obj, current, ctx.dry_run)
        try:
            strategy.prepare_for_update(obj, current)
            _bump_generation(strategy, obj, current)
            causes = self._check_metadata_update(resource, obj["metadata"], current["metadata"])
            self._refuse(resource, obj, causes + strategy.validate_update(obj, current))
            check_quota(self.store, resource, obj, current)
            self._warn(ctx, strategy, obj, current)
            replaced = self._finish_replace(ctx, resource, obj, current)
        except BaseException:
            undo()
            raise
        if not ctx.dry_run:
            strategy.after_update(replaced, current)
        return replaced

    def _check_metadata_update(
        self, resource: Resource, meta: Obj, old_meta: Obj, *, part: bool = False
    ) -> list[Cause]:
        """Upstream checks metadata for all kinds alike and again with each kind, and reports both."""
        problems = self.strategy(resource).name_problems
        return validate_metadata_update(meta, old_meta) + validate_kind_metadata_update(
            resource.kind, meta, old_meta, namespaced=resource.namespaced, name_problems=problems, part=part
        )

    def _finish_replace(self, ctx: RequestContext, resource: Resource, obj: Obj, current: Obj) -> Obj:
        obj = _arranged(obj)
        if _same_but_for_times(obj, current):
            return current
        if ctx.dry_run:
            return obj
        if _is_finished(obj):
            # Whoever watches sees it go as it was stored; who asked is answered with what it would have become.
            self.remove(resource, current)
            return obj
        return self._stored(lambda: self.store.update(self.shelf(resource), obj, current))

    def _check_identity(self, resource: Resource, meta: Obj, old_meta: Obj, strategy: Strategy) -> None:
        name = old_meta["name"]
        self._place(resource, old_meta.get("namespace"), meta)
        check_name(meta, name)
        version = meta.get("resourceVersion")
        check_version(version)
        if version and version != "0" and version != old_meta["resourceVersion"]:
            raise StatusError.conflict(resource.name, name)
        if version in (None, "", "0") and not strategy.unconditional_update:
            why = "Invalid value: 0: must be specified for an update"
            unversioned = Cause("FieldValueInvalid", "metadata.resourceVersion", why)
            raise StatusError.invalid(resource.name, name, [unversioned])
        meta["resourceVersion"] = old_meta["resourceVersion"]

    def _keep_system_fields(self, meta: Obj, old_meta: Obj, applied: bool) -> None:
        """What an update can't change is not changed; what only the server may set is refused where it is new."""
        meta["uid"] = meta.get("uid") or old_meta["uid"]
        for field in ("name", "creationTimestamp", "generation"):
            if field in old_meta:
                meta[field] = old_meta[field]
            else:
                meta.pop(field, None)
        if old_meta.get("deletionTimestamp"):
            meta["deletionTimestamp"] = old_meta["deletionTimestamp"]
        if "deletionGracePeriodSeconds" in old_meta and meta.get("deletionGracePeriodSeconds") is None:
            meta["deletionGracePeriodSeconds"] = old_meta["deletionGracePeriodSeconds"]
        meta.pop("selfLink", None)
        if not applied and not meta.get("managedFields") and "managedFields" in old_meta:
            meta["managedFields"] = old_meta["managedFields"]

    # --- removing ---

    def update_metadata(self, resource: Resource, current: Obj, changes: Obj, **fields: Obj) -> Obj:
        """Writes metadata (and whole fields) that no client may write: deletionTimestamp and the like."""
        meta = {**current["metadata"], **changes}
        obj = _arranged({**current, **fields, "metadata": {k: v for k, v in meta.items() if v is not None}})
        return self._stored(lambda: self.store.update(self.shelf(resource), obj, current))

    def remove(self, resource: Resource, current: Obj) -> Obj:
        """Takes the object out of the store and gives back what it held."""
        removed = self._stored(lambda: self.store.delete(self.shelf(resource), current))
        self.strategy(resource).after_delete(removed)
        return removed

    # --- on the server's own account ---

    def _enter_address(self, address: Obj) -> None:
        self.create(RequestContext(field_manager=_OWN_MANAGER), RESOURCES[ADDRESSES], None, address)

    def _strike_address(self, address: Obj) -> None:
        resource = RESOURCES[ADDRESSES]
        if not address["metadata"].get("finalizers"):
            self.remove(resource, address)
        elif not address["metadata"].get("deletionTimestamp"):
            marks = {"deletionTimestamp": self.now(), "deletionGracePeriodSeconds": 0}
            self.update_metadata(resource, address, marks)

    # --- shared ---

    def _refuse(self, resource: Resource, obj: Obj, causes: list[Cause]) -> None:
        if causes:
            raise StatusError.invalid(qualified_kind(resource), obj["metadata"].get("name") or "", causes)

    def _warn(self, ctx: RequestContext, strategy: Strategy, obj: Obj, old: Obj | None) -> None:
        for warning in strategy.warnings(obj, old):
            ctx.warn(warning)

    def _stored(self, write: Callable[[], Obj]) -> Obj:
        try:
            return write()
        except LabError as error:
            raise StatusError.internal(str(error)) from error


def _is_version(text: str | None) -> bool:
    """True for a resourceVersion that counts: upstream overlooks what is no number."""
    return bool(text) and str(text).isascii() and str(text).isdigit() and int(str(text)) > 0


def _drop_repeated_owners(ctx: RequestContext, meta: Obj, *, after_admission: bool) -> None:
    """Models apiserver pkg/endpoints/handlers dedupOwnerReferences."""
    kept: list[Obj] = []
    repeated: list[str] = []
    for owner in meta.get("ownerReferences") or ():
        if owner in kept:
            repeated.append(str(owner.get("uid") or ""))
        else:
            kept.append(owner)
    if not repeated:
        return
    meta["ownerReferences"] = kept
    if after_admission:
        start = ".metadata.ownerReferences contains duplicate entries after mutating admission happens; "
    else:
        start = ".metadata.ownerReferences contains duplicate entries; "
    ctx.warn(
        f"{start}API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; "
        f"please fix your requests; duplicate UID(s) observed: {', '.join(repeated)}"
    )


def qualified_kind(resource: Resource) -> str:
    """`Pod`, `Deployment.apps`: a kind as errors about an object name it. Events are of one kind in both groups."""
    if resource.group == event.GROUP:
        return resource.kind
    return f"{resource.kind}.{resource.group}" if resource.group else resource.kind


def _is_finished(obj: Obj) -> bool:
    """A deletion that only waited for finalizers. Models ShouldDeleteDuringUpdate."""
    meta = obj["metadata"]
    return (
        bool(meta.get("deletionTimestamp"))
        and not meta.get("finalizers")
        and not meta.get("deletionGracePeriodSeconds")
        and not (obj["kind"] == "Namespace" and (obj.get("spec") or {}).get("finalizers"))
    )


def _bump_generation(strategy: Strategy, new: Obj, old: Obj) -> bool:
    """Counts a change of the desired state; True if there was one."""
    changed = strategy.wants_other(new, old)
    if changed and strategy.tracks_generation:
        new["metadata"]["generation"] = int(old["metadata"].get("generation") or 0) + 1
    return changed


def _same_but_for_times(new: Obj, old: Obj) -> bool:
    if new == old:
        return True
    return _without_times(new) == _without_times(old)


def _without_times(obj: Obj) -> Obj:
    entries = [{**entry, "time": None} for entry in obj["metadata"].get("managedFields") or []]
    return {**obj, "metadata": {**obj["metadata"], "managedFields": entries}}


def _arranged(obj: Obj) -> Obj:
    """The object with its fields in the order people read them."""
    meta = obj["metadata"]
    ordered = {key: meta[key] for key in _METADATA_ORDER if key in meta}
    head = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": {**ordered, **meta}}
    return {**head, **{key: value for key, value in obj.items() if key not in head}}
