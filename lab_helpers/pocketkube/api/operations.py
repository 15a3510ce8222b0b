"""The verbs of the API on plain JSON objects, independent of HTTP.

Every verb but `watch` is synchronous: it runs to its end on the event loop, so that no two writes interleave.
What a kind means is asked of its strategy (`resources/`); bytes, paths and headers are left to the HTTP layer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

from ..client import APPLY_PATCH, STRATEGIC_MERGE_PATCH, WatchEvent
from ..config import ClusterConfig
from ..custom.catalogue import Catalogue
from ..objects import Obj, name_of, namespace_of
from ..resources.table import Resource
from ..store import Store
from .apply import apply
from .deletion import delete_object
from .fields import decode_body, decode_patched, warnings_of
from .listing import fresh_revision, list_objects
from .patch import apply_patch, strict_problems
from .preconditions import check_name, check_uid, check_version
from .registry import Registry
from .request import DeleteOptions, ListOptions, PatchDocument, RequestContext, WatchOptions, Written
from .scale import SCALE, apply_scale, owned_scale_of, replace_scale, scale_of
from .status import StatusError, required
from .subresources import bind_pod, check_named_in_url, evict_pod, finalize_namespace, with_ephemeral_containers
from .watching import watch_objects

_TO_JSON = "error converting YAML to JSON: "


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class Operations:
    """create, get, list, watch, update, patch, delete and subresources over one store. Raises StatusError.

    `namespace` is the one of the URL: None or "" for cluster-scoped objects and for lists over all namespaces.
    Objects that come back are shared: never change them. `store.json_bytes(obj)` gives their cached encoding.
    """

    def __init__(
        self,
        store: Store,
        config: ClusterConfig,
        *,
        clock: Callable[[], datetime] = utc_now,
        random: Random | None = None,
    ) -> None:
        self.store = store
        self._registry = Registry(store, config, clock, random or Random())

    @property
    def catalogue(self) -> Catalogue:
        """Which resources are served."""
        return self._registry.catalogue

    # --- reading ---

    def get(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        subresource: str = "",
        resource_version: str = "",
    ) -> Obj:
        """One object, not older than a revision; `subresource` is "", "status" or "scale"."""
        fresh_revision(self._registry, resource_version)
        found = self._registry.find(resource, namespace, name)
        return scale_of(found) if subresource == SCALE else self._registry.present(resource, found)

    def deprecations(self, resource: Resource) -> tuple[str, ...]:
        """What every request on the resource is told."""
        return self._registry.strategy(resource).deprecations

    def list(self, resource: Resource, namespace: str | None, options: ListOptions) -> Obj:
        """A `<Kind>List` with metadata.resourceVersion (and continue, remainingItemCount)."""
        return list_objects(self._registry, resource, namespace, options)

    def watch(self, resource: Resource, namespace: str | None, options: WatchOptions) -> AsyncIterator[WatchEvent]:
        """Events; BOOKMARKs among them if asked for.

        Bad options raise here. StatusError 410 is raised by the iteration when the resourceVersion is too old:
        before the first event, or later when the watcher was too slow.
        """
        return watch_objects(self._registry, resource, namespace, options)

    # --- writing ---

    def create(self, ctx: RequestContext, resource: Resource, namespace: str | None, obj: Obj) -> Written:
        """POST to a collection: 201."""
        return self._written(resource, self._registry.create(ctx, resource, namespace, obj), 201)

    def create_subresource(
        self, ctx: RequestContext, resource: Resource, namespace: str | None, name: str, subresource: str, body: Obj
    ) -> Written:
        """POST to `binding` or `eviction`. (`token` is signed by the HTTP layer.)"""
        if subresource in ("binding", "eviction"):
            check_named_in_url(name, subresource, body)
        current = self._registry.find(resource, namespace, name)
        if subresource == "binding":
            return Written(bind_pod(self._registry, ctx, resource, current, body), 201)
        if subresource == "eviction":
            return Written(evict_pod(self._registry, ctx, resource, current, body), 201)
        raise StatusError.method_not_allowed()

    def update(
        self,
        ctx: RequestContext,
        resource: Resource,
        namespace: str | None,
        name: str,
        obj: Obj,
        *,
        subresource: str = "",
    ) -> Written:
        """PUT: 200, or 201 where a PUT may create."""
        check_name(obj.get("metadata") or {}, name)
        shelf = self._registry.shelf(resource)
        current = self.store.get(shelf, namespace if resource.namespaced else "", name)
        if current is None:
            return self._create_by_update(ctx, resource, namespace, name, obj, subresource)
        check_uid(resource, current["metadata"], (obj.get("metadata") or {}).get("uid"), ctx.dry_run)
        return Written(self._replace(ctx, resource, current, obj, subresource), 200)

    def _create_by_update(
        self, ctx: RequestContext, resource: Resource, namespace: str | None, name: str, obj: Obj, subresource: str
    ) -> Written:
        meta = obj.get("metadata") or {}
        may_create = self._registry.strategy(resource).creates_on_update and not subresource
        if not may_create:
            raise StatusError.not_found(resource.name, name)
        place = {"namespace": namespace} if resource.namespaced else {}
        check_uid(resource, {"uid": "", "name": name, **place}, meta.get("uid"), ctx.dry_run)
        if meta.get("resourceVersion") not in (None, "", "0") and not ctx.dry_run:
            raise StatusError.conflict(resource.name, name)
        return self.create(ctx, resource, namespace, {**obj, "metadata": {**meta, "name": name}})

    def _replace(self, ctx: RequestContext, resource: Resource, current: Obj, obj: Obj, subresource: str) -> Obj:
        if subresource == SCALE:
            return replace_scale(self._registry, ctx, resource, current, obj)
        if subresource == "finalize":
            return finalize_namespace(self._registry, ctx, resource, current, obj)
        if subresource == "ephemeralcontainers":
            obj = with_ephemeral_containers(current, obj)
        replaced = self._registry.replace(ctx, resource, current, obj, subresource=subresource)
        return self._registry.present(resource, replaced)

    def patch(
        self,
        ctx: RequestContext,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch_type: str,
        patch: Any,
        *,
        subresource: str = "",
    ) -> Written:
        """PATCH of any type, server-side apply among them (201 if it creates). `patch` is the decoded body."""
        document = patch if isinstance(patch, PatchDocument) else PatchDocument(patch)
        if patch_type == APPLY_PATCH:
            return self._apply(ctx, resource, namespace, name, document, subresource)
        current = self._registry.find(resource, namespace, name)
        shown = owned_scale_of(current) if subresource == SCALE else self._registry.present(resource, current)
        patched = apply_patch(patch_type, shown, document.value, resource, subresource)
        bad = document.value if patch_type == STRATEGIC_MERGE_PATCH else None
        strict = strict_problems(patch_type, document)
        patched = decode_patched(patched, resource, ctx.field_validation, ctx.warnings, subresource, bad, strict)
        return Written(self._replace(ctx, resource, current, patched, subresource), 200)

    def _apply(
        self,
        ctx: RequestContext,
        resource: Resource,
        namespace: str | None,
        name: str,
        document: PatchDocument,
        subresource: str,
    ) -> Written:
        if not ctx.field_manager:
            causes = [required("fieldManager", "is required for apply patch")]
            raise StatusError.invalid("PatchOptions.meta.k8s.io", "", causes)
        config = document.value
        current = self.store.get(self._registry.shelf(resource), namespace if resource.namespaced else "", name)
        if current is None and subresource:
            raise StatusError.not_found(resource.name, name)
        if subresource == SCALE and current is not None:
            scale = apply_scale(self._registry, ctx, resource, current, config)
            self._report_strict(ctx, document)
            return Written(scale, 200)
        shown = self._registry.present(resource, current) if current is not None else None
        merged = apply(shown, config, ctx.manager, ctx.force, resource, self._registry.now(), subresource)
        merged = decode_body(merged, (), resource, "Ignore", [])
        self._report_strict(ctx, document)
        if current is None:
            return self._create_by_apply(ctx, resource, namespace, name, merged)
        replaced = self._registry.replace(ctx, resource, current, merged, subresource=subresource, applied=True)
        return self._written(resource, replaced, 200)

    def _report_strict(self, ctx: RequestContext, document: PatchDocument) -> None:
        """What a strict YAML parser says of the configuration: 400 or warnings."""
        for problem in document.strict:
            if ctx.field_validation == "Strict":
                raise StatusError.bad_request(f"error strict decoding YAML: {_TO_JSON}{problem}")
            if ctx.field_validation == "Warn":
                ctx.warnings.extend(warnings_of(f"{_TO_JSON}{problem}"))

    def _create_by_apply(
        self, ctx: RequestContext, resource: Resource, namespace: str | None, name: str, obj: Obj
    ) -> Written:
        meta = obj.get("metadata") or {}
        if meta.get("uid"):
            why = f"uid mismatch: the provided object specified uid {meta['uid']}, and no existing object was found"
            raise StatusError.conflict(resource.name, name, why)
        check_name(meta, name)
        # A version can't be met where nothing is, and is overlooked; but a number it must be.
        check_version(meta.pop("resourceVersion", ""))
        return self._written(resource, self._registry.create(ctx, resource, namespace, obj, applied=True), 201)

    # --- deleting ---

    def delete(
        self, ctx: RequestContext, resource: Resource, namespace: str | None, name: str, options: DeleteOptions
    ) -> Written:
        """DELETE of one object: the object, or a Status if it is gone."""
        current = self._registry.find(resource, namespace, name)
        return Written(delete_object(self._registry, ctx, resource, current, options), 200)

    def delete_collection(
        self,
        ctx: RequestContext,
        resource: Resource,
        namespace: str | None,
        which: ListOptions,
        options: DeleteOptions,
    ) -> Obj:
        """DELETE of all that is selected, or of a page of them: the list of what was."""
        options.check()
        listed = list_objects(self._registry, resource, namespace, which)
        for obj in listed["items"]:
            current = self.store.get(self._registry.shelf(resource), namespace_of(obj), name_of(obj))
            if current is not None:
                delete_object(self._registry, ctx, resource, current, options)
        return listed

    def _written(self, resource: Resource, obj: Obj, code: int) -> Written:
        return Written(self._registry.present(resource, obj), code)
