"""Tables of custom objects: the columns that a definition adds, by JSON path.

Models apiextensions-apiserver pkg/registry/customresource/tableconvertor (v1.36).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from ..api.status import go_json
from ..api.tables.duration import age, object_age
from ..objects import Obj
from .definition import CustomResource

_NAME = {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}
_AGE = {"name": "Age", "type": "date", "format": "", "description": "", "priority": 0}
_STEP = re.compile(
    r"""\.(?P<name>(?:\\.|[^.\[\]\\])+)"""
    r"""|\[(?P<index>-?\d+)\]|\['(?P<quoted>[^']+)'\]|\[\?\(@\.(?P<key>[\w.]+)\s*==\s*["'](?P<wanted>[^"']*)["']\)\]"""
    r"""|\[\*\]"""
)


def value_at(obj: Any, path: str) -> Any:
    """The first value at a JSON path; None if there is none."""
    found = [obj]
    for step in _STEP.finditer(path):
        found = [inner for value in found for inner in _inside(value, step)]
    return found[0] if found else None


def _inside(value: Any, step: re.Match[str]) -> list[Any]:
    name = step["name"] or step["quoted"]
    if name is not None:
        name = name.replace("\\", "")
        return [value[name]] if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return list(value.values()) if isinstance(value, dict) and step.group() == "[*]" else []
    if step["index"] is not None:
        return value[int(step["index"]) :][:1]
    if step["key"] is not None:
        return [item for item in value if value_at(item, f".{step['key']}") == step["wanted"]]
    return value


def columns_for(resource: CustomResource) -> list[Obj]:
    """The column definitions of a custom kind."""
    if not resource.columns:
        return [{**_NAME}, {**_AGE}]
    added = [
        {
            "name": column["name"],
            "type": column["type"],
            "format": column.get("format", ""),
            "description": column.get("description", ""),
            "priority": column.get("priority", 0),
        }
        for column in resource.columns
    ]
    return [{**_NAME}, *added]


def cells_for(resource: CustomResource, obj: Obj, now: datetime) -> list[Any]:
    """The cells of one row."""
    name = obj["metadata"]["name"]
    if not resource.columns:
        return [name, object_age(obj, now)]
    return [name, *(_cell(obj, column, now) for column in resource.columns)]


def _cell(obj: Obj, column: Obj, now: datetime) -> Any:
    value = value_at(obj, column["jsonPath"])
    kind = column["type"]
    if value is None:
        return None
    match kind:
        case "integer":
            return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
        case "number":
            return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            return age(value, now) if isinstance(value, str) else None
    return value if isinstance(value, str) else go_json(value)
