"""The query of a URL as the options of a verb, checked as upstream checks it.

Models apimachinery pkg/apis/meta/v1/validation and conversion of url.Values (v1.36).
"""

from __future__ import annotations

from collections.abc import Mapping

from ..objects import Obj
from .auth import User
from .request import DeleteOptions, ListOptions, RequestContext, WatchOptions
from .status import Cause, StatusError, forbidden_field, invalid_value, not_supported, required, too_long

_LONGEST_MANAGER = 128
_INT64 = 2**63


def flag(query: Mapping[str, str], key: str) -> bool:
    """A switch: on when it is given with anything but `false` and `0`."""
    return key in query and query[key].lower() not in ("false", "0")


def integer(query: Mapping[str, str], key: str) -> int | None:
    """A number, or StatusError 400 in Go's words."""
    text = query.get(key)
    if not text:
        return None
    try:
        number = int(text) if text.lstrip("+-").isascii() and text.lstrip("+-").isdigit() else None
    except ValueError:  # more digits than int() reads
        number = _INT64
    if number is None:
        raise StatusError.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if not -_INT64 <= number < _INT64:
        raise StatusError.bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
    return number


def list_options(query: Mapping[str, str]) -> ListOptions:
    """The options of a list, get or deletecollection."""
    integer(query, "timeoutSeconds")
    return ListOptions(
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        limit=integer(query, "limit") or 0,
        continue_token=query.get("continue", ""),
        resource_version=query.get("resourceVersion", ""),
        resource_version_match=query.get("resourceVersionMatch", ""),
        send_initial_events=flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None,
    )


def watch_options(query: Mapping[str, str], name: str) -> WatchOptions:
    """The options of a watch; with a name it is the watch of one object."""
    selector = query.get("fieldSelector", "")
    if name:
        selector = ",".join(part for part in (selector, f"metadata.name={name}") if part)
    return WatchOptions(
        label_selector=query.get("labelSelector", ""),
        field_selector=selector,
        resource_version=query.get("resourceVersion", ""),
        resource_version_match=query.get("resourceVersionMatch", ""),
        continue_token=query.get("continue", ""),
        allow_bookmarks=flag(query, "allowWatchBookmarks"),
        send_initial_events=flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None,
        timeout_seconds=integer(query, "timeoutSeconds"),
    )


def write_context(
    query: Mapping[str, str], user: User, user_agent: str, options_kind: str, *, applies: bool = False
) -> RequestContext:
    """What a write carries beside its object. StatusError 422 names the options (`CreateOptions`) at fault."""
    dry_run, manager = query.get("dryRun", ""), query.get("fieldManager", "")
    validation = query.get("fieldValidation", "")
    causes: list[Cause] = []
    if options_kind == "PatchOptions" and "force" in query and not applies:
        causes.append(forbidden_field("force", "may not be specified for non-apply patch"))
    if applies and not manager:
        causes.append(required("fieldManager", "is required for apply patch"))
    if len(manager.encode()) > _LONGEST_MANAGER:
        causes.append(too_long("fieldManager", _LONGEST_MANAGER))
    for position, character in enumerate(manager):
        if not character.isprintable():
            why = f"invalid character U+{ord(character):04X} (at position {len(manager[:position].encode())})"
            causes.append(invalid_value("fieldManager", manager, why))
    if "dryRun" in query and dry_run != "All":
        causes.append(not_supported("dryRun", [dry_run], ["All"]))
    if validation not in ("", "Ignore", "Warn", "Strict"):
        causes.append(not_supported("fieldValidation", validation, ["", "Ignore", "Strict", "Warn"]))
    if causes:
        raise StatusError.invalid(f"{options_kind}.meta.k8s.io", "", causes)
    return RequestContext(
        user=user.name,
        groups=user.groups,
        user_agent=user_agent,
        field_manager=manager,
        dry_run=dry_run == "All",
        field_validation=validation or "Warn",
        force=flag(query, "force"),
    )


def delete_options(query: Mapping[str, str], body: Obj) -> DeleteOptions:
    """The body of a delete or, without one, its query."""
    if body:
        options = DeleteOptions.from_body(body)
    else:
        options = DeleteOptions(
            grace_period_seconds=integer(query, "gracePeriodSeconds"),
            propagation_policy=query.get("propagationPolicy"),
            orphan_dependents=flag(query, "orphanDependents") if "orphanDependents" in query else None,
        )
    options.check()
    return options


def refuse_dry_run(asked: list[str], options_kind: str) -> None:
    """StatusError 422 for a kind of dry run that does not exist."""
    if any(kind != "All" for kind in asked):
        causes = [not_supported("dryRun", asked, ["All"])]
        raise StatusError.invalid(f"{options_kind}.meta.k8s.io", "", causes)


def asks_dry_run(body: Obj) -> bool:
    """A delete may ask for a dry run in its body."""
    return bool(body.get("dryRun"))
