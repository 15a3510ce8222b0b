"""Lists: what the options select, in pages, as of which resourceVersion.

Models apimachinery meta/internalversion/validation, apiserver pkg/storage/continue.go and etcd3/store.go (v1.36).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import NamedTuple

from ..custom.definition import CustomResource
from ..objects import Obj, labels_of, name_of, namespace_of
from ..resources.table import Resource
from ..store import TooOld
from .registry import Registry
from .request import ListOptions
from .selectors import parse_field_selector, parse_label_selector
from .status import Cause, StatusError, forbidden_field, go_quote, not_supported

EXACT, NOT_OLDER = "Exact", "NotOlderThan"
_INCONSISTENT = -1
_UINT64, _LONGEST_NUMBER = 2**64, 100
_EXPIRED_PAGE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)

Predicate = Callable[[Obj], bool]


def selection(registry: Registry, resource: Resource, label_selector: str, field_selector: str) -> Predicate:
    """Label and field selector as one predicate on stored objects."""
    labels = parse_label_selector(label_selector) if label_selector else None
    terms = parse_field_selector(field_selector) if field_selector else ()
    strategy = registry.strategy(resource)
    known = ("metadata.name", *(("metadata.namespace",) if resource.namespaced else ()), *strategy.field_names())
    for term in terms:
        if term.field not in known:
            raise _unknown_field(term.field, bool(strategy.field_names()))

    def selects(obj: Obj) -> bool:
        if labels is not None and not labels.matches(labels_of(obj)):
            return False
        if not terms:
            return True
        fields = {"metadata.name": name_of(obj), "metadata.namespace": namespace_of(obj), **strategy.fields(obj)}
        return all(term.matches(fields) for term in terms)

    return selects


def _unknown_field(field: str, has_own: bool) -> StatusError:
    if has_own:
        return StatusError.bad_request(f"field label not supported: {field}")
    known = 'only "metadata.name", "metadata.namespace"'
    return StatusError.bad_request(f"{go_quote(field)} is not a known field selector: {known}")


def parse_revision(text: str) -> int:
    """A resourceVersion of a request; "" is 0."""
    if not text:
        return 0
    is_number = text.isascii() and text.isdigit()
    if is_number and len(text) <= _LONGEST_NUMBER and int(text) < _UINT64:
        return int(text)
    why = f"strconv.ParseUint: parsing {go_quote(text)}: {'value out of range' if is_number else 'invalid syntax'}"
    raise StatusError.unclassified(f"resourceVersion: Invalid value: {go_quote(text)}: {why}")


def fresh_revision(registry: Registry, text: str) -> int:
    """A resourceVersion that an answer must not be older than; StatusError 504 if there has been none such."""
    asked = parse_revision(text)
    if asked > registry.store.revision:
        raise StatusError.too_large_resource_version(asked, registry.store.revision)
    return asked


def list_objects(registry: Registry, resource: Resource, namespace: str | None, options: ListOptions) -> Obj:
    """The answer to a list."""
    _check(options)
    selects = selection(registry, resource, options.label_selector, options.field_selector)
    page = _start(registry, resource, namespace, options)
    found = [obj for obj in page.objects if selects(obj)]
    # Whoever takes any revision is answered out of the cache, which knows no pages.
    limit = options.limit if options.continue_token or options.resource_version != "0" else 0
    meta: Obj = {"resourceVersion": str(page.revision)}
    if 0 < limit < len(found):
        registry.store.pages.oldest(registry.seconds(), registry.store.revision)
        last = found[limit - 1]
        meta["continue"] = encode_continue(page.revision, _key(last, namespace) + "\0")
        if not options.label_selector and not options.field_selector:
            meta["remainingItemCount"] = len(found) - limit
        found = found[:limit]
    return {
        "kind": resource.list_kind if isinstance(resource, CustomResource) else f"{resource.kind}List",
        "apiVersion": resource.api_version,
        "metadata": meta,
        "items": [registry.present(resource, obj) for obj in found],
    }


class _Page(NamedTuple):
    objects: list[Obj]
    revision: int


def _start(registry: Registry, resource: Resource, namespace: str | None, options: ListOptions) -> _Page:
    store, shelf = registry.store, registry.shelf(resource)
    if options.continue_token:
        return _continued(registry, shelf, namespace, options.continue_token)
    try:
        asked = fresh_revision(registry, options.resource_version)
    except StatusError as error:
        if error.code != 500:
            raise
        raise StatusError.bad_request(f"invalid resource version: {error.message}") from None
    # A page of an older revision was asked for that way before there was resourceVersionMatch.
    is_exact = options.resource_version_match == EXACT or (options.limit and not options.resource_version_match)
    if asked and is_exact:
        try:
            return _Page(store.list_at(shelf, namespace, asked), asked)
        except TooOld:
            raise StatusError.gone_expired("The resourceVersion for the provided list is too old.") from None
    return _Page(store.list(shelf, namespace), store.revision)


def _continued(registry: Registry, shelf: str, namespace: str | None, token: str) -> _Page:
    revision, start = decode_continue(token)
    store = registry.store
    try:
        oldest = store.pages.oldest(registry.seconds(), store.revision)
        if revision == _INCONSISTENT:
            objects, revision = store.list(shelf, namespace), store.revision
        elif revision < oldest:
            raise TooOld(revision, oldest)
        else:
            objects = store.list_at(shelf, namespace, revision)
    except TooOld:
        error = StatusError.gone_expired(_EXPIRED_PAGE)
        error.list_meta = {"continue": encode_continue(_INCONSISTENT, start)}
        raise error from None
    return _Page([obj for obj in objects if _key(obj, namespace) >= start], revision)


def _key(obj: Obj, namespace: str | None) -> str:
    return name_of(obj) if namespace or not namespace_of(obj) else f"{namespace_of(obj)}/{name_of(obj)}"


def encode_continue(revision: int, start: str) -> str:
    """The token of the next page."""
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_continue(token: str) -> tuple[int, str]:
    """Revision and first key of a page. StatusError 400 if it is not a token of ours."""
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        raise _bad_token(f"illegal base64 data at input byte {len(token) // 4 * 4}") from None
    try:
        fields = json.loads(raw)
        return int(fields["rv"]), str(fields["start"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        first = raw[:1].decode("latin-1")
        said = first if first.isascii() and first.isprintable() else f"\\u{ord(first or chr(0)):04x}"
        raise _bad_token(f"invalid character '{said}' looking for beginning of value") from None


def _bad_token(why: str) -> StatusError:
    return StatusError.bad_request(f"invalid continue token: continue key is not valid: {why}")


def _check(options: ListOptions) -> None:
    match = options.resource_version_match
    if options.continue_token and options.resource_version not in ("", "0"):
        raise StatusError.bad_request("specifying resource version is not allowed when using continue")
    causes: list[Cause] = []
    path = "resourceVersionMatch"
    if match and not options.resource_version:
        causes.append(forbidden_field(path, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
    if match and options.continue_token:
        causes.append(forbidden_field(path, "resourceVersionMatch is forbidden when continue is provided"))
    if match not in ("", EXACT, NOT_OLDER):
        causes.append(not_supported(path, match, [EXACT, NOT_OLDER, ""]))
    if match == EXACT and options.resource_version == "0":
        why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        causes.append(forbidden_field(path, why))
    if options.send_initial_events is not None:
        causes.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if causes:
        raise StatusError.invalid("ListOptions.meta.k8s.io", "", causes)
