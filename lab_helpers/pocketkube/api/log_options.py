"""The options of `kubectl logs`, as they stand in a URL: read and checked before a kubelet is asked.

Models pkg/apis/core/validation ValidatePodLogOptions and apimachinery pkg/conversion/queryparams (v1.36).
"""

from __future__ import annotations

from datetime import datetime

from .status import Cause, StatusError, forbidden_field, go_quote, invalid_value, not_supported

OPTIONS = ("follow", "previous", "timestamps", "sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream")
_NUMBERS = ("sinceSeconds", "tailLines", "limitBytes")
_STREAMS = ("All", "Stderr", "Stdout")


def log_options(pod_name: str, query: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The options that are set; StatusError 400 for what can't be read, 422 for what makes no sense."""
    given = {key: value for key, value in query if key in OPTIONS and value}
    numbers = {key: _number(given[key]) for key in _NUMBERS if key in given}
    if "sinceTime" in given:
        _check_time(given["sinceTime"])
    causes = _problems(given, numbers)
    if causes:
        raise StatusError.invalid("PodLogOptions", pod_name, causes)
    return list(given.items())


def _problems(given: dict[str, str], numbers: dict[str, int]) -> list[Cause]:
    causes: list[Cause] = []
    tail, limit, since = (numbers.get(key) for key in ("tailLines", "limitBytes", "sinceSeconds"))
    if tail is not None and tail < 0:
        causes.append(invalid_value("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        causes.append(invalid_value("limitBytes", limit, "must be greater than 0"))
    if since is not None and "sinceTime" in given:
        causes.append(forbidden_field("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    elif since is not None and since < 1:
        causes.append(invalid_value("sinceSeconds", since, "must be greater than 0"))
    stream = given.get("stream", "All")
    if stream not in _STREAMS:
        causes.append(not_supported("stream", stream, _STREAMS))
    elif stream != "All" and tail is not None:
        causes.append(forbidden_field("", "`tailLines` and specific `stream` are mutually exclusive for now"))
    return causes


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise StatusError.bad_request(f"strconv.ParseInt: parsing {go_quote(text)}: invalid syntax") from None


def _check_time(text: str) -> None:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        layout = "2006-01-02T15:04:05Z07:00"
        why = f'parsing time {go_quote(text)} as "{layout}": cannot parse {go_quote(text)} as "2006"'
        raise StatusError.bad_request(why) from None
