"""The chapters as tests use them: read, copied, solved by the exercises' own solutions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nbformat

from lab_helpers.exercises import chapter

LABS = Path(__file__).parents[2] / "labs"
CHAPTERS = sorted(LABS.glob("*.ipynb"))


def read(path: Path) -> Any:
    """A notebook as nbformat reads it."""
    return nbformat.read(path, as_version=4)


def number_of(path: Path) -> int:
    """The chapter's number: the file's name begins with it."""
    return int(path.name.partition("-")[0])


def copy_labs(folder: Path) -> Path:
    """The folder of chapters, as a learner gets it."""
    target = folder / "labs"
    shutil.copytree(LABS, target, ignore=shutil.ignore_patterns(".ipynb_checkpoints", "*.json"))
    return target


def solve(path: Path) -> None:
    """Writes the solution of each exercise into its cell, as a learner would."""
    notebook = read(path)
    for exercise in chapter(number_of(path)).exercises:
        cell = next(cell for cell in notebook.cells if cell.id == f"exercise-{exercise.id.replace('.', '-')}")
        cell.source = "\n".join(f"!{command}" for command in exercise.solution)
    nbformat.write(notebook, path)


def text_of(cell: Any) -> str:
    """Everything that a cell printed or showed, as text."""
    shown = []
    for output in cell.get("outputs", []):
        shown.append(output.get("text") or output.get("data", {}).get("text/plain") or output.get("evalue") or "")
    return "\n".join("".join(part) for part in shown)
