"""The store: revisions, watches, and what survives a crash."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab_helpers.errors import StateUnusable
from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.store import Change, Store, StoreConflict, TooOld, json_bytes


def thing(name: str, namespace: str = "default", **fields: object) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, **fields}


def test_a_write_is_answered_with_the_next_revision(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    first = store.create("configmaps", thing("a"))
    second = store.update("configmaps", {**first, "data": {"k": "v"}}, first)
    gone = store.delete("configmaps", second)
    revisions = [int(obj["metadata"]["resourceVersion"]) for obj in (first, second, gone)]
    assert revisions == [2, 3, 4]
    assert store.revision == 4
    assert store.get("configmaps", "default", "a") is None


def test_a_write_based_on_an_old_state_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    first = store.create("configmaps", thing("a"))
    store.update("configmaps", {**first, "data": {"k": "v"}}, first)
    with pytest.raises(StoreConflict):
        store.update("configmaps", first, first)
    with pytest.raises(StoreConflict):
        store.delete("configmaps", first)
    with pytest.raises(StoreConflict):
        store.create("configmaps", thing("a"))


def test_the_bytes_of_a_stored_object_are_its_json(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    stored = store.create("configmaps", thing("ä", data={"k": "é"}))
    assert json_bytes(stored) == json_bytes(dict(stored))


operations = st.lists(
    st.tuples(st.sampled_from(["put", "delete"]), st.sampled_from(["a", "b", "c"]), st.sampled_from(["x", "y"])),
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(steps=operations)
def test_revisions_only_grow_and_the_past_can_be_listed(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, str]]
) -> None:
    store = Store(tmp_path_factory.mktemp("store") / "db")
    past = {store.revision: store.list("configmaps")}
    for number, (verb, name, namespace) in enumerate(steps):
        before = store.revision
        current = store.get("configmaps", namespace, name)
        if verb == "put" and current is None:
            store.create("configmaps", thing(name, namespace))
        elif verb == "put" and current is not None:
            store.update("configmaps", {**current, "data": {"n": str(number)}}, current)
        elif current is not None:
            store.delete("configmaps", current)
        else:
            continue
        assert store.revision == before + 1
        past[store.revision] = store.list("configmaps")
    for revision, objects in past.items():
        assert store.list_at("configmaps", None, revision) == objects
        only = [obj for obj in objects if obj["metadata"]["namespace"] == "x"]
        assert store.list_at("configmaps", "x", revision) == only
    store.close()


def test_a_restart_keeps_every_object_and_the_counter(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    kept = store.create("configmaps", thing("kept", data={"k": "v"}))
    store.delete("configmaps", store.create("configmaps", thing("gone")))
    revision = store.revision
    store.close()
    again = Store(tmp_path / "db")
    assert again.list("configmaps") == [kept]
    assert again.revision == revision
    assert int(again.create("configmaps", thing("new"))["metadata"]["resourceVersion"]) == revision + 1


def test_history_before_a_restart_is_too_old_but_its_end_is_not(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    store.create("configmaps", thing("a"))
    store.create("configmaps", thing("b"))
    store.close()
    again = Store(tmp_path / "db")
    with pytest.raises(TooOld, match=r"too old resource version: 2 \(3\)"):
        again.watch("configmaps", None, 2)
    assert again.watch("configmaps", None, 3).drain() == []


WRITER = """
import sys
import time
from pathlib import Path
from lab_helpers.pocketkube.store import Store
store = Store(Path(sys.argv[1]))
for number in range(100000):
    stored = store.create("configmaps", {"metadata": {"name": f"n{number}", "namespace": "default"}})
    print(stored["metadata"]["resourceVersion"], flush=True)
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "db"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(200)]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in writer.stdout if line.endswith("\n")]
    writer.wait()
    store = Store(path)
    found = {int(obj["metadata"]["resourceVersion"]) for obj in store.list("configmaps")}
    assert set(acknowledged) <= found
    assert store.revision >= max(acknowledged)


