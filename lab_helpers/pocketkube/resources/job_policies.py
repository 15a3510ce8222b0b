"""A Job's policies: what a failed Pod means, when enough has succeeded, when a Pod is replaced.

Here is what is allowed in them; following them is left to the controller. Models pkg/apis/batch/validation (v1.36).
"""

from __future__ import annotations

import re

from ..api.status import (
    Cause,
    Verbatim,
    duplicate,
    go_quote,
    invalid_value,
    not_supported,
    required,
    too_long,
    too_many,
)
from ..objects import Obj
from .causes import NOT_NEGATIVE, invalid_each
from .naming import label_key_problems

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")
_REPLACEMENTS = ("Failed", "TerminatingOrFailed")
_MOST_RULES, _MOST_CODES, _MOST_CONDITIONS = 20, 255, 20
_LONGEST_INDEXES = 64 * 1024


def validate_failure_policy(spec: Obj, path: str) -> list[Cause]:
    """Models validatePodFailurePolicy."""
    rules, path = spec["podFailurePolicy"].get("rules") or [], f"{path}.rules"
    causes = [too_many(path, len(rules), _MOST_RULES)] if len(rules) > _MOST_RULES else []
    for index, rule in enumerate(rules):
        causes += _validate_failure_rule(spec, rule, f"{path}[{index}]")
    return causes


def _validate_failure_rule(spec: Obj, rule: Obj, path: str) -> list[Cause]:
    action, codes, conditions = rule.get("action") or "", rule.get("onExitCodes"), rule.get("onPodConditions") or []
    causes = _one_of(f"{path}.action", action, _ACTIONS)
    if action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        causes.append(invalid_value(f"{path}.action", action, "requires the backoffLimitPerIndex to be set"))
    if codes is not None:
        causes += _validate_exit_codes(spec, codes, f"{path}.onExitCodes")
    causes += _validate_conditions(conditions, f"{path}.onPodConditions")
    if codes is not None and conditions:
        causes.append(_bare(path, "specifying both OnExitCodes and OnPodConditions is not supported"))
    if codes is None and not conditions:
        causes.append(_bare(path, "specifying one of OnExitCodes and OnPodConditions is required"))
    return causes


def _bare(path: str, why: str) -> Cause:
    """A cause that does not show the value."""
    return invalid_value(path, Verbatim(""), why)


def _one_of(path: str, value: str, allowed: tuple[str, ...]) -> list[Cause]:
    if not value:
        listed = " ".join(go_quote(one) for one in allowed)
        return [required(path, f"valid values: [{listed}]")]
    return [] if value in allowed else [not_supported(path, value, allowed)]


def _validate_conditions(conditions: list[Obj], path: str) -> list[Cause]:
    causes = [too_many(path, len(conditions), _MOST_CONDITIONS)] if len(conditions) > _MOST_CONDITIONS else []
    for index, condition in enumerate(conditions):
        kind, here = condition.get("type") or "", f"{path}[{index}]"
        causes += invalid_each(f"{here}.type", kind, label_key_problems(kind))
        causes += _one_of(f"{here}.status", condition.get("status") or "", _STATUSES)
    return causes


def _validate_exit_codes(spec: Obj, codes: Obj, path: str) -> list[Cause]:
    operator, name = codes.get("operator") or "", codes.get("containerName")
    values: list[int] = codes.get("values") or []
    causes = _one_of(f"{path}.operator", operator, _OPERATORS)
    pod = spec["template"]["spec"]
    names = [container.get("name") for field in ("containers", "initContainers") for container in pod.get(field) or []]
    if name is not None and name not in names:
        why = "must be one of the container or initContainer names in the pod template"
        causes.append(invalid_value(f"{path}.containerName", name, why))
    if not values:
        causes.append(invalid_value(f"{path}.values", codes.get("values"), "at least one value is required"))
    elif len(values) > _MOST_CODES:
        causes.append(too_many(f"{path}.values", len(values), _MOST_CODES))
    for index, code in enumerate(values):
        if operator == "In" and code == 0:
            causes.append(invalid_value(f"{path}.values[{index}]", code, "must not be 0 for the In operator"))
        if code in values[:index]:
            causes.append(duplicate(f"{path}.values[{index}]", code))
    if values != sorted(values):
        causes.append(invalid_value(f"{path}.values", values, "must be ordered"))
    return causes


