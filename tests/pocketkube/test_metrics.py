"""Figures in Prometheus' text format."""

from __future__ import annotations

import re

from lab_helpers.pocketkube.metrics import Counter, Gauge, Histogram, one, process_families, render


def test_counters_are_told_apart_by_their_labels() -> None:
    counter = Counter("requests_total", "How many.", ("verb", "code"))
    counter.count("GET", "200")
    counter.count("GET", "200")
    counter.count('a"b\\', "1")
    assert render([counter]).decode() == (
        "# HELP requests_total How many.\n# TYPE requests_total counter\n"
        'requests_total{verb="GET",code="200"} 2\n'
        'requests_total{verb="a\\"b\\\\",code="1"} 1\n'
    )


def test_a_histogram_counts_up_to_each_limit() -> None:
    histogram = Histogram("seconds", "How long.", ("verb",), (0.1, 1))
    for seconds in (0.05, 0.1, 0.5, 7):
        histogram.observe(seconds, "GET")
    assert render([histogram]).decode().splitlines()[2:] == [
        'seconds_bucket{verb="GET",le="0.1"} 2',
        'seconds_bucket{verb="GET",le="1"} 3',
        'seconds_bucket{verb="GET",le="+Inf"} 4',
        'seconds_sum{verb="GET"} 7.65',
        'seconds_count{verb="GET"} 4',
    ]


def test_gauges_are_read_when_asked_for() -> None:
    values = [1.0]
    gauge = Gauge("now", "Now.", (), one(lambda: values[0]))
    values[0] = 2.5
    assert render([gauge]).decode().endswith("now 2.5\n")


def test_a_process_tells_what_it_uses() -> None:
    page = render(process_families()).decode()
    found = dict(re.findall(r"^(process_\w+) (\S+)$", page, re.MULTILINE))
    assert float(found["process_resident_memory_bytes"]) > 1e6
    assert float(found["process_open_fds"]) > 0 and float(found["process_start_time_seconds"]) > 1e9
    assert 'kubernetes_build_info{git_version="v1.' in page
