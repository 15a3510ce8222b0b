"""What is allowed in the wishes of a Pod about its node: affinity and topology spread.

Fulfilling them is left to the scheduler. Models core/validation validateAffinity and validateTopologySpreadConstraints
(v1.36).
"""

from __future__ import annotations

from ..api.status import Cause, duplicate, forbidden_field, invalid_value, not_supported, required
from ..objects import Obj
from .causes import POSITIVE, invalid_each
from .label_selector import validate_label_selector
from .naming import label_key_problems, label_problems, label_value_problems, subdomain_problems

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"

_BAD_OPERATOR = "not a valid selector operator"
_ACTIONS = ("DoNotSchedule", "ScheduleAnyway")
_POLICIES = ("Honor", "Ignore")


def validate_affinity(affinity: Obj, path: str) -> list[Cause]:
    """Nodes that a Pod wants, Pods that it wants near or far."""
    causes: list[Cause] = []
    nodes = affinity.get("nodeAffinity") or {}
    if nodes.get(REQUIRED) is not None:
        causes += _validate_node_selector(nodes[REQUIRED], f"{path}.nodeAffinity.{REQUIRED}.nodeSelectorTerms")
    for index, term in enumerate(nodes.get(PREFERRED) or []):
        where = f"{path}.nodeAffinity.{PREFERRED}[{index}]"
        causes += _validate_weight(term, where)
        causes += _validate_node_term(term.get("preference") or {}, f"{where}.preference", check_values=False)
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(kind) or {}
        for index, term in enumerate(pods.get(REQUIRED) or []):
            causes += _validate_pod_term(term, f"{path}.{kind}.{REQUIRED}[{index}]")
        for index, term in enumerate(pods.get(PREFERRED) or []):
            where = f"{path}.{kind}.{PREFERRED}[{index}]"
            causes += _validate_weight(term, where)
            causes += _validate_pod_term(term.get("podAffinityTerm") or {}, f"{where}.podAffinityTerm")
    return causes


def merge_label_keys(spec: Obj, labels: dict[str, str]) -> None:
    """The keys of labels whose values a Pod shares with, or has unlike, the Pods it means.

    Models mutatePodAffinity and mutateTopologySpreadConstraints.
    """
    terms: list[Obj] = [*(spec.get("topologySpreadConstraints") or [])]
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = (spec.get("affinity") or {}).get(kind) or {}
        terms += pods.get(REQUIRED) or []
        terms += [weighted.get("podAffinityTerm") or {} for weighted in pods.get(PREFERRED) or []]
    for term in terms:
        selector = term.get("labelSelector")
        for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
            for key in term.get(field) or []:
                if selector is not None and key in labels:
                    expression = {"key": key, "operator": operator, "values": [labels[key]]}
                    selector.setdefault("matchExpressions", []).append(expression)


def _validate_weight(term: Obj, path: str) -> list[Cause]:
    weight = term.get("weight") or 0
    return [] if 0 < weight <= 100 else [invalid_value(f"{path}.weight", weight, "must be in the range 1-100")]


def _validate_node_selector(selector: Obj, path: str) -> list[Cause]:
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        return [required(path, "must have at least one node selector term")]
    return [
        cause
        for index, term in enumerate(terms)
        for cause in _validate_node_term(term, f"{path}[{index}]", check_values=True)
    ]


def _validate_node_term(term: Obj, path: str, *, check_values: bool) -> list[Cause]:
    causes: list[Cause] = []
    for index, requirement in enumerate(term.get("matchExpressions") or []):
        causes += _validate_requirement(requirement, f"{path}.matchExpressions[{index}]", check_values)
    for index, requirement in enumerate(term.get("matchFields") or []):
        causes += _validate_field_requirement(requirement, f"{path}.matchFields[{index}]")
    return causes


def _validate_requirement(requirement: Obj, path: str, check_values: bool) -> list[Cause]:
    causes: list[Cause] = []
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    match operator:
        case "In" | "NotIn":
            if not values:
                why = "must be specified when `operator` is 'In' or 'NotIn'"
                causes.append(required(f"{path}.values", why))
        case "Exists" | "DoesNotExist":
            if values:
                why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                causes.append(forbidden_field(f"{path}.values", why))
        case "Gt" | "Lt":
            if len(values) != 1:
                why = "must be specified single value when `operator` is 'Lt' or 'Gt'"
                causes.append(required(f"{path}.values", why))
        case _:
            causes.append(invalid_value(f"{path}.operator", operator, _BAD_OPERATOR))
    key = requirement.get("key") or ""
    causes += [invalid_value(f"{path}.key", key, problem) for problem in label_key_problems(key)]
    if not check_values:
        return causes
    for index, value in enumerate(values):
        causes += [invalid_value(f"{path}.values[{index}]", value, problem) for problem in label_value_problems(value)]
    return causes


