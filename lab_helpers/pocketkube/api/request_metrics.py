"""What the API server counts: requests by what they asked for, how long they took, and objects in the store.

Models apiserver pkg/endpoints/metrics and pkg/storage/etcd3/metrics (v1.36).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from ..metrics import Counter, Family, Gauge, Histogram, Values, process_families, render
from ..resources.table import RESOURCES
from ..store import Store
from .routes import Route

ROUTE = "route"
"""Under this key a request holds what it turned out to ask for."""

_BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
_LABELS = ("component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version")
_STREAMED = ("attach", "exec", "portforward", "proxy")
_READ_ONLY = ("GET", "HEAD", "OPTIONS")


class RequestMetrics:
    """Counts the requests of one server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running = {"mutating": 0, "readOnly": 0}
        self._requests = Counter(
            "apiserver_request_total",
            "[STABLE] Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, "
            "scope, component, and HTTP response code.",
            (*_LABELS, "code"),
        )
        self._durations = Histogram(
            "apiserver_request_duration_seconds",
            "[STABLE] Response latency distribution in seconds for each verb, dry run value, group, version, resource, "
            "subresource, scope and component.",
            _LABELS,
            _BUCKETS,
        )
        self._families: list[Family] = [
            Gauge(
                "apiserver_current_inflight_requests",
                "[STABLE] Number of requests being answered, by request kind.",
                ("request_kind",),
                lambda: [((kind,), number) for kind, number in self._running.items()],
            ),
            self._durations,
            self._requests,
            Gauge(
                "apiserver_storage_objects",
                "[STABLE] Number of stored objects, by kind.",
                ("resource",),
                self._objects,
            ),
            *process_families(),
        ]

    @contextmanager
    def measure(self, request: web.BaseRequest) -> Iterator[list[int]]:
        """Counts a request; the answer's code is to be put into the list."""
        kind = "readOnly" if request.method in _READ_ONLY else "mutating"
        codes: list[int] = []
        began = time.perf_counter()
        self._running[kind] += 1
        try:
            yield codes
        finally:
            self._running[kind] -= 1
            labels = _labels_of(request)
            self._requests.count(*labels, str(codes[0] if codes else 0))
            if labels[-2] not in ("WATCH", "CONNECT"):
                self._durations.observe(time.perf_counter() - began, *labels)

    def page(self) -> bytes:
        """`/metrics`."""
        return render(self._families)

    def _objects(self) -> Values:
        return [((name,), len(self._store.list(name))) for name in sorted(RESOURCES)]


def _labels_of(request: web.BaseRequest) -> tuple[str, ...]:
    query = request.rel_url.query
    dry_run = query.get("dryRun", "")
    route: Route | None = request.get(ROUTE)
    if route is None:
        return ("apiserver", dry_run, "", "", "", "", request.method, "")
    resource = route.resource
    scope = "resource" if route.name else "namespace" if route.namespace else "cluster"
    verb = _verb_of(request, route, query)
    return (*("apiserver", dry_run, resource.group, resource.plural, scope, route.subresource, verb, resource.version),)


def _verb_of(request: web.BaseRequest, route: Route, query: Any) -> str:
    if route.subresource in _STREAMED:
        return "CONNECT"
    if request.method in ("GET", "HEAD") and not route.subresource:
        if query.get("watch", "").lower() in ("true", "1"):
            return "WATCH"
        return "GET" if route.name else "LIST"
    if request.method == "DELETE" and not route.name:
        return "DELETECOLLECTION"
    if request.method == "PATCH" and "apply-patch" in request.headers.get("Content-Type", ""):
        return "APPLY"
    return request.method
