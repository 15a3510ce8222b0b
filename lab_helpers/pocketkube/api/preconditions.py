"""Which object a write is meant for: the name in its URL, the resourceVersion and the uid that it gives.

Whether the stored object still has that resourceVersion is left to `registry`.
"""

from __future__ import annotations

from ..objects import Obj
from ..resources.table import Resource
from .status import StatusError, go_quote

_STORAGE_FOLDERS = {
    "endpoints": "services/endpoints",
    "nodes": "minions",
    "replicationcontrollers": "controllers",
    "services": "services/specs",
}


def check_name(meta: Obj, name: str) -> None:
    """An object that is written to a URL bears the name in it. Models apiserver handlers checkName."""
    given = meta.get("name") or ""
    if not given:
        why = "was undeterminable: name must be provided"
        raise StatusError.bad_request(f"the name of the object ({name} based on URL) {why}")
    if given != name:
        raise StatusError.bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")


def check_version(version: str | None) -> None:
    """The resourceVersion of an update is a number."""
    if version and not (version.isascii() and version.isdigit()):
        raise StatusError.unclassified(f"strconv.ParseUint: parsing {go_quote(version)}: invalid syntax")


def uid_mismatch(uid: str, meta: Obj) -> str:
    """What is said when a request is meant for another object of the same name."""
    return f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta['uid']}"


def check_uid(resource: Resource, meta: Obj, uid: str | None, dry_run: bool = False) -> None:
    """An update is meant for one object, not for its successor of the same name.

    Models apiserver pkg/storage Preconditions.Check, whose message shows the key in etcd;
    a dry run does not get as far as the prefix that all keys have there.
    """
    if not uid or uid == meta["uid"]:
        return
    folder = _STORAGE_FOLDERS.get(resource.plural, resource.plural)
    parts = ("" if dry_run else "registry", folder, meta.get("namespace"), meta["name"])
    key = "".join(f"/{part}" for part in parts if part)
    failure = uid_mismatch(uid, meta)
    stored = f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0"
    raise StatusError.conflict(resource.name, meta["name"], f"{stored}, AdditionalErrorMsg: {failure}")
