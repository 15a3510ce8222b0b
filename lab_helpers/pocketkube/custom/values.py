"""The values of custom objects against their schema, in upstream's words.

Models kube-openapi pkg/validation/validate and apiextensions-apiserver pkg/apiserver/validation (v1.36).
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import lru_cache
from typing import Any

from ..api.status import Cause, go_json, go_quote, invalid_value, not_supported, required
from ..objects import Obj

_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array"), (dict, "object"),
)  # fmt: skip


def validate(value: Any, schema: Obj, path: str = "") -> list[Cause]:
    """What is wrong with a value."""
    if value is None:
        return [] if schema.get("nullable") or not _wanted(schema) else [_wrong_type(value, schema, path)]
    wanted = _wanted(schema)
    if wanted and not _is_of(value, wanted):
        return [_wrong_type(value, schema, path)]
    causes: list[Cause] = []
    if isinstance(value, str):
        causes += _string(value, schema, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        causes += _number(value, schema, path)
    elif isinstance(value, list):
        causes += _list(value, schema, path)
    elif isinstance(value, dict):
        causes += _object(value, schema, path)
    causes += _alternatives(value, schema, path)
    allowed = schema.get("enum")
    if allowed and not any(value == item and isinstance(value, bool) == isinstance(item, bool) for item in allowed):
        shown = [item if isinstance(item, str) else go_json(item) for item in allowed]
        causes.append(not_supported(path or "<nil>", value, shown))
    return causes


def _wanted(schema: Obj) -> tuple[str, ...]:
    if schema.get("x-kubernetes-int-or-string"):
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


def _kind(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return "integer"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "null")


def _is_of(value: Any, wanted: tuple[str, ...]) -> bool:
    kind = _kind(value)
    return kind in wanted or (kind == "integer" and "number" in wanted)


def _wrong_type(value: Any, schema: Obj, path: str) -> Cause:
    kind, wanted = _kind(value), ",".join(_wanted(schema))
    cause = invalid_value(path or "<nil>", kind, f"{_where(path)} must be of type {wanted}: {go_quote(kind)}")
    return Cause("FieldValueTypeInvalid", cause.field, cause.message)


def _where(path: str) -> str:
    return f"{path} in body"


def _invalid(path: str, value: Any, said: str) -> Cause:
    return invalid_value(path or "<nil>", value, f"{_where(path)} {said}")


def _plain(number: Any) -> str:
    return str(int(number)) if isinstance(number, float) and number.is_integer() else json.dumps(number)


def _string(value: str, schema: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    if longest is not None and len(value) > longest:
        causes.append(Cause("FieldValueTooLong", path, f"Too long: may not be more than {longest} bytes"))
    if shortest is not None and len(value) < shortest:
        causes.append(_invalid(path, value, f"should be at least {shortest} chars long"))
    if pattern and not matches(pattern, value):
        causes.append(_invalid(path, value, f"should match '{pattern}'"))
    if schema.get("format") and not _has_format(value, schema["format"]):
        causes.append(_invalid(path, value, f"must be of type {schema['format']}: {go_quote(value)}"))
    return causes


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        return None


def matches(pattern: str, text: str) -> bool:
    """Go's patterns are nearly Python's; one that is none here forbids nothing."""
    compiled = _compiled(pattern)
    return compiled is None or compiled.search(text) is not None


def _has_format(value: str, name: str) -> bool:
    if name == "date-time":
        try:
            datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return False
        return "T" in value.upper()
    if name == "date":
        return re.fullmatch(r"\d{4}-(0\d|1[0-2])-([0-2]\d|3[01])", value) is not None
    if name in ("uuid", "uuid4"):
        return re.fullmatch(r"(?i)[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", value) is not None
    return True


def _number(value: int | float, schema: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    most, least, step = schema.get("maximum"), schema.get("minimum"), schema.get("multipleOf")
    if most is not None:
        strict = bool(schema.get("exclusiveMaximum"))
        if value > most or (strict and value == most):
            said = "should be less than" + ("" if strict else " or equal to")
            causes.append(_invalid(path, value, f"{said} {_plain(most)}"))
    if least is not None:
        strict = bool(schema.get("exclusiveMinimum"))
        if value < least or (strict and value == least):
            said = "should be greater than" + ("" if strict else " or equal to")
            causes.append(_invalid(path, value, f"{said} {_plain(least)}"))
    if step and (value / step) % 1:
        causes.append(_invalid(path, value, f"should be a multiple of {_plain(step)}"))
    limit = {"int32": 2**31, "int64": 2**63}.get(schema.get("format") or "")
    if limit is not None and not -limit <= value < limit:
        causes.append(_invalid(path, value, f"must be of type {schema['format']}: {go_quote(_plain(value))}"))
    return causes


def _list(value: list[Any], schema: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    most, least, items = schema.get("maxItems"), schema.get("minItems"), schema.get("items")
    if most is not None and len(value) > most:
        causes.append(Cause("FieldValueTooMany", path, f"Too many: {len(value)}: must have at most {most} items"))
    if least is not None and len(value) < least:
        causes.append(_invalid(path, len(value), f"should have at least {least} items"))
    if isinstance(items, dict):
        for index, item in enumerate(value):
            causes += validate(item, items, f"{path}[{index}]")
    return causes + _unique(value, schema, path)


def _unique(value: list[Any], schema: Obj, path: str) -> list[Cause]:
    """Sets and keyed lists hold nothing twice. Models schema/listtype."""
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
    causes: list[Cause] = []
    seen: list[Any] = []
    for index, item in enumerate(value):
        if kind == "map" and isinstance(item, dict):
            named = {key: item.get(key) for key in keys if key in item}
        elif kind == "set":
            named = item
        else:
            continue
        if named in seen:
            shown = item if kind == "set" else named
            text = go_quote(shown) if isinstance(shown, str) else go_json(shown)
            causes.append(Cause("FieldValueDuplicate", f"{path}[{index}]", f"Duplicate value: {text}"))
        seen.append(named)
    return causes


def _object(value: Obj, schema: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    most, least = schema.get("maxProperties"), schema.get("minProperties")
    if most is not None and len(value) > most:
        causes.append(Cause("FieldValueTooMany", path, f"Too many: {len(value)}: must have at most {most} items"))
    if least is not None and len(value) < least:
        causes.append(_invalid(path, len(value), f"should have at least {least} properties"))
    for name in schema.get("required") or ():
        if name not in value:
            causes.append(required(f"{path}.{name}" if path else name))
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    for name, inner in value.items():
        child = properties.get(name, others)
        if isinstance(child, dict):
            causes += validate(inner, child, f"{path}.{name}" if path else name)
    return causes


def _alternatives(value: Any, schema: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for part in schema.get("allOf") or ():
        causes += validate(value, part, path)
    any_of, one_of, never = schema.get("anyOf"), schema.get("oneOf"), schema.get("not")
    name = path or "<nil>"
    if any_of and all(validate(value, part, path) for part in any_of):
        causes.append(invalid_value(name, "", _composed(path, "at least one schema (anyOf)")))
    if one_of:
        valid = sum(1 for part in one_of if not validate(value, part, path))
        if valid != 1:
            found = "none valid" if not valid else f"{valid} valid alternatives"
            causes.append(invalid_value(name, "", _composed(path, f"one and only one schema (oneOf). Found {found}")))
    if never is not None and not validate(value, never, path):
        causes.append(invalid_value(name, "", f"{go_quote(path)} must not validate the schema (not)"))
    return causes


def _composed(path: str, what: str) -> str:
    return f"{go_quote(path)} must validate {what}"
