"""When something is due by the clock: the five fields of cron, `@daily` and its like, and `@every 90s`.

    minute  hour  day of month  month  day of week        */15 8-17 * * MON-FRI

A field is a list of numbers, ranges and steps. If both days are restricted, either will do. What to do when the time
has come is left to `controllers/cronjob`. Models github.com/robfig/cron as Kubernetes 1.36 uses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Protocol

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)")
_LONGEST_SEARCH = timedelta(days=5 * 366)


class Schedule(Protocol):
    """Points in time."""

    def next(self, after: float) -> float | None:
        """The first one after a moment, both as seconds since the epoch; None if there is none for years."""
        ...


@dataclass(frozen=True)
class _Field:
    """The numbers that one field allows. `any`: it says nothing (`*`)."""

    numbers: frozenset[int]
    any: bool


@dataclass(frozen=True)
class _Bounds:
    least: int
    most: int
    names: tuple[str, ...] = ()


_FIELDS = (_Bounds(0, 59), _Bounds(0, 23), _Bounds(1, 31), _Bounds(1, 12, _MONTHS), _Bounds(0, 6, _DAYS))


@dataclass(frozen=True)
class _Calendar:
    """A schedule of five fields, in a time zone."""

    minute: _Field
    hour: _Field
    day: _Field
    month: _Field
    weekday: _Field
    zone: tzinfo

    def next(self, after: float) -> float | None:
        start = datetime.fromtimestamp(after, self.zone)
        for moment in self._moments(start):
            found = moment.timestamp()
            # An hour that the clocks skip in spring doesn't exist, so nothing happens in it.
            exists = datetime.fromtimestamp(found, self.zone).hour == moment.hour
            if found > after and exists:
                return found
        return None

    def _moments(self, start: datetime) -> Iterator[datetime]:
        day = start.replace(hour=0, minute=0, second=0, microsecond=0)
        last = day + _LONGEST_SEARCH
        while day <= last:
            if day.month in self.month.numbers and self._is_day(day):
                for hour in sorted(self.hour.numbers):
                    for minute in sorted(self.minute.numbers):
                        yield day.replace(hour=hour, minute=minute)
            day += timedelta(days=1)

    def _is_day(self, day: datetime) -> bool:
        of_month = day.day in self.day.numbers
        of_week = day.isoweekday() % 7 in self.weekday.numbers
        if self.day.any or self.weekday.any:
            return of_month and of_week
        return of_month or of_week


@dataclass(frozen=True)
class _Interval:
    """`@every`: always the same time from one to the next, in whole seconds."""

    seconds: float

    def next(self, after: float) -> float | None:
        return float(int(after) + self.seconds)


def parse_schedule(text: str, zone: tzinfo) -> Schedule:
    """The schedule that a text describes; ValueError with upstream's words if it describes none."""
    if text.startswith("@"):
        if text.startswith(_EVERY):
            return _Interval(max(1.0, float(int(_parse_duration(text.removeprefix(_EVERY))))))
        if text not in _DESCRIPTORS:
            raise ValueError(f"unrecognized descriptor: {text}")
        text = _DESCRIPTORS[text]
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    minute, hour, day, month, weekday = map(_parse_field, fields, _FIELDS)
    return _Calendar(minute, hour, day, month, weekday, zone)


def _parse_duration(text: str) -> float:
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f'failed to parse duration {_EVERY}{text}: time: invalid duration "{text}"')
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _parse_field(text: str, bounds: _Bounds) -> _Field:
    ranges = [_parse_range(part, bounds) for part in text.split(",") if part]
    numbers = frozenset(number for found, _ in ranges for number in found)
    return _Field(numbers, any(everything for _, everything in ranges))


def _parse_range(text: str, bounds: _Bounds) -> tuple[range, bool]:
    """(the numbers of `3`, `1-5`, `*/15`, `10-20/2`; whether that was `*`)."""
    base, *steps = text.split("/")
    first_text, *lasts = base.split("-")
    if len(lasts) > 1:
        raise ValueError(f"too many hyphens: {text}")
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    star = base in ("*", "?")
    if star:
        first, last = bounds.least, bounds.most
    else:
        first = _parse_number(first_text, bounds)
        last = _parse_number(lasts[0], bounds) if lasts else bounds.most if steps else first
    step = _parse_number(steps[0], _Bounds(0, 0)) if steps else 1
    if first < bounds.least:
        raise ValueError(f"beginning of range ({first}) below minimum ({bounds.least}): {text}")
    if last > bounds.most:
        raise ValueError(f"end of range ({last}) above maximum ({bounds.most}): {text}")
    if first > last:
        raise ValueError(f"beginning of range ({first}) beyond end of range ({last}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return range(first, last + 1, step), star and step == 1


def _parse_number(text: str, bounds: _Bounds) -> int:
    if text.lower() in bounds.names:
        return bounds.names.index(text.lower()) + bounds.least
    try:
        return int(text)
    except ValueError:
        why = f'strconv.Atoi: parsing "{text}": invalid syntax'
        raise ValueError(f"failed to parse int from {text}: {why}") from None
