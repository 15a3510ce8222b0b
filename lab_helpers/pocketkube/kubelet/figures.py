"""What a kubelet tells about itself: its figures for Prometheus and its configuration.

Models pkg/kubelet/metrics and cmd/kubelet configz (v1.36).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..config import ClusterConfig
from ..metrics import Family, Gauge, Values, one, process_families, render
from ..objects import Obj
from .kubelet import Kubelet
from .logs import LARGEST_LOG
from .node_status import MOST_PODS


def metrics_page(kubelets: Sequence[Kubelet]) -> bytes:
    """`/metrics` of these nodes."""
    families: list[Family] = [
        Gauge(
            "kubelet_node_name",
            "[ALPHA] The node's name. The count is always 1.",
            ("node",),
            lambda: [((kubelet.node_name,), 1) for kubelet in kubelets],
        ),
        Gauge(
            "kubelet_running_containers",
            "[ALPHA] Number of containers currently running",
            ("container_state",),
            lambda: _containers(kubelets),
        ),
        Gauge(
            "kubelet_running_pods",
            "[ALPHA] Number of pods that have a running pod sandbox",
            (),
            one(lambda: sum(worker.sandbox is not None for kubelet in kubelets for worker in kubelet.workers())),
        ),
        *process_families(),
    ]
    return render(families)


def _containers(kubelets: Sequence[Kubelet]) -> Values:
    states = {"running": "running", "terminated": "exited", "waiting": "created"}
    found = Counter(
        states[next(iter(record.state))]
        for kubelet in kubelets
        for worker in kubelet.workers()
        for record in worker.records.values()
        if record.state
    )
    return [((state,), number) for state, number in sorted(found.items())]


def configuration(config: ClusterConfig) -> Obj:
    """`/configz`: the part of a KubeletConfiguration that means something here."""
    return {
        "kubeletconfig": {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "port": 10250,
            "clusterDomain": config.cluster_domain,
            "clusterDNS": [config.dns_ip],
            "maxPods": MOST_PODS,
            "containerLogMaxSize": f"{LARGEST_LOG >> 20}Mi",
        }
    }
