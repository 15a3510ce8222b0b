"""The chapters as files: valid, without outputs, with ids and with metadata that nbgrader accepts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from chapters import CHAPTERS, number_of, read

from lab_helpers.exercises import chapter

NBGRADER_KEYS = {"schema_version", "grade", "locked", "solution", "task", "grade_id", "points"}

pytestmark = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)


def graded(path: Path) -> dict[str, dict[str, Any]]:
    """nbgrader's metadata by grade_id."""
    found = [cell.metadata["nbgrader"] for cell in read(path).cells if "nbgrader" in cell.metadata]
    assert len({meta["grade_id"] for meta in found}) == len(found)
    return {meta["grade_id"]: meta for meta in found}


def test_it_is_valid_and_has_ids(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


def test_it_is_stored_without_outputs(path: Path) -> None:
    code = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


def test_its_grading_metadata_is_nbgraders(path: Path) -> None:
    for grade_id, meta in graded(path).items():
        assert set(meta) <= NBGRADER_KEYS and meta["schema_version"] == 3
        assert re.fullmatch(r"[a-zA-Z0-9_\-]+", grade_id)
        assert ("points" in meta) == meta["grade"]


def test_every_exercise_has_its_cells_and_points(path: Path) -> None:
    meta = graded(path)
    cells = {cell.id: cell for cell in read(path).cells}
    for exercise in chapter(number_of(path)).exercises:
        suffix = exercise.id.replace(".", "-")
        assert meta[f"exercise-{suffix}"] | {"solution": True, "grade": False} == meta[f"exercise-{suffix}"]
        check = meta[f"check-{suffix}"]
        assert (check["grade"], check["locked"], check["points"]) == (True, True, exercise.points)
        assert cells[f"check-{suffix}"].source == f'lab.check("{exercise.id}")'


def test_it_never_names_the_solution_in_an_exercise_cell(path: Path) -> None:
    for cell in read(path).cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            assert all(line.startswith("#") for line in cell.source.splitlines())
