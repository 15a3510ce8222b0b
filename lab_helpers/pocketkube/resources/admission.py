"""Admission webhooks and policies: kept as upstream keeps them, but no request is ever shown to one.

Models pkg/apis/admissionregistration/v1/defaults.go and validation (v1.36).
"""

from __future__ import annotations

from ..api.status import Cause, required
from ..objects import Obj
from .stored_only import CountedStrategy
from .strategy import Strategy

_NO_WEBHOOKS = "this cluster calls no admission webhooks: no request is checked or changed by this object"
_NO_POLICIES = "this cluster evaluates no admission policies: no request is checked or changed by this object"


class WebhookStrategy(CountedStrategy):
    """Who is asked about requests."""

    generation_fields = ("webhooks",)

    def __init__(self, *, mutating: bool) -> None:
        super().__init__(_NO_WEBHOOKS)
        self._mutating = mutating

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_{Validating,Mutating}Webhook."""
        for webhook in obj.get("webhooks") or []:
            webhook.setdefault("failurePolicy", "Fail")
            webhook.setdefault("timeoutSeconds", 10)
            if self._mutating:
                webhook.setdefault("reinvocationPolicy", "Never")
            _default_match(webhook, "rules")
            service = (webhook.get("clientConfig") or {}).get("service")
            if service is not None:
                service.setdefault("port", 443)

    def validate(self, obj: Obj) -> list[Cause]:
        """Every webhook has a name, and says what it does beside answering."""
        causes: list[Cause] = []
        for index, webhook in enumerate(obj.get("webhooks") or []):
            path = f"webhooks[{index}]"
            if not webhook.get("name"):
                causes.append(required(f"{path}.name"))
            if not webhook.get("sideEffects"):
                causes.append(required(f"{path}.sideEffects", "must specify one of None, NoneOnDryRun"))
            if not webhook.get("admissionReviewVersions"):
                why = "must specify one of v1, v1beta1"
                causes.append(required(f"{path}.admissionReviewVersions", why))
        return causes


class AdmissionPolicyStrategy(CountedStrategy):
    """What requests must be like."""

    def __init__(self) -> None:
        super().__init__(_NO_POLICIES)

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_ValidatingAdmissionPolicySpec."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("failurePolicy", "Fail")
        if spec.get("matchConstraints") is not None:
            _default_match(spec["matchConstraints"], "resourceRules", "excludeResourceRules")


class PolicyBindingStrategy(CountedStrategy):
    """Where a policy holds."""

    def __init__(self) -> None:
        super().__init__(_NO_POLICIES)

    def default(self, obj: Obj) -> None:
        """What it matches, if it says so."""
        matched = (obj.get("spec") or {}).get("matchResources")
        if matched is not None:
            _default_match(matched, "resourceRules", "excludeResourceRules")

    def validate(self, obj: Obj) -> list[Cause]:
        """It names its policy."""
        return [] if (obj.get("spec") or {}).get("policyName") else [required("spec.policyName")]


def _default_match(entry: Obj, *rules: str) -> None:
    entry.setdefault("matchPolicy", "Equivalent")
    entry.setdefault("namespaceSelector", {})
    entry.setdefault("objectSelector", {})
    for rule in [rule for field in rules for rule in entry.get(field) or []]:
        rule.setdefault("scope", "*")


ADMISSION: dict[str, Strategy] = {
    "mutatingadmissionpolicies.admissionregistration.k8s.io": AdmissionPolicyStrategy(),
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": PolicyBindingStrategy(),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": WebhookStrategy(mutating=True),
    "validatingadmissionpolicies.admissionregistration.k8s.io": AdmissionPolicyStrategy(),
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": PolicyBindingStrategy(),
    "validatingwebhookconfigurations.admissionregistration.k8s.io": WebhookStrategy(mutating=False),
}
