"""`metadata.managedFields`: who owns which fields of an object, as data and as the API writes it.

How ownership changes is left to `apply.py`. Models apimachinery pkg/util/managedfields (v1.36).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ..objects import Obj
from .fieldset import FieldSet, from_fields_v1, to_fields_v1
from .status import go_quote

UPDATE: Literal["Update"] = "Update"
APPLY: Literal["Apply"] = "Apply"
MAX_UPDATE_MANAGERS = 10
ANCIENT = "ancient-changes"


class Manager(NamedTuple):
    """Who owns: a name, by what kind of request, through which version and subresource."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    @property
    def identity(self) -> Manager:
        """Appliers own across versions."""
        return self._replace(api_version="") if self.operation == APPLY else self

    def __str__(self) -> str:
        text = go_quote(self.name)
        if self.subresource:
            text += f" with subresource {go_quote(self.subresource)}"
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


@dataclass
class Owned:
    """What one manager owns, and since when."""

    manager: Manager
    fields: FieldSet
    time: str | None


class Ownership:
    """All owners of one object's fields."""

    def __init__(self, entries: list[Owned]) -> None:
        self._owned = {entry.manager.identity: entry for entry in entries}

    @classmethod
    def of(cls, obj: Obj | None) -> Ownership:
        """What an object says; nothing if it can't be read."""
        return cls(_decode((obj or {}).get("metadata", {}).get("managedFields")) or [])

    def __bool__(self) -> bool:
        return bool(self._owned)

    @property
    def entries(self) -> list[Owned]:
        """All that is owned."""
        return list(self._owned.values())

    def get(self, manager: Manager) -> Owned | None:
        """What a manager owns, if anything."""
        return self._owned.get(manager.identity)

    def put(self, manager: Manager, fields: FieldSet, time: str | None) -> None:
        """Sets what a manager owns; one that owns nothing is forgotten."""
        self._owned.pop(manager.identity, None)
        if fields:
            self._owned[manager.identity] = Owned(manager, fields, time)

    def take(self, fields: FieldSet, keeper: Manager | None = None) -> None:
        """Takes fields from everybody but `keeper`."""
        for owned in list(self._owned.values()):
            if keeper is None or owned.manager.identity != keeper.identity:
                self.put(owned.manager, owned.fields - fields, owned.time)

    def others(self, manager: Manager) -> list[Owned]:
        """Everybody else, by name."""
        return sorted(
            (owned for identity, owned in self._owned.items() if identity != manager.identity),
            key=lambda owned: owned.manager,
        )

    def cap(self) -> None:
        """Folds the oldest updaters into one entry once there are too many of them."""
        updaters = [owned for owned in self._owned.values() if owned.manager.operation == UPDATE]
        if len(updaters) <= MAX_UPDATE_MANAGERS:
            return
        updaters.sort(key=lambda owned: (owned.manager.name != ANCIENT, owned.time or "", owned.manager))
        folded = updaters[: len(updaters) - MAX_UPDATE_MANAGERS + 1]
        latest = max(owned.time or "" for owned in folded)
        fields: FieldSet = set().union(*(owned.fields for owned in folded))
        for owned in folded:
            self.put(owned.manager, set(), None)
        self.put(Manager(ANCIENT, UPDATE, folded[-1].manager.api_version), fields, latest or None)

    def write(self, obj: Obj) -> None:
        """Sets `metadata.managedFields`."""
        write_entries(obj, self.entries)


def write_entries(obj: Obj, entries: list[Owned]) -> None:
    """Sets `metadata.managedFields`, appliers first, then by time and name."""
    ordered = sorted(entries, key=lambda owned: (owned.manager.operation, owned.time or "", owned.manager))
    obj["metadata"].pop("managedFields", None)
    if ordered:
        obj["metadata"]["managedFields"] = [_encode(entry) for entry in ordered]


def is_reset(obj: Obj) -> bool:
    """A client asks to forget all owners with one empty entry."""
    return bool(obj["metadata"].get("managedFields") == [{}])


def _encode(owned: Owned) -> Obj:
    manager = owned.manager
    entry: Obj = {"manager": manager.name, "operation": manager.operation, "apiVersion": manager.api_version}
    if owned.time:
        entry["time"] = owned.time
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": to_fields_v1(owned.fields)}
    if manager.subresource:
        entry["subresource"] = manager.subresource
    return entry


def _decode(entries: Any) -> list[Owned] | None:
    """The entries, or None if one of them makes no sense."""
    if not isinstance(entries, list):
        return None
    owned = [_decode_entry(entry) for entry in entries]
    return None if None in owned else [entry for entry in owned if entry]


def _decode_entry(entry: Any) -> Owned | None:
    if not isinstance(entry, dict) or entry.get("operation") not in (UPDATE, APPLY):
        return None
    names = [entry.get(name) or "" for name in ("manager", "operation", "apiVersion", "subresource")]
    if not all(isinstance(name, str) for name in names):
        return None
    try:
        fields = from_fields_v1(entry.get("fieldsV1") or {})
    except ValueError:
        return None
    time = entry.get("time")
    return Owned(Manager(*names), fields, time if isinstance(time, str) else None)
