"""Where the traffic of a Service port may go on one node, whatever the proxy mode.

Models the first half of the loop in syncProxyRules, which pkg/proxy/iptables/proxier.go and
pkg/proxy/nftables/proxier.go (v1.36) share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .endpoints import Categories, Endpoint, categorize
from .options import NodeInfo
from .services import ServicePort


@dataclass(frozen=True)
class Routing:
    """A Service port, the endpoints that this node may use for it, and for whom there are some."""

    port: ServicePort
    categories: Categories

    @classmethod
    def of(cls, port: ServicePort, endpoints: Sequence[Endpoint], node: NodeInfo) -> Routing:
        """How the port's traffic is routed on a node."""
        return cls(port, categorize(endpoints, port, node.name, node.zone))

    @property
    def has_endpoints(self) -> bool:
        """True if any endpoint on any node can be used."""
        return self.categories.any

    @property
    def has_internal(self) -> bool:
        """True if there are endpoints for traffic to the cluster IP."""
        return self.categories.any and not (self.port.internal_policy_local and not self.categories.local)

    @property
    def has_external(self) -> bool:
        """True if there are endpoints for traffic to all other addresses."""
        return self.categories.any and not (self.port.external_policy_local and not self.categories.local)

    @property
    def uses_external(self) -> bool:
        """True if traffic to other addresses has a chain: clients in the cluster may use it without `has_external`."""
        return self.categories.any and self.port.externally_accessible

    @property
    def cluster(self) -> tuple[Endpoint, ...]:
        """The endpoints that traffic under policy Cluster is balanced over."""
        return self.categories.cluster if self.port.uses_cluster_endpoints else ()

    @property
    def local(self) -> tuple[Endpoint, ...]:
        """The endpoints that traffic under policy Local is balanced over."""
        return self.categories.local if self.port.uses_local_endpoints else ()
