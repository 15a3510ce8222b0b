"""Times as people read them: `5s`, `2m3s`, `26h`, `3d4h`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ...objects import Obj

UNKNOWN = "<unknown>"
_DAYS_OF_YEAR = 365


def human_duration(span: timedelta) -> str:
    """A span in the two units that matter. Models apimachinery pkg/util/duration HumanDuration (v1.36)."""
    if span < timedelta(0):
        return "0s" if span > timedelta(seconds=-2) else "<invalid>"
    seconds = int(span.total_seconds())
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 2 * _DAYS_OF_YEAR:
        return f"{days}d"
    years, rest = divmod(days, _DAYS_OF_YEAR)
    return _two(years, "y", rest, "d") if years < 8 else f"{years}y"


def parse_time(text: str) -> datetime:
    """A timestamp of the API (`2026-11-22T07:35:52Z`, with or without a fraction)."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def age(timestamp: str | None, now: datetime) -> str:
    """How long ago that was."""
    return human_duration(now - parse_time(timestamp)) if timestamp else UNKNOWN


def object_age(obj: Obj, now: datetime) -> str:
    """How long ago an object was created."""
    return age(obj["metadata"].get("creationTimestamp"), now)


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
