"""The options of `kubectl logs`, and what is said about those that can't be meant."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from lab_helpers.pocketkube.api.log_options import log_options
from lab_helpers.pocketkube.api.status import StatusError


def test_what_is_set_is_passed_on() -> None:
    query = parse_qsl("follow=true&tailLines=0&container=c&pretty=1&sinceTime=2026-01-01T00:00:00Z&stream=All")
    assert log_options("web", query) == [
        ("follow", "true"),
        ("tailLines", "0"),
        ("sinceTime", "2026-01-01T00:00:00Z"),
        ("stream", "All"),
    ]


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("tailLines=-1", 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("limitBytes=0", 422, "limitBytes: Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=0", 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        (
            "sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z",
            422,
            "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
        ),
        ("stream=Both", 422, 'stream: Unsupported value: "Both": supported values: "All", "Stderr", "Stdout"'),
        ("stream=Stderr&tailLines=1", 422, "`tailLines` and specific `stream` are mutually exclusive for now"),
        ("tailLines=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("sinceTime=x", 400, 'parsing time "x" as "2006-01-02T15:04:05Z07:00"'),
    ],
)
def test_what_can_not_be_meant_is_refused(query: str, code: int, message: str) -> None:
    with pytest.raises(StatusError) as refused:
        log_options("web", parse_qsl(query))
    assert refused.value.code == code and message in refused.value.message
    if code == 422:
        assert refused.value.message.startswith('PodLogOptions "web" is invalid: ')
