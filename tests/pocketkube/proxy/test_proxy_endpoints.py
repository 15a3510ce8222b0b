"""Which endpoints get traffic: ready ones, else those that serve to the end; Local ones; hints."""

from __future__ import annotations

from proxy_parts import endpoint, endpoint_slice, service

from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.proxy.endpoints import Categories, PortKey, categorize, endpoints_by_port
from lab_helpers.pocketkube.proxy.services import service_ports

READY, NOT_READY = {"ready": True}, {"ready": False, "serving": False}
ENDING = {"ready": False, "serving": True, "terminating": True}


def sorted_out(*endpoints: Obj, zone: str = "", **spec: str) -> Categories:
    (port,) = service_ports(service(ports=[{"port": 80, "nodePort": 30080}], **{"type": "NodePort", **spec}))
    found = endpoints_by_port([endpoint_slice(list(endpoints))], "node")
    return categorize(found[PortKey("", "tcp")], port, "node", zone)


def ips(endpoints: tuple[object, ...]) -> list[str]:
    return [e.ip for e in endpoints]


def test_only_ready_endpoints_while_there_are_some() -> None:
    found = sorted_out(endpoint("10.0.0.1", **READY), endpoint("10.0.0.2", **NOT_READY), endpoint("10.0.0.3", **ENDING))
    assert ips(found.cluster) == ["10.0.0.1"]


def test_the_ones_that_serve_to_the_end_when_no_other_is_left() -> None:
    found = sorted_out(endpoint("10.0.0.2", **NOT_READY), endpoint("10.0.0.3", **ENDING))
    assert ips(found.cluster) == ips(found.reachable) == ["10.0.0.3"]
    assert found.any


def test_nothing_is_no_endpoint() -> None:
    assert not sorted_out(endpoint("10.0.0.2", **NOT_READY)).any
    assert not sorted_out().any


def test_conditions_that_are_not_given_mean_ready() -> None:
    bare = {"addresses": ["10.0.0.1"], "conditions": {}}
    assert ips(sorted_out(bare).cluster) == ["10.0.0.1"]


def test_local_ones_and_their_fallback() -> None:
    there = endpoint("10.0.0.1", "other", **READY)
    here, ending_here = endpoint("10.0.0.2", **READY), endpoint("10.0.0.3", **ENDING)
    found = sorted_out(there, here, ending_here, externalTrafficPolicy="Local")
    assert (ips(found.cluster), ips(found.local)) == (["10.0.0.1", "10.0.0.2"], ["10.0.0.2"])
    fallback = sorted_out(there, ending_here, externalTrafficPolicy="Local")
    assert (ips(fallback.cluster), ips(fallback.local)) == (["10.0.0.1"], ["10.0.0.3"])
    assert ips(fallback.reachable) == ["10.0.0.1", "10.0.0.3"]


def test_internal_policy_local_needs_no_others() -> None:
    found = sorted_out(endpoint("10.0.0.1", "other"), type="ClusterIP", internalTrafficPolicy="Local")
    assert found.any  # The node port makes it reachable from outside, so all endpoints count.
    (port,) = service_ports(service(internalTrafficPolicy="Local"))
    listed = endpoints_by_port([endpoint_slice([endpoint("10.0.0.1", "other")])], "node")[PortKey("", "tcp")]
    assert categorize(listed, port, "node") == Categories((), (), (), True)


def test_hints_for_this_node_and_for_its_zone() -> None:
    near = {**endpoint("10.0.0.1"), "hints": {"forZones": [{"name": "a"}], "forNodes": [{"name": "node"}]}}
    far = {**endpoint("10.0.0.2"), "hints": {"forZones": [{"name": "b"}], "forNodes": [{"name": "other"}]}}
    assert ips(sorted_out(near, far).cluster) == ["10.0.0.1"]
    zoned = [{**e, "hints": {"forZones": e["hints"]["forZones"]}} for e in (near, far)]
    assert ips(sorted_out(*zoned, zone="b").cluster) == ["10.0.0.2"]
    assert ips(sorted_out(*zoned, zone="c").cluster) == ["10.0.0.1", "10.0.0.2"]
    assert ips(sorted_out(near, endpoint("10.0.0.3")).cluster) == ["10.0.0.1", "10.0.0.3"]


def test_addresses_are_sorted_as_text_and_listed_once() -> None:
    slices = [endpoint_slice(["10.244.0.2", "10.244.0.10"]), endpoint_slice(["10.244.0.2"], suffix="other")]
    found = endpoints_by_port(slices, "node")[PortKey("", "tcp")]
    assert [e.address for e in found] == ["10.244.0.10:8080", "10.244.0.2:8080"]


def test_slices_of_other_families_and_without_ports_are_left_out() -> None:
    other = {**endpoint_slice(["10.244.0.2"]), "addressType": "IPv6"}
    empty = endpoint_slice([], ports=[])
    no_number = endpoint_slice(["10.244.0.2"], ports=[{"name": "x"}])
    no_address = endpoint_slice([{"addresses": [], "conditions": {}}])
    assert endpoints_by_port([other, empty, no_number], "node") == {}
    assert endpoints_by_port([no_address], "node") == {PortKey("", "tcp"): ()}
