"""ResourceQuotas as objects: which amounts may be named. Keeping a namespace within them is `quota`'s.

Models core/validation ValidateResourceQuota (v1.36).
"""

from __future__ import annotations

from .. import quantity
from ..api.status import NIL_MAP, Cause, invalid_value, required
from ..objects import Obj
from .metadata import IMMUTABLE
from .plain import AnsweringStrategy
from .resource_validation import AMOUNTS, COUNTS, validate_quota_resource_name

_SCOPES = (
    "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating",
    "VolumeAttributesClass",
)  # fmt: skip
_PLAIN_SCOPES = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_MUST_EXIST = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
_OF_PODS = ("pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory")
_FIT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_SCOPES, _OF_PODS),
    "BestEffort": ("pods",),
    "VolumeAttributesClass": ("persistentvolumeclaims", "requests.storage"),
}


class ResourceQuotaStrategy(AnsweringStrategy):
    """Names and amounts."""

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateResourceQuotaSpec."""
        spec = obj.get("spec") or {}
        causes: list[Cause] = []
        for name, amount in sorted((spec.get("hard") or {}).items()):
            path = f"spec.hard[{name}]"
            causes += validate_quota_resource_name(name, path) + _validate_amount(name, amount, path)
        return causes + _validate_scopes(spec) + _validate_selector(spec)

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Scopes are for life."""
        scopes, before = ((obj.get("spec") or {}).get("scopes") or [] for obj in (new, old))
        if set(scopes) == set(before):
            return self.validate(new)
        return [*self.validate(new), invalid_value("spec.scopes", scopes or None, IMMUTABLE)]


def _validate_scopes(spec: Obj) -> list[Cause]:
    """Models validateResourceQuotaScopes."""
    path, scopes = "spec.scopes", spec.get("scopes") or []
    causes: list[Cause] = []
    for scope in scopes:
        if scope not in _SCOPES:
            causes.append(invalid_value(path, scopes, "unsupported scope"))
        causes += [invalid_value(path, scopes, "unsupported scope applied to resource")] * _unfit_names(spec, scope)
    return causes + [invalid_value(path, scopes, "conflicting scopes")] * _conflicts(scopes)


def _validate_selector(spec: Obj) -> list[Cause]:
    """Models validateScopedResourceSelectorRequirement."""
    selector = spec.get("scopeSelector")
    if selector is None:
        return []
    path, terms = "spec.scopeSelector.matchExpressions", selector.get("matchExpressions") or []
    causes: list[Cause] = []
    for term in terms:
        scope, operator, values = term.get("scopeName") or "", term.get("operator") or "", term.get("values") or []
        if scope not in _SCOPES:
            causes.append(invalid_value(f"{path}.scopeName", scope, "unsupported scope"))
        unfit = invalid_value(path, selector, "unsupported scope applied to resource")
        causes += [unfit] * _unfit_names(spec, scope)
        if scope in _PLAIN_SCOPES and operator != "Exists":
            causes.append(invalid_value(f"{path}.operator", operator, _MUST_EXIST))
        if operator in ("In", "NotIn"):
            if not values:
                why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                causes.append(required(f"{path}.values", why))
        elif operator not in ("Exists", "DoesNotExist"):
            causes.append(invalid_value(f"{path}.operator", operator, "not a valid selector operator"))
        elif values:
            why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            causes.append(invalid_value(f"{path}.values", values, why))
    clash = invalid_value(path, spec.get("scopes") or NIL_MAP, "conflicting scopes")
    return causes + [clash] * _conflicts([term.get("scopeName") or "" for term in terms])


def _unfit_names(spec: Obj, scope: str) -> int:
    """How many of the quota's names have nothing to do with a scope. Models IsResourceQuotaScopeValidForResource."""
    fit = _FIT.get(scope)
    names = [name for name in spec.get("hard") or {} if name in COUNTS or name in AMOUNTS]
    return 0 if fit is None else sum(name not in fit for name in names)


def _conflicts(scopes: list[str]) -> int:
    return sum({scope, f"Not{scope}"} <= set(scopes) for scope in ("BestEffort", "Terminating"))


def _validate_amount(name: str, amount: str, path: str) -> list[Cause]:
    value = quantity.value(amount)
    causes: list[Cause] = []
    if value < 0:
        causes.append(invalid_value(path, amount, "must be greater than or equal to 0"))
    if value % 1 and ("/" in name or name in COUNTS):
        causes.append(invalid_value(path, amount, "must be an integer"))
    return causes
