"""kube-proxy's figures for Prometheus. Models pkg/proxy/metrics/metrics.go (v1.36)."""

from __future__ import annotations

from collections.abc import Iterable

from ..metrics import Counter, Family, Gauge, Histogram, process_families
from .health import FAMILY

_DURATIONS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384)


_FAILURES = {
    "iptables": ("iptables_restore_failures_total", "Cumulative proxy iptables restore failures"),
    "nftables": ("nftables_sync_failures_total", "Cumulative proxy nftables sync failures"),
}


def _changes(of: str) -> Counter:
    name = f"kubeproxy_sync_proxy_rules_{of.lower()}_changes_total"
    return Counter(name, f"[ALPHA] Cumulative proxy rules {of} changes")


def _latency(kind: str, about: str) -> Histogram:
    name = f"kubeproxy_sync_{kind}proxy_rules_duration_seconds"
    return Histogram(name, f"[ALPHA] {about}", ("ip_family",), _DURATIONS)


class ProxyFigures:
    """What one node's kube-proxy counts."""

    def __init__(self, mode: str) -> None:
        self.last_sync = 0.0
        """When the kernel was last brought up to date, in seconds since the epoch."""
        self.healthz = Counter(
            "kubeproxy_proxy_healthz_total", "[ALPHA] Cumulative proxy healthz HTTP status", ("code",)
        )
        self.livez = Counter("kubeproxy_proxy_livez_total", "[ALPHA] Cumulative proxy livez HTTP status", ("code",))
        self._all = _latency("", "SyncProxyRules latency in seconds")
        self._full = _latency("full_", "SyncProxyRules latency in seconds for full resyncs")
        self._partial = _latency("partial_", "SyncProxyRules latency in seconds for partial resyncs")
        self.service_changes = _changes("Service")
        self.endpoint_changes = _changes("Endpoint")
        name, about = _FAILURES[mode]
        self._failures = Counter(f"kubeproxy_sync_proxy_rules_{name}", f"[ALPHA] {about}", ("ip_family",))

    def synced(self, seconds: float, now: float, *, full: bool) -> None:
        """The kernel was brought up to date."""
        self._all.observe(seconds, FAMILY)
        (self._full if full else self._partial).observe(seconds, FAMILY)
        self.last_sync = now

    def failed(self) -> None:
        """The kernel refused."""
        self._failures.count(FAMILY)

    def families(self) -> Iterable[Family]:
        """All of them, with those of every process."""
        last_sync = Gauge(
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
            "[ALPHA] The last time proxy rules were successfully synced",
            ("ip_family",),
            lambda: [((FAMILY,), self.last_sync)],
        )
        changes = (self.service_changes, self.endpoint_changes)
        counted = (self._all, self._full, self._partial, self._failures, self.healthz, self.livez)
        return [*counted, *changes, last_sync, *process_families()]
