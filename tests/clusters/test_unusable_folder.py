"""A folder or a disk that a cluster can't live on: it is named, and the exit code says so."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lab_helpers.clusters import EmbeddedCluster
from lab_helpers.errors import StateUnusable
from lab_helpers.pocketkube import daemon


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SERVICELAB_HOME", str(tmp_path / "file"))
    with pytest.raises(StateUnusable, match="can't be used: Not a directory") as refusal:
        EmbeddedCluster("nowhere").start()
    assert refusal.value.exit_code == 9


def test_a_child_that_died_of_a_full_disk_is_not_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    daemon._require_space(tmp_path)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StateUnusable, match="No space left on device"):
        daemon._require_space(tmp_path)
    assert not list(tmp_path.iterdir())
