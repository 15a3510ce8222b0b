"""The verbs on objects, without HTTP."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from in_process_api import Api, deployment, make_api, pod, service

from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.client import APPLY_PATCH, JSON_PATCH, STRATEGIC_MERGE_PATCH
from lab_helpers.pocketkube.objects import copy
from lab_helpers.pocketkube.resources.table import RESOURCES


def refused(code: int, reason: str) -> pytest.RaisesExc[StatusError]:
    return pytest.raises(StatusError, check=lambda error: (error.code, error.reason) == (code, reason))


# --- create ---


def test_a_created_object_gets_what_every_object_has(api: Api) -> None:
    created = api.create("configmaps", {"metadata": {"name": "a"}, "data": {"k": "v"}})
    meta = created["metadata"]
    assert meta["namespace"] == "default"
    assert meta["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert meta["uid"] and meta["resourceVersion"]
    assert meta["managedFields"][0]["manager"] == "test"
    assert "generation" not in meta
    assert api.get("configmaps", "a") == created


def test_generated_names_use_the_letters_that_spell_nothing(api: Api) -> None:
    name = api.create("configmaps", {"metadata": {"generateName": "gen-"}})["metadata"]["name"]
    prefix, suffix = name[:4], name[4:]
    assert prefix == "gen-" and len(suffix) == 5
    assert set(suffix) <= set("bcdfghjklmnpqrstvwxz2456789")


def test_a_name_can_be_used_once(api: Api) -> None:
    api.create("configmaps", {"metadata": {"name": "a"}})
    with refused(409, "AlreadyExists") as caught:
        api.create("configmaps", {"metadata": {"name": "a"}})
    assert caught.value.message == 'configmaps "a" already exists'


def test_nothing_is_created_in_a_namespace_that_ends(api: Api) -> None:
    api.create("namespaces", {"metadata": {"name": "old"}}, "")
    api.delete("namespaces", "old", "")
    with refused(403, "Forbidden") as caught:
        api.create("configmaps", {"metadata": {"name": "a"}}, "old")
    assert "because it is being terminated" in caught.value.message
    assert caught.value.details is not None
    assert caught.value.details["causes"][0]["reason"] == "NamespaceTerminating"


def test_a_dry_run_keeps_nothing(api: Api) -> None:
    revision = api.operations.store.revision
    shown = api.create("services", service("dry", type="NodePort"), dry_run=True)
    assert shown["spec"]["clusterIP"] == "10.96.0.0"
    assert "resourceVersion" not in shown["metadata"]
    assert api.operations.store.revision == revision
    with refused(404, "NotFound"):
        api.get("services", "dry")


def test_quota_counts_objects(api: Api) -> None:
    api.create("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1", "count/secrets": "0"}}})
    api.create("pods", pod("first"))
    with refused(403, "Forbidden") as caught:
        api.create("pods", pod("second"))
    assert caught.value.message == (
        'pods "second" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'
    )
    with refused(403, "Forbidden"):
        api.create("secrets", {"metadata": {"name": "s"}})


# --- update ---


def test_an_update_from_an_old_state_is_refused(api: Api) -> None:
    first = api.create("configmaps", {"metadata": {"name": "a"}})
    api.update("configmaps", {**first, "data": {"k": "1"}})
    with refused(409, "Conflict") as caught:
        api.update("configmaps", {**first, "data": {"k": "2"}})
    assert caught.value.message == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


def test_an_update_without_resource_version_wins(api: Api) -> None:
    api.create("configmaps", {"metadata": {"name": "a"}})
    updated = api.update("configmaps", {"metadata": {"name": "a", "namespace": "default"}, "data": {"k": "v"}})
    assert updated["data"] == {"k": "v"}


def test_an_update_that_changes_nothing_writes_nothing(api: Api) -> None:
    created = api.create("configmaps", {"metadata": {"name": "a"}})
    api.clock.forward(60)
    assert api.update("configmaps", created) == created


def test_what_identifies_an_object_cannot_be_updated(api: Api) -> None:
    created = api.create("configmaps", {"metadata": {"name": "a"}})
    forged = copy(created)
    forged["metadata"]["creationTimestamp"] = "2001-01-01T00:00:00Z"
    forged["metadata"]["generation"] = 7
    forged["metadata"]["labels"] = {"x": "y"}
    updated = api.update("configmaps", forged)["metadata"]
    assert updated["creationTimestamp"] == created["metadata"]["creationTimestamp"]
    assert "generation" not in updated
    forged["metadata"]["uid"] = "other"
    with refused(409, "Conflict") as caught:
        api.update("configmaps", forged)
    assert "Precondition failed: UID in precondition: other" in caught.value.message


def test_generation_counts_changes_of_the_spec_alone(api: Api) -> None:
    created = api.create("deployments.apps", deployment("web"))
    assert created["metadata"]["generation"] == 1
    labelled = api.patch("deployments.apps", "web", {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 1
    scaled = api.patch("deployments.apps", "web", {"spec": {"replicas": 3}})
    assert scaled["metadata"]["generation"] == 2


def test_status_and_spec_are_written_apart(api: Api) -> None:
    created = api.create("deployments.apps", deployment("web"))
    both = copy(created)
    both["spec"]["replicas"] = 5
    both["status"] = {"replicas": 3}
    by_status = api.update("deployments.apps", both, "status")
    assert (by_status["spec"]["replicas"], by_status["status"]) == (1, {"replicas": 3})
    both["metadata"]["resourceVersion"] = by_status["metadata"]["resourceVersion"]
    both["status"] = {"replicas": 9}
    by_spec = api.update("deployments.apps", both)
    assert (by_spec["spec"]["replicas"], by_spec["status"]) == (5, {"replicas": 3})


def test_a_lease_may_be_created_by_put_and_needs_its_version_afterwards(api: Api) -> None:
    lease = {"metadata": {"name": "n", "namespace": "default"}, "spec": {"leaseDurationSeconds": 40}}
    kind = RESOURCES["leases.coordination.k8s.io"]
    written = api.operations.update(api.context(), kind, "default", "n", lease)
    assert written.code == 201
    with refused(422, "Invalid") as caught:
        api.operations.update(api.context(), kind, "default", "n", lease)
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in caught.value.message


# --- patch ---


def test_patches_of_every_kind_change_an_object(api: Api) -> None:
    api.create("deployments.apps", deployment("web"))
    image = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "httpd:2.4"}]}}}}
    patched = api.patch("deployments.apps", "web", image, STRATEGIC_MERGE_PATCH)
    container = patched["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["imagePullPolicy"]) == ("httpd:2.4", "Always")
    replicas = [{"op": "replace", "path": "/spec/replicas", "value": 2}]
    patched = api.patch("deployments.apps", "web", replicas, JSON_PATCH)
    assert patched["spec"]["replicas"] == 2


def test_apply_creates_and_then_owns(api: Api) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    kind = RESOURCES["configmaps"]
    written = api.operations.patch(api.context(field_manager="me"), kind, "default", "a", APPLY_PATCH, config)
    assert written.code == 201
    with refused(409, "Conflict"):
        theirs = {**config, "data": {"k": "w"}}
        api.operations.patch(api.context(field_manager="you"), kind, "default", "a", APPLY_PATCH, theirs)
    with refused(422, "Invalid"):
        api.operations.patch(api.context(), kind, "default", "a", APPLY_PATCH, config)


# --- subresources ---


def test_scale_is_a_view_of_replicas(api: Api) -> None:
    api.create("deployments.apps", deployment("web", replicas=2))
    kind = RESOURCES["deployments.apps"]
    scale = api.operations.get(kind, "default", "web", subresource="scale")
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"]["selector"] == "app=web"
    patched = api.patch("deployments.apps", "web", {"spec": {"replicas": 4}}, subresource="scale")
    assert (patched["kind"], patched["spec"]) == ("Scale", {"replicas": 4})
    assert api.get("deployments.apps", "web")["spec"]["replicas"] == 4
    with refused(409, "Conflict"):
        api.update("deployments.apps", {**scale, "spec": {"replicas": 9}}, "scale")


def test_a_pod_is_bound_once(api: Api) -> None:
    api.create("pods", pod("a"))
    assert api.bind("a", "n1")["status"] == "Success"
    bound = api.get("pods", "a")
    assert bound["spec"]["nodeName"] == "n1"
    assert [c["type"] for c in bound["status"]["conditions"]] == ["PodScheduled"]
    with refused(409, "Conflict") as caught:
        api.bind("a", "n2")
    assert caught.value.message == (
        'Operation cannot be fulfilled on pods/binding "a": pod a is already assigned to node "n1"'
    )


def test_ephemeral_containers_are_added_and_never_removed(api: Api) -> None:
    api.create("pods", pod("a"))
    added = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "shell"}]}}
    patched = api.patch("pods", "a", added, STRATEGIC_MERGE_PATCH, "ephemeralcontainers")
    assert patched["spec"]["ephemeralContainers"][0]["name"] == "debug"
    with pytest.raises(StatusError, match='existing ephemeral containers "debug" may not be removed\n'):
        api.patch("pods", "a", {"spec": {"ephemeralContainers": None}}, subresource="ephemeralcontainers")
    with refused(422, "Invalid"):
        bad = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "shell"}, {"name": "Bad", "image": "x"}]}}
        api.patch("pods", "a", bad, subresource="ephemeralcontainers")


def test_events_of_the_newer_group_are_complete(api: Api) -> None:
    with pytest.raises(StatusError) as caught:
        api.create("events.events.k8s.io", {"metadata": {"name": "e"}, "deprecatedCount": 1})
    assert caught.value.message == (
        'Event "e" is invalid: [eventTime: Required value, type: Invalid value: "": has invalid value: , '
        'count: Invalid value: "": needs to be unset]'
    )
    event = {"metadata": {"name": "e"}, "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Normal"}
    with pytest.raises(StatusError) as caught:
        api.create("events.events.k8s.io", {**event, "note": "x" * 1025, "series": {"count": 1}})
    fields = [cause["field"] for cause in (caught.value.details or {})["causes"]]
    reporter = ["reportingController"] * 3
    assert fields == [
        *reporter, "reportingInstance", "action", "reason", "message", "series.count", "series.lastObservedTime",
    ]  # fmt: skip
    told = {"reportingController": "a.io/b", "reportingInstance": "i", "action": "Run", "reason": "Ran"}
    api.create("events.events.k8s.io", {**event, **told})
    assert api.get("events", "e")["reportingComponent"] == "a.io/b"


def test_events_of_both_groups_are_the_same_objects(api: Api) -> None:
    about = {"kind": "Pod", "namespace": "default", "name": "a"}
    api.create("events", {"metadata": {"name": "e"}, "involvedObject": about, "reason": "R", "message": "m"})
    other = api.get("events.events.k8s.io", "e")
    assert (other["apiVersion"], other["regarding"], other["note"]) == ("events.k8s.io/v1", about, "m")
    with pytest.raises(StatusError, match='message: Invalid value: "changed": field is immutable'):
        api.patch("events.events.k8s.io", "e", {"note": "changed"})
    when = "2026-01-01T00:00:00.000000Z"
    api.patch("events.events.k8s.io", "e", {"series": {"count": 2, "lastObservedTime": when}})
    assert api.get("events", "e")["series"] == {"count": 2, "lastObservedTime": when}
    named = api.list("events.events.k8s.io", field_selector="regarding.name=a,reason!=X")
    assert [event["metadata"]["name"] for event in named["items"]] == ["e"]
    with pytest.raises(StatusError, match="field label not supported: involvedObject.name"):
        api.list("events.events.k8s.io", field_selector="involvedObject.name=a")
    found = api.list("events", field_selector="involvedObject.name=a,reason!=X")
    assert [event["metadata"]["name"] for event in found["items"]] == ["e"]


# --- after a restart ---


def test_a_restart_gives_no_address_twice(tmp_path: Path) -> None:
    api = make_api(tmp_path)
    api.create("namespaces", {"metadata": {"name": "default"}})
    api.create("services", service("fixed", clusterIP="10.96.0.10", type="NodePort"))
    port = api.get("services", "fixed")["spec"]["ports"][0]["nodePort"]
    api.operations.store.close()
    again = make_api(tmp_path)
    with refused(422, "Invalid") as caught:
        again.create("services", service("second", clusterIP="10.96.0.10"))
    assert "failed to allocate IP 10.96.0.10: provided IP is already allocated" in caught.value.message
    with refused(422, "Invalid"):
        again.create("services", service("third", type="NodePort", ports=[{"port": 80, "nodePort": port}]))
    again.delete("services", "fixed")
    assert again.create("services", service("second", clusterIP="10.96.0.10"))["spec"]["clusterIP"] == "10.96.0.10"


def test_grace_is_counted_from_the_request(api: Api) -> None:
    api.create("pods", pod("a"))
    api.bind("a", "n1")
    marked = api.delete("pods", "a", grace_period_seconds=90)["metadata"]
    due = (api.clock() + timedelta(seconds=90)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (marked["deletionTimestamp"], marked["deletionGracePeriodSeconds"], marked["generation"]) == (due, 90, 2)
