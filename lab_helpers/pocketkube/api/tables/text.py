"""Pieces of text that several tables share: label lists, selectors, container columns, clipped lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...objects import Obj

NONE = "<none>"
UNSET = "<unset>"
_MOST = 3
_OPERATORS = {"In": "in", "NotIn": "notin"}


def labels_text(labels: Mapping[str, str] | None) -> str:
    """`a=b,c=d` in order of keys. Models apimachinery labels.FormatLabels (v1.36)."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def selector_text(selector: Obj | None) -> str:
    """A LabelSelector in kubectl's syntax. Models metav1.FormatLabelSelector (v1.36)."""
    if selector is None:
        return NONE
    terms = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    terms += [(term["key"], _expression_text(term)) for term in selector.get("matchExpressions") or []]
    return ",".join(text for _, text in sorted(terms)) or NONE


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


def _expression_text(term: Obj) -> str:
    key, operator = term["key"], term["operator"]
    if operator == "Exists":
        return str(key)
    if operator == "DoesNotExist":
        return f"!{key}"
    return f"{key} {_OPERATORS[operator]} ({','.join(sorted(term.get('values') or []))})"
