"""Bytes of a request body to a JSON object: JSON and YAML, with limits, and with every key that was given twice.

Whether the object fits its kind is left to `fields.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

MAX_DEPTH = 200
MAX_NODES = 400_000

_AFTER = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Illegal trailing comma before end of object": "looking for beginning of object key string",
    "Illegal trailing comma before end of array": "looking for beginning of value",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after object key:value pair",
    "Extra data": "after top-level value",
    "Invalid control character at": "in string literal",
}
_TRUNCATED = ("Unterminated string starting at", "Invalid \\uXXXX escape")


def parse_json(body: bytes) -> tuple[Any, list[str]]:
    """(value, paths of duplicate keys). ValueError in the words of Go's decoder if it isn't JSON.

    Of a duplicate key the last value counts, as upstream has it.
    """
    text = body.decode("utf-8", errors="replace")
    has_duplicates = False

    def pairs_hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal has_duplicates
        obj = dict(pairs)
        has_duplicates |= len(obj) != len(pairs)
        return obj

    try:
        value = json.loads(text, object_pairs_hook=pairs_hook, parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise ValueError(_go_error(text, error)) from None
    except RecursionError:
        raise ValueError("exceeded max depth") from None
    check_limits(value, nodes_bound=text.count(",") + text.count("[") + text.count("{"))
    if "\\ud" in text or "\\uD" in text:
        value = _without_lone_surrogates(value)
    return value, list(_duplicates(text)) if has_duplicates else []


def parse_yaml(body: bytes) -> tuple[Any, list[str]]:
    """The same for a YAML body, as server-side apply sends it; most are JSON, which is YAML too."""
    if body.lstrip()[:1] in (b"{", b"["):
        try:
            return parse_json(body)
        except ValueError:
            pass  # flow-style YAML looks like this too
    from .yaml_body import load

    value, duplicates = load(body)
    check_limits(value)
    return value, duplicates


def check_limits(value: Any, nodes_bound: int = MAX_NODES) -> None:
    """ValueError if a value is nested too deep or, by aliases, too large. A small bound on its nodes saves the walk."""
    if nodes_bound < MAX_DEPTH:
        return
    stack = [(value, 1)]
    seen = 0
    while stack:
        item, depth = stack.pop()
        seen += 1
        if depth > MAX_DEPTH:
            raise ValueError("exceeded max depth")
        if seen > MAX_NODES:
            raise ValueError("document contains excessive aliasing")
        children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        stack.extend((child, depth + 1) for child in children)


def _no_constant(name: str) -> float:
    raise json.JSONDecodeError("Expecting value", name, 0)


def _finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(f"json: cannot unmarshal number {literal} into Go value of type float64")
    return number


def _go_error(text: str, error: json.JSONDecodeError) -> str:
    """The sentence Go's decoder has for the same mistake."""
    if error.doc != text:
        return f"invalid character {error.doc[0]!r} looking for beginning of value"
    if error.pos >= len(text.rstrip()) or error.msg in _TRUNCATED:
        return "unexpected end of JSON input"
    found = text[error.pos]
    if error.msg == "Invalid \\escape":
        return "invalid character in string escape code"
    where = _AFTER.get(error.msg, "looking for beginning of value")
    return f"invalid character {_go_rune(found)} {where}"


def _go_rune(char: str) -> str:
    """A character as Go's strconv.Quote puts it between single quotes."""
    if char == "'":
        return r"'\''"
    if char == '"':
        return "'\"'"
    return f"'{json.dumps(char, ensure_ascii=False)[1:-1]}'"


class _Pairs(list[tuple[str, Any]]):
    """An object with its duplicate keys still in it."""


def _duplicates(text: str) -> Iterator[str]:
    """The path of every key that its object has twice, `spec.ports[0].port`, in the document's order."""
    return _duplicates_in(json.loads(text, object_pairs_hook=_Pairs), "")


def _duplicates_in(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, inner in value:
            here = f"{path}.{key}" if path else key
            if key in seen:
                yield here
            seen.add(key)
            yield from _duplicates_in(inner, here)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _duplicates_in(inner, f"{path}[{index}]")


def _without_lone_surrogates(value: Any) -> Any:
    """Half of a surrogate pair can't be encoded again: U+FFFD takes its place, as in Go."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_lone_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_lone_surrogates(key): _without_lone_surrogates(item) for key, item in value.items()}
    return value
