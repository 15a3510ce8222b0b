"""The fixed facts of one embedded cluster: its name, its addresses, and where its files and sockets are.

Pure data, given to every part; how a part behaves is left to that part.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KUBERNETES_VERSION = "v1.36.2"

API_SOCKET_VARIABLE = "POCKETKUBE_API_SOCKET"
"""Names the API's Unix socket to those few programs in Pods that get it (`kubelet.api_access`)."""


PROXY_MODES = ("iptables", "nftables")
"""How kube-proxy can bring Services into a node's kernel."""

MOST_NODES = 9

ENGINES = ("kernel", "userspace")
"""What the nodes' network is made of: namespaces and rules in the kernel, or both simulated."""

CHOICES = ("nodes", "proxy_mode", "engine")
"""The fields of `ClusterConfig` that who starts a cluster may choose; they hold for as long as it lives."""


@dataclass(frozen=True)
class ClusterConfig:
    """One embedded cluster. Addresses are those of DESIGN: learners meet them in every chapter."""

    name: str
    state_dir: Path
    nodes: int = 1
    proxy_mode: str = "iptables"
    """One of PROXY_MODES."""
    engine: str = "kernel"
    """One of ENGINES."""
    pod_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    node_cidr: str = "192.168.49.0/24"
    dns_ip: str = "10.96.0.10"
    cluster_domain: str = "cluster.local"
    api_port_inside: int = 8443
    """Port of the API server as Pods see it behind the `kubernetes` Service (minikube's number)."""

    @property
    def choices(self) -> Mapping[str, Any]:
        """What was chosen when the cluster was started, field by field."""
        return {field: getattr(self, field) for field in CHOICES}

    @property
    def kubeconfig(self) -> Path:
        """The admin kubeconfig, mode 0600."""
        return self.state_dir / "kubeconfig"

    @property
    def database(self) -> Path:
        """SQLite file behind the store."""
        return self.state_dir / "store.sqlite"

    @property
    def pki_dir(self) -> Path:
        """Certificates and keys, mode 0700."""
        return self.state_dir / "pki"

    @property
    def log_dir(self) -> Path:
        """Logs of the control plane and node processes."""
        return self.state_dir / "logs"

    @property
    def api_socket(self) -> Path:
        """Unix socket of the API server, for the node process (full rights: mode 0600 in a 0700 folder)."""
        return self.state_dir / "api.sock"

    @property
    def kubelet_socket(self) -> Path:
        """Unix socket of the kubelets' own HTTP server (exec, attach, logs, port-forward)."""
        return self.state_dir / "kubelet.sock"

    @property
    def shell_socket(self) -> Path:
        """Unix socket through which `servicelab node` and `servicelab outside` start commands."""
        return self.state_dir / "shell.sock"

    @property
    def handover_socket(self) -> Path:
        """Unix socket on which the control plane takes the API's door inside the cluster (`handover`)."""
        return self.state_dir / "door.sock"

    @property
    def issuer(self) -> str:
        """Who signs the tokens of ServiceAccounts."""
        return f"https://kubernetes.default.svc.{self.cluster_domain}"

    @property
    def outside_ip(self) -> str:
        """Address of the machine outside the cluster: the first host of the node network."""
        return str(ipaddress.ip_network(self.node_cidr)[1])

    @property
    def kubernetes_service_ip(self) -> str:
        """ClusterIP of the `kubernetes` Service: the first of the Service range."""
        return str(ipaddress.ip_network(self.service_cidr)[1])

    def node_name(self, index: int) -> str:
        """Name of a node as minikube gives it: the cluster's name, then `<name>-m02`, ..."""
        return self.name if index == 0 else f"{self.name}-m{index + 1:02d}"

    def node_ip(self, index: int) -> str:
        """Address of a node on the node network: .2, .3, ..."""
        return str(ipaddress.ip_network(self.node_cidr)[index + 2])

    def node_pod_cidr(self, index: int) -> str:
        """The /24 of the Pod range that a node hands out."""
        return str(list(ipaddress.ip_network(self.pod_cidr).subnets(new_prefix=24))[index])
