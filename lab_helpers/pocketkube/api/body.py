"""Bytes of a request body to a JSON object: JSON and YAML, with limits, and with what a strict parser says of it.

Whether the object fits its kind is left to `fields.py`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from .status import go_quote

MAX_DEPTH = 200
MAX_NODES = 60_000
"""How many values one document may hold: each costs work that keeps others waiting. Real objects have some hundred."""

_AFTER = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Illegal trailing comma before end of object": "looking for beginning of object key string",
    "Illegal trailing comma before end of array": "looking for beginning of value",
    "Expecting ':' delimiter": "after object key",
    "Extra data": "after top-level value",
    "Invalid control character at": "in string literal",
}
_LITERALS = ("true", "false", "null")
_BRACKETS = re.compile(r'"(?:\\.|[^"\\])*"|[\[\]{}]', re.DOTALL)
_HEXADECIMAL = re.compile(r"\\u[0-9a-fA-F]{0,3}", re.ASCII)


def parse_json(body: bytes) -> tuple[Any, list[str]]:
    """(value, a sentence on every duplicate key). ValueError in the words of Go's decoder if it isn't JSON.

    Of a duplicate key the last value counts, as upstream has it.
    """
    text = body.decode("utf-8", errors="replace")
    has_duplicates = False

    def pairs_hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal has_duplicates
        obj = dict(pairs)
        if len(obj) == len(pairs):
            return obj
        has_duplicates = True
        # Each key where it was last: that is where a strict decoder complains of it.
        obj.clear()
        for key, value in pairs:
            obj.pop(key, None)
            obj[key] = value
        return obj

    try:
        value = json.loads(text, object_pairs_hook=pairs_hook, parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise ValueError(_go_error(body, error)) from None
    except RecursionError:
        raise ValueError("exceeded max depth") from None
    check_limits(value, nodes_bound=text.count(",") + text.count("[") + text.count("{"))
    if "\\ud" in text or "\\uD" in text:
        value = _without_lone_surrogates(value)
    return value, [f'duplicate field "{path}"' for path in _duplicates(text)] if has_duplicates else []


def parse_yaml(body: bytes) -> tuple[Any, list[str]]:
    """The same for a YAML body, as server-side apply sends it; most are JSON, which is YAML too."""
    if body.lstrip()[:1] in (b"{", b"["):
        try:
            value, duplicates = parse_json(body)
            if not duplicates:
                return value, []
        except ValueError:
            pass  # flow-style YAML looks like this too
    from .yaml_body import load, strict_error

    value, duplicates = load(body)
    check_limits(value)
    return value, [strict_error(duplicates)] if duplicates else []


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
            raise ValueError(f"document has more than {MAX_NODES} values")
        children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        stack.extend((child, depth + 1) for child in children)


def _no_constant(name: str) -> float:
    raise ValueError(f"invalid character '{name.lstrip('-')[0]}' {_where_not(name)}")


def _where_not(constant: str) -> str:
    return "in numeric literal" if constant.startswith("-") else "looking for beginning of value"


def _finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(f"json: cannot unmarshal number {literal} into Go value of type float64")
    return number


def _go_error(body: bytes, error: json.JSONDecodeError) -> str:
    """The sentence Go's decoder has for the same mistake."""
    if not error.doc.isascii():
        # Go reads bytes: what is no UTF-8 must be told apart from what it is replaced by.
        error = _bytewise(body, error)
    text, at = error.doc, error.pos
    if error.msg == "Invalid \\uXXXX escape":
        at = max(text.rfind("\\u", 0, at + 2), 0)
        started = _HEXADECIMAL.match(text, at)
        return _unexpected(text, started.end() if started else at, "in \\u hexadecimal character escape")
    if error.msg == "Invalid \\escape":
        return _unexpected(text, at + 1, "in string escape code")
    if at >= len(text.rstrip()) or error.msg == "Unterminated string starting at":
        return "unexpected end of JSON input"
    if text[at] in ".eE" and text[at - 1 : at].isdigit():
        return _in_number(text, at)
    if error.msg == "Expecting ',' delimiter":
        return _unexpected(text, at, "after array element" if _in_array(text[:at]) else "after object key:value pair")
    if error.msg == "Expecting value":
        return _no_value(text, at)
    return _unexpected(text, at, _AFTER.get(error.msg, "looking for beginning of value"))


def _bytewise(body: bytes, error: json.JSONDecodeError) -> json.JSONDecodeError:
    try:
        json.loads(body.decode("utf-8", errors="surrogateescape"), parse_constant=_no_constant)
    except json.JSONDecodeError as exact:
        return exact
    return error


def _no_value(text: str, at: int) -> str:
    """Where a value should begin: nothing that could be one, or one that goes wrong."""
    if text[at] == "-":
        return _unexpected(text, at + 1, "in numeric literal")
    for literal in _LITERALS:
        if text[at] == literal[0]:
            same = next((i for i, char in enumerate(literal) if text[at + i : at + i + 1] != char), 0)
            return _unexpected(text, at + same, f"in literal {literal} (expecting '{literal[same]}')")
    return _unexpected(text, at, "looking for beginning of value")


def _in_number(text: str, at: int) -> str:
    """Where in a number the parser was, if it went wrong in one; `at` is behind its last whole part."""
    if text[at] == ".":
        return _unexpected(text, at + 1, "after decimal point in numeric literal")
    signed = at + 2 if text[at + 1 : at + 2] in ("+", "-") else at + 1
    return _unexpected(text, signed, "in exponent of numeric literal")


def _in_array(text: str) -> bool:
    """True if the innermost open bracket is a list's."""
    open_brackets: list[str] = []
    for match in _BRACKETS.finditer(text):
        bracket = match.group()
        if bracket in "[{":
            open_brackets.append(bracket)
        elif bracket in "]}" and open_brackets:
            open_brackets.pop()
    return open_brackets[-1:] == ["["]


def _unexpected(text: str, at: int, where: str) -> str:
    if at >= len(text):
        return "unexpected end of JSON input"
    return f"invalid character {_go_rune(text[at])} {where}"


def _go_rune(char: str) -> str:
    """A character between single quotes as Go shows it: of more than one byte it sees the first."""
    first = chr(char.encode("utf-8", errors="surrogateescape")[0])
    if first == "'":
        return r"'\''"
    return "'\"'" if first == '"' else f"'{go_quote(first)[1:-1]}'"


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
