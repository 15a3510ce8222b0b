"""What is allowed in a Service. Models pkg/apis/core/validation ValidateService and ValidateServiceUpdate (v1.36)."""

from __future__ import annotations

from typing import Any

from ..api.status import Cause, duplicate, forbidden_field, invalid_value, not_supported, required
from ..objects import Obj
from .addresses import special_address_problem
from .metadata import validate_labels
from .naming import (
    cidr_problems,
    ip_problems,
    label_key_problems,
    label_problems,
    port_name_problems,
    port_number_problems,
    subdomain_problems,
)

PROTOCOLS = ("SCTP", "TCP", "UDP")
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_POLICIES = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
TOPOLOGY_HINTS, TOPOLOGY_MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_LONGEST_AFFINITY = 86400
_LB_ONLY = "may only be used when `type` is 'LoadBalancer'"


def needs_cluster_ip(spec: Obj) -> bool:
    """Every type but ExternalName has an address of its own, or "None"."""
    return spec.get("type") != "ExternalName"


def needs_node_port(spec: Obj) -> bool:
    """True if the nodes may open ports for it."""
    return spec.get("type") in ("NodePort", "LoadBalancer")


def needs_health_check_port(spec: Obj) -> bool:
    """A load balancer that sends to nodes with own endpoints alone must be told which those are."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def is_externally_accessible(spec: Obj) -> bool:
    """True if traffic from outside the cluster is meant to reach it."""
    return needs_node_port(spec) or (spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs")))


def is_headless(spec: Obj) -> bool:
    """True if DNS answers with the Pods themselves."""
    return (spec.get("clusterIPs") or [spec.get("clusterIP")]) == ["None"]


def validate_service(obj: Obj) -> list[Cause]:
    """A Service, metadata apart."""
    spec: Obj = obj["spec"]
    causes = _validate_topology(obj["metadata"].get("annotations") or {})
    ports = spec.get("ports") or []
    if not ports and not is_headless(spec) and spec["type"] != "ExternalName":
        causes.append(required("spec.ports"))
    causes += _validate_type_needs(spec)
    names: set[str] = set()
    for index, port in enumerate(ports):
        causes += _validate_port(port, len(ports) > 1, names, f"spec.ports[{index}]")
    causes += validate_labels(spec.get("selector") or {}, "spec.selector")
    causes += _validate_affinity(spec)
    causes += validate_cluster_ips(spec)
    for index, address in enumerate(spec.get("externalIPs") or []):
        causes += validate_external_address(address, f"spec.externalIPs[{index}]")
    if spec["type"] not in _TYPES:
        causes.append(not_supported("spec.type", spec["type"], _TYPES))
    causes += _validate_node_ports(spec)
    causes += _validate_duplicate_ports(ports)
    causes += _validate_ranges_annotation(obj) + _validate_load_balancer(spec)
    return causes + _validate_policies(spec)


def _validate_topology(annotations: Obj) -> list[Cause]:
    """The old annotation and the new one say the same."""
    old, new = annotations.get(TOPOLOGY_HINTS), annotations.get(TOPOLOGY_MODE)
    if old is None or new is None or old == new:
        return []
    why = f"must match annotations[{TOPOLOGY_HINTS}] when both are specified"
    return [invalid_value(f"metadata.annotations[{TOPOLOGY_MODE}]", new, why)]


def _validate_ranges_annotation(obj: Obj) -> list[Cause]:
    """Source ranges as they were given before there was a field for them."""
    text, path = (obj["metadata"].get("annotations") or {}).get(_RANGES), f"metadata.annotations[{_RANGES}]"
    if text is None or obj["spec"].get("loadBalancerSourceRanges"):
        return []
    causes = [] if obj["spec"]["type"] == "LoadBalancer" else [forbidden_field(path, _LB_ONLY)]
    ranges = [part.strip() for part in text.split(",")] if text.strip() else []
    return causes + [invalid_value(path, part, problem) for part in ranges for problem in cidr_problems(part)]


def validate_external_address(address: str, path: str) -> list[Cause]:
    """An address of something outside that traffic is sent to: no loopback, link-local or multicast."""
    problems = ip_problems(address)
    if not problems:
        special = special_address_problem(address)
        problems = [special] if special else []
    return [invalid_value(path, address, problem) for problem in problems]


def _validate_type_needs(spec: Obj) -> list[Cause]:
    kind = spec["type"]
    causes: list[Cause] = []
    if kind in ("LoadBalancer", "NodePort") and is_headless(spec):
        causes.append(invalid_value("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services"))
    if kind != "ExternalName":
        return causes
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            causes.append(forbidden_field(f"spec.{field}", "may not be set for ExternalName services"))
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        return [*causes, required("spec.externalName")]
    return causes + [invalid_value("spec.externalName", name, problem) for problem in subdomain_problems(name)]


def _validate_port(port: Obj, name_required: bool, names: set[str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    name = port.get("name") or ""
    if name_required and not name:
        causes.append(required(f"{path}.name"))
    elif name:
        causes += [invalid_value(f"{path}.name", name, problem) for problem in label_problems(name)]
        if name in names:
            causes.append(duplicate(f"{path}.name", name))
        names.add(name)
    number = port.get("port", 0)
    causes += [invalid_value(f"{path}.port", number, problem) for problem in port_number_problems(number)]
    if port["protocol"] not in PROTOCOLS:
        causes.append(not_supported(f"{path}.protocol", port["protocol"], PROTOCOLS))
    causes += validate_port_or_name(port.get("targetPort", 0), f"{path}.targetPort")
    if port.get("appProtocol") is not None:
        value = port["appProtocol"]
        causes += [invalid_value(f"{path}.appProtocol", value, problem) for problem in label_key_problems(value)]
    return causes


def validate_port_or_name(value: Any, path: str) -> list[Cause]:
    """A port of a Pod by number or by name."""
    problems = port_number_problems(value) if isinstance(value, int) else port_name_problems(value)
    return [invalid_value(path, value, problem) for problem in problems]


def _validate_affinity(spec: Obj) -> list[Cause]:
    affinity = spec["sessionAffinity"]
    if affinity not in ("ClientIP", "None"):
        return [not_supported("spec.sessionAffinity", affinity, ["ClientIP", "None"])]
    if affinity == "None":
        return []
    path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
    seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"]
    if 0 < seconds <= _LONGEST_AFFINITY:
        return []
    return [invalid_value(path, seconds, f"must be greater than 0 and less than {_LONGEST_AFFINITY}")]


def validate_cluster_ips(spec: Obj) -> list[Cause]:
    """How clusterIP, clusterIPs and the IP families go together."""
    if spec["type"] == "ExternalName":
        return []
    causes: list[Cause] = []
    first, listed = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if not first and listed:
        causes.append(invalid_value("spec.clusterIPs", listed, "must be empty when `clusterIP` is not specified"))
    elif first and not listed:
        causes.append(required("spec.clusterIPs"))
    elif first and listed[0] != first:
        causes.append(invalid_value("spec.clusterIPs", listed, "first value must match `clusterIP`"))
    families = spec.get("ipFamilies") or []
    for index, family in enumerate(families):
        if family not in ("IPv4", "IPv6"):
            causes.append(not_supported(f"spec.ipFamilies[{index}]", family, ["IPv4", "IPv6"]))
        if family in families[:index]:
            causes.append(duplicate(f"spec.ipFamilies[{index}]", family))
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in _FAMILY_POLICIES:
        causes.append(not_supported("spec.ipFamilyPolicy", policy, _FAMILY_POLICIES))
    malformed = _validate_addresses(listed)
    causes += malformed
    if len(listed) > 2:
        causes.append(invalid_value("spec.clusterIPs", listed, "may only hold up to 2 values"))
    return causes if malformed else causes + _validate_stacks(listed, families)


def _validate_stacks(listed: list[str], families: list[str]) -> list[Cause]:
    """One address a family, in the order of the families."""
    causes: list[Cause] = []
    if len(listed) > 1 and len({":" in address for address in listed}) < 2:
        why = "may specify no more than one IP for each IP family"
        causes.append(invalid_value("spec.clusterIPs", listed, why))
    if listed == ["None"]:
        return causes
    for index, (address, family) in enumerate(zip(listed, families, strict=False)):
        if family in ("IPv4", "IPv6") and (":" in address) != (family == "IPv6"):
            why = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            causes.append(invalid_value(f"spec.clusterIPs[{index}]", address, why))
    return causes


def _validate_addresses(listed: list[str]) -> list[Cause]:
    causes: list[Cause] = []
    for index, address in enumerate(listed):
        if index == 0 and address == "None":
            if len(listed) > 1:
                causes.append(invalid_value("spec.clusterIPs", listed, "'None' must be the first and only value"))
            continue
        problems = ip_problems(address)
        causes += [invalid_value(f"spec.clusterIPs[{index}]", address, problem) for problem in problems]
    return causes


def _validate_node_ports(spec: Obj) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[tuple[str, int]] = set()
    for index, port in enumerate(spec.get("ports") or []):
        path = f"spec.ports[{index}].nodePort"
        number = port.get("nodePort")
        if not number:
            continue
        if spec["type"] == "ClusterIP":
            causes.append(forbidden_field(path, "may not be used when `type` is 'ClusterIP'"))
        if (port["protocol"], number) in seen:
            causes.append(duplicate(path, number))
        seen.add((port["protocol"], number))
    # The type is wrong for all ports before any of them is looked at for duplicates.
    return sorted(causes, key=lambda cause: cause.reason == "FieldValueDuplicate")


def _validate_duplicate_ports(ports: list[Obj]) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        key = (port["protocol"], port.get("port", 0))
        if key in seen:
            # The server's own type is shown, with the fields that make the port a duplicate.
            shown = {"Name": "", "Protocol": key[0], "AppProtocol": None, "Port": key[1]}
            causes.append(duplicate(f"spec.ports[{index}]", {**shown, "TargetPort": 0, "NodePort": 0}))
        seen.add(key)
    return causes


def _validate_load_balancer(spec: Obj) -> list[Cause]:
    causes: list[Cause] = []
    path = "spec.LoadBalancerSourceRanges"
    ranges = spec.get("loadBalancerSourceRanges") or []
    is_balancer = spec["type"] == "LoadBalancer"
    if ranges and not is_balancer:
        causes.append(forbidden_field(path, _LB_ONLY))
    for index, value in enumerate(ranges):
        clean = value.strip()
        causes += [invalid_value(f"{path}[{index}]", clean, problem) for problem in cidr_problems(clean)]
    if spec.get("allocateLoadBalancerNodePorts") is not None and not is_balancer:
        causes.append(forbidden_field("spec.allocateLoadBalancerNodePorts", _LB_ONLY))
    return causes + _validate_class(spec)


def _validate_class(spec: Obj) -> list[Cause]:
    load_class = spec.get("loadBalancerClass")
    if load_class is None:
        return []
    if spec["type"] != "LoadBalancer":
        return [forbidden_field("spec.loadBalancerClass", _LB_ONLY)]
    return [invalid_value("spec.loadBalancerClass", load_class, problem) for problem in label_key_problems(load_class)]


def _validate_policies(spec: Obj) -> list[Cause]:
    causes: list[Cause] = []
    external = spec.get("externalTrafficPolicy")
    if not is_externally_accessible(spec):
        if external:
            why = "may only be set for externally-accessible services"
            causes.append(invalid_value("spec.externalTrafficPolicy", external, why))
    elif external not in _POLICIES:
        causes.append(not_supported("spec.externalTrafficPolicy", external, _POLICIES))
    health = spec.get("healthCheckNodePort") or 0
    if needs_health_check_port(spec) and health:
        causes += [
            invalid_value("spec.healthCheckNodePort", health, problem) for problem in port_number_problems(health)
        ]
    if not needs_health_check_port(spec) and health:
        why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        causes.append(invalid_value("spec.healthCheckNodePort", health, why))
    internal = spec.get("internalTrafficPolicy")
    if internal is not None and internal not in _POLICIES:
        causes.append(not_supported("spec.internalTrafficPolicy", internal, _POLICIES))
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        causes.append(not_supported("spec.trafficDistribution", distribution, _DISTRIBUTIONS))
    return causes


def validate_service_update(new: Obj, old: Obj) -> list[Cause]:
    """A Service as the successor of another: its address is for life, unless it becomes an alias."""
    spec, before = new["spec"], old["spec"]
    causes: list[Cause] = []
    if needs_cluster_ip(spec) and needs_cluster_ip(before):
        causes += _validate_kept_addresses(spec, before) + _validate_kept_families(spec, before)
    had_class, has_class = before.get("loadBalancerClass"), spec.get("loadBalancerClass")
    if before["type"] == spec["type"] == "LoadBalancer" and has_class != had_class:
        causes.append(invalid_value("spec.loadBalancerClass", has_class, "may not change once set"))
    causes += _validate_class(spec)  # upstream looks at it once more for an update
    checked = needs_health_check_port(before) and needs_health_check_port(spec)
    if checked and spec.get("healthCheckNodePort") != before.get("healthCheckNodePort"):
        causes.append(forbidden_field("spec.healthCheckNodePort", "field is immutable"))
    return causes + validate_service(new)


def _validate_kept_addresses(spec: Obj, before: Obj) -> list[Cause]:
    """Models validateUpgradeDowngradeClusterIPs."""
    had, has = before.get("clusterIPs") or [], spec.get("clusterIPs") or []
    if is_headless(spec) and is_headless(before):
        return []
    path, causes = "spec.clusterIPs", list[Cause]()
    if len(had) == len(has):
        for index, address in enumerate(had):
            if address != has[index]:
                causes.append(invalid_value(f"{path}[{index}]", has, "may not change once set"))
    elif had and not has:
        # Upstream shows a list that was left out as null.
        causes.append(invalid_value(f"{path}[0]", spec.get("clusterIPs"), "primary clusterIP can not be unset"))
    elif had and has[0] != had[0]:
        causes.append(invalid_value(f"{path}[0]", has, "may not change once set"))
    return causes


def _validate_kept_families(spec: Obj, before: Obj) -> list[Cause]:
    """Models validateUpgradeDowngradeIPFamilies."""
    if is_headless(spec) or is_headless(before):
        return []
    had, has = before.get("ipFamilies") or [], spec.get("ipFamilies") or []
    path, why = "spec.ipFamilies[0]", "may not change once set"
    if len(had) == len(has):
        return [invalid_value(path, has, why) for old, new in zip(had, has, strict=True) if old != new]
    return [invalid_value(path, spec.get("clusterIPs"), why)] if had and has and has[0] != had[0] else []


def validate_status(obj: Obj) -> list[Cause]:
    """The addresses that a load balancer reports."""
    causes: list[Cause] = []
    balancer, path = (obj.get("status") or {}).get("loadBalancer") or {}, "status.loadBalancer.ingress"
    entries = balancer.get("ingress") or []
    if entries and obj["spec"]["type"] != "LoadBalancer":
        return [forbidden_field(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    for index, ingress in enumerate(entries):
        causes += _validate_ingress(ingress, f"{path}[{index}]")
    return causes


def _validate_ingress(ingress: Obj, path: str) -> list[Cause]:
    address, mode, host = ingress.get("ip") or "", ingress.get("ipMode"), ingress.get("hostname") or ""
    causes = [invalid_value(f"{path}.ip", address, problem) for problem in ip_problems(address)] if address else []
    if mode is not None and not address:
        causes.append(forbidden_field(f"{path}.ipMode", "may not be specified when `ip` is not set"))
    elif mode is not None and mode not in ("Proxy", "VIP"):
        causes.append(not_supported(f"{path}.ipMode", mode, ["Proxy", "VIP"]))
    if host:
        causes += [invalid_value(f"{path}.hostname", host, problem) for problem in subdomain_problems(host)]
        if not ip_problems(host):
            causes.append(invalid_value(f"{path}.hostname", host, "must be a DNS name, not an IP address"))
    return causes
