"""Reading and following container logs: `kubectl logs` with all its options.

A log is a file in the CRI format, `TIME stdout|stderr F|P TEXT`, where P marks a line whose end comes later. Writing it
is left to the runtime, choosing the right run to the kubelet's server.
Models pkg/kubelet/kuberuntime/logs/logs.go and pkg/kubelet/logs/container_log_manager.go (v1.36).
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..clock import parse_rfc3339
from .runtime import Process

LARGEST_LOG = 10 * 1024 * 1024
"""Bytes after which a log is put aside and begun anew."""

_CHUNK = 64 * 1024


class InvalidLogOptions(ValueError):
    """The options contradict each other or can't be read; the text is what a user sees."""


@dataclass(frozen=True)
class LogOptions:
    """What of a log is wanted, and how."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: float | None = None
    """Seconds since the epoch."""
    stream: str = "All"

    @classmethod
    def from_query(cls, query: Mapping[str, str], now: float) -> LogOptions:
        """Reads PodLogOptions as they stand in a URL. Raises InvalidLogOptions."""
        if "sinceSeconds" in query and "sinceTime" in query:
            raise InvalidLogOptions("at most one of `sinceTime` or `sinceSeconds` may be specified")
        since = None
        try:
            if "sinceSeconds" in query:
                since = now - int(query["sinceSeconds"])
            if "sinceTime" in query:
                since = parse_rfc3339(query["sinceTime"])
            tail, limit = (int(query[key]) if key in query else None for key in ("tailLines", "limitBytes"))
        except ValueError as error:
            raise InvalidLogOptions(f"unable to decode query: {error}") from error
        return cls(
            follow=_is_true(query.get("follow")),
            previous=_is_true(query.get("previous")),
            timestamps=_is_true(query.get("timestamps")),
            tail_lines=None if tail is None or tail < 0 else tail,
            limit_bytes=limit,
            since=since,
            stream=query.get("stream") or "All",
        )


class LogReader:
    """Reads one log file, and later what has been added to it."""

    def __init__(self, path: Path, options: LogOptions) -> None:
        self._path = path
        self._options = options
        self._offset = 0
        self._unfinished = False
        self._left = options.limit_bytes

    @property
    def exhausted(self) -> bool:
        """True once as many bytes were read as were asked for."""
        return self._left == 0

    def read_first(self) -> bytes:
        """What is there now, from where the options say."""
        entries = self._new_entries()
        if self._options.tail_lines is not None:
            entries = entries[len(entries) - min(self._options.tail_lines, len(entries)) :]
        return self._rendered(entries)

    def read_more(self) -> bytes:
        """What has been added since."""
        return self._rendered(self._new_entries())

    def _new_entries(self) -> list[bytes]:
        try:
            with self._path.open("rb") as file:
                if file.seek(0, 2) < self._offset:
                    self._offset = 0  # the log was begun anew
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        return data[:whole].splitlines()

    def _rendered(self, entries: Iterable[bytes]) -> bytes:
        text = b"".join(self._render(entries))
        if self._left is not None:
            text = text[: self._left]
            self._left -= len(text)
        return text

    def _render(self, entries: Iterable[bytes]) -> Iterator[bytes]:
        for entry in entries:
            time, stream, tag, text = (*entry.split(b" ", 3), b"", b"", b"")[:4]
            if self._options.stream.lower() not in ("all", stream.decode()):
                continue
            if self._options.since is not None and _seconds(time) < self._options.since:
                continue
            if self._options.timestamps and not self._unfinished:
                yield time + b" "
            yield text
            self._unfinished = tag == b"P"
            if not self._unfinished:
                yield b"\n"


async def follow(reader: LogReader, process: Process | None) -> AsyncIterator[bytes]:
    """The log from its beginning as the options say, then what is added until the container ends.

    The attached process serves as the bell: when it brings output, that is in the log already.
    """
    yield reader.read_first()
    if process is None:
        return
    rung = asyncio.Event()
    streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
    bells = [asyncio.create_task(_ring(stream, rung)) for stream in streams]
    try:
        while not reader.exhausted:
            yield reader.read_more()
            if all(bell.done() for bell in bells):
                await process.wait()
                yield reader.read_more()
                return
            await rung.wait()
            rung.clear()
    finally:
        for bell in bells:
            bell.cancel()


def log_path(folder: Path, container: str, run: int) -> Path:
    """Where the output of a container's n-th run is, in the folder of its Pod's logs. Models /var/log/pods."""
    return folder / container / f"{run}.log"


def new_log(folder: Path, container: str, run: int) -> Path:
    """Makes room for a run's output. That of the run before it stays, older ones do not."""
    path = log_path(folder, container, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f"{run - 2}.log*"):
        old.unlink()
    return path


def rotate_log(path: Path) -> None:
    """Puts a log that has grown too large aside, as `NAME.1`, and lets it begin anew.

    The writer appends, so the file itself must stay the same; nobody else writes meanwhile, since all of the node
    process is one thread.
    """
    try:
        if path.stat().st_size <= LARGEST_LOG:
            return
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        with path.open("r+b") as file:
            file.truncate(0)
    except FileNotFoundError:
        return


async def _ring(stream: asyncio.StreamReader, rung: asyncio.Event) -> None:
    try:
        while await stream.read(_CHUNK):
            rung.set()
    finally:
        rung.set()


def _seconds(time: bytes) -> float:
    """Seconds since the epoch; the nanoseconds of a log are more than `datetime` takes."""
    text = time.decode()
    whole, _, fraction = text.rstrip("Z").partition(".")
    return parse_rfc3339(f"{whole}Z") + (float(f"0.{fraction}") if fraction else 0.0)


def _is_true(value: str | None) -> bool:
    return value is not None and value.lower() not in ("false", "0", "f")
