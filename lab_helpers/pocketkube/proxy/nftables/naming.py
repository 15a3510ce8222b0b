"""Names of chains and sets that kube-proxy makes in nftables: long enough to be read, a hash in front.

Models servicePortChainNameBase and servicePortEndpointChainNameBase in pkg/proxy/nftables/proxier.go (v1.36).
"""

from __future__ import annotations

import base64
import hashlib

from ..endpoints import Endpoint
from ..services import ServicePort

AFFINITY = "affinity-"
_LONGEST = 240
_HASH_BYTES = 5  # 8 characters in base32.


def cluster_policy_chain(port: ServicePort) -> str:
    """service-...: balances over all endpoints."""
    return f"service-{_base(port)}"


def local_policy_chain(port: ServicePort) -> str:
    """local-...: balances over the endpoints of this node."""
    return f"local-{_base(port)}"


def external_chain(port: ServicePort) -> str:
    """external-...: where traffic to node ports, load balancer and external addresses goes."""
    return f"external-{_base(port)}"


def firewall_chain(port: ServicePort) -> str:
    """firewall-...: lets only the load balancer's source ranges pass."""
    return f"firewall-{_base(port)}"


def endpoint_chain(port: ServicePort, endpoint: Endpoint) -> str:
    """endpoint-...: sends packets on to one endpoint, and remembers the client; for session affinity alone."""
    return f"endpoint-{_endpoint_base(port, endpoint)}"


def affinity_set(port: ServicePort, endpoint: Endpoint) -> str:
    """affinity-...: the clients that stay with an endpoint."""
    return f"{AFFINITY}{_endpoint_base(port, endpoint)}"


def is_service_chain(chain: str) -> bool:
    """True for the chains that come and go with Services and endpoints."""
    return "/" in chain


def _path(port: ServicePort) -> str:
    return f"{port.namespace}/{port.service}/{port.protocol}/{port.port_name}"


def _base(port: ServicePort) -> str:
    return _hashed(_path(port))


def _endpoint_base(port: ServicePort, endpoint: Endpoint) -> str:
    return _hashed(f"{_path(port)}__{endpoint.ip}/{endpoint.port}")


def _hashed(name: str) -> str:
    name = f"{base64.b32encode(hashlib.sha256(name.encode()).digest()[:_HASH_BYTES]).decode()}-{name}"
    return name if len(name) <= _LONGEST else name[: _LONGEST - 3] + "..."
