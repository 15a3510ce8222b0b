"""Sessions of kubectl recorded on a real cluster, and the mapping that makes two clusters' outputs comparable.

A name, hash, address, time or number that differs from one run to the next becomes a word such as `<ip>`; the widths of
columns follow the widths of names, so runs of blanks inside a line count as two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).parent / "data"
EXIT = re.compile(r"\n?\[exit (\d+)\]\n*\Z")

VOLATILE = [
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uid>"),
    (r"\b(containerd|pocketkube)://[0-9a-f]{64}", "<container id>"),
    (r"sha256:[0-9a-f]{64}", "sha256:<digest>"),
    (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "<time>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>"),
    (r"\b[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d\.\d+ \d{4}\b", "<time>"),
    (r"\b\d+(\.\d+)?m?s \(\d+(\.\d+)?m?s including waiting\)\. Image size: \d+ bytes", "<pull> bytes"),
    (r"kube-api-access-[a-z0-9]{5}\b", "kube-api-access-<x>"),
    (r"\b(deployhttpd)-[a-z0-9]{6,10}-[a-z0-9]{5}\b", r"\1-<hash>-<x>"),
    (r"\b(deployhttpd)-[a-z0-9]{6,10}\b", r"\1-<hash>"),
    (r"pod-template-hash(=|: )[a-z0-9]{6,10}\b", r"pod-template-hash\1<hash>"),
    (r"\bdemo-service-[a-z0-9]{5}\b", "demo-service-<x>"),
    (r"\b\d+\.\d+\.\d+\.\d+\b", "<ip>"),
    (r"80:3\d{4}/TCP", "80:<node port>/TCP"),
    (r'resourceVersion: "\d+"', 'resourceVersion: "<n>"'),
    (r"\b(\d+d)?(\d+h)?(\d+m)?\d+s\b", "<age>"),
    (r"(?<=[^.\d])\d+m(?=$| )", "<age>"),
]


@dataclass(frozen=True)
class Recording:
    """One command of a recorded session: what was asked and what a real cluster printed."""

    name: str
    command: tuple[str, ...]
    printed: str
    returncode: int


def recording(path: Path) -> Recording:
    text = path.read_text()
    first, _, rest = text.partition("\n")
    ended = EXIT.search(rest)
    assert first.startswith("$ kubectl ") and ended, path
    return Recording(path.stem, tuple(first.removeprefix("$ kubectl ").split()), rest[: ended.start()], int(ended[1]))


def recordings() -> Iterable[Recording]:
    return [recording(path) for path in sorted(DATA.glob("*.txt"))]


def mapped(text: str, node: str) -> list[str]:
    """The lines of an output with all that differs between two runs mapped away."""
    text = re.sub(rf"\b{re.escape(node)}\b", "<node>", text)
    for pattern, word in VOLATILE:
        text = re.sub(pattern, word, text)
    return [re.sub(r"(?<=\S) {2,}(?=\S)", "  ", line) for line in text.strip("\n").split("\n")]
