"""ResourceQuotas as objects: which amounts may be named. Keeping a namespace within them is `quota`'s.

Models core/validation ValidateResourceQuota (v1.36).
"""

from __future__ import annotations

from .. import quantity
from ..api.status import Cause, invalid_value
from ..objects import Obj
from .naming import label_key_problems
from .plain import AnsweringStrategy

_COUNTS = (
    "configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets", "services",
    "services.loadbalancers", "services.nodeports",
)  # fmt: skip
_AMOUNTS = (
    "cpu", "ephemeral-storage", "memory", "limits.cpu", "limits.ephemeral-storage", "limits.memory",
    "requests.cpu", "requests.ephemeral-storage", "requests.memory", "requests.storage",
)  # fmt: skip
_HUGE_PAGES = ("hugepages-", "requests.hugepages-")
_SCOPES = (
    "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating",
    "VolumeAttributesClass",
)  # fmt: skip


class ResourceQuotaStrategy(AnsweringStrategy):
    """Names and amounts."""

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateResourceQuotaSpec."""
        spec = obj.get("spec") or {}
        causes: list[Cause] = []
        for name, amount in sorted((spec.get("hard") or {}).items()):
            path = f"spec.hard[{name}]"
            causes += _validate_name(name, path) + _validate_amount(name, amount, path)
        scopes = spec.get("scopes") or []
        if any(scope not in _SCOPES for scope in scopes):
            causes.append(invalid_value("spec.scopes", scopes, "unsupported scope"))
        return causes


def _validate_name(name: str, path: str) -> list[Cause]:
    problems = label_key_problems(name)
    if not problems and "/" not in name and name not in (*_COUNTS, *_AMOUNTS) and not name.startswith(_HUGE_PAGES):
        problems = ["must be a standard resource type or fully qualified", "must be a standard resource for quota"]
    return [invalid_value(path, name, problem) for problem in problems]


def _validate_amount(name: str, amount: str, path: str) -> list[Cause]:
    value = quantity.value(amount)
    causes: list[Cause] = []
    if value < 0:
        causes.append(invalid_value(path, amount, "must be greater than or equal to 0"))
    if value % 1 and ("/" in name or name in _COUNTS):
        causes.append(invalid_value(path, amount, "must be an integer"))
    return causes
