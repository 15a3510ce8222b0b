"""Figures about a process in Prometheus' text format: counters, histograms and gauges, and those of every process.

What is counted is left to the part that counts. Models the format of prometheus/common/expfmt.
"""

from __future__ import annotations

import os
import platform
import resource
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from .config import KUBERNETES_VERSION

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_STARTED = time.time()
Values = Iterable[tuple[Sequence[str], float]]


class Family(Protocol):
    """The samples of one name."""

    def lines(self) -> Iterator[str]:
        """As they are printed."""
        ...


class _Named:
    def __init__(self, name: str, kind: str, about: str, labels: Sequence[str]) -> None:
        self._name = name
        self._head = (f"# HELP {name} {about}", f"# TYPE {name} {kind}")
        self._labels = tuple(labels)

    def _sample(self, values: Sequence[str], number: float, suffix: str = "", more: str = "") -> str:
        pairs = [f'{label}="{_escape(value)}"' for label, value in zip(self._labels, values, strict=True)]
        text = ",".join([*pairs, *([more] if more else [])])
        told_apart = f"{{{text}}}" if text else ""
        return f"{self._name}{suffix}{told_apart} {_number(number)}"


class Counter(_Named):
    """Counts events, told apart by labels."""

    def __init__(self, name: str, about: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name, "counter", about, labels)
        self._counts: dict[tuple[str, ...], float] = {}

    def count(self, *values: str) -> None:
        """One more with these labels."""
        self._counts[values] = self._counts.get(values, 0) + 1

    def lines(self) -> Iterator[str]:
        """As they are printed."""
        yield from self._head
        for values, number in sorted(self._counts.items()):
            yield self._sample(values, number)


class Histogram(_Named):
    """Counts durations by how long they were."""

    def __init__(self, name: str, about: str, labels: Sequence[str], buckets: Sequence[float]) -> None:
        super().__init__(name, "histogram", about, labels)
        self._buckets = tuple(buckets)
        self._counts: dict[tuple[str, ...], list[float]] = {}

    def observe(self, seconds: float, *values: str) -> None:
        """One more duration with these labels."""
        counts = self._counts.get(values)
        if counts is None:
            counts = self._counts[values] = [0.0] * (len(self._buckets) + 2)
        counts[bisect_left(self._buckets, seconds)] += 1
        counts[-1] += seconds

    def lines(self) -> Iterator[str]:
        """As they are printed."""
        yield from self._head
        for values, counts in sorted(self._counts.items()):
            total = 0.0
            for limit, number in zip((*self._buckets, float("inf")), counts[:-1], strict=True):
                total += number
                bound = "+Inf" if limit == float("inf") else _number(limit)
                yield self._sample(values, total, "_bucket", f'le="{bound}"')
            yield self._sample(values, counts[-1], "_sum")
            yield self._sample(values, total, "_count")


class Gauge(_Named):
    """Numbers that are read when somebody asks."""

    def __init__(
        self, name: str, about: str, labels: Sequence[str], read: Callable[[], Values], kind: str = "gauge"
    ) -> None:
        super().__init__(name, kind, about, labels)
        self._read = read

    def lines(self) -> Iterator[str]:
        """As they are printed."""
        yield from self._head
        for values, number in self._read():
            yield self._sample(values, number)


def one(read: Callable[[], float]) -> Callable[[], Values]:
    """A single number without labels."""
    return lambda: [((), read())]


def render(families: Iterable[Family]) -> bytes:
    """All of them as one page."""
    return "".join(f"{line}\n" for family in families for line in family.lines()).encode()


def process_families() -> list[Family]:
    """What every component of Kubernetes tells about its process and its release."""
    major, minor, *_ = KUBERNETES_VERSION.removeprefix("v").split(".")
    build = (("git_version", KUBERNETES_VERSION), ("major", major), ("minor", minor))
    release = (*build, ("platform", f"linux/{platform.machine()}"))
    return [
        Gauge(
            "kubernetes_build_info",
            "[ALPHA] The release this component behaves as.",
            [label for label, _ in release],
            lambda: [([value for _, value in release], 1)],
        ),
        Gauge(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            (),
            one(_cpu_seconds),
            kind="counter",
        ),
        Gauge("process_max_fds", "Maximum number of open file descriptors.", (), one(_most_descriptors)),
        Gauge("process_open_fds", "Number of open file descriptors.", (), one(_descriptors)),
        Gauge("process_resident_memory_bytes", "Resident memory size in bytes.", (), one(lambda: _memory(1))),
        Gauge("process_start_time_seconds", "Start time since the epoch in seconds.", (), one(lambda: _STARTED)),
        Gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", (), one(lambda: _memory(0))),
    ]


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _most_descriptors() -> float:
    return float(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _descriptors() -> float:
    return float(sum(1 for _ in Path("/proc/self/fd").iterdir()))


def _memory(column: int) -> float:
    return float(int(Path("/proc/self/statm").read_text().split()[column]) * resource.getpagesize())


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
