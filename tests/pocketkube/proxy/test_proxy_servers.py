"""What kube-proxy tells about itself on its node."""

from __future__ import annotations

import json

import pytest

from lab_helpers.clusters import EmbeddedCluster

pytestmark = pytest.mark.kernel


def ask(cluster: EmbeddedCluster, url: str) -> str:
    """What a client on the node is answered."""
    return cluster.node_shell(["curl", "-s", url]).stdout


def test_a_node_s_proxy_tells_its_mode_figures_and_health(cluster: EmbeddedCluster) -> None:
    assert ask(cluster, "localhost:10249/proxyMode") == "iptables"
    assert ask(cluster, "localhost:10249/healthz") == "ok"
    page = ask(cluster, "localhost:10249/metrics")
    assert 'kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"} ' in page
    assert "process_resident_memory_bytes " in page
    assert ask(cluster, "localhost:10249/nosuch") == "404 page not found\n"
    health = json.loads(ask(cluster, "192.168.49.2:10256/healthz"))
    assert health["nodeEligible"] is True and health["lastUpdated"] <= health["currentTime"]
