"""ServiceCIDRs and IPAddresses: from where ClusterIPs come, and who has which.

Models pkg/apis/networking/validation ValidateServiceCIDR and ValidateIPAddress (v1.36).
"""

from __future__ import annotations

import ipaddress

from ..api.status import Cause, invalid_value, required
from ..objects import Obj
from .metadata import validate_immutable
from .naming import cidr_problems, ip_problems
from .strategy import Strategy

DEFAULT = "kubernetes"
MANAGED_BY = "ipaddress.kubernetes.io/managed-by"
MANAGER = "ipallocator.k8s.io"
_FINALIZER = "networking.k8s.io/service-cidr-finalizer"
_ONE_RANGE = "this cluster gives out ClusterIPs of the ServiceCIDR 'kubernetes' alone: the new range stays unused"


class ServiceCIDRStrategy(Strategy):
    """A range of ClusterIPs."""

    def validate(self, obj: Obj) -> list[Cause]:
        """One range a family."""
        cidrs = (obj.get("spec") or {}).get("cidrs") or []
        if not cidrs:
            return [required("spec.cidrs", "at least one CIDR required")]
        if len(cidrs) > 2:
            return [invalid_value("spec", obj["spec"], "may only hold up to 2 values")]
        causes = [
            invalid_value(f"spec.cidrs[{index}]", cidr, problem)
            for index, cidr in enumerate(cidrs)
            for problem in cidr_problems(cidr)
        ]
        if not causes and len(cidrs) == 2 and (":" in cidrs[0]) == (":" in cidrs[1]):
            why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
            causes.append(invalid_value("spec", obj["spec"], why))
        return causes

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """A range is for life."""
        before, after = (old.get("spec") or {}).get("cidrs"), (new.get("spec") or {}).get("cidrs")
        return validate_immutable(after, before, "spec.cidrs")

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """That only the first range is used."""
        return [] if new["metadata"]["name"] == DEFAULT else [_ONE_RANGE]


class IPAddressStrategy(Strategy):
    """One address, and whose it is; its name is the address itself."""

    def name_problems(self, name: str) -> list[str]:
        """An address in its one canonical form."""
        problems = ip_problems(name)
        if problems or str(ipaddress.ip_address(name)) == name:
            return problems
        return ["must be a valid address in canonical form"]

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateIPAddressParentReference."""
        parent = (obj.get("spec") or {}).get("parentRef")
        if parent is None:
            return [required("spec.parentRef")]
        return [required(f"spec.parentRef.{field}") for field in ("resource", "name") if not parent.get(field)]

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Whose it is is for life."""
        return validate_immutable(new.get("spec"), old.get("spec"), "spec")


def default_service_cidr(cidr: str) -> Obj:
    """The range that the cluster was made with, without the condition that says it is in use."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": DEFAULT, "finalizers": [_FINALIZER]},
        "spec": {"cidrs": [cidr]},
    }


def in_use(since: str) -> Obj:
    """The status of the default range."""
    condition = {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": since,
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
    }
    return {"conditions": [condition]}


def address_of(address: str, namespace: str, service: str) -> Obj:
    """The IPAddress of a Service's ClusterIP. Models ipallocator's newIPAddress."""
    family = "IPv6" if ":" in address else "IPv4"
    labels = {"ipaddress.kubernetes.io/ip-family": family, MANAGED_BY: MANAGER}
    parent = {"resource": "services", "namespace": namespace, "name": service}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {"name": address, "labels": labels},
        "spec": {"parentRef": parent},
    }
