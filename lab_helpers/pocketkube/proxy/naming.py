"""Names of the chains that kube-proxy makes, each from what the chain is for.

A chain's name may be 28 characters long, so Service and endpoint go into it as a hash.
Models portProtoHash and servicePortEndpointChainName in pkg/proxy/iptables/proxier.go (v1.36).
"""

from __future__ import annotations

import base64
import hashlib
import re

_BYTES = 10  # 16 characters in base32.
_SERVICE_CHAIN = re.compile(r"KUBE-(?:SVC|SVL|SEP|FW|EXT)-")


def service_port_name(namespace: str, service: str, port_name: str = "") -> str:
    """`namespace/service`, or `namespace/service:port` where the port has a name."""
    return f"{namespace}/{service}:{port_name}" if port_name else f"{namespace}/{service}"


def chain_hash(text: str) -> str:
    """16 capitals and digits that stand for the text."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()[:_BYTES]).decode()


def cluster_policy_chain(service_port: str, protocol: str) -> str:
    """KUBE-SVC-...: balances over all endpoints."""
    return "KUBE-SVC-" + chain_hash(service_port + protocol)


def local_policy_chain(service_port: str, protocol: str) -> str:
    """KUBE-SVL-...: balances over the endpoints of this node."""
    return "KUBE-SVL-" + chain_hash(service_port + protocol)


def external_chain(service_port: str, protocol: str) -> str:
    """KUBE-EXT-...: where traffic to node ports, load balancer and external addresses goes."""
    return "KUBE-EXT-" + chain_hash(service_port + protocol)


def firewall_chain(service_port: str, protocol: str) -> str:
    """KUBE-FW-...: lets only the load balancer's source ranges pass."""
    return "KUBE-FW-" + chain_hash(service_port + protocol)


def endpoint_chain(service_port: str, protocol: str, endpoint: str) -> str:
    """KUBE-SEP-...: sends packets on to one endpoint (`IP:port`)."""
    return "KUBE-SEP-" + chain_hash(service_port + protocol + endpoint)


def is_service_chain(chain: str) -> bool:
    """True for the chains that come and go with Services and endpoints."""
    return _SERVICE_CHAIN.match(chain) is not None
