"""kube-proxy's configuration as /configz shows it: what this cluster was started with, upstream's defaults else.

Models KubeProxyConfiguration of k8s.io/kube-proxy/config/v1alpha1 and its defaults (v1.36).
"""

from __future__ import annotations

from typing import Any

from ..config import ClusterConfig


def configuration(config: ClusterConfig, node: str) -> dict[str, Any]:
    """A `KubeProxyConfiguration` in JSON."""
    masquerading: dict[str, Any] = {"masqueradeBit": 14, "masqueradeAll": False}
    periods = {"syncPeriod": "30s", "minSyncPeriod": "1s"}
    return {
        "kind": "KubeProxyConfiguration",
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "clientConnection": {
            "kubeconfig": "",
            "acceptContentTypes": "",
            "contentType": "application/json",
            "qps": 5,
            "burst": 10,
        },
        "hostnameOverride": node,
        "bindAddress": "0.0.0.0",
        "healthzBindAddress": "0.0.0.0:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "bindAddressHardFail": False,
        "enableProfiling": False,
        "showHiddenMetricsForVersion": "",
        "mode": config.proxy_mode,
        "iptables": {**masquerading, "localhostNodePorts": True, **periods},
        "ipvs": {
            "syncPeriod": "30s",
            "minSyncPeriod": "1s",
            "scheduler": "",
            "excludeCIDRs": None,
            "strictARP": False,
            "tcpTimeout": "0s",
            "tcpFinTimeout": "0s",
            "udpTimeout": "0s",
        },
        "nftables": {**masquerading, **periods},
        "winkernel": {
            "networkName": "",
            "sourceVip": "",
            "enableDSR": False,
            "rootHnsEndpointName": "",
            "forwardHealthCheckVip": False,
        },
        "detectLocalMode": "ClusterCIDR",
        "detectLocal": {"bridgeInterface": "", "interfaceNamePrefix": ""},
        "clusterCIDR": config.pod_cidr,
        "nodePortAddresses": None,
        "oomScoreAdj": -999,
        "conntrack": {
            "maxPerCore": 32768,
            "min": 131072,
            "tcpEstablishedTimeout": "24h0m0s",
            "tcpCloseWaitTimeout": "1h0m0s",
            "tcpBeLiberal": False,
            "udpTimeout": "0s",
            "udpStreamTimeout": "0s",
        },
        "configSyncPeriod": "15m0s",
        "portRange": "",
    }
