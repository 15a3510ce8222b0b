"""A topology as a notebook shows it: SVG where pictures can be shown, text everywhere else."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import ToolMissing
from . import graph, text
from .model import Topology


class Picture:
    """What a cell ends with to show the path of a Service's traffic."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology

    @cached_property
    def svg(self) -> str:
        """The picture as SVG. Raises ToolMissing without Graphviz."""
        return graph.render(self.topology)

    @cached_property
    def text(self) -> str:
        """The picture in characters."""
        return text.render(self.topology)

    def save(self, path: str | Path) -> Path:
        """Writes the SVG to a file."""
        target = Path(path)
        target.write_text(self.svg, encoding="utf-8")
        return target

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        try:
            return {"image/svg+xml": self.svg, "text/plain": self.text}
        except ToolMissing:
            return {"text/plain": self.text}