def _validate_field_requirement(requirement: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    if operator not in ("In", "NotIn"):
        causes.append(invalid_value(f"{path}.operator", operator, _BAD_OPERATOR))
    elif len(values) != 1:
        why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        causes.append(required(f"{path}.values", why))
    key = requirement.get("key") or ""
    if key != "metadata.name":
        return [*causes, invalid_value(f"{path}.key", key, "not a valid field selector key")]
    for index, value in enumerate(values):
        causes += [invalid_value(f"{path}.values[{index}]", value, problem) for problem in subdomain_problems(value)]
    return causes


def _validate_label_keys(term: Obj, path: str) -> list[Cause]:
    """Keys whose values a new Pod takes from its own labels. Models ValidateMatchLabelKeysAndMismatchLabelKeys."""
    selector = term.get("labelSelector")
    same, other = term.get("matchLabelKeys") or [], term.get("mismatchLabelKeys") or []
    causes: list[Cause] = []
    for field, keys in (("matchLabelKeys", same), ("mismatchLabelKeys", other)):
        if keys and selector is None:
            causes.append(forbidden_field(f"{path}.{field}", "must not be specified when labelSelector is not set"))
            continue
        for index, key in enumerate(keys):
            causes += invalid_each(f"{path}.{field}[{index}]", key, label_key_problems(key))
    seen = {*((selector or {}).get("matchLabels") or {})}
    for expression in (selector or {}).get("matchExpressions") or []:
        key = expression.get("key") or ""
        if key in same and key in seen:
            where = f"{path}[{len(same) - 1 - same[::-1].index(key)}]"
            causes.append(invalid_value(where, key, "exists in both matchLabelKeys and labelSelector"))
        seen.add(key)
    for index, key in enumerate(same):
        if key in other:
            why = "exists in both matchLabelKeys and mismatchLabelKeys"
            causes.append(invalid_value(f"{path}.matchLabelKeys[{index}]", key, why))
    return causes


def _validate_pod_term(term: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for field in ("labelSelector", "namespaceSelector"):
        if term.get(field) is not None:
            causes += validate_label_selector(term[field], f"{path}.{field}")
    for name in term.get("namespaces") or []:
        causes += [invalid_value(f"{path}.namespace", name, problem) for problem in label_problems(name)]
    causes += _validate_label_keys(term, path)
    key = term.get("topologyKey") or ""
    if not key:
        causes.append(required(f"{path}.topologyKey", "can not be empty"))
    return causes + [invalid_value(f"{path}.topologyKey", key, problem) for problem in label_key_problems(key)]


def validate_spread(constraints: list[Obj], path: str) -> list[Cause]:
    """How evenly Pods want to be spread."""
    causes: list[Cause] = []
    for index, constraint in enumerate(constraints):
        where = f"{path}[{index}]"
        kind = _spread_kind(constraint)
        causes += _validate_constraint(constraint, where)
        if any(_spread_kind(other) == kind for other in constraints[index + 1 :]):
            shown = "{" + ", ".join(kind) + "}"
            causes.append(duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", shown))
        causes += _validate_domains(constraint, where) + _validate_label_keys(constraint, where)
        if constraint.get("labelSelector") is not None:
            causes += validate_label_selector(constraint["labelSelector"], f"{where}.labelSelector")
    return causes


def _spread_kind(constraint: Obj) -> tuple[str, str]:
    return constraint.get("topologyKey") or "", constraint.get("whenUnsatisfiable") or ""


def _validate_constraint(constraint: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    skew, (key, action) = constraint.get("maxSkew") or 0, _spread_kind(constraint)
    if skew <= 0:
        causes.append(invalid_value(f"{path}.maxSkew", skew, POSITIVE))
    if not key:
        causes.append(required(f"{path}.topologyKey", "can not be empty"))
    if action not in _ACTIONS:
        causes.append(not_supported(f"{path}.whenUnsatisfiable", action, _ACTIONS))
    return causes


def _validate_domains(constraint: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    domains, (_, action) = constraint.get("minDomains"), _spread_kind(constraint)
    if domains is not None and domains <= 0:
        causes.append(invalid_value(f"{path}.minDomains", domains, POSITIVE))
    if domains is not None and action != "DoNotSchedule":
        why = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        causes.append(invalid_value(f"{path}.minDomains", domains, why))
    for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        policy = constraint.get(field)
        if policy is not None and policy not in _POLICIES:
            causes.append(not_supported(f"{path}.{field}", policy, _POLICIES))
    return causes
