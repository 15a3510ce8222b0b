"""When a CronJob is due."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from lab_helpers.pocketkube.cron_schedule import parse_schedule


def next_times(schedule: str, start: str, count: int = 1, zone: str = "UTC") -> list[str]:
    parsed, moment = parse_schedule(schedule, ZoneInfo(zone)), datetime.fromisoformat(start).timestamp()
    times = []
    for _ in range(count):
        found = parsed.next(moment)
        assert found is not None
        times.append(datetime.fromtimestamp(found, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
        moment = found
    return times


@pytest.mark.parametrize(
    ("schedule", "start", "following"),
    [
        ("* * * * *", "2026-01-31T23:59:30+00:00", ["2026-02-01T00:00:00", "2026-02-01T00:01:00"]),
        ("*/15 8-9 * * *", "2026-01-31T08:45:00+00:00", ["2026-01-31T09:00:00", "2026-01-31T09:15:00"]),
        ("30 6 * * MON-FRI", "2026-01-30T07:00:00+00:00", ["2026-02-02T06:30:00", "2026-02-03T06:30:00"]),
        # Both days are restricted: either will do.
        ("0 0 13 * 5", "2026-02-01T00:00:00+00:00", ["2026-02-06T00:00:00", "2026-02-13T00:00:00"]),
        ("0 0 29 feb ?", "2026-01-01T00:00:00+00:00", ["2028-02-29T00:00:00"]),
        ("@monthly", "2026-01-31T12:00:00+00:00", ["2026-02-01T00:00:00", "2026-03-01T00:00:00"]),
        ("@every 1m30s", "2026-01-01T00:00:00+00:00", ["2026-01-01T00:01:30", "2026-01-01T00:03:00"]),
    ],
)
def test_the_times_that_follow(schedule: str, start: str, following: list[str]) -> None:
    assert next_times(schedule, start, len(following)) == following


def test_a_time_zone_has_its_own_noon_and_skips_an_hour_in_spring() -> None:
    assert next_times("0 12 * * *", "2026-07-01T00:00:00+00:00", zone="Europe/Berlin") == ["2026-07-01T10:00:00"]
    # 02:30 on 29 March 2026 does not exist in Berlin.
    assert next_times("30 2 * * *", "2026-03-28T12:00:00+00:00", zone="Europe/Berlin") == ["2026-03-30T00:30:00"]


def test_a_day_that_never_comes() -> None:
    assert parse_schedule("59 23 31 2 *", UTC).next(0.0) is None


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("* * *", "expected exactly 5 fields, found 3: [* * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("@fortnightly", "unrecognized descriptor: @fortnightly"),
        ("@every now", 'failed to parse duration @every now: time: invalid duration "now"'),
    ],
)
def test_what_is_no_schedule(schedule: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_schedule(schedule, UTC)
    assert str(caught.value) == words
