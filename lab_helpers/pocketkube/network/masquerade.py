"""The rules by which Pods reach what is neither Pod nor Service: under their node's address.

A CNI plugin arranges that on other clusters. kube-proxy inserts its own jumps before this one.
"""

from __future__ import annotations

from ..config import ClusterConfig


def masquerade_rules(config: ClusterConfig, pods: str) -> str:
    """For iptables-restore on a node whose Pods have addresses of the CIDR `pods`."""
    comment = '-m comment --comment "pocketkube: traffic from Pods to the outside"'
    return (
        "*nat\n:POCKETKUBE-MASQ - [0:0]\n"
        f"-A POSTROUTING {comment} -j POCKETKUBE-MASQ\n"
        f"-A POCKETKUBE-MASQ -d {config.pod_cidr} -j RETURN\n"
        f"-A POCKETKUBE-MASQ -s {pods} -j MASQUERADE\nCOMMIT\n"
    )
