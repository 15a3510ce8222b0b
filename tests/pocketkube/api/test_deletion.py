"""Deleting: at once or in two phases, by finalizers, grace periods and propagation."""

from __future__ import annotations

import pytest
from in_process_api import Api, deployment, pod, service

from lab_helpers.pocketkube.api.request import DeleteOptions, ListOptions
from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.objects import Obj, copy
from lab_helpers.pocketkube.resources.table import RESOURCES


def is_gone(api: Api, resource: str, name: str, namespace: str = "default") -> bool:
    try:
        api.get(resource, name, namespace)
    except StatusError as error:
        return error.code == 404
    return False


def finalize(api: Api, namespace: Obj) -> Obj:
    emptied = copy(namespace)
    emptied["spec"] = {}
    written = api.operations.update(
        api.context(), RESOURCES["namespaces"], None, namespace["metadata"]["name"], emptied, subresource="finalize"
    )
    return written.object


def test_most_kinds_end_at_once_and_answer_with_a_status(api: Api) -> None:
    created = api.create("deployments.apps", deployment("web"))
    answer = api.delete("deployments.apps", "web", propagation_policy="Background")
    assert answer["status"] == "Success"
    uid = created["metadata"]["uid"]
    assert answer["details"] == {"name": "web", "group": "apps", "kind": "deployments", "uid": uid}
    assert is_gone(api, "deployments.apps", "web")


def test_services_answer_with_what_they_were_and_give_their_address_back(api: Api) -> None:
    api.create("services", service("a", clusterIP="10.96.0.50"))
    assert api.delete("services", "a")["kind"] == "Service"
    assert api.create("services", service("b", clusterIP="10.96.0.50"))["spec"]["clusterIP"] == "10.96.0.50"


def test_a_pod_that_no_node_has_taken_ends_at_once(api: Api) -> None:
    api.create("pods", pod("a"))
    api.delete("pods", "a")
    assert is_gone(api, "pods", "a")


def test_a_running_pod_ends_in_two_phases(api: Api) -> None:
    api.create("pods", pod("a"))
    api.bind("a", "n1")
    marked = api.delete("pods", "a")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    assert marked["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:30Z"
    assert api.delete("pods", "a") == marked
    api.delete("pods", "a", grace_period_seconds=0)
    assert is_gone(api, "pods", "a")


def test_a_grace_period_can_be_shortened_but_not_extended(api: Api) -> None:
    api.create("pods", pod("a"))
    api.bind("a", "n1")
    api.delete("pods", "a")
    assert api.delete("pods", "a", grace_period_seconds=60)["metadata"]["deletionGracePeriodSeconds"] == 30
    shortened = api.delete("pods", "a", grace_period_seconds=5)["metadata"]
    assert (shortened["deletionGracePeriodSeconds"], shortened["deletionTimestamp"]) == (5, "2026-01-01T00:00:05Z")


def test_a_pod_that_has_ended_needs_no_grace(api: Api) -> None:
    api.create("pods", pod("a"))
    api.bind("a", "n1")
    api.patch("pods", "a", {"status": {"phase": "Succeeded"}}, subresource="status")
    api.delete("pods", "a")
    assert is_gone(api, "pods", "a")


def test_finalizers_keep_an_object_until_the_last_is_gone(api: Api) -> None:
    api.create("configmaps", {"metadata": {"name": "a", "finalizers": ["example.com/one"]}})
    marked = api.delete("configmaps", "a")
    assert marked["metadata"]["deletionTimestamp"]
    with pytest.raises(StatusError, match="no new finalizers can be added if the object is being deleted"):
        api.patch("configmaps", "a", {"metadata": {"finalizers": ["example.com/one", "example.com/two"]}})
    api.patch("configmaps", "a", {"metadata": {"finalizers": None}})
    assert is_gone(api, "configmaps", "a")


@pytest.mark.parametrize(("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
def test_dependents_are_cared_for_first(api: Api, policy: str, finalizer: str) -> None:
    api.create("deployments.apps", deployment("web"))
    marked = api.delete("deployments.apps", "web", propagation_policy=policy)
    assert marked["metadata"]["finalizers"] == [finalizer]
    assert marked["metadata"]["deletionTimestamp"]


def test_the_end_of_the_last_finalizer_is_one_change_and_shows_the_object_as_it_was_stored(api: Api) -> None:
    api.create("configmaps", {"metadata": {"name": "kept", "finalizers": ["example.com/keep"]}})
    api.delete("configmaps", "kept")
    marked = api.get("configmaps", "kept")
    before = api.operations.store.revision
    answer = api.patch("configmaps", "kept", {"metadata": {"finalizers": None}})
    assert api.operations.store.revision == before + 1, "watchers see DELETED, and no MODIFIED before it"
    assert "finalizers" not in answer["metadata"]
    assert answer["metadata"]["resourceVersion"] == marked["metadata"]["resourceVersion"]


def test_preconditions_protect_what_was_created_meanwhile(api: Api) -> None:
    api.create("configmaps", {"metadata": {"name": "a"}})
    with pytest.raises(StatusError) as caught:
        api.delete("configmaps", "a", uid="other")
    assert caught.value.code == 409
    with pytest.raises(StatusError):
        api.delete("configmaps", "a", resource_version="1")
    assert not is_gone(api, "configmaps", "a")


def test_an_unknown_policy_is_refused(api: Api) -> None:
    api.create("configmaps", {"metadata": {"name": "a"}})
    with pytest.raises(StatusError, match='propagationPolicy: Unsupported value: "Later"'):
        api.delete("configmaps", "a", propagation_policy="Later")


def test_a_collection_is_deleted_by_selector(api: Api) -> None:
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "2"}), ("c", {"x": "1"})):
        api.create("configmaps", {"metadata": {"name": name, "labels": labels}})
    answer = api.operations.delete_collection(
        api.context(), RESOURCES["configmaps"], "default", ListOptions(label_selector="x=1"), DeleteOptions()
    )
    assert [item["metadata"]["name"] for item in answer["items"]] == ["a", "c"]
    assert [item["metadata"]["name"] for item in api.list("configmaps")["items"]] == ["b"]


def test_a_namespace_waits_for_its_controller(api: Api) -> None:
    created = api.create("namespaces", {"metadata": {"name": "old"}}, "")
    assert created["spec"] == {"finalizers": ["kubernetes"]}
    assert created["metadata"]["labels"] == {"kubernetes.io/metadata.name": "old"}
    marked = api.delete("namespaces", "old", "")
    assert marked["status"]["phase"] == "Terminating"
    with pytest.raises(StatusError) as caught:
        api.delete("namespaces", "old", "")
    assert caught.value.code == 409
    finalize(api, marked)
    assert is_gone(api, "namespaces", "old", "")


def test_the_namespaces_of_the_cluster_itself_stay(api: Api) -> None:
    with pytest.raises(StatusError) as caught:
        api.delete("namespaces", "default", "")
    assert caught.value.message == 'namespaces "default" is forbidden: this namespace may not be deleted'


def test_eviction_deletes_as_a_delete_would(api: Api) -> None:
    api.create("pods", pod("a"))
    api.bind("a", "n1")
    eviction = {"metadata": {"name": "a"}, "deleteOptions": {"gracePeriodSeconds": 3}}
    written = api.operations.create_subresource(api.context(), RESOURCES["pods"], "default", "a", "eviction", eviction)
    assert written.code == 201
    assert api.get("pods", "a")["metadata"]["deletionGracePeriodSeconds"] == 3
