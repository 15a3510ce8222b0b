"""What a Service may be, and which addresses and ports it gets."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_process_api import Api, service

from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.resources.allocators import NodePortAllocator, NotAllocated, ServiceIPAllocator
from lab_helpers.pocketkube.resources.service_cidr import ADDRESSES, RANGES, Network


def problem(api: Api, **spec: Any) -> str:
    with pytest.raises(StatusError) as caught:
        api.create("services", service("s", **spec))
    assert caught.value.code == 422
    return caught.value.message.removeprefix('Service "s" is invalid: ')


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "Cluster"}, 'spec.type: Unsupported value: "Cluster": supported values: "ClusterIP", "ExternalName", '
         '"LoadBalancer", "NodePort"'),
        ({"ports": [{"port": 80, "nodePort": 30001}]},
         "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"),
        ({"ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]},
         'spec.ports[1].name: Duplicate value: "a"'),
        ({"ports": [{"port": 80, "protocol": "HTTP"}]},
         'spec.ports[0].protocol: Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"'),
        ({"ports": [{"port": 80, "targetPort": "a-very-long-port-name"}]},
         'spec.ports[0].targetPort: Invalid value: "a-very-long-port-name": must be no more than 15 characters'),
        ({"clusterIP": "10.96.0.0"}, 'spec.clusterIPs: Invalid value: ["10.96.0.0"]: failed to allocate IP 10.96.0.0: '
         "the provided network does not match the current range"),
        ({"clusterIP": "abc"}, 'spec.clusterIPs[0]: Invalid value: "abc": must be a valid IP address, '
         "(e.g. 10.9.8.7 or 2001:db8::ffff)"),
        ({"clusterIP": "None", "type": "NodePort"},
         "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"),
        ({"ipFamilyPolicy": "RequireDualStack"}, 'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": '
         "this cluster is not configured for dual-stack services"),
        ({"externalIPs": ["127.0.0.1"]}, 'spec.externalIPs[0]: Invalid value: "127.0.0.1": '
         "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        ({"type": "NodePort",
          "ports": [{"name": "a", "port": 80, "nodePort": 30100}, {"name": "b", "port": 81, "nodePort": 30100}]},
         "spec.ports[1].nodePort: Invalid value: 30100: provided port is already allocated"),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_said_as_upstream_says_it(api: Api, spec: dict[str, Any], message: str) -> None:
    assert problem(api, **spec) == message


def test_a_refused_service_holds_nothing(api: Api) -> None:
    problem(api, clusterIP="10.96.0.20", sessionAffinity="Cookie")
    assert api.create("services", service("s", clusterIP="10.96.0.20"))["spec"]["clusterIP"] == "10.96.0.20"


def test_a_service_keeps_its_address_while_its_type_changes(api: Api) -> None:
    address = api.create("services", service("s"))["spec"]["clusterIP"]
    as_node_port = api.patch("services", "s", {"spec": {"type": "NodePort"}})["spec"]
    port = as_node_port["ports"][0]["nodePort"]
    assert (as_node_port["clusterIP"], as_node_port["externalTrafficPolicy"]) == (address, "Cluster")
    as_balancer = api.patch("services", "s", {"spec": {"type": "LoadBalancer"}})["spec"]
    assert as_balancer["ports"][0]["nodePort"] == port
    assert as_balancer["allocateLoadBalancerNodePorts"] is True
    back = api.patch("services", "s", {"spec": {"type": "ClusterIP"}})["spec"]
    assert back["clusterIP"] == address
    assert "nodePort" not in back["ports"][0]
    assert "externalTrafficPolicy" not in back and "allocateLoadBalancerNodePorts" not in back
    api.create("services", service("other", type="NodePort", ports=[{"port": 80, "nodePort": port}]))


def test_an_alias_gives_its_address_back_and_gets_a_new_one(api: Api) -> None:
    api.create("services", service("s", clusterIP="10.96.0.30"))
    alias = api.patch("services", "s", {"spec": {"type": "ExternalName", "externalName": "db.example.com"}})["spec"]
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "internalTrafficPolicy"} & set(alias)
    api.create("services", service("other", clusterIP="10.96.0.30"))
    again = api.patch("services", "s", {"spec": {"type": "ClusterIP", "externalName": None}})["spec"]
    assert again["clusterIP"].startswith("10.96.") and again["clusterIP"] != "10.96.0.30"


def test_an_address_may_not_change(api: Api) -> None:
    api.create("services", service("s", clusterIP="10.96.0.30"))
    for address in ("10.96.0.31", "None"):
        with pytest.raises(StatusError, match="may not change once set"):
            api.patch("services", "s", {"spec": {"clusterIP": address}})


def test_a_put_that_leaves_out_what_was_given_keeps_it(api: Api) -> None:
    created = api.create("services", service("s", type="NodePort"))
    replaced = service("s", type="NodePort")
    replaced["metadata"]["namespace"] = "default"
    updated = api.update("services", replaced)
    assert updated["spec"] == created["spec"]


def test_one_port_number_with_two_protocols_has_one_node_port(api: Api) -> None:
    ports = [{"name": "t", "port": 53, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}]
    spec = api.create("services", service("s", type="NodePort", ports=ports))["spec"]
    assert spec["ports"][0]["nodePort"] == spec["ports"][1]["nodePort"]


def test_a_local_load_balancer_gets_a_health_check_port(api: Api) -> None:
    spec = api.create("services", service("s", type="LoadBalancer", externalTrafficPolicy="Local"))["spec"]
    assert 30000 <= spec["healthCheckNodePort"] <= 32767
    assert spec["healthCheckNodePort"] != spec["ports"][0]["nodePort"]


def test_a_headless_service_without_selector_is_for_both_families(api: Api) -> None:
    spec = api.create("services", service("s", clusterIP="None", selector={}))["spec"]
    assert (spec["ipFamilyPolicy"], spec["ipFamilies"]) == ("RequireDualStack", ["IPv4", "IPv6"])


def test_endpoints_are_deprecated(api: Api) -> None:
    api.create("endpoints", {"metadata": {"name": "e"}})
    assert api.warnings == ["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"]


# --- allocators ---


class Book:
    """Addresses in memory."""

    def __init__(self, *ranges: str) -> None:
        self._ranges = [ip_network(cidr) for cidr in ranges]
        self.held: dict[str, str] = {}

    def ranges(self) -> list[Network]:
        return list(self._ranges)

    def is_taken(self, address: str) -> bool:
        return address in self.held

    def enter(self, address: str, namespace: str, service: str) -> None:
        self.held[address] = f"{namespace}/{service}"

    def strike(self, address: str) -> None:
        self.held.pop(address, None)


def test_dynamic_addresses_leave_the_lower_band_alone_until_the_end() -> None:
    allocator = ServiceIPAllocator(Book("10.96.0.0/24"), Random(1))
    given = [allocator.allocate_next("default", "s") for _ in range(254)]
    assert len(set(given)) == 254
    last_octets = [int(address.rpartition(".")[2]) for address in given]
    assert all(octet > 16 for octet in last_octets[:238])
    assert sorted(last_octets[238:]) == list(range(1, 17))
    with pytest.raises(NotAllocated, match="range is full"):
        allocator.allocate_next("default", "s")


@pytest.mark.parametrize(("cidr", "band"), [("10.0.0.0/28", 0), ("10.0.0.0/24", 16), ("10.0.0.0/20", 255)])
def test_the_band_for_those_who_ask_by_name_is_a_sixteenth(cidr: str, band: int) -> None:
    book = Book(cidr)
    allocator, network = ServiceIPAllocator(book, Random(3)), ip_network(cidr)
    upper = network.num_addresses - 2 - band
    given = {int(ip_address(allocator.allocate_next("default", "s"))) for _ in range(upper)}
    assert given == set(range(int(network[0]) + 1 + band, int(network[-1])))


def test_all_ranges_are_used_and_those_of_ipv6_are_not() -> None:
    allocator = ServiceIPAllocator(Book("10.0.0.0/30", "2001:db8::/64", "10.1.0.0/30"), Random(1))
    given = {allocator.allocate_next("default", "s") for _ in range(4)}
    assert given == {"10.0.0.1", "10.0.0.2", "10.1.0.1", "10.1.0.2"}
    with pytest.raises(NotAllocated, match="range is full"):
        allocator.allocate_next("default", "s")


def test_an_address_that_others_hold_is_not_given_to_a_service(api: Api) -> None:
    parent = {"group": "gateways.example", "resource": "gateways", "namespace": "default", "name": "g"}
    api.create(ADDRESSES, {"metadata": {"name": "10.96.3.3"}, "spec": {"parentRef": parent}})
    why = "failed to allocate IP 10.96.3.3: provided IP is already allocated"
    assert problem(api, clusterIP="10.96.3.3") == f'spec.clusterIPs: Invalid value: ["10.96.3.3"]: {why}'
    api.delete(ADDRESSES, "10.96.3.3")
    api.create("services", service("web", clusterIP="10.96.3.3"))
    assert api.get(ADDRESSES, "10.96.3.3")["spec"]["parentRef"]["name"] == "web"
    assert "already allocated" in problem(api, clusterIP="10.96.3.3")
    api.delete("services", "web")
    with pytest.raises(StatusError, match="not found"):
        api.get(ADDRESSES, "10.96.3.3")


def test_a_dry_run_and_a_refused_service_take_no_address(api: Api) -> None:
    api.create("services", service("a", clusterIP="10.96.3.3"), dry_run=True)
    with pytest.raises(StatusError, match="Invalid value"):
        api.create("services", service("b", clusterIP="10.96.3.3", ports=[{"port": 0}]))
    assert api.list(ADDRESSES)["items"] == []


def test_addresses_come_from_service_cidrs_that_are_ready(api: Api) -> None:
    asked = {"clusterIP": "10.200.0.9"}
    assert problem(api, **asked).endswith("the provided network does not match the current range")
    more = {"metadata": {"name": "more", "finalizers": ["a/b"]}, "spec": {"cidrs": ["10.200.0.0/24"]}}
    api.create(RANGES, more)
    api.create("services", service("web", **asked))
    api.delete(RANGES, "more")
    assert problem(api, clusterIP="10.200.0.10").endswith("the provided network does not match the current range")


def test_dynamic_node_ports_start_behind_the_band() -> None:
    allocator = NodePortAllocator(Random(1))
    assert all(allocator.allocate_next() >= 30086 for _ in range(500))


@given(seed=st.integers(0, 1000), steps=st.lists(st.booleans(), max_size=60))
def test_no_address_is_given_twice(seed: int, steps: list[bool]) -> None:
    allocator, chance = ServiceIPAllocator(Book("10.96.0.0/27"), Random(seed)), Random(seed)
    held: list[str] = []
    for takes in steps:
        if takes and len(held) < 30:
            address = allocator.allocate_next("default", "s")
            assert address not in held
            held.append(address)
        elif held:
            allocator.release(held.pop(chance.randrange(len(held))))
