"""A YAML document as upstream reads it: only what JSON can hold, dates left as text, duplicate keys noticed.

Built from the parser's events without recursion, so that a hostile document costs no more than its length.
Models go.yaml.in/yaml/v2 (resolve.go, decode.go), which is YAML 1.1 with `y` and `on` as booleans and without
numbers to the base of 60, and sigs.k8s.io/yaml, which turns its outcome into JSON.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import yaml

from .body import MAX_DEPTH, MAX_NODES
from .scalars import go_syntax
from .status import go_quote

_PREFIX = "tag:yaml.org,2002:"
_STR, _INT, _FLOAT, _BOOL, _NULL, _BINARY, _TIMESTAMP = (
    f"{_PREFIX}{name}" for name in ("str", "int", "float", "bool", "null", "binary", "timestamp")
)
_CONSTANTS: dict[str, Any] = {
    **{text: True for text in ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"]},
    **{text: False for text in ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"]},
    **{text: None for text in ("", "~", "null", "Null", "NULL")},
    **{text: math.nan for text in (".nan", ".NaN", ".NAN")},
    **{text: math.inf for text in (".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF")},
    **{text: -math.inf for text in ("-.inf", "-.Inf", "-.INF")},
}
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))", re.ASCII)
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_MOST = 2**64
_LONGEST_NUMBER = 1000

_NONE: Any = object()


def load(body: bytes) -> tuple[Any, list[str]]:
    """(value, what was given twice, in the words of upstream's parser). ValueError if it isn't YAML.

    Of several documents the first counts.
    """
    builder = _Builder()
    try:
        event: Any
        for event in yaml.parse(body, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.DocumentEndEvent):
                break
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"yaml: {_go_error(error)}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ValueError("yaml: control characters are not allowed") from None
    return builder.root, builder.duplicates


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Puts quotes around every text that upstream's parser would take for something else."""


for _tag, _pattern, _first in ((_BOOL, "[yYnN]", "yYnN"), (_FLOAT, _NUMBER.pattern, "+-.0123456789")):
    _Dumper.add_implicit_resolver(_tag, re.compile(f"(?:{_pattern})$", re.ASCII), list(_first))


def dump(value: Any) -> bytes:
    """A value as YAML."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False)).encode()


def strict_error(duplicates: list[str]) -> str:
    """What upstream's strict parser says of them all."""
    return "yaml: unmarshal errors:\n  " + "\n  ".join(duplicates)


def _go_error(error: yaml.MarkedYAMLError) -> str:
    """Upstream's parser is a translation of ours, but for how it says where. Models yaml/v2 decode.go fail."""
    mark = error.context_mark if error.context_mark and error.context_mark.line else error.problem_mark
    line = mark.line if mark else 0
    if line and isinstance(error, yaml.scanner.ScannerError):
        line += 1
    return f"line {line}: {error.problem}" if line else str(error.problem)


class _Open:
    """A mapping or a sequence that has begun and not ended."""

    __slots__ = ("anchor", "key", "line", "merges", "value")

    def __init__(self, value: Any, anchor: str | None, line: int) -> None:
        self.value = value
        self.anchor = anchor
        self.key = _NONE
        self.merges = False
        self.line = line


class _Builder:
    """Puts a value together from events."""

    def __init__(self) -> None:
        self.root: Any = None
        self.duplicates: list[str] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, Any] = {}
        self._values = 0

    def take(self, event: Any) -> None:
        """One event of the parser."""
        kind = type(event)
        if kind is yaml.ScalarEvent:
            scalar = _scalar(event.value, event.tag, event.implicit[0])
            if event.anchor:
                self._anchors[event.anchor] = scalar
            merges = event.value == "<<" and event.implicit[0]
            self._put(scalar, event.start_mark.line + 1, merges=merges)
        elif kind in (yaml.MappingStartEvent, yaml.SequenceStartEvent):
            if len(self._open) >= MAX_DEPTH:
                raise ValueError("yaml: exceeded max depth")
            value: Any = {} if kind is yaml.MappingStartEvent else []
            self._open.append(_Open(value, event.anchor, event.start_mark.line + 1))
            if event.anchor:
                self._anchors[event.anchor] = _NONE
        elif kind in (yaml.MappingEndEvent, yaml.SequenceEndEvent):
            ended = self._open.pop()
            if kind is yaml.MappingEndEvent:
                # What becomes JSON on its way has its keys in order.
                ended.value = dict(sorted(ended.value.items()))
            if ended.anchor:
                self._anchors[ended.anchor] = ended.value
            self._put(ended.value, ended.line)
        elif kind is yaml.AliasEvent:
            self._put(self._anchored(event.anchor), event.start_mark.line + 1)

    def _anchored(self, name: str) -> Any:
        if name not in self._anchors:
            raise ValueError(f"yaml: unknown anchor '{name}' referenced")
        value = self._anchors[name]
        if value is _NONE:
            raise ValueError(f"yaml: anchor '{name}' value contains itself")
        return value

    def _put(self, value: Any, line: int, *, merges: bool = False) -> None:
        self._values += 1
        if self._values > 2 * MAX_NODES:  # keys are counted here, too
            raise ValueError(f"yaml: document has more than {MAX_NODES} values")
        if not self._open:
            self.root = value
            return
        parent = self._open[-1]
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.merges:
            parent.merges = False
            for key, inherited in _inherited(value):
                self._set(parent.value, key, inherited, line)
        elif parent.key is _NONE:
            parent.merges = merges
            parent.key = _NONE if merges else _key(value)
        else:
            self._set(parent.value, parent.key, value, line)
            parent.key = _NONE

    def _set(self, mapping: dict[str, Any], key: str, value: Any, line: int) -> None:
        if key in mapping:
            self.duplicates.append(f"line {line}: key {go_quote(key)} already set in map")
        mapping[key] = value


