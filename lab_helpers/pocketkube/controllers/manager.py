"""Which controllers there are, and the name under which each writes its events.

Models cmd/kube-controller-manager/app/controllermanager.go (v1.36).
"""

from __future__ import annotations

from ..api.tokens import TokenAuthority
from ..client import Client
from ..clock import Clock
from ..config import ClusterConfig
from ..informer import Controller, SharedInformers
from ..pki import Pki
from ..scheduler import NAME as SCHEDULER
from ..scheduler import Scheduler
from .cronjob import CronJobController
from .custom_resources import CustomResourceController
from .daemonset import DaemonSetController
from .deployment import DeploymentController
from .disruption import DisruptionController
from .endpoints import EndpointsController
from .endpointslice import EndpointSliceController
from .endpointslice_mirroring import EndpointSliceMirroringController
from .event_ttl import EventTTLController
from .events import EventRecorder
from .garbage_collector import GarbageCollector
from .ip_addresses import IPAddressController
from .job import JobController, StrayJobPods
from .kubernetes_service import KubernetesServiceController
from .load_balancer import LoadBalancerController
from .namespace import NamespaceController
from .node_lifecycle import NodeLifecycleController
from .pod_gc import PodGarbageCollector
from .replicaset import ReplicaSetController
from .replicationcontroller import ReplicationControllerController
from .resource_quota import ResourceQuotaController
from .role_aggregation import RoleAggregationController
from .service_cidr import ServiceCIDRController
from .serviceaccount import RootCAPublisher, ServiceAccountController
from .statefulset import StatefulSetController
from .token_secrets import TokenSecretController


def new_controllers(
    client: Client, informers: SharedInformers, config: ClusterConfig, clock: Clock
) -> list[Controller]:
    """All of them, not yet running."""

    def recorder(component: str) -> EventRecorder:
        return EventRecorder(client, component, clock=clock)

    controllers: list[Controller] = [
        Scheduler(client, informers, recorder(SCHEDULER), clock),
        EndpointSliceController(client, informers, clock),
        EndpointsController(client, informers, clock),
        EndpointSliceMirroringController(client, informers, recorder("endpoint-slice-mirroring-controller"), clock),
        ReplicaSetController(client, informers, recorder("replicaset-controller"), clock),
        ReplicationControllerController(client, informers, recorder("replication-controller"), clock),
        DeploymentController(client, informers, recorder("deployment-controller"), clock),
        StatefulSetController(client, informers, recorder("statefulset-controller"), clock),
        DaemonSetController(client, informers, recorder("daemonset-controller"), clock),
        JobController(client, informers, recorder("job-controller"), clock),
        CronJobController(client, informers, recorder("cronjob-controller"), clock),
        StrayJobPods(client, informers, clock),
        DisruptionController(client, informers, recorder("controllermanager"), clock),
        NodeLifecycleController(client, informers, recorder("node-controller"), clock),
        PodGarbageCollector(client, informers, clock),
        LoadBalancerController(client, informers, recorder("service-controller"), config.node_cidr, clock),
        KubernetesServiceController(client, informers, config, clock),
        ServiceCIDRController(client, informers, recorder("service-cidr-controller"), config.service_cidr, clock),
        IPAddressController(client, informers, recorder("ipallocator-repair-controller"), clock),
        ResourceQuotaController(client, informers, clock),
        RoleAggregationController(client, informers, clock),
        ServiceAccountController(client, informers, clock),
        NamespaceController(client, informers, clock),
        GarbageCollector(client, informers, clock),
        CustomResourceController(client, informers, clock),
        EventTTLController(client, informers, clock),
    ]
    pki = Pki(config.pki_dir)
    if pki.ca_certificate.exists():
        certificate = pki.ca_certificate.read_text()
        tokens = TokenAuthority(pki.service_account_key, config.issuer)
        controllers.append(RootCAPublisher(client, informers, certificate, clock))
        controllers.append(TokenSecretController(client, informers, tokens, certificate, clock))
    return controllers
