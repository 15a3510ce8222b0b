"""What a notebook's shell learns from the lab: to run a cell somewhere else, and to show errors as sentences.

`%%node` runs a cell on a node, `%%pod NAME` in a Pod, `%%outside` on a machine outside the cluster. The cell is a shell
script; what it prints appears while it runs, and a failing command is shown, not raised.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .clusters.base import RunningCommand
from .errors import LabError
from .kubectl import launch_kubectl

if TYPE_CHECKING:
    from .lab import Lab


def register(lab: Lab, shell: Any) -> None:
    """Makes the magics of an IPython shell act on the cluster of `lab`."""

    def magic(name: str, start: Callable[[str, str], RunningCommand]) -> None:
        def run(line: str, cell: str | None = None) -> None:
            _run(lambda: start(line.strip(), cell if cell is not None else line))

        shell.register_magic_function(run, magic_kind="line_cell", magic_name=name)

    magic("node", lambda line, cell: _at(lab, "node", line if line != cell.strip() else "", cell))
    magic("outside", lambda _line, cell: _at(lab, "outside", "", cell))
    magic("pod", lambda line, cell: _in_pod(lab, line, cell))


def show_errors_calmly(shell: Any) -> None:
    """Shows a LabError that ends a cell as a sentence and a next step; the cell still counts as failed."""

    def show(
        shell: Any, kind: type[LabError], error: LabError, _traceback: Any, tb_offset: int | None = None
    ) -> list[str]:
        lines = [error.message, error.hint] if error.hint else [error.message]
        shell._showtraceback(kind, error, lines)
        return lines

    shell.set_custom_exc((LabError,), show)


def _at(lab: Lab, place: str, node: str, script: str) -> RunningCommand:
    return lab.cluster.launch(["sh", "-c", script], place=place, node=node or None)


def _in_pod(lab: Lab, line: str, script: str) -> RunningCommand:
    """`%%pod NAME [-c CONTAINER]`; NAME may be `deploy/NAME`, as kubectl allows. On one line: `%pod NAME COMMAND`."""
    words = shlex.split(line)
    if not words:
        raise LabError("Which Pod?", hint="Write its name after the magic: %%pod NAME, or %%pod deploy/NAME.")
    if script.strip() == line:
        words, script = words[:1], shlex.join(words[1:])
    command = [*words, "--", "sh", "-c", script]
    return launch_kubectl("exec", *command, environment=lab.workspace.environment)


def _run(start: Callable[[], RunningCommand]) -> None:
    try:
        command = start()
        try:
            for text in command.stdout or ():
                sys.stdout.write(text)
            code = command.wait()
        except KeyboardInterrupt:
            command.kill()
            code = 130
        if code:
            print(f"(ended with exit code {code})")
    except LabError as error:
        print(error)
