"""Whether kube-proxy is well: what it was told longer than a minute ago has to be in the kernel.

Models pkg/proxy/healthcheck/proxy_health.go (v1.36).
"""

from __future__ import annotations

from typing import Any

from ..clock import Clock, format_rfc3339_micro

TIMEOUT = 60.0
"""Twice the sync period, in seconds."""

FAMILY = "IPv4"


class ProxyHealth:
    """Keeps when kube-proxy was told of a change, and when the kernel had everything."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._updated = clock.now()
        self._oldest_queued: float | None = None

    def queued(self) -> None:
        """Something changed that the kernel has to know."""
        if self._oldest_queued is None:
            self._oldest_queued = self._clock.monotonic()

    def updated(self) -> None:
        """The kernel has everything."""
        self._oldest_queued = None
        self._updated = self._clock.now()

    @property
    def healthy(self) -> bool:
        """False if the kernel has been behind for too long."""
        return self._oldest_queued is None or self._clock.monotonic() - self._oldest_queued < TIMEOUT

    def report(self, *, node_eligible: bool | None = None) -> dict[str, Any]:
        """What /livez answers; with `node_eligible` that of /healthz."""
        now, updated = self._clock.now(), self._updated
        # Who is well has nothing newer to write: as if it had just been written.
        report: dict[str, Any] = {
            "lastUpdated": format_rfc3339_micro(now if self.healthy and node_eligible is not False else updated),
            "currentTime": format_rfc3339_micro(now),
        }
        if node_eligible is not None:
            report["nodeEligible"] = node_eligible
        status = {FAMILY: {"lastUpdated": format_rfc3339_micro(updated), "healthy": self.healthy}}
        return {**report, "healthy": self.healthy, "status": status}
