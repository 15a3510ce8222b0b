"""What is allowed in a metav1.LabelSelector. Models apimachinery meta/v1/validation (v1.36)."""

from __future__ import annotations

from ..api.status import Cause, forbidden_field, invalid_value, required
from ..objects import Obj
from .metadata import IMMUTABLE, validate_labels
from .naming import label_key_problems, label_value_problems


def validate_label_selector(selector: Obj, path: str) -> list[Cause]:
    """Keys, operators and values."""
    causes = validate_labels(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or []):
        causes += _validate_expression(expression, f"{path}.matchExpressions[{index}]")
    return causes


def validate_kept_selector(new: Obj | None, old: Obj | None, path: str = "spec.selector") -> list[Cause]:
    """A selector that is for life."""
    return [] if new == old else [invalid_value(path, None if new is None else shown_selector(new), IMMUTABLE)]


def shown_selector(selector: Obj) -> Obj:
    """A selector as messages show it: labels sorted, and every expression with a key and an operator first."""
    labels = selector.get("matchLabels") or {}
    shown: Obj = {"matchLabels": {key: labels[key] for key in sorted(labels)}} if labels else {}
    expressions = [
        {key: expression.get(key) or "" for key in ("key", "operator")}
        | ({"values": expression["values"]} if expression.get("values") else {})
        for expression in selector.get("matchExpressions") or []
    ]
    return {**shown, "matchExpressions": expressions} if expressions else shown


def _validate_expression(expression: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    operator, values = expression.get("operator") or "", expression.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            why = "must be specified when `operator` is 'In' or 'NotIn'"
            causes.append(required(f"{path}.values", why))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            causes.append(forbidden_field(f"{path}.values", why))
    else:
        causes.append(invalid_value(f"{path}.operator", operator, "not a valid selector operator"))
    key = expression.get("key") or ""
    causes += [invalid_value(f"{path}.key", key, problem) for problem in label_key_problems(key)]
    for index, value in enumerate(values):
        causes += [invalid_value(f"{path}.values[{index}]", value, problem) for problem in label_value_problems(value)]
    return causes
