"""What every cluster has before anybody asked for anything: namespaces, the `kubernetes` Service, cluster DNS.

Written once at the start, and again at each restart if it is missing or wrong. A learner's changes to the DNS
configuration stay. Models kube-apiserver's bootstrap controllers and kubeadm's addons (v1.36).
"""

from __future__ import annotations

from .api.discovery import served_versions
from .api.status import StatusError
from .client import Client
from .clock import Clock
from .config import ClusterConfig
from .controllers.serviceaccount import default_account, root_ca
from .objects import SERVICE_NAME_LABEL, Obj, copy, name_of, namespace_of
from .resources import api_service
from .resources.namespace import SYSTEM_NAMESPACES
from .resources.priority_class import system_classes
from .resources.role import default_binding, default_roles
from .resources.service_cidr import RANGES, default_service_cidr

COREDNS_IMAGE = "registry.k8s.io/coredns/coredns:v1.12.1"

_DNS_LABELS = {"k8s-app": "kube-dns"}
_COREFILE = """\
.:53 {{
    errors
    health {{
       lameduck 5s
    }}
    ready
    kubernetes {domain} in-addr.arpa ip6.arpa {{
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }}
    prometheus :9153
    forward . /etc/resolv.conf {{
       max_concurrent 1000
    }}
    cache 30
    loop
    reload
    loadbalance
}}
"""


async def bootstrap(client: Client, config: ClusterConfig, *, ca_certificate: str = "") -> None:
    """Writes what is missing. `ca_certificate` is the cluster's CA in PEM."""
    for name in SYSTEM_NAMESPACES:
        await _ensure(client, "namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for name in SYSTEM_NAMESPACES:
        # The controllers would do it too, a moment later; the first Pods need them now.
        await _ensure(client, "serviceaccounts", default_account(name))
        if ca_certificate:
            await _ensure(client, "configmaps", root_ca(name, ca_certificate), heal=("data",))
    for priority_class in system_classes():
        await _ensure(client, "priorityclasses.scheduling.k8s.io", priority_class)
    for role in default_roles():
        await _ensure(client, "clusterroles.rbac.authorization.k8s.io", role)
    await _ensure(client, "clusterrolebindings.rbac.authorization.k8s.io", default_binding())
    for service in api_service.local_services(served_versions(), Clock().rfc3339()):
        await _ensure(client, api_service.NAME, service)
    await _ensure(client, RANGES, default_service_cidr(config.service_cidr))
    await ensure_kubernetes_service(client, config)
    await _cluster_dns(client, config)


async def ensure_kubernetes_service(client: Client, config: ClusterConfig) -> None:
    """The API server, as Pods reach it: the Service `kubernetes`, its Endpoints and its EndpointSlice."""
    port = {"name": "https", "port": config.api_port_inside, "protocol": "TCP"}
    address = config.node_ip(0)
    service = _object(
        "v1",
        "Service",
        "kubernetes",
        "default",
        {"component": "apiserver", "provider": "kubernetes"},
        spec={
            "type": "ClusterIP",
            "clusterIP": config.kubernetes_service_ip,
            "clusterIPs": [config.kubernetes_service_ip],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": config.api_port_inside}],
        },
    )
    endpoints = _object(
        "v1",
        "Endpoints",
        "kubernetes",
        "default",
        {"endpointslice.kubernetes.io/skip-mirror": "true"},
        subsets=[{"addresses": [{"ip": address}], "ports": [port]}],
    )
    slice_ = _object(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        "kubernetes",
        "default",
        {SERVICE_NAME_LABEL: "kubernetes"},
        addressType="IPv4",
        ports=[port],
        endpoints=[{"addresses": [address], "conditions": {"ready": True}}],
    )
    await _ensure(client, "services", service)
    await _ensure(client, "endpoints", endpoints, heal=("subsets",))
    await _ensure(client, "endpointslices.discovery.k8s.io", slice_, heal=("ports", "endpoints"))


async def _cluster_dns(client: Client, config: ClusterConfig) -> None:
    """kube-dns, answered by CoreDNS."""
    service = _object(
        "v1",
        "Service",
        "kube-dns",
        "kube-system",
        {**_DNS_LABELS, "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"},
        spec={
            "type": "ClusterIP",
            "clusterIP": config.dns_ip,
            "clusterIPs": [config.dns_ip],
            "selector": _DNS_LABELS,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
                {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
            ],
        },
    )
    service["metadata"]["annotations"] = {"prometheus.io/port": "9153", "prometheus.io/scrape": "true"}
    corefile = {"Corefile": _COREFILE.format(domain=config.cluster_domain)}
    await _ensure(client, "serviceaccounts", _object("v1", "ServiceAccount", "coredns", "kube-system"))
    await _ensure(client, "configmaps", _object("v1", "ConfigMap", "coredns", "kube-system", data=corefile))
    await _ensure(client, "services", service)
    await _ensure(client, "deployments.apps", _coredns_deployment())


def _coredns_deployment() -> Obj:
    container = {
        "name": "coredns",
        "image": COREDNS_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "resources": {"limits": {"memory": "170Mi"}, "requests": {"cpu": "100m", "memory": "70Mi"}},
        "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns", "readOnly": True}],
        "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9153, "protocol": "TCP"},
            {"name": "readiness-probe", "containerPort": 8181, "protocol": "TCP"},
        ],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "readiness-probe", "scheme": "HTTP"}},
    }
    items = [{"key": "Corefile", "path": "Corefile"}]
    spec = {
        "priorityClassName": "system-cluster-critical",
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [
            {"key": "CriticalAddonsOnly", "operator": "Exists"},
            {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
        ],
        "containers": [container],
        "volumes": [{"name": "config-volume", "configMap": {"name": "coredns", "items": items}}],
    }
    return _object(
        "apps/v1",
        "Deployment",
        "coredns",
        "kube-system",
        _DNS_LABELS,
        spec={
            "replicas": 1,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "selector": {"matchLabels": _DNS_LABELS},
            "template": {"metadata": {"labels": _DNS_LABELS}, "spec": spec},
        },
    )


def _object(
    api_version: str, kind: str, name: str, namespace: str, labels: dict[str, str] | None = None, **content: object
) -> Obj:
    metadata: Obj = {"name": name, "namespace": namespace}
    if labels:
        metadata["labels"] = dict(labels)
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **copy(content)}


async def _ensure(client: Client, resource: str, wanted: Obj, *, heal: tuple[str, ...] = ()) -> None:
    """Creates the object; if it exists, puts right only those fields that must not be wrong."""
    try:
        current = await client.get(resource, name_of(wanted), namespace_of(wanted) or None)
    except StatusError as error:
        if error.code != 404:
            raise
        await client.create(resource, wanted)
        return
    if all(current.get(field) == wanted[field] for field in heal):
        return
    await client.update(resource, {**copy(current), **{field: wanted[field] for field in heal}})
