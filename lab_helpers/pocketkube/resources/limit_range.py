"""LimitRanges as objects: their defaults, and bounds that don't contradict each other. Holding Pods to them is in
`limit_ranger`.

Models core/v1/defaults.go SetDefaults_LimitRangeItem and core/validation ValidateLimitRange (v1.36).
"""

from __future__ import annotations

from decimal import Decimal

from .. import quantity
from ..api.status import Cause, duplicate, forbidden_field, invalid_value, required
from ..objects import Obj
from .naming import label_key_problems
from .resource_validation import may_overcommit, validate_container_resource_name, validate_resource_name
from .strategy import Strategy

_KINDS = ("Pod", "Container", "PersistentVolumeClaim")
_ORDERED = (
    # what must not be more, than what, whose value is shown, both as they are called
    ("min", "max", "min", "min", "max"),
    ("min", "defaultRequest", "defaultRequest", "min", "default request"),
    ("defaultRequest", "max", "defaultRequest", "default request", "max"),
    ("defaultRequest", "default", "defaultRequest", "default request", "default limit"),
    ("min", "default", "default", "min", "default"),
    ("default", "max", "default", "default", "max"),
)
_SHOWN_INSTEAD = {("min", "default"): "min", ("default", "max"): "max"}
"""Where upstream shows the other value than that of the field it names."""


class LimitRangeStrategy(Strategy):
    """Bounds of a namespace."""

    creates_on_update = True

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_LimitRangeItem."""
        for item in obj.setdefault("spec", {}).get("limits") or []:
            if item.get("type") != "Container":
                continue
            default = item.setdefault("default", {})
            default.update({name: amount for name, amount in (item.get("max") or {}).items() if name not in default})
            request = item.setdefault("defaultRequest", {})
            for source in (default, item.get("min") or {}):
                request.update({name: amount for name, amount in source.items() if name not in request})
            for field in ("default", "defaultRequest"):
                if not item[field]:
                    del item[field]

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateLimitRange."""
        causes: list[Cause] = []
        seen: set[str] = set()
        for index, item in enumerate(obj["spec"].get("limits") or []):
            path, kind = f"spec.limits[{index}]", item.get("type") or ""
            causes += _validate_type(kind, f"{path}.type")
            if kind in seen:
                causes.append(duplicate(f"{path}.type", kind))
            seen.add(kind)
            causes += _validate_item(item, kind, path)
        return causes


def _validate_type(kind: str, path: str) -> list[Cause]:
    problems = label_key_problems(kind)
    if not problems and "/" not in kind and kind not in _KINDS:
        problems = ["must be a standard limit type or fully qualified"]
    return [invalid_value(path, kind, problem) for problem in problems]


def _validate_item(item: Obj, kind: str, path: str) -> list[Cause]:
    causes = _validate_names(item, kind, ("max", "min"), path)
    fields = ["max", "min"]
    if kind == "Pod":
        for field in ("default", "defaultRequest"):
            if item.get(field):
                causes.append(forbidden_field(f"{path}.{field}", "may not be specified when `type` is 'Pod'"))
    else:
        fields += ["default", "defaultRequest"]
        causes += _validate_names(item, kind, ("default", "defaultRequest"), path)
    if kind == "PersistentVolumeClaim" and not any("storage" in (item.get(field) or {}) for field in ("min", "max")):
        why = "either minimum or maximum storage value is required, but neither was provided"
        causes.append(required(f"{path}.limits", why))
    causes += _validate_names(item, kind, ("maxLimitRequestRatio",), path)
    bounds = {field: item.get(field) or {} for field in (*fields, "maxLimitRequestRatio")}
    for name in sorted({name for amounts in bounds.values() for name in amounts}):
        causes += _validate_bounds(name, {f: amounts[name] for f, amounts in bounds.items() if name in amounts}, path)
    return causes


def _validate_names(item: Obj, kind: str, fields: tuple[str, ...], path: str) -> list[Cause]:
    check = validate_container_resource_name if kind in ("Pod", "Container") else validate_resource_name
    return [
        cause
        for field in fields
        for name in sorted(item.get(field) or {})
        for cause in check(name, f"{path}.{field}[{name}]")
    ]


def _validate_bounds(name: str, given: dict[str, str], path: str) -> list[Cause]:
    """The bounds of one resource, in order."""
    causes: list[Cause] = []
    for low, high, field, low_word, high_word in _ORDERED:
        if low in given and high in given and quantity.value(given[low]) > quantity.value(given[high]):
            shown = given[_SHOWN_INSTEAD.get((low, high), field)]
            why = f"{low_word} value {given[low]} is greater than {high_word} value {given[high]}"
            causes.append(invalid_value(f"{path}.{field}[{name}]", shown, why))
    causes += _validate_ratio(name, given, path)
    both = "default" in given and "defaultRequest" in given
    if (
        both
        and not may_overcommit(name)
        and quantity.value(given["default"]) != quantity.value(given["defaultRequest"])
    ):
        why = f"default value {given['default']} must equal to defaultRequest value {given['defaultRequest']} in {name}"
        causes.append(invalid_value(f"{path}.defaultRequest[{name}]", given["defaultRequest"], why))
    return causes


def _validate_ratio(name: str, given: dict[str, str], path: str) -> list[Cause]:
    if "maxLimitRequestRatio" not in given:
        return []
    where, ratio = f"{path}.maxLimitRequestRatio[{name}]", given["maxLimitRequestRatio"]
    causes: list[Cause] = []
    if quantity.value(ratio) < 1:
        causes.append(invalid_value(where, ratio, f"ratio {ratio} is less than 1"))
    least, most = (quantity.value(given.get(field, "0")) for field in ("min", "max"))
    if "max" in given and least > Decimal(0) and quantity.value(ratio) > most / least:
        causes.append(invalid_value(where, ratio, f"ratio {ratio} is greater than max/min = {most / least:.6f}"))
    return causes
