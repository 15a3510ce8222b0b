"""The program of the image `pause`: sleeps until a signal ends it."""

from __future__ import annotations

import signal
from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Waits for SIGINT or SIGTERM."""
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    signal.sigwait(ends)
    return 0
