"""What a Service asks of kube-proxy, one `ServicePort` for each of its ports.

Models pkg/proxy/serviceport.go (v1.36), IPv4. Which endpoints a port gets is left to `endpoints`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import cached_property

from ..objects import Obj, labels_of, name_of, namespace_of
from .naming import cluster_policy_chain, external_chain, firewall_chain, local_policy_chain, service_port_name

PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
_DEFAULT_AFFINITY_SECONDS = 10_800


@dataclass(frozen=True)
class ServicePort:
    """One port of one Service, with everything that shapes its rules."""

    namespace: str
    service: str
    port_name: str
    protocol: str
    """In lower case, as iptables wants it."""
    cluster_ip: str
    port: int
    node_port: int = 0
    external_ips: tuple[str, ...] = ()
    load_balancer_vips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    affinity_seconds: int = 0
    """How long a client stays with its endpoint; 0 without session affinity."""
    internal_policy_local: bool = False
    external_policy_local: bool = False
    health_check_node_port: int = 0

    @cached_property
    def name(self) -> str:
        """`namespace/service[:port]`, as it stands in comments."""
        return service_port_name(self.namespace, self.service, self.port_name)

    @property
    def externally_accessible(self) -> bool:
        """True if it can be reached by another address than its cluster IP."""
        return bool(self.node_port or self.load_balancer_vips or self.external_ips)

    @property
    def uses_cluster_endpoints(self) -> bool:
        """Also under external policy Local: traffic from Pods and the node itself takes the short cut."""
        return not self.internal_policy_local or self.externally_accessible

    @property
    def uses_local_endpoints(self) -> bool:
        """True if some of its traffic must stay on this node."""
        return self.internal_policy_local or (self.external_policy_local and self.externally_accessible)

    @cached_property
    def cluster_policy_chain(self) -> str:
        """The chain that balances over all endpoints."""
        return cluster_policy_chain(self.name, self.protocol)

    @cached_property
    def local_policy_chain(self) -> str:
        """The chain that balances over the endpoints of this node."""
        return local_policy_chain(self.name, self.protocol)

    @cached_property
    def external_chain(self) -> str:
        """The chain for traffic from outside."""
        return external_chain(self.name, self.protocol)

    @cached_property
    def firewall_chain(self) -> str:
        """The chain for the load balancer's source ranges."""
        return firewall_chain(self.name, self.protocol)


def service_ports(service: Obj) -> list[ServicePort]:
    """The ports of a Service that kube-proxy cares for.

    None for headless and ExternalName Services, and for those that are labelled as another proxy's.
    """
    spec = service["spec"]
    if PROXY_NAME_LABEL in labels_of(service):
        return []
    cluster_ip = spec.get("clusterIP") or ""
    if cluster_ip in ("", "None") or spec.get("type") == "ExternalName" or not _is_ipv4(cluster_ip):
        return []
    return [_service_port(service, port) for port in spec.get("ports") or []]


def _service_port(service: Obj, port: Obj) -> ServicePort:
    spec = service["spec"]
    return ServicePort(
        namespace=namespace_of(service),
        service=name_of(service),
        port_name=port.get("name") or "",
        protocol=(port.get("protocol") or "TCP").lower(),
        cluster_ip=spec["clusterIP"],
        port=int(port["port"]),
        node_port=int(port.get("nodePort") or 0),
        external_ips=tuple(ip for ip in spec.get("externalIPs") or [] if _is_ipv4(ip)),
        load_balancer_vips=_load_balancer_vips(service),
        source_ranges=_source_ranges(spec),
        affinity_seconds=_affinity_seconds(spec),
        internal_policy_local=spec.get("internalTrafficPolicy") == "Local",
        external_policy_local=_can_be_external(spec) and spec.get("externalTrafficPolicy") == "Local",
        health_check_node_port=int(spec.get("healthCheckNodePort") or 0),
    )


def _can_be_external(spec: Obj) -> bool:
    return spec.get("type") in ("LoadBalancer", "NodePort") or bool(spec.get("externalIPs"))


def _load_balancer_vips(service: Obj) -> tuple[str, ...]:
    status = service.get("status") or {}
    ingress = (status.get("loadBalancer") or {}).get("ingress") or []
    # ipMode Proxy: the load balancer wants to see this traffic itself.
    return tuple(i["ip"] for i in ingress if _is_ipv4(i.get("ip") or "") and i.get("ipMode", "VIP") == "VIP")


def _source_ranges(spec: Obj) -> tuple[str, ...]:
    ranges = [text.strip() for text in spec.get("loadBalancerSourceRanges") or []]
    networks = [ipaddress.ip_network(text, strict=False) for text in ranges if ":" not in text]
    if any(network.prefixlen == 0 for network in networks):
        return ()
    return tuple(str(network) for network in networks)


def _affinity_seconds(spec: Obj) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(config.get("timeoutSeconds") or _DEFAULT_AFFINITY_SECONDS)


def _is_ipv4(text: str) -> bool:
    return text.count(".") == 3 and ":" not in text
