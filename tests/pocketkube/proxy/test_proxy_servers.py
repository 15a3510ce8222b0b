"""What kube-proxy tells about itself on its node."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientSession
from proxy_parts import NODE, endpoint, endpoint_slice, service

from lab_helpers.clusters import EmbeddedCluster
from lab_helpers.pocketkube.clock import FakeClock
from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.proxy.health import ProxyHealth
from lab_helpers.pocketkube.proxy.service_health import ServiceHealthServers
from lab_helpers.pocketkube.proxy.service_ports import Ports, ports_with_endpoints


def ask(cluster: EmbeddedCluster, url: str) -> str:
    """What a client on the node is answered."""
    return cluster.node_shell(["curl", "-s", url]).stdout


@pytest.mark.kernel
def test_a_node_s_proxy_tells_its_mode_figures_and_health(cluster: EmbeddedCluster) -> None:
    assert ask(cluster, "localhost:10249/proxyMode") == "iptables"
    assert ask(cluster, "localhost:10249/healthz") == "ok"
    page = ask(cluster, "localhost:10249/metrics")
    assert 'kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"} ' in page
    assert "process_resident_memory_bytes " in page
    assert "kubeproxy_sync_proxy_rules_service_changes_total " in page
    assert "# TYPE kubeproxy_sync_proxy_rules_iptables_restore_failures_total counter" in page
    assert ask(cluster, "localhost:10249/nosuch") == "404 page not found\n"
    health = json.loads(ask(cluster, "192.168.49.2:10256/healthz"))
    assert health["nodeEligible"] is True and health["lastUpdated"] <= health["currentTime"]
    assert health["healthy"] is True and health["status"]["IPv4"]["healthy"] is True
    alive = json.loads(ask(cluster, "localhost:10256/livez"))
    assert alive["healthy"] is True and "nodeEligible" not in alive
    config = json.loads(ask(cluster, "localhost:10249/configz"))["kubeproxy.config.k8s.io"]
    assert config["mode"] == "iptables" and config["clusterCIDR"] == "10.244.0.0/16"


def test_kube_proxy_is_unwell_when_the_kernel_stays_behind() -> None:
    clock = FakeClock()
    health = ProxyHealth(clock)
    health.updated()
    clock.advance(1000)
    assert health.healthy, "nothing happened, so nothing is missing"
    health.queued()
    clock.advance(50)
    health.queued()
    assert health.healthy
    clock.advance(11)
    assert not health.healthy
    report = health.report(node_eligible=True)
    assert report["lastUpdated"] < report["currentTime"]
    health.updated()
    assert health.healthy


async def request(port: int) -> tuple[int, dict[str, str], dict[str, Any]]:
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/any/path") as response:
        return response.status, dict(response.headers), await response.json()


def test_a_health_check_node_port_tells_whether_this_node_has_endpoints() -> None:
    async def scenario() -> None:
        opened: dict[int, int] = {}

        def listen(port: int) -> socket.socket:
            listener = socket.create_server(("127.0.0.1", 0))
            opened[port] = listener.getsockname()[1]
            return listener

        def local(*endpoints: Obj) -> dict[str, Ports]:
            web = service(
                type="LoadBalancer",
                externalTrafficPolicy="Local",
                healthCheckNodePort=31000,
                ports=[{"port": 80, "name": "a"}, {"port": 81, "name": "b"}],
            )
            slices = [endpoint_slice(endpoints, ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81}])]
            return {"default/web": ports_with_endpoints(web, slices, NODE)}

        servers = ServiceHealthServers(listen)
        here, there = endpoint("10.244.0.2"), endpoint("10.244.1.2", node="other")
        await servers.sync(local(here, there, endpoint("10.244.0.3", ready=False)))
        code, headers, body = await request(opened[31000])
        assert code == 200
        assert headers["X-Load-Balancing-Endpoint-Weight"] == "1"
        assert headers["Content-Type"] == "application/json"
        assert body == {
            "service": {"namespace": "default", "name": "web"},
            "localEndpoints": 1,
            "serviceProxyHealthy": True,
        }
        await servers.sync(local(there))
        code, _, body = await request(opened[31000])
        assert (code, body["localEndpoints"]) == (503, 0)
        await servers.sync({})
        with pytest.raises(ClientConnectionError):
            await request(opened[31000])

    asyncio.run(scenario())
