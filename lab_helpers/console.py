"""What the command line shows a person: progress, the status, the doctor's findings.

Rich draws on a terminal and leaves plain lines elsewhere. The facts come from the cluster and from `doctor`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .doctor import Finding


@contextmanager
def progress(title: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """A line that says what is waited for; nothing of it stays on a terminal when it is over."""
    if quiet or not sys.stderr.isatty():
        yield lambda _step: None
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{title} ...") as line:
        yield lambda step: line.update(f"{title}: {step} ...")


SIMULATED = " (the network is simulated)"


def print_status(report: dict[str, Any]) -> None:
    """`servicelab status` for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    for label, key in (
        ("cluster", "name"),
        ("state", "state"),
        ("engine", "engine"),
        ("Kubernetes", "version"),
        ("API server", "server"),
        ("nodes", "nodes"),
        ("Pods", "pods"),
        ("memory", "memory"),
        ("kubeconfig", "kubeconfig"),
        ("next", "next"),
    ):
        if report.get(key) is not None:
            table.add_row(label, _as_text(report[key]) + (SIMULATED if report[key] == "userspace" else ""))
    Console(soft_wrap=True, highlight=False).print(table)


def _as_text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def print_findings(findings: Sequence[Finding]) -> None:
    """`servicelab doctor` for people: a word and a sign for each, so that colour is never needed."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    signs = {"works": "[green]✓ works  [/]", "better": "[yellow]~ better [/]", "missing": "[red]✗ missing[/]"}
    for finding in findings:
        console.print(f"{signs[finding.verdict]}  [bold]{finding.subject}[/]: {finding.observed}")
        if finding.next_step:
            console.print(f"            next: {finding.next_step}")
