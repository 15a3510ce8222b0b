"""ServiceCIDRs and IPAddresses: from where ClusterIPs come, and who has which.

Models pkg/apis/networking/validation ValidateServiceCIDR and ValidateIPAddress (v1.36).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from ..api.status import Cause, invalid_value, required
from ..objects import Obj, condition_of, is_deleting
from .metadata import validate_immutable
from .naming import cidr_problems, ip_problems, path_segment_problems, subdomain_problems
from .strategy import Strategy

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

RANGES = "servicecidrs.networking.k8s.io"
ADDRESSES = "ipaddresses.networking.k8s.io"
DEFAULT = "kubernetes"
MANAGED_BY = "ipaddress.kubernetes.io/managed-by"
MANAGER = "ipallocator.k8s.io"
FINALIZER = "networking.k8s.io/service-cidr-finalizer"
_IMMUTABLE = "field is immutable"
_ONE_A_FAMILY = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"


class ServiceCIDRStrategy(Strategy):
    """A range of ClusterIPs."""

    def validate(self, obj: Obj) -> list[Cause]:
        """One range a family."""
        cidrs = (obj.get("spec") or {}).get("cidrs") or []
        if not cidrs:
            return [required("spec.cidrs", "at least one CIDR required")]
        if len(cidrs) > 2:
            return [invalid_value("spec.cidrs", obj["spec"], "may only hold up to 2 values")]
        causes = [
            invalid_value(f"spec.cidrs[{index}]", cidr, problem)
            for index, cidr in enumerate(cidrs)
            for problem in range_problems(cidr)
        ]
        if len(cidrs) == 2 and _family(cidrs[0]) and _family(cidrs[0]) == _family(cidrs[1]):
            causes.append(invalid_value("spec.cidrs", cidrs, _ONE_A_FAMILY))
        return causes

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """A range is for life; one of the other family may join it. Models ValidateServiceCIDRUpdate."""
        before, after = ((obj.get("spec") or {}).get("cidrs") or [] for obj in (old, new))
        joined = (len(before), len(after)) == (1, 2)
        if len(before) != len(after) and not joined:
            return [invalid_value("spec.cidrs", after, _IMMUTABLE)]
        causes = [
            invalid_value(f"spec.cidrs[{index}]", cidr, _IMMUTABLE)
            for index, (cidr, was) in enumerate(zip(after, before, strict=False))
            if cidr != was
        ]
        return causes + (self.validate(new) if joined else [])


class IPAddressStrategy(Strategy):
    """One address, and whose it is; its name is the address itself."""

    def name_problems(self, name: str) -> list[str]:
        """An address in its one canonical form."""
        problems = ip_problems(name)
        if problems or str(ipaddress.ip_address(name)) == name:
            return problems
        return [f'must be in canonical form ("{ipaddress.ip_address(name)}")']

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateIPAddressParentReference."""
        parent = (obj.get("spec") or {}).get("parentRef")
        path = "spec.parentRef"
        if parent is None:
            return [required(path)]
        causes: list[Cause] = []
        if parent.get("group"):
            causes += [
                invalid_value(f"{path}.group", parent["group"], why) for why in subdomain_problems(parent["group"])
            ]
        for field in ("resource", "name", "namespace"):
            value = parent.get(field)
            if value:
                causes += [invalid_value(f"{path}.{field}", value, why) for why in path_segment_problems(value)]
            elif field != "namespace":
                causes.append(required(f"{path}.{field}"))
        return causes

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Whose it is is for life."""
        before, after = ((obj.get("spec") or {}).get("parentRef") for obj in (old, new))
        return validate_immutable(after, before, "spec.parentRef")


def range_problems(text: str) -> list[str]:
    """Problems of a range in its one canonical form. Models apimachinery's IsValidCIDR."""
    problems = cidr_problems(text)
    if problems:
        return problems
    network = ipaddress.ip_network(text, strict=False)
    address, _, bits = text.partition("/")
    if bits != "0" and bits.startswith("0"):
        problems.append("must not have leading 0s in IP or prefix length")
    elif isinstance(network, ipaddress.IPv6Network) and ipaddress.IPv6Address(address).ipv4_mapped:
        problems.append("must not have an IPv4-mapped IPv6 address")
    elif ipaddress.ip_address(address) != network[0]:
        problems.append("must not have bits set beyond the prefix length")
    if not problems and text != str(network):
        problems.append(f'must be in canonical form ("{network}")')
    return problems


def _family(cidr: str) -> int:
    return 0 if cidr_problems(cidr) else ipaddress.ip_network(cidr, strict=False).version


def default_service_cidr(cidr: str) -> Obj:
    """The range that the cluster was made with. Its controller says that it is ready."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": DEFAULT},
        "spec": {"cidrs": [cidr]},
    }


def ranges_of(obj: Obj) -> list[Network]:
    """The networks of a ServiceCIDR."""
    return [ipaddress.ip_network(cidr) for cidr in (obj.get("spec") or {}).get("cidrs") or []]


def can_allocate(obj: Obj) -> bool:
    """True unless the range is on its way out, or said not to be ready. Models ipallocator's isReady."""
    ready = condition_of(obj, "Ready")
    return not is_deleting(obj) and (ready is None or ready["status"] == "True")


def holds(network: Network, address: Address) -> bool:
    """True for addresses that the range can give out: never its first, nor IPv4's last. Models PrefixContainsIP."""
    if address.version != network.version or address not in network or address == network[0]:
        return False
    return address.version == 6 or address != network[-1]


def ranges_holding(service_cidrs: Iterable[Obj], address: Address) -> list[Obj]:
    """The ServiceCIDRs that an address may come from."""
    return [obj for obj in service_cidrs if any(holds(network, address) for network in ranges_of(obj))]


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
