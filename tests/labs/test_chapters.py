"""The chapters, run as a learner runs them: untouched, and solved by the exercises' own solutions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chapters import CHAPTERS, copy_labs, number_of, solve, text_of

from lab_helpers.clusters.base import Cluster
from lab_helpers.exercises import chapter
from lab_helpers.exercises.workspace import Workspace

pytestmark = [pytest.mark.kernel, pytest.mark.kubectl]

SECONDS_A_CELL = 120
CHANGES_BY_ITSELF = ("/metadata/language_info", "/metadata/widgets", "/cells/*/outputs", "/cells/*/execution_count")


@pytest.fixture
def run(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nb_regression: Any) -> Any:
    """Runs a chapter in a copy of labs/ and an empty namespace; gives its cells by id."""
    monkeypatch.setenv("SERVICELAB_NAME", cluster.name)
    folder = copy_labs(tmp_path)
    nb_regression.exec_cwd = str(folder)
    nb_regression.exec_timeout = SECONDS_A_CELL
    nb_regression.diff_ignore = CHANGES_BY_ITSELF

    def run_chapter(name: str, *, solved: bool) -> dict[str, Any]:
        path = folder / name
        number = number_of(path)
        workspace = Workspace(cluster, chapter(number).namespace, folder)
        workspace.prepare(number)
        workspace.reset()
        if solved:
            solve(path)
        done = nb_regression.check(str(path))
        return {cell.id: cell for cell in done.nb_final.cells}

    return run_chapter


@pytest.mark.parametrize("name", [path.name for path in CHAPTERS])
def test_a_chapter_runs_through_untouched_without_an_error(name: str, run: Any) -> None:
    cells = run(name, solved=False)
    for exercise in chapter(int(name[:2])).exercises:
        assert "not there yet" in text_of(cells[f"check-{exercise.id.replace('.', '-')}"])
    assert all(output.get("name") != "stderr" for cell in cells.values() for output in cell.get("outputs", []))
    assert not any("(ended with exit code" in text_of(cells[name]) for name in ("curl-pod", "resolv") if name in cells)


@pytest.mark.parametrize("name", [path.name for path in CHAPTERS])
def test_a_solved_chapter_passes_every_exercise(name: str, run: Any) -> None:
    cells = run(name, solved=True)
    for exercise in chapter(int(name[:2])).exercises:
        assert f"Exercise {exercise.id}: passed" in text_of(cells[f"check-{exercise.id.replace('.', '-')}"])


def test_chapter_2_shows_what_it_tells(run: Any) -> None:
    cells = {name: text_of(cell) for name, cell in run("02-clusterip.ipynb", solved=True).items()}
    assert "It works!" in cells["curl-pod"]
    assert "It works!" in cells["stray-space"] and "curl: (3)" in cells["stray-space"]
    assert "It works!" in cells["curl-cluster-ip"]
    assert "Could not resolve host" in cells["name-on-node"]
    assert "It works!" in cells["name-in-pod"]
    on_node, in_pod = cells["resolv"].split("--- in the Pod")
    assert "name" in on_node.removeprefix("--- on the node") and "nameserver 10.96.0.10" in in_pod
    assert "KUBE-SVC-" in cells["rules"] and "KUBE-SEP-" in cells["rules"]
    assert "300 requests" in cells["traffic-report"]
    assert "10 of 10 points" in cells["progress"]
