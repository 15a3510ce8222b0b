"""What a learner has done, in one JSON file beside the notebook: passed exercises, and what the lab has seen.

A passed exercise stays passed. The file is written whole and then put in place, so an interrupted write harms nothing.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FILE_NAME = "servicelab-progress.json"


class Progress:
    """The progress of one chapter in the file of a folder."""

    def __init__(self, folder: Path, chapter: int) -> None:
        self.path = folder / FILE_NAME
        self._chapter = str(chapter)

    @property
    def memory(self) -> dict[str, Any]:
        """What the lab has seen in this chapter; `remember` keeps a changed copy."""
        memory: dict[str, Any] = self._read().get("memory", {})
        return memory

    def passed(self, exercise_id: str) -> str:
        """When the exercise was passed; empty if it was not."""
        return str(self._read().get("passed", {}).get(exercise_id, ""))

    def record_pass(self, exercise_id: str) -> None:
        """Notes that an exercise was passed now, unless it was before."""
        if not self.passed(exercise_id):
            moment = datetime.now(UTC).isoformat(timespec="seconds")
            self._update("passed", {**self._read().get("passed", {}), exercise_id: moment})

    def remember(self, memory: dict[str, Any]) -> None:
        """Keeps what the lab has seen."""
        if memory != self.memory:
            self._update("memory", memory)

    def _read(self) -> dict[str, Any]:
        chapters = self._read_all().get(self._chapter)
        return chapters if isinstance(chapters, dict) else {}

    def _read_all(self) -> dict[str, Any]:
        """The file's content; a missing or damaged file means that nothing was done yet."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _update(self, key: str, value: dict[str, Any]) -> None:
        content = self._read_all()
        content[self._chapter] = {**self._read(), key: value}
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        fresh.replace(self.path)
