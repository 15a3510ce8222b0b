"""Which nodes a load balancer's address leads to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from lab_helpers.pocketkube.informer import Informer
from lab_helpers.pocketkube.network.load_balancer import LoadBalancers
from lab_helpers.pocketkube.objects import Obj

NODES = {"one": "192.168.49.2", "two": "192.168.49.3"}


class Cluster:
    """Services and EndpointSlices by hand, and what the network was told."""

    def __init__(self) -> None:
        self.informers = {name: Informer(None, name) for name in ("services", "endpointslices.discovery.k8s.io")}  # type: ignore[arg-type]
        self.told: list[tuple[str, list[str]]] = []
        self.version = 0
        LoadBalancers(self, self.balance, NODES)  # type: ignore[arg-type]

    def get(self, resource: str) -> Informer:
        return self.informers[resource]

    def balance(self, address: str, nodes: Sequence[str]) -> None:
        self.told.append((address, list(nodes)))

    def put(self, resource: str, name: str, labels: dict[str, str] | None = None, **content: Any) -> None:
        self.version += 1
        metadata = {"name": name, "namespace": "d", "uid": name, "resourceVersion": str(self.version)}
        self.informers[resource]._put({"metadata": {**metadata, "labels": labels or {}}, **content})

    def service(self, *ips: str, kind: str = "LoadBalancer", policy: str = "Cluster") -> None:
        ingress = [{"ip": ip} for ip in ips]
        spec = {"type": kind, "externalTrafficPolicy": policy}
        self.put("services", "web", spec=spec, status={"loadBalancer": {"ingress": ingress}})

    def endpoints(self, *nodes: str) -> None:
        endpoints: list[Obj] = [{"nodeName": node, "conditions": {"ready": node != "unready"}} for node in nodes]
        labels = {"kubernetes.io/service-name": "web"}
        self.put("endpointslices.discovery.k8s.io", "web-x", labels, endpoints=endpoints)


def test_all_nodes_or_under_policy_local_those_with_endpoints() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        cluster.service()
        assert cluster.told == []
        cluster.service("192.168.49.200", "nonsense", "::1")
        assert cluster.told == [("192.168.49.200", [*NODES.values()])]
        cluster.service("192.168.49.200", policy="Local")
        assert cluster.told[1:] == [("192.168.49.200", [])], "nobody serves"
        cluster.endpoints("two", "two", "unready")
        assert cluster.told[2:] == [("192.168.49.200", ["192.168.49.3"])]
        cluster.endpoints("two")
        assert len(cluster.told) == 3, "nothing changed"
        cluster.service("192.168.49.201", policy="Local")
        assert cluster.told[3:] == [("192.168.49.200", []), ("192.168.49.201", ["192.168.49.3"])]
        cluster.service(kind="ClusterIP")
        assert cluster.told[5:] == [("192.168.49.201", [])]

    asyncio.run(scenario())