def validate_success_policy(spec: Obj, path: str) -> list[Cause]:
    """Models validateSuccessPolicy."""
    rules, path = spec["successPolicy"].get("rules") or [], f"{path}.rules"
    causes: list[Cause] = []
    if not rules:
        causes.append(required(path, "at least one rules must be specified when the successPolicy is specified"))
    if len(rules) > _MOST_RULES:
        causes.append(too_many(path, len(rules), _MOST_RULES))
    for index, rule in enumerate(rules):
        causes += _validate_success_rule(rule, spec.get("completions") or 0, f"{path}[{index}]")
    return causes


def _validate_success_rule(rule: Obj, completions: int, path: str) -> list[Cause]:
    indexes, count = rule.get("succeededIndexes"), rule.get("succeededCount")
    if indexes is None and count is None:
        return [required(path, "at least one of succeededCount or succeededIndexes must be specified")]
    causes: list[Cause] = []
    total = 0
    if indexes is not None:
        where = f"{path}.succeededIndexes"
        if len(indexes.encode()) > _LONGEST_INDEXES:
            causes.append(too_long(where, _LONGEST_INDEXES))
        try:
            total = _count_indexes(indexes, completions)
        except ValueError as error:
            causes.append(invalid_value(where, indexes, f"error parsing succeededIndexes: {error}"))
    if count is None:
        return causes
    where, most = f"{path}.succeededCount", "must be less than or equal to"
    if count < 0:
        causes.append(invalid_value(where, count, NOT_NEGATIVE))
    if count > completions:
        causes.append(invalid_value(where, count, f"{most} {completions} (the number of specified completions)"))
    if indexes is not None and count > total:
        why = f"{most} {total} (the number of indexes in the specified succeededIndexes field)"
        causes.append(invalid_value(where, count, why))
    return causes


def _count_indexes(text: str, completions: int) -> int:
    """How many indexes `1,3-5` names. ValueError in upstream's words."""
    total, last = 0, -1
    for part in text.split(",") if text else ():
        bounds = part.split("-")
        if len(bounds) > 2:
            why = "violates the requirement that an index interval can have at most two parts separated by '-'"
            raise ValueError(f'the fragment "{part}" {why}')
        numbers = [_index(bound, completions) for bound in bounds]
        if len(numbers) > 1 and numbers[0] >= numbers[1]:
            raise ValueError(f"non-increasing order, previous: {numbers[0]}, current: {numbers[1]}")
        if total and last >= numbers[0]:
            raise ValueError(f"non-increasing order, previous: {last}, current: {numbers[0]}")
        total, last = total + numbers[-1] - numbers[0] + 1, numbers[-1]
    return total


def _index(text: str, completions: int) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f'cannot convert string to integer for index: "{text}"')
    if int(text) >= completions:
        raise ValueError(f'too large index: "{text}"')
    return int(text)


def validate_replacement_policy(spec: Obj, path: str) -> list[Cause]:
    """A Job that looks at failures must wait for them. Models validatePodReplacementPolicy."""
    policy = spec.get("podReplacementPolicy")
    allowed = _REPLACEMENTS if spec.get("podFailurePolicy") is None else ("Failed",)
    return [] if policy is None or policy in allowed else [not_supported(path, policy, allowed)]


def shown_failure_policy(policy: Obj | None) -> Obj | None:
    """The policy as messages show it: the server's own type."""
    if policy is None:
        return None
    rules = []
    for rule in policy.get("rules") or []:
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
        shown_codes = codes and {
            "ContainerName": codes.get("containerName"),
            "Operator": codes.get("operator") or "",
            "Values": codes.get("values"),
        }
        shown_conditions = conditions and [
            {"Type": one.get("type") or "", "Status": one.get("status") or ""} for one in conditions
        ]
        action = rule.get("action") or ""
        rules.append({"Action": action, "OnExitCodes": shown_codes, "OnPodConditions": shown_conditions})
    return {"Rules": rules}


def shown_success_policy(policy: Obj | None) -> Obj | None:
    """The policy as messages show it: the server's own type."""
    if policy is None:
        return None
    return {
        "Rules": [
            {"SucceededIndexes": rule.get("succeededIndexes"), "SucceededCount": rule.get("succeededCount")}
            for rule in policy.get("rules") or []
        ]
    }