def test_a_log_that_gets_lost_takes_nothing_along_from_before_the_last_start(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    first = Store(path)
    first.create("configmaps", thing("a"))
    abandoned = {name: (tmp_path / name).read_bytes() for name in ("state.db", "state.db-wal")}
    first.close()
    for name, content in abandoned.items():  # as a kill leaves them
        (tmp_path / name).write_bytes(content)
    started = Store(path)
    assert (tmp_path / "state.db-wal").stat().st_size == 0
    started.create("configmaps", thing("b"))
    left = path.read_bytes()
    started.close()
    path.write_bytes(left)  # the database as it was, and no log
    again = Store(path)
    assert [obj["metadata"]["name"] for obj in again.list("configmaps")] == ["a"]


def test_watchers_see_the_changes_of_their_namespace_in_order(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")

    async def scenario() -> list[Change]:
        watch = store.watch("configmaps", "default", store.revision)
        seen: list[Change] = []

        async def follow() -> None:
            async for change in watch:
                seen.append(change)
                if change.type == "DELETED":
                    return

        follower = asyncio.create_task(follow())
        first = store.create("configmaps", thing("a"))
        await asyncio.sleep(0)
        store.create("configmaps", thing("elsewhere", "other"))
        store.create("pods", thing("a"))
        second = store.update("configmaps", {**first, "data": {"k": "v"}}, first)
        store.delete("configmaps", second)
        await asyncio.wait_for(follower, 5)
        return seen

    seen = asyncio.run(scenario())
    assert [change.type for change in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert seen[1].previous == seen[0].object
    assert [change.revision for change in seen] == sorted(change.revision for change in seen)


@pytest.mark.parametrize("seed", range(5))
def test_a_watcher_that_is_cut_and_resumes_sees_each_change_once(tmp_path: Path, seed: int) -> None:
    store = Store(tmp_path / "db")
    chance = random.Random(seed)
    watch = store.watch("configmaps", None, store.revision)
    start = store.revision
    seen: list[int] = []
    position = start
    for number in range(300):
        store.create("configmaps", thing(f"n{number}"))
        if chance.random() < 0.3:
            for change in watch.drain():
                seen.append(change.revision)
                position = change.revision
                if chance.random() < 0.2:
                    break
            watch.close()
            watch = store.watch("configmaps", None, position)
    seen += [change.revision for change in watch.drain()]
    assert seen == list(range(start + 1, store.revision + 1))


def test_a_watcher_that_lags_too_far_is_told_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "db", history=10)
    watch = store.watch("configmaps", None, store.revision)
    for number in range(40):
        store.create("configmaps", thing(f"n{number}"))
    with pytest.raises(TooOld):
        watch.drain()
    assert len(store.watch("configmaps", None, store.revision - 10).drain()) == 10


def test_a_thousand_writes_a_second(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    started = time.perf_counter()
    for number in range(2000):
        store.create("configmaps", thing(f"n{number}", data={"k": "v" * 500}))
    assert time.perf_counter() - started < 2


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StateUnusable, match="is damaged") as caught:
        Store(tmp_path / "db")
    assert "servicelab down" in caught.value.hint


def test_a_damaged_object_is_named(tmp_path: Path) -> None:
    Store(tmp_path / "db").close()
    db = sqlite3.connect(tmp_path / "db")
    db.execute("INSERT INTO objects VALUES ('pods', 'default', 'a', '{\"metadata\":')")
    db.commit()
    db.close()
    with pytest.raises(StateUnusable, match="is damaged"):
        Store(tmp_path / "db")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateUnusable, match="can't be opened"):
        Store(tmp_path / "missing" / "db")


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    code = "import sys, pathlib, lab_helpers.pocketkube.store as s; s.Store(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(tmp_path / "db")]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    store.close()
    assert second.returncode != 0
    assert "in use by another process" in second.stderr


def test_on_a_full_disk_objects_can_still_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that has room for nothing but what the reserve gives up."""
    store = Store(tmp_path / "db")
    reserve, write = store._reserve, Store._write
    kept = [store.create("configmaps", thing(f"c{number}")) for number in range(3)]

    def write_on_full_disk(store: Store, *row: Any) -> None:
        if reserve.exists():
            full = sqlite3.OperationalError("database or disk is full")
            full.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise full
        write(store, *row)

    monkeypatch.setattr(Store, "_write", write_on_full_disk)
    with pytest.raises(StateUnusable, match="disk is full"):
        store.create("configmaps", thing("more"))
    assert "disk is full" in store.trouble
    store.delete("configmaps", kept[0])
    ending = {**kept[1], "metadata": {**kept[1]["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    store.update("configmaps", ending, kept[1])
    monkeypatch.undo()
    assert [item["metadata"]["name"] for item in store.list("configmaps")] == ["c1", "c2"]
    store.create("configmaps", thing("more"))
    assert store.trouble == ""
    store.close()


def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    kept = store.create("configmaps", thing("kept"))
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StateUnusable, match="disk is full"):
        store.create("configmaps", thing("big", data={"k": "v" * 1_000_000}))
    assert store.list("configmaps") == [kept]
    assert store.create("configmaps", thing("small"))["metadata"]["resourceVersion"] == "3"
