"""Container logs: every option, following, rotation."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lab_helpers.pocketkube.kubelet.logs import (
    LARGEST_LOG,
    InvalidLogOptions,
    LogOptions,
    LogReader,
    follow,
    rotate_log,
)
from lab_helpers.pocketkube.kubelet.runtime import ExitStatus

LINES = """\
2026-01-01T00:00:00.000000001Z stdout F one
2026-01-01T00:00:01.500000000Z stderr F two
2026-01-01T00:00:02.000000000Z stdout P thr
2026-01-01T00:00:02.100000000Z stdout F ee
2026-01-01T00:00:03.000000000Z stdout F\x20
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_text(LINES)
    return path


def read(path: Path, **options: object) -> str:
    return LogReader(path, LogOptions(**options)).read_first().decode()  # type: ignore[arg-type]


def test_lines_are_put_together_from_their_parts(log: Path) -> None:
    assert read(log) == "one\ntwo\nthree\n\n"


def test_timestamps_stand_before_whole_lines(log: Path) -> None:
    assert read(log, timestamps=True).splitlines() == [
        "2026-01-01T00:00:00.000000001Z one",
        "2026-01-01T00:00:01.500000000Z two",
        "2026-01-01T00:00:02.000000000Z three",
        "2026-01-01T00:00:03.000000000Z ",
    ]


def test_the_tail_may_be_longer_than_the_log(log: Path) -> None:
    assert read(log, tail_lines=4) == "two\nthree\n\n"
    assert read(log, tail_lines=0) == ""
    assert read(log, tail_lines=100) == "one\ntwo\nthree\n\n"


def test_old_lines_other_streams_and_further_bytes_are_left_out(log: Path) -> None:
    options = LogOptions.from_query({"sinceTime": "2026-01-01T00:00:01Z"}, now=0)
    assert LogReader(log, options).read_first() == b"two\nthree\n\n"
    assert read(log, stream="Stderr") == "two\n"
    assert read(log, limit_bytes=5) == "one\nt"


def test_a_log_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / "nosuch.log") == ""


def test_options_are_read_from_a_url() -> None:
    query = {"follow": "true", "tailLines": "5", "sinceSeconds": "10", "timestamps": "1", "previous": "false"}
    assert LogOptions.from_query(query, now=100.0) == LogOptions(follow=True, tail_lines=5, since=90.0, timestamps=True)
    assert LogOptions.from_query({"tailLines": "-1"}, now=0).tail_lines is None
    with pytest.raises(InvalidLogOptions):
        LogOptions.from_query({"tailLines": "many"}, now=0)
    with pytest.raises(InvalidLogOptions, match="at most one"):
        LogOptions.from_query({"sinceSeconds": "1", "sinceTime": "2026-01-01T00:00:00Z"}, now=0)


class Attached:
    """A container's process, as somebody attached sees it."""

    pid = 1
    stdin = None

    def __init__(self) -> None:
        self.stdout = asyncio.StreamReader()
        self.stderr = None

    def resize(self, width: int, height: int) -> None:
        pass

    def kill(self, signal: int) -> None:
        pass

    async def wait(self) -> ExitStatus:
        return ExitStatus(0)


def test_following_brings_every_line_once_until_the_container_ends(log: Path) -> None:
    async def run() -> str:
        process, text = Attached(), b""
        following = follow(LogReader(log, LogOptions(tail_lines=1)), process)
        for number in range(3):
            with log.open("a") as file:
                file.write(f"2026-01-01T00:00:04.000000000Z stdout F line {number}\n")
            process.stdout.feed_data(b"x")
            while f"line {number}".encode() not in text:
                text += await anext(following)
        process.stdout.feed_eof()
        async for more in following:
            text += more
        return text.decode()

    assert asyncio.run(asyncio.wait_for(run(), 5)) == "line 0\nline 1\nline 2\n"


def test_following_stops_at_the_byte_limit(log: Path) -> None:
    async def run() -> bytes:
        return b"".join([text async for text in follow(LogReader(log, LogOptions(limit_bytes=3)), Attached())])

    assert asyncio.run(asyncio.wait_for(run(), 5)) == b"one"


def test_a_log_that_has_grown_too_large_begins_anew_under_the_same_writer(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    line = "2026-01-01T00:00:00.000000000Z stdout F " + "x" * 1000 + "\n"
    with path.open("a", buffering=1) as writer:
        writer.write(line * (LARGEST_LOG // len(line)))
        reader = LogReader(path, LogOptions())
        reader.read_first()
        rotate_log(path)
        assert path.stat().st_size > 0
        writer.write(line * 2)
        rotate_log(path)
        assert path.stat().st_size == 0 and path.with_name("0.log.1").stat().st_size > LARGEST_LOG
        writer.write("2026-01-01T00:00:00.000000000Z stdout F new\n")
    assert reader.read_more() == b"new\n"
