"""The log file of a container: `TIME STREAM F|P LINE`."""

from __future__ import annotations

import gc
from pathlib import Path

from lab_helpers.pocketkube.kubelet.container_io import LONGEST_LINE, ContainerLog


def entries(path: Path) -> list[tuple[str, str, str]]:
    """(stream, tag, line) of each entry."""
    found = []
    for line in path.read_text().splitlines():
        _time, stream, tag, *text = line.split(" ", 3)
        found.append((stream, tag, text[0] if text else ""))
    return found


def test_lines_are_joined_whatever_pieces_they_arrive_in(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "new" / "0.log")
    for piece in (b"o", b"ne\ntw", b"o\n\nthr"):
        log.write("stdout", piece)
    log.write("stderr", b"oops\n")
    log.write("stdout", b"ee\n")
    log.close()
    assert entries(tmp_path / "new" / "0.log") == [
        ("stdout", "F", "one"),
        ("stdout", "F", "two"),
        ("stdout", "F", ""),
        ("stderr", "F", "oops"),
        ("stdout", "F", "three"),
    ]


def test_a_line_too_long_is_logged_in_parts(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "0.log")
    log.write("stdout", b"x" * (LONGEST_LINE + 1))
    log.write("stdout", b"y\n" + b"z" * 2 * LONGEST_LINE + b"\n")
    log.close()
    assert [(tag, len(text)) for _stream, tag, text in entries(tmp_path / "0.log")] == [
        ("P", LONGEST_LINE),
        ("F", 2),
        ("P", LONGEST_LINE),
        ("F", LONGEST_LINE),
    ]


def test_a_last_line_without_an_end_is_partial(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "0.log")
    log.write("stdout", b"no end")
    log.end("stdout")
    log.end("stdout")
    log.close()
    assert entries(tmp_path / "0.log") == [("stdout", "P", "no end")]


def test_without_a_path_nothing_is_kept() -> None:
    log = ContainerLog(None)
    log.write("stdout", b"x" * (1 << 20))
    log.end("stdout")
    log.close()
    gc.collect()
