"""The store: every object with its revision, what changed since, and SQLite behind it.

One counter numbers all writes and survives a restart; an object's resourceVersion is the number of its last write.
A write is in SQLite (WAL) before it is in memory and before it is answered. Reads and watches are served from
memory, as immutable dictionaries that everybody shares. What a write may contain is left to `api.operations`.
Models etcd, and apiserver pkg/storage/cacher for the watches (v1.36).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import sqlite3
import weakref
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from ..errors import StateUnusable
from .objects import Obj, name_of, namespace_of

HISTORY = 2048
"""How many changes of one resource a watcher may lag behind."""

_FIRST_REVISION = 1  # 0 means "any" in requests
_LOCK_SECONDS = 1.0
_RESERVE = 256 * 1024  # bytes: the pages of some dozens of deletions
_PAGES_LAST, _PAGE_MARKS_APART = 300.0, 60.0  # seconds
_DISK_FULL, _READ_ONLY = sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY
_T = TypeVar("_T")
_Objects = list[Obj]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counter (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL);
INSERT OR IGNORE INTO counter VALUES (1, ?);
"""


class StoredObject(Obj):
    """An object as the store holds it, with its JSON text: encoded once for the disk and for every answer."""

    __slots__ = ("encoded",)
    encoded: bytes


def json_bytes(obj: Obj) -> bytes:
    """Compact JSON; free of cost for an object that came out of the store unchanged."""
    if isinstance(obj, StoredObject):
        return obj.encoded
    return json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode()


class Change(NamedTuple):
    """One write: the object after it (for DELETED: as it was last) and before it."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: Obj
    previous: Obj | None
    revision: int


class StoreConflict(Exception):
    """The object is not in the state that the writer expected: it exists, is gone, or was written by another."""


class TooOld(Exception):
    """History doesn't reach back to that revision."""

    def __init__(self, revision: int, compacted: int) -> None:
        super().__init__(f"too old resource version: {revision} ({compacted})")
        self.revision = revision
        self.compacted = compacted


class _Shelf:
    """All objects of one resource, and the changes that led to them."""

    def __init__(self, revision: int, limit: int) -> None:
        self.objects: dict[str, dict[str, Obj]] = {}
        self.compacted = revision
        self.changes: list[Change] = []
        self.trimmed = 0
        self.watches: weakref.WeakSet[Watch] = weakref.WeakSet()
        self._limit = limit

    def put(self, obj: Obj) -> None:
        self.objects.setdefault(namespace_of(obj), {})[name_of(obj)] = obj

    def drop(self, namespace: str, name: str) -> None:
        names = self.objects[namespace]
        del names[name]
        if not names:
            del self.objects[namespace]

    def record(self, change: Change) -> None:
        self.changes.append(change)
        if len(self.changes) >= self._limit + self._limit // 4 + 1:
            surplus = len(self.changes) - self._limit
            self.compacted = self.changes[surplus - 1].revision
            self.trimmed += surplus
            del self.changes[:surplus]
        for watch in self.watches:
            watch.wake()

    def position_after(self, revision: int) -> int:
        """Number of the first change after a revision, counted from the start of the process."""
        if revision < self.compacted:
            raise TooOld(revision, self.compacted)
        return self.trimmed + bisect_right(self.changes, revision, key=lambda change: change.revision)


class PageHistory:
    """How old a page of a list may be to be continued as of its own revision: five to six minutes.

    Upstream forgets by the clock too, since it compacts etcd every five minutes. Told the time by who lists: a store
    that nobody lists from needs no timer.
    """

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()
        self._forgotten = 0

    def oldest(self, now: float, revision: int) -> int:
        """The oldest revision that a page may still be continued at, when the store is at `revision`."""
        if not self._marks or now - self._marks[-1][0] >= _PAGE_MARKS_APART:
            self._marks.append((now, revision))
        while self._marks and now - self._marks[0][0] >= _PAGES_LAST:
            self._forgotten = self._marks.popleft()[1]
        return self._forgotten


class Watch:
    """The changes of one resource after a revision, in order, each once.

    Reads the shared history at its own pace: it costs no memory, and raises TooOld once it lags too far behind.
    """

    def __init__(self, shelf: _Shelf, namespace: str | None, revision: int, head: Callable[[], int]) -> None:
        self._shelf = shelf
        self._namespace = namespace or None
        self._position = shelf.position_after(revision)
        self._start = revision
        self._head = head
        self._changed = asyncio.Event()
        shelf.watches.add(self)

    def wake(self) -> None:
        """Says that there may be something to drain."""
        self._changed.set()

    def drain(self) -> list[Change]:
        """What has happened since the last call, without waiting."""
        offset = self._position - self._shelf.trimmed
        if offset < 0:
            raise TooOld(self._start, self._shelf.compacted)
        changes = self._shelf.changes[offset:]
        self._position += len(changes)
        self._changed.clear()
        if changes:
            self._start = changes[-1].revision
        if self._namespace is None:
            return changes
        return [change for change in changes if namespace_of(change.object) == self._namespace]

    @property
    def revision(self) -> int:
        """After a drain: the revision up to which everything has been seen, good for a bookmark."""
        return max(self._start, self._head())

    async def wait(self) -> None:
        """Until there may be something to drain."""
        await self._changed.wait()

    async def __aiter__(self) -> AsyncIterator[Change]:
        try:
            while True:
                for change in self.drain():
                    yield change
                await self.wait()
        finally:
            self.close()

    def close(self) -> None:
        """Stops watching."""
        self._shelf.watches.discard(self)


