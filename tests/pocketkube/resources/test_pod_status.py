"""What a Pod's status may say, and what is made of an address in it that leads nowhere."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from in_process_api import Api, pod

from lab_helpers.pocketkube.api.proxy_target import find_target
from lab_helpers.pocketkube.api.routes import Route
from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.resources.table import RESOURCES

NO_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
ONE_EACH = "may specify no more than one IP for each IP family"


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ({"podIP": "x"}, f'status.podIPs[0]: Invalid value: "x": {NO_ADDRESS}'),
        ({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]},
         f'status.podIPs: Invalid value: [{{"ip":"10.0.0.1"}},{{"ip":"10.0.0.2"}}]: {ONE_EACH}'),
        ({"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.2"}]},
         'status.hostIPs[0].ip: Invalid value: "10.0.0.2": must be equal to `hostIP`'),
        ({"observedGeneration": -1}, "status.observedGeneration: Invalid value: -1: must be a non-negative integer"),
        ({"qosClass": "Guaranteed"}, 'status.qosClass: Invalid value: "Guaranteed": field is immutable'),
    ],
)  # fmt: skip
def test_a_status_that_upstream_refuses_is_refused(api: Api, status: dict[str, Any], message: str) -> None:
    api.create("pods", pod("p"))
    with pytest.raises(StatusError) as caught:
        api.patch("pods", "p", {"status": status}, subresource="status")
    assert (caught.value.code, caught.value.message) == (422, f'Pod "p" is invalid: {message}')


def test_a_condition_has_a_name_for_its_type(api: Api) -> None:
    api.create("pods", pod("p"))
    with pytest.raises(StatusError) as caught:
        api.patch("pods", "p", {"status": {"conditions": [{"type": "A/b/c", "status": "True"}]}}, subresource="status")
    assert [cause["field"] for cause in caught.value.details["causes"]] == ["status.conditions[0].Type"]


def test_the_single_address_is_the_first_of_the_list(api: Api) -> None:
    api.create("pods", pod("p"))
    written = api.patch("pods", "p", {"status": {"podIP": "10.0.0.1"}}, subresource="status")
    assert written["status"]["podIPs"] == [{"ip": "10.0.0.1"}]
    written = api.patch("pods", "p", {"status": {"podIP": "10.0.0.2"}}, subresource="status")
    assert written["status"]["podIPs"] == [{"ip": "10.0.0.2"}]


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "169.254.1.1", "224.0.0.1", "0.0.0.0", "255.255.255.255", "::1", "fe80::1", "ff02::1"]
)
def test_the_proxy_leads_to_no_address_that_means_something_else_here(api: Api, address: str) -> None:
    api.create("pods", pod("p"))
    api.patch("pods", "p", {"status": {"podIP": address}}, subresource="status")
    with pytest.raises(StatusError, match="^address not allowed$") as caught:
        find_target(api.operations, Route(RESOURCES["pods"], "default", "p", "proxy"), Random(1))
    assert caught.value.code == 400


def test_the_proxy_survives_an_address_that_is_none(api: Api) -> None:
    made = api.create("pods", pod("p"))
    store = api.operations.store
    store.update("pods", {**made, "status": {"podIP": "x"}}, made)  # as an older version may have stored it
    with pytest.raises(StatusError, match="^address not allowed$"):
        find_target(api.operations, Route(RESOURCES["pods"], "default", "p", "proxy"), Random(1))
