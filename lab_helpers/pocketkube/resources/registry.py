"""Which strategy rules which resource. A resource without rules of its own has the common ones."""

from __future__ import annotations

from random import Random

from ..config import ClusterConfig
from ..store import Store
from .allocators import NodePortAllocator, ServiceIPAllocator
from .config_data import ConfigMapStrategy, SecretStrategy
from .endpoint import EndpointSliceStrategy, EndpointsStrategy
from .event import EventStrategy
from .namespace import NamespaceStrategy
from .node import LeaseStrategy, NodeStrategy
from .plain import AnsweringStrategy
from .pod import PodStrategy
from .service import ServiceStrategy
from .strategy import Strategy
from .table import RESOURCES
from .workload import DeploymentStrategy, ReplicaSetStrategy, ReplicationControllerStrategy


def build_strategies(store: Store, config: ClusterConfig, random: Random) -> dict[str, Strategy]:
    """A strategy for every resource. Allocators start from the Services that are in the store."""
    services = store.list("services")
    addresses = ServiceIPAllocator(config.service_cidr, random, services)
    ports = NodePortAllocator(random, services)
    special: dict[str, Strategy] = {
        "configmaps": ConfigMapStrategy(),
        "deployments.apps": DeploymentStrategy(),
        "endpoints": EndpointsStrategy(),
        "endpointslices.discovery.k8s.io": EndpointSliceStrategy(),
        "events": EventStrategy(),
        "leases.coordination.k8s.io": LeaseStrategy(),
        "namespaces": NamespaceStrategy(),
        "nodes": NodeStrategy(),
        "pods": PodStrategy(store, random),
        "replicasets.apps": ReplicaSetStrategy(),
        "replicationcontrollers": ReplicationControllerStrategy(),
        "resourcequotas": AnsweringStrategy(),
        "secrets": SecretStrategy(),
        "serviceaccounts": AnsweringStrategy(),
        "services": ServiceStrategy(addresses, ports),
    }
    common = Strategy()
    return {name: special.get(name, common) for name in RESOURCES}
