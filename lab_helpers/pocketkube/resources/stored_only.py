"""Kinds that are kept and shown, so that every client and controller of Kubernetes finds them, but that nothing heeds.

Every write says in a warning what does not happen. The kinds about storage are in `storage`, those about admission in
`admission`. Models pkg/apis/{node,resource,flowcontrol,certificates} defaults and strategies (v1.36).
"""

from __future__ import annotations

from ..api.request import RequestContext
from ..api.status import Cause, StatusError, invalid_value, required
from ..objects import Obj
from .causes import invalid_each
from .metadata import validate_immutable
from .naming import label_problems
from .strategy import Strategy


class StoredOnlyStrategy(Strategy):
    """A kind that is stored. `note` is what is said on each write."""

    def __init__(self, note: str) -> None:
        self._note = note

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """That nobody acts on it."""
        return [self._note]


class CountedStrategy(StoredOnlyStrategy):
    """One whose changes are counted in `metadata.generation`."""

    tracks_generation = True


class RuntimeClassStrategy(StoredOnlyStrategy):
    """A way to run containers."""

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateRuntimeClass."""
        handler = obj.get("handler") or ""
        return invalid_each("handler", handler, label_problems(handler))

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """What it runs with stays."""
        return validate_immutable(new.get("handler"), old.get("handler"), "handler")


class ResourceClaimStrategy(StoredOnlyStrategy):
    """A claim to devices."""

    def default(self, obj: Obj) -> None:
        """One device of each kind that is asked for."""
        default_device_requests(obj.get("spec") or {})

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """A claim can't be changed, only filled."""
        return validate_immutable(new.get("spec"), old.get("spec"), "spec")


class ResourceClaimTemplateStrategy(StoredOnlyStrategy):
    """A claim for each Pod of a workload."""

    def default(self, obj: Obj) -> None:
        """As for the claim."""
        default_device_requests((obj.get("spec") or {}).get("spec") or {})

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """A template can't be changed."""
        return validate_immutable(new.get("spec"), old.get("spec"), "spec")


def default_device_requests(spec: Obj) -> None:
    """Models pkg/apis/resource/v1/defaults.go."""
    for request in (spec.get("devices") or {}).get("requests") or []:
        for wanted in [request.get("exactly"), *(request.get("firstAvailable") or [])]:
            if wanted is not None:
                wanted.setdefault("allocationMode", "ExactCount")
                if wanted["allocationMode"] == "ExactCount":
                    wanted.setdefault("count", 1)


class FlowSchemaStrategy(CountedStrategy):
    """Which requests are of which priority."""

    def default(self, obj: Obj) -> None:
        """Late among others."""
        obj.setdefault("spec", {}).setdefault("matchingPrecedence", 1000)


class PriorityLevelStrategy(CountedStrategy):
    """How many requests of a priority are answered at once."""

    def default(self, obj: Obj) -> None:
        """Models pkg/apis/flowcontrol/v1/defaults.go."""
        spec = obj.setdefault("spec", {})
        if spec.get("type") == "Exempt":
            spec.setdefault("exempt", {}).setdefault("nominalConcurrencyShares", 0)
            spec["exempt"].setdefault("lendablePercent", 0)
        limited = spec.get("limited")
        if limited is None:
            return
        limited.setdefault("nominalConcurrencyShares", 30)
        limited.setdefault("lendablePercent", 0)
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            for field, usual in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
                queuing.setdefault(field, usual)

    def validate(self, obj: Obj) -> list[Cause]:
        """Exempt or limited."""
        kind = obj["spec"].get("type") or ""
        supported = ("Exempt", "Limited")
        return [] if kind in supported else [invalid_value("spec.type", kind, f"must be one of {', '.join(supported)}")]


class CertificateSigningRequestStrategy(StoredOnlyStrategy):
    """A wish for a certificate."""

    def admit(self, ctx: RequestContext, obj: Obj) -> None:
        """Who asks is written by the server. Models pkg/registry/certificates/certificates/strategy.go."""
        spec = obj.setdefault("spec", {})
        spec["username"] = ctx.user
        spec["groups"] = list(ctx.groups)
        for field in ("uid", "extra"):
            spec.pop(field, None)

    def default(self, obj: Obj) -> None:
        """For what a certificate is used unless it is said."""
        obj.setdefault("spec", {}).setdefault("usages", ["digital signature", "key encipherment"])

    def prepare_for_update(self, new: Obj, old: Obj) -> None:
        """What is asked for stays; so does the answer."""
        super().prepare_for_update(new, old)
        new["spec"] = old["spec"]

    def validate(self, obj: Obj) -> list[Cause]:
        """Something to sign, and somebody to do it."""
        spec = obj["spec"]
        return [required(f"spec.{field}") for field in ("request", "signerName") if not spec.get(field)]

    def field_names(self) -> tuple[str, ...]:
        """Who is to sign."""
        return ("spec.signerName",)

    def fields(self, obj: Obj) -> dict[str, str]:
        """Who is to sign."""
        return {"spec.signerName": str(obj["spec"].get("signerName") or "")}


class RefusedStrategy(StoredOnlyStrategy):
    """A kind whose objects would promise what can't be kept: none is ever stored."""

    def admit(self, ctx: RequestContext, obj: Obj) -> None:
        """Says why."""
        ctx.warn(self._note)
        raise StatusError.method_not_allowed(self._note)


_NO_DEVICES = "this cluster has no devices to claim: a Pod with a claim waits"
_NO_FLOW_CONTROL = "this cluster serves all requests alike: it stores priorities of requests and does not heed them"

STORED_ONLY: dict[str, Strategy] = {
    "certificatesigningrequests.certificates.k8s.io": CertificateSigningRequestStrategy(
        "this cluster stores requests for certificates and signs none"
    ),
    "deviceclasses.resource.k8s.io": CountedStrategy(_NO_DEVICES),
    "flowschemas.flowcontrol.apiserver.k8s.io": FlowSchemaStrategy(_NO_FLOW_CONTROL),
    "horizontalpodautoscalers.autoscaling": RefusedStrategy(
        "this cluster has no autoscaler: nothing measures Pods; change the replicas yourself (kubectl scale)"
    ),
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": PriorityLevelStrategy(_NO_FLOW_CONTROL),
    "resourceclaims.resource.k8s.io": ResourceClaimStrategy(_NO_DEVICES),
    "resourceclaimtemplates.resource.k8s.io": ResourceClaimTemplateStrategy(_NO_DEVICES),
    "resourceslices.resource.k8s.io": CountedStrategy(_NO_DEVICES),
    "runtimeclasses.node.k8s.io": RuntimeClassStrategy(
        "this cluster has one way to run containers: it stores RuntimeClasses and does not heed them"
    ),
}
