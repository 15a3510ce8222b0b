"""The last words of a container: what it wrote to its termination log, or the end of its output.

Models pkg/kubelet/kuberuntime getTerminationMessage (v1.36).
"""

from __future__ import annotations

from pathlib import Path

from ..objects import Obj
from .logs import LogOptions, LogReader
from .runtime import Mount

DEFAULT_PATH = "/dev/termination-log"
LONGEST_MESSAGE = 4096
LONGEST_FALLBACK = 2048
FALLBACK_LINES = 80


def termination_mount(container: Obj, folder: Path) -> Mount:
    """A new, empty termination log, and where the container sees it."""
    file = _file(container, folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")
    file.chmod(0o666)
    return Mount(file, container.get("terminationMessagePath") or DEFAULT_PATH)


def termination_message(container: Obj, folder: Path, log: Path, exit_code: int) -> str:
    """What a container that has ended had to say."""
    try:
        message = _file(container, folder).read_bytes()[-LONGEST_MESSAGE:]
    except OSError:
        message = b""
    if not message and exit_code != 0 and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        message = LogReader(log, LogOptions(tail_lines=FALLBACK_LINES)).read_first()[-LONGEST_FALLBACK:]
    return message.decode(errors="replace")


def _file(container: Obj, folder: Path) -> Path:
    return folder / "termination" / str(container["name"])
