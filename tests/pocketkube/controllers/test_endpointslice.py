"""EndpointSlices and Endpoints: what stands behind a Service, written at once and never more than needed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from harness import Cluster, deployment, play, pod, service

from lab_helpers.pocketkube.objects import Obj, labels_of, name_of

SLICES = "endpointslices.discovery.k8s.io"


async def slices(cluster: Cluster, name: str = "web") -> list[Obj]:
    return await cluster.list(SLICES, label_selector=f"kubernetes.io/service-name={name}")


async def with_endpoints(cluster: Cluster, count: int, *, ready: int | None = None, name: str = "web") -> list[Obj]:
    found = await slices(cluster, name)
    endpoints = [endpoint for each in found for endpoint in each.get("endpoints") or []]
    is_ready = sum(endpoint["conditions"]["ready"] for endpoint in endpoints)
    good = found and len(endpoints) == count and (ready is None or is_ready == ready)
    return endpoints if good and endpoints else found if good else []


def test_a_service_without_pods_has_a_placeholder_and_one_without_selector_has_nothing(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("services", service("web"))
        bare = service("bare")
        del bare["spec"]["selector"]
        await cluster.client.create("services", bare)
        (placeholder,) = await cluster.until(lambda: slices(cluster))
        await cluster.settle()
        assert (placeholder.get("endpoints") or [], placeholder.get("ports") or []) == ([], [])
        assert labels_of(placeholder) == {
            "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        }
        assert name_of(placeholder).startswith("web-")
        assert await slices(cluster, "bare") == []
        assert await cluster.get("endpoints", "bare") is None
        assert (
            "subsets" not in (await cluster.get("endpoints", "web") or {})
            or not (await cluster.get("endpoints", "web") or {})["subsets"]
        )

    play(tmp_path, scenario)


def test_pods_come_and_go_in_one_slice(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        labelled = service("web")
        labelled["metadata"]["labels"] = {"tier": "front"}
        await cluster.client.create("services", labelled)
        await cluster.client.create("deployments.apps", deployment(replicas=3))
        (endpoint, *_) = await cluster.until(lambda: with_endpoints(cluster, 3, ready=3))
        (only,) = await slices(cluster)
        assert only["ports"] == [{"name": "", "port": 80, "protocol": "TCP"}]
        assert only["addressType"] == "IPv4"
        assert labels_of(only)["tier"] == "front"
        assert only["metadata"]["ownerReferences"][0]["kind"] == "Service"
        assert "endpoints.kubernetes.io/last-change-trigger-time" in only["metadata"]["annotations"]
        assert endpoint["conditions"] == {"ready": True, "serving": True, "terminating": False}
        assert (endpoint["nodeName"], endpoint["targetRef"]["kind"]) == ("test", "Pod")
        await cluster.client.patch("deployments.apps", "web", {"spec": {"replicas": 0}}, "default")
        await cluster.until(lambda: with_endpoints(cluster, 0))
        (same,) = await slices(cluster)
        assert name_of(same) == name_of(only), "the slice stays, empty"
        await cluster.client.delete("services", "web", "default")

        async def gone() -> bool:
            return not await slices(cluster) and not await cluster.get("endpoints", "web")

        await cluster.until(gone)

    play(tmp_path, scenario)


def test_not_ready_and_terminating_pods_are_told_apart(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        cluster.kubelet.holds_ready = lambda each: name_of(each) == "slow"
        cluster.kubelet.holds_end = lambda each: True
        await cluster.client.create("services", service("web"))
        await cluster.client.create("services", service("all", publishNotReadyAddresses=True, clusterIP="None"))
        for name in ("fast", "slow", "ending"):
            await cluster.client.create("pods", pod(name))
        await cluster.until(lambda: with_endpoints(cluster, 3, ready=2))
        await cluster.client.delete("pods", "ending", "default")
        endpoints = await cluster.until(lambda: with_endpoints(cluster, 3, ready=1))
        conditions = {each["targetRef"]["name"]: each["conditions"] for each in endpoints}
        assert conditions == {
            "fast": {"ready": True, "serving": True, "terminating": False},
            "slow": {"ready": False, "serving": False, "terminating": False},
            "ending": {"ready": False, "serving": True, "terminating": True},
        }
        await cluster.settle()
        (subset,) = (await cluster.get("endpoints", "web") or {})["subsets"]
        assert [each["targetRef"]["name"] for each in subset["addresses"]] == ["fast"]
        assert [each["targetRef"]["name"] for each in subset["notReadyAddresses"]] == ["slow"]
        (headless,) = await slices(cluster, "all")
        assert [each["conditions"]["ready"] for each in headless["endpoints"]] == [True] * 3
        assert labels_of(headless)["service.kubernetes.io/headless"] == ""
        cluster.kubelet.holds_end = lambda each: False
        cluster.kubelet.look_again()
        await cluster.until(lambda: with_endpoints(cluster, 2))

    play(tmp_path, scenario)


def test_a_named_target_port_may_differ_from_pod_to_pod(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        ports = [{"name": "web", "port": 80, "targetPort": "http"}]
        await cluster.client.create("services", service("web", ports=ports))
        for number in (8080, 9090):
            container = {"name": "main", "image": "httpd", "ports": [{"name": "http", "containerPort": number}]}
            await cluster.client.create("pods", pod(f"p{number}", containers=[container]))
        await cluster.client.create("pods", pod("portless"))
        await cluster.until(lambda: with_endpoints(cluster, 3))
        by_port = {
            tuple(port["port"] for port in each.get("ports") or []): [e["targetRef"]["name"] for e in each["endpoints"]]
            for each in await slices(cluster)
        }
        assert by_port == {(8080,): ["p8080"], (9090,): ["p9090"], (): ["portless"]}

    play(tmp_path, scenario)


def test_a_hundred_endpoints_fill_a_slice(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("services", service("web"))
        for number in range(103):
            await cluster.client.create("pods", pod(f"p{number}"))
        await cluster.until(lambda: with_endpoints(cluster, 103, ready=103))
        assert sorted(len(each["endpoints"]) for each in await slices(cluster)) == [3, 100]

    play(tmp_path, scenario)


def test_a_pod_that_becomes_ready_is_in_its_slice_within_milliseconds(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        cluster.kubelet.holds_ready = lambda each: True
        await cluster.client.create("services", service("web"))
        await cluster.client.create("pods", pod("p"))
        await cluster.until(lambda: with_endpoints(cluster, 1, ready=0))
        await cluster.settle()
        cluster.kubelet.holds_ready = lambda each: False
        started = time.monotonic()
        cluster.kubelet.look_again()
        await cluster.until(lambda: with_endpoints(cluster, 1, ready=1))
        assert time.monotonic() - started < 0.5, "generous: a busy machine; nothing here waits"

    play(tmp_path, scenario)


def test_endpoints_written_by_hand_are_mirrored(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        bare = service("db")
        del bare["spec"]["selector"]
        await cluster.client.create("services", bare)
        subsets: list[Any] = [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 5432}]}]
        metadata = {"name": "db", "namespace": "default"}
        by_hand = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}
        await cluster.client.create("endpoints", by_hand)
        await cluster.until(lambda: with_endpoints(cluster, 1, ready=1, name="db"))
        (mirrored,) = await slices(cluster, "db")
        assert labels_of(mirrored)["endpointslice.kubernetes.io/managed-by"] == (
            "endpointslicemirroring-controller.k8s.io"
        )
        assert mirrored["ports"] == [{"name": "", "port": 5432, "protocol": "TCP"}]
        assert mirrored["endpoints"][0]["addresses"] == ["192.0.2.7"]
        skip = {"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}}
        await cluster.client.patch("endpoints", "db", skip, "default")

        async def gone() -> bool:
            return not await slices(cluster, "db")

        await cluster.until(gone)

    play(tmp_path, scenario)


def test_a_subset_is_mirrored_up_to_a_thousand_addresses_and_an_event_counts_the_rest(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        bare = service("db")
        del bare["spec"]["selector"]
        await cluster.client.create("services", bare)
        addresses = [{"ip": f"192.0.{number // 250}.{number % 250 + 1}"} for number in range(1001)]
        ports = [{"port": 80, "name": "http"}]
        metadata = {"name": "db", "namespace": "default", "annotations": {"team": "data"}}
        # The same ports in two subsets are one subset, and one slice.
        subsets = [{"addresses": addresses[:10], "ports": ports}, {"addresses": addresses[10:], "ports": ports}]
        by_hand = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}
        await cluster.client.create("endpoints", by_hand)
        await cluster.until(lambda: with_endpoints(cluster, 1000, ready=1000, name="db"))
        (mirrored,) = await slices(cluster, "db")
        assert mirrored["metadata"]["annotations"] == {"team": "data"}
        await cluster.settle()
        assert await cluster.messages("db", "TooManyAddressesToMirror") == [
            "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. 1 addresses were skipped"
        ]
        await cluster.client.patch("endpoints", "db", {"metadata": {"annotations": {"team": "web"}}}, "default")
        await cluster.settle()
        (again,) = await slices(cluster, "db")
        assert again["metadata"]["annotations"] == {"team": "web"}
        assert again["metadata"]["uid"] == mirrored["metadata"]["uid"]

    play(tmp_path, scenario)
