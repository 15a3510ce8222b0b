"""The first lines of the `servicelab` command: sane streams, and an end by signal that leaves nothing half-done.

Light, so that an early Ctrl-C meets no half-imported program. The commands are in `cli`.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Runs the command line; ends with 130 after Ctrl-C, 128+n after another signal that asks it to end."""
    _open_missing_streams()
    for signum in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) is signal.SIG_DFL:
            signal.signal(signum, _end)
    try:
        from .cli import main as run

        run(prog_name="servicelab")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _end(signum: int, _frame: FrameType | None) -> None:
    """As an exception, so that whatever is being started is ended on the way out."""
    sys.exit(128 + signum)


def _open_missing_streams() -> None:
    """A caller may have closed 0, 1 or 2; the next file opened would take the number, and be taken for a stream."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    main()
