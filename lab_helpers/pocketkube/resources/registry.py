"""Which strategy rules which resource. A resource without rules of its own has the common ones."""

from __future__ import annotations

from random import Random

from ..api.escalation import EscalationCheck
from ..store import Store
from .admission import ADMISSION
from .allocators import AddressBook, NodePortAllocator, ServiceIPAllocator
from .api_service import APIServiceStrategy
from .config_data import ConfigMapStrategy, SecretStrategy
from .controller_revision import ControllerRevisionStrategy
from .daemonset import DaemonSetStrategy
from .disruption_budget import PodDisruptionBudgetStrategy
from .endpoint import EndpointSliceStrategy, EndpointsStrategy
from .event import EventStrategy, GroupEventStrategy
from .ingress import IngressClassStrategy, IngressStrategy, NetworkPolicyStrategy
from .job import CronJobStrategy, JobStrategy
from .limit_range import LimitRangeStrategy
from .namespace import NamespaceStrategy
from .node import LeaseStrategy, NodeStrategy
from .plain import AnsweringStrategy
from .pod import PodStrategy
from .pod_template import PodTemplateStrategy
from .priority_class import PriorityClassStrategy
from .resource_quota import ResourceQuotaStrategy
from .role import RoleBindingStrategy, RoleStrategy
from .service import ServiceStrategy
from .service_cidr import IPAddressStrategy, ServiceCIDRStrategy
from .statefulset import StatefulSetStrategy
from .storage import STORAGE
from .stored_only import STORED_ONLY
from .strategy import Strategy
from .table import RESOURCES
from .workload import DeploymentStrategy, ReplicaSetStrategy, ReplicationControllerStrategy


def build_strategies(store: Store, random: Random, book: AddressBook) -> dict[str, Strategy]:
    """A strategy for every resource. The allocator of ports starts from the Services that are in the store."""
    addresses = ServiceIPAllocator(book, random)
    ports = NodePortAllocator(random, store.list("services"))
    special: dict[str, Strategy] = {
        **ADMISSION,
        **STORAGE,
        **STORED_ONLY,
        "apiservices.apiregistration.k8s.io": APIServiceStrategy(),
        "clusterrolebindings.rbac.authorization.k8s.io": RoleBindingStrategy(
            EscalationCheck(store, "clusterrolebindings"), namespaced=False
        ),
        "clusterroles.rbac.authorization.k8s.io": RoleStrategy(
            EscalationCheck(store, "clusterroles"), namespaced=False
        ),
        "configmaps": ConfigMapStrategy(),
        "controllerrevisions.apps": ControllerRevisionStrategy(),
        "cronjobs.batch": CronJobStrategy(),
        "daemonsets.apps": DaemonSetStrategy(),
        "deployments.apps": DeploymentStrategy(),
        "endpoints": EndpointsStrategy(),
        "endpointslices.discovery.k8s.io": EndpointSliceStrategy(),
        "events": EventStrategy(),
        "events.events.k8s.io": GroupEventStrategy(),
        "ingressclasses.networking.k8s.io": IngressClassStrategy(),
        "ingresses.networking.k8s.io": IngressStrategy(),
        "ipaddresses.networking.k8s.io": IPAddressStrategy(),
        "jobs.batch": JobStrategy(),
        "leases.coordination.k8s.io": LeaseStrategy(),
        "limitranges": LimitRangeStrategy(),
        "namespaces": NamespaceStrategy(),
        "networkpolicies.networking.k8s.io": NetworkPolicyStrategy(),
        "nodes": NodeStrategy(),
        "poddisruptionbudgets.policy": PodDisruptionBudgetStrategy(),
        "podtemplates": PodTemplateStrategy(),
        "pods": PodStrategy(store, random),
        "priorityclasses.scheduling.k8s.io": PriorityClassStrategy(store),
        "replicasets.apps": ReplicaSetStrategy(),
        "replicationcontrollers": ReplicationControllerStrategy(),
        "resourcequotas": ResourceQuotaStrategy(),
        "rolebindings.rbac.authorization.k8s.io": RoleBindingStrategy(
            EscalationCheck(store, "rolebindings"), namespaced=True
        ),
        "roles.rbac.authorization.k8s.io": RoleStrategy(EscalationCheck(store, "roles"), namespaced=True),
        "secrets": SecretStrategy(),
        "serviceaccounts": AnsweringStrategy(),
        "servicecidrs.networking.k8s.io": ServiceCIDRStrategy(),
        "services": ServiceStrategy(addresses, ports),
        "statefulsets.apps": StatefulSetStrategy(),
    }
    common = Strategy()
    return {name: special.get(name, common) for name in RESOURCES}
