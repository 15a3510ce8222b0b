"""Pieces of text that several tables share: label lists, selectors, container columns, clipped lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...objects import Obj
from ..selectors import format_label_selector, format_labels

NONE = "<none>"
UNSET = "<unset>"
_MOST = 3


def labels_text(labels: Mapping[str, str] | None) -> str:
    """Labels in one line, or that there are none."""
    return format_labels(labels) or NONE


def selector_text(selector: Obj | None) -> str:
    """A LabelSelector in one line, or that there is none."""
    return format_label_selector(selector) or NONE


def container_cells(template: Obj | None) -> tuple[str, str]:
    """Names and images of a Pod template's containers."""
    containers = ((template or {}).get("spec") or {}).get("containers") or []
    return ",".join(c.get("name", "") for c in containers), ",".join(c.get("image", "") for c in containers)


def clipped(items: Sequence[str], empty: str = UNSET) -> str:
    """At most three items and how many more there are."""
    text = ",".join(items[:_MOST])
    if len(items) > _MOST:
        return f"{text} + {len(items) - _MOST} more..."
    return text or empty


def spec_of(obj: Obj) -> Obj:
    """`spec`, empty if there is none."""
    return obj.get("spec") or {}


def status_of(obj: Obj) -> Obj:
    """`status`, empty if there is none."""
    return obj.get("status") or {}


def number(mapping: Mapping[str, Any], key: str) -> int:
    """A count that is left out when it is zero."""
    return int(mapping.get(key) or 0)