class Store:
    """Objects by resource name (`pods`, `deployments.apps`), namespace ("" if cluster-scoped) and name."""

    def __init__(self, path: Path, *, history: int = HISTORY) -> None:
        self._path = path
        self._reserve = path.with_name(f"{path.stem}.reserve")
        self._full = False
        self._history = history
        self._db = self._guard(self._open)
        self._revision = 0
        self._shelves: dict[str, _Shelf] = {}
        self.pages = PageHistory()
        self._guard(self._load)
        self._settle()
        self._keep_reserve()

    # --- reading ---

    @property
    def revision(self) -> int:
        """Number of the last write to anything."""
        return self._revision

    def get(self, resource: str, namespace: str | None, name: str) -> Obj | None:
        """The object as it is now."""
        return self._shelf(resource).objects.get(namespace or "", {}).get(name)

    def list(self, resource: str, namespace: str | None = None) -> _Objects:
        """All objects of a resource in a namespace, or in all of them, by namespace and name."""
        return _ordered(self._shelf(resource).objects, namespace)

    def list_at(self, resource: str, namespace: str | None, revision: int) -> _Objects:
        """As `list`, at an earlier revision: the changes since are undone. Raises TooOld."""
        shelf = self._shelf(resource)
        since = shelf.position_after(revision) - shelf.trimmed
        if since == len(shelf.changes):
            return self.list(resource, namespace)
        objects = {space: dict(names) for space, names in shelf.objects.items()}
        for change in reversed(shelf.changes[since:]):
            names = objects.setdefault(namespace_of(change.object), {})
            if change.previous is None:
                names.pop(name_of(change.object), None)
            else:
                names[name_of(change.object)] = change.previous
        return _ordered(objects, namespace)

    def changes_of(self, resource: str) -> int:
        """How often objects of a resource have been written in this process."""
        shelf = self._shelf(resource)
        return shelf.trimmed + len(shelf.changes)

    def watch(self, resource: str, namespace: str | None, revision: int) -> Watch:
        """The changes after a revision. Raises TooOld."""
        return Watch(self._shelf(resource), namespace, revision, lambda: self._revision)

    # --- writing ---

    def create(self, resource: str, obj: Obj) -> Obj:
        """Stores a new object and returns it with its resourceVersion."""
        if self.get(resource, namespace_of(obj), name_of(obj)) is not None:
            raise StoreConflict("it exists")
        return self._put(resource, obj, None)

    def update(self, resource: str, obj: Obj, expected: Obj) -> Obj:
        """Replaces `expected`, the object as the writer read it."""
        current = self._expect(resource, expected)
        return self._put(resource, obj, current)

    def delete(self, resource: str, expected: Obj) -> Obj:
        """Removes `expected` and returns it as it was last, with the resourceVersion of the removal."""
        current = self._expect(resource, expected)
        namespace, name = namespace_of(current), name_of(current)
        revision = self._revision + 1
        last = _stamped(current, revision)
        self._guard(lambda: self._write_last(_DELETE, (resource, namespace, name), revision))
        shelf = self._shelf(resource)
        shelf.drop(namespace, name)
        self._commit(shelf, Change("DELETED", last, current, revision))
        return last

    def close(self) -> None:
        """Lets go of the file."""
        self._db.close()

    @property
    def trouble(self) -> str:
        """Why nothing new can be written just now; empty if it can."""
        if self._keep_reserve() and not self._full:
            return ""
        return str(_disk_full(self._path))

    # --- inside ---

    def _put(self, resource: str, obj: Obj, current: Obj | None) -> Obj:
        revision = self._revision + 1
        stored = _stamped(obj, revision)
        row = (resource, namespace_of(stored), name_of(stored), stored.encoded)
        ends = "deletionTimestamp" in stored["metadata"]
        self._guard(lambda: (self._write_last if ends else self._write_more)(_PUT, row, revision))
        shelf = self._shelf(resource)
        shelf.put(stored)
        self._commit(shelf, Change("MODIFIED" if current else "ADDED", stored, current, revision))
        return stored

    def _expect(self, resource: str, expected: Obj) -> Obj:
        current = self.get(resource, namespace_of(expected), name_of(expected))
        if current is None:
            raise StoreConflict("it is gone")
        if current["metadata"]["resourceVersion"] != expected["metadata"]["resourceVersion"]:
            raise StoreConflict("it was written by another")
        return current

    def _commit(self, shelf: _Shelf, change: Change) -> None:
        self._revision = change.revision
        shelf.record(change)

    def _shelf(self, resource: str) -> _Shelf:
        shelf = self._shelves.get(resource)
        if shelf is None:
            # Nothing has been written to this resource in this process: its history starts where the process did.
            shelf = self._shelves[resource] = _Shelf(self._started_at, self._history)
        return shelf

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, timeout=_LOCK_SECONDS)
        # One process owns the file; the lock also spares SQLite its shared-memory index.
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        return db

    def _load(self) -> None:
        damage = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
        for statement in filter(str.strip, _SCHEMA.split(";")):
            self._db.execute(statement, (_FIRST_REVISION,) if "?" in statement else ())
        self._revision = self._db.execute("SELECT revision FROM counter").fetchone()[0]
        self._started_at = self._revision
        for resource, body in self._db.execute("SELECT resource, body FROM objects"):
            obj = StoredObject(json.loads(body))
            obj.encoded = bytes(body)
            self._shelf(resource).put(obj)

    def _settle(self) -> None:
        """Moves what is in the log into the database: a log that gets lost or cut later takes no older write along.

        SQLite takes a log up to the last whole transaction and says nothing of a rest that is missing.
        """
        with contextlib.suppress(sqlite3.OperationalError):  # a full disk can still be read
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def _write_more(self, statement: str, row: tuple[object, ...], revision: int) -> None:
        """Writes what may take up space; not before the reserve is whole, which would never be again otherwise."""
        if not self._keep_reserve():
            raise _disk_full(self._path)
        try:
            self._write(statement, row, revision)
        except sqlite3.OperationalError as error:
            self._full = _code_of(error) == _DISK_FULL
            raise
        self._full = False

    def _write_last(self, statement: str, row: tuple[object, ...], revision: int) -> None:
        """Writes what an object's end needs: on a full disk at the cost of the reserve, so that space can be freed."""
        try:
            self._write(statement, row, revision)
        except sqlite3.OperationalError as error:
            if _code_of(error) != _DISK_FULL or not self._reserve.exists():
                raise
            self._reserve.unlink()
            self._write(statement, row, revision)
            self._settle()
            self._keep_reserve()

    def _keep_reserve(self) -> bool:
        """Some space of the disk that is kept for the ends of objects. False if the disk has none left."""
        if self._reserve.exists():
            return True
        try:
            with self._reserve.open("xb") as file:
                os.posix_fallocate(file.fileno(), 0, _RESERVE)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._reserve.unlink(missing_ok=True)
            return error.errno not in (errno.ENOSPC, errno.EDQUOT)
        return True

    def _write(self, statement: str, row: tuple[object, ...], revision: int) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.execute(statement, row)
            self._db.execute("UPDATE counter SET revision = ?", (revision,))
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _guard(self, action: Callable[[], _T]) -> _T:
        """Runs what touches the file, and tells its failures apart for the user."""
        try:
            return action()
        except (sqlite3.Error, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise _explain(error, self._path) from error


_PUT = "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)"
_DELETE = "DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?"


def _stamped(obj: Obj, revision: int) -> StoredObject:
    stored = StoredObject(obj)
    stored["metadata"] = {**obj["metadata"], "resourceVersion": str(revision)}
    stored.encoded = json.dumps(stored, separators=(",", ":"), ensure_ascii=False).encode()
    return stored


def _ordered(objects: dict[str, dict[str, Obj]], namespace: str | None) -> list[Obj]:
    spaces = [namespace] if namespace else sorted(objects)
    found: list[Obj] = []
    for space in spaces:
        names = objects.get(space, {})
        found += [names[name] for name in sorted(names)]
    return found


def _code_of(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _disk_full(path: Path) -> StateUnusable:
    full = f"The disk is full: the cluster's state in {path} can't be written."
    return StateUnusable(full, hint="Free some space.")


def _explain(error: Exception, path: Path) -> StateUnusable:
    code = _code_of(error)
    afresh = "Start afresh with `servicelab down` and `servicelab up`."
    if code == _DISK_FULL:
        return _disk_full(path)
    if code in (_READ_ONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StateUnusable(
            f"The cluster's state in {path} can't be opened for writing.",
            hint="Check who owns the folder, and that its file system is not read-only.",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StateUnusable(
            f"The cluster's state in {path} is in use by another process.", hint="Is this cluster already running?"
        )
    if code == sqlite3.SQLITE_IOERR:
        return StateUnusable(f"The cluster's state in {path} can't be read or written: {error}.", hint=afresh)
    return StateUnusable(f"The cluster's state in {path} is damaged: {error}.", hint=afresh)
