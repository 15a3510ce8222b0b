"""Pod addresses are handed out as `host-local` does."""

from __future__ import annotations

import pytest

from lab_helpers.pocketkube.network.ipam import NoFreeAddress, PodAddresses


def test_the_first_address_is_the_gateways() -> None:
    addresses = PodAddresses("10.244.0.0/24")
    assert addresses.gateway == "10.244.0.1"
    assert [addresses.allocate() for _ in range(3)] == ["10.244.0.2", "10.244.0.3", "10.244.0.4"]


def test_a_successor_gets_a_new_address_though_the_old_one_is_free() -> None:
    addresses = PodAddresses("10.244.0.0/24")
    killed = addresses.allocate()
    addresses.release(killed)
    assert addresses.allocate() == "10.244.0.3"


def test_after_the_last_address_the_free_ones_are_used_again() -> None:
    addresses = PodAddresses("10.244.7.0/29")
    for _ in range(5):
        addresses.allocate()
    addresses.release("10.244.7.3")
    assert addresses.allocate() == "10.244.7.3"
    with pytest.raises(NoFreeAddress, match=r"10\.244\.7\.0/29"):
        addresses.allocate()


def test_releasing_twice_does_nothing() -> None:
    addresses = PodAddresses("10.244.0.0/24")
    addresses.release("10.244.0.9")
    addresses.release("10.244.0.9")
    assert addresses.allocate() == "10.244.0.2"