def _inherited(value: Any) -> Iterator[tuple[str, Any]]:
    """The entries that `<<` brings; of several mappings the first counts."""
    sources = value if isinstance(value, list) else [value]
    if not all(isinstance(source, dict) for source in sources):
        raise ValueError("yaml: map merge requires map or sequence of maps as the value")
    for source in reversed(sources):
        yield from source.items()


def _key(value: Any) -> str:
    """A key as JSON has it."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, (dict, list)):
        raise ValueError(f"yaml: invalid map key: {go_syntax(value)}")
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _scalar(text: str, tag: str | None, implicit: bool) -> Any:
    if not tag:
        return _json_number(_plain(text), text) if implicit else text
    if tag == _BINARY:
        try:
            return base64.b64decode(text, validate=False).decode("utf-8", errors="replace")
        except binascii.Error:
            raise ValueError("yaml: !!binary value contains invalid base64 data") from None
    if tag not in (_INT, _FLOAT, _BOOL, _NULL):
        return text
    value = _plain(text)
    if _tag_of(value) != tag and not (tag == _FLOAT and _tag_of(value) == _INT):
        found, wanted = (name.replace(_PREFIX, "!!") for name in (_tag_of(value), tag))
        raise ValueError(f"yaml: cannot decode {found} `{text}` as a {wanted}")
    return _json_number(value, text)


def _tag_of(value: Any) -> str:
    if value is None:
        return _NULL
    if isinstance(value, bool):
        return _BOOL
    return _INT if isinstance(value, int) else _FLOAT if isinstance(value, float) else _STR


@lru_cache(maxsize=2048)
def _plain(text: str) -> Any:
    """What a scalar without quotes is."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "+-.0123456789" or len(text) > _LONGEST_NUMBER:
        return text
    plain = text if text[0] == "." else text.replace("_", "")
    whole = _INTEGER.fullmatch(plain)
    if whole:
        number = _integer(whole)
        if -(_MOST // 2) <= number < _MOST:
            return number
    return float(plain) if _NUMBER.fullmatch(plain) else text


def _integer(match: re.Match[str]) -> int:
    sign, hexadecimal, binary, octal, decimal = match.groups()
    for digits, base in ((hexadecimal, 16), (binary, 2), (octal, 8), (decimal, 10)):
        if digits:
            return int(sign + digits, base)
    return 0


def _json_number(value: Any, text: str) -> Any:
    """A number as it is once it has been JSON: `3.0` is written `3`, and there is no infinity."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        shown = "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
        raise ValueError(f"json: unsupported value: {shown}")
    return int(value) if value.is_integer() and abs(value) < _MOST // 2 else value
