"""Lists: selected, in pages, as of a revision."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process_api import Api, make_api, pod

from lab_helpers.pocketkube.api.status import StatusError


def names(answer: dict[str, list[dict[str, dict[str, str]]]]) -> list[str]:
    return [item["metadata"]["name"] for item in answer["items"]]


def test_a_list_has_the_kind_and_revision_clients_need(api: Api) -> None:
    api.create("configmaps", {"metadata": {"name": "a"}})
    answer = api.list("configmaps")
    assert (answer["kind"], answer["apiVersion"]) == ("ConfigMapList", "v1")
    assert answer["metadata"] == {"resourceVersion": str(api.operations.store.revision)}


def test_lists_are_selected_by_labels_and_fields(api: Api) -> None:
    for number, tier in enumerate(["front", "back", "front"]):
        created = pod(f"p{number}")
        created["metadata"]["labels"] = {"tier": tier}
        api.create("pods", created)
    api.bind("p0", "n1")
    assert names(api.list("pods", label_selector="tier in (front),tier!=x")) == ["p0", "p2"]
    assert names(api.list("pods", field_selector="spec.nodeName=n1")) == ["p0"]
    assert names(api.list("pods", field_selector="metadata.name!=p0,status.phase=Pending")) == ["p1", "p2"]


@pytest.mark.parametrize(
    ("resource", "selector", "message"),
    [
        ("pods", "spec.image=x", "field label not supported: spec.image"),
        (
            "configmaps",
            "data=x",
            '"data" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
    ],
)
def test_fields_that_cannot_be_selected_are_named(api: Api, resource: str, selector: str, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        api.list(resource, field_selector=selector)
    assert (caught.value.code, caught.value.message) == (400, message)


@settings(max_examples=25, deadline=None)
@given(count=st.integers(0, 12), limit=st.integers(1, 5), everywhere=st.booleans())
def test_pages_add_up_to_the_list_as_of_the_first_page(
    tmp_path_factory: pytest.TempPathFactory, count: int, limit: int, everywhere: bool
) -> None:
    api = make_api(tmp_path_factory.mktemp("api"))
    for namespace in ("default", "other"):
        api.create("namespaces", {"metadata": {"name": namespace}})
        for number in range(count):
            api.create("configmaps", {"metadata": {"name": f"c{number}"}}, namespace)
    namespace = None if everywhere else "default"
    whole = api.list("configmaps", namespace)
    found, token = [], ""
    while True:
        page = api.list("configmaps", namespace, limit=limit, continue_token=token)
        found += page["items"]
        assert page["metadata"]["resourceVersion"] == whole["metadata"]["resourceVersion"]
        assert len(page["items"]) <= limit
        token = page["metadata"].get("continue", "")
        if not token:
            break
        assert page["metadata"]["remainingItemCount"] == len(whole["items"]) - len(found)
        # What happens between two pages is not seen by the second.
        api.create("configmaps", {"metadata": {"generateName": "late-"}})
    assert found == whole["items"]
    api.operations.store.close()


def test_a_page_that_history_has_forgotten_can_be_continued_inconsistently(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    api = make_api(tmp_path_factory.mktemp("api"), history=5)
    api.create("namespaces", {"metadata": {"name": "default"}})
    for number in range(4):
        api.create("configmaps", {"metadata": {"name": f"c{number}"}})
    token = api.list("configmaps", limit=2)["metadata"]["continue"]
    for number in range(20):
        api.create("configmaps", {"metadata": {"name": f"d{number}"}})
    with pytest.raises(StatusError) as caught:
        api.list("configmaps", continue_token=token)
    assert (caught.value.code, caught.value.reason) == (410, "Expired")
    rest = api.list("configmaps", continue_token=caught.value.status["metadata"]["continue"])
    assert names(rest)[:3] == ["c2", "c3", "d0"]


def test_pages_are_forgotten_minutes_after_the_list_began(api: Api) -> None:
    for number in range(4):
        api.create("configmaps", {"metadata": {"name": f"c{number}"}})
    token = api.list("configmaps", limit=2)["metadata"]["continue"]
    for minute in range(5):
        api.create("configmaps", {"metadata": {"name": f"d{minute}"}})
        assert names(api.list("configmaps", continue_token=token)) == ["c2", "c3"]
        api.clock.forward(60)
    api.list("configmaps", continue_token=token)
    api.clock.forward(60)
    with pytest.raises(StatusError) as caught:
        api.list("configmaps", continue_token=token)
    assert (caught.value.code, caught.value.reason) == (410, "Expired")


def test_an_exact_past_can_be_listed(api: Api) -> None:
    first = api.create("configmaps", {"metadata": {"name": "a"}})
    api.delete("configmaps", "a")
    version = first["metadata"]["resourceVersion"]
    past = api.list("configmaps", resource_version=version, resource_version_match="Exact")
    assert past["items"] == [first]
    assert past["metadata"]["resourceVersion"] == version
    assert api.list("configmaps", resource_version=version, resource_version_match="NotOlderThan")["items"] == []


def test_the_future_cannot_be_listed(api: Api) -> None:
    with pytest.raises(StatusError) as caught:
        api.list("configmaps", resource_version="999999")
    assert (caught.value.code, caught.value.reason) == (504, "Timeout")
    assert caught.value.message.startswith("Timeout: Too large resource version: 999999, current: ")


def test_options_that_contradict_each_other_are_refused(api: Api) -> None:
    with pytest.raises(StatusError) as caught:
        api.list("configmaps", resource_version_match="Exact")
    assert caught.value.message == (
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: '
        "resourceVersionMatch is forbidden unless resourceVersion is provided"
    )
