"""Ownership of fields: what a real server wrote, conflicts in its words, and what must hold whatever is applied."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_samples import SAMPLES, resource_of, sample

from lab_helpers.pocketkube.api import fields
from lab_helpers.pocketkube.api.apply import LAST_APPLIED, apply, track_update
from lab_helpers.pocketkube.api.fieldset import fields_of, from_fields_v1, to_fields_v1, with_named_parents
from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.resources.table import RESOURCES

SERVICES, DEPLOYMENTS, CONFIGMAPS = RESOURCES["services"], RESOURCES["deployments.apps"], RESOURCES["configmaps"]
T1, T2, T3 = "2024-01-01T00:00:01Z", "2024-01-01T00:00:02Z", "2024-01-01T00:00:03Z"

ALLOCATED = {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}
ADMITTED = {"volumes", "tolerations", "priority", "preemptionPolicy", "serviceAccount", "serviceAccountName"}


def as_sent(item) -> dict:
    """The answer without what the server filled in after it noted who owns what."""
    obj = copy.deepcopy(item["answer"])
    spec, sent = obj.get("spec") or {}, item["request"]["body"].get("spec") or {}
    for name in ALLOCATED | ADMITTED:
        if name not in sent:
            spec.pop(name, None)
    for container in spec.get("containers", ()):
        container.pop("volumeMounts", None)
    for port in spec.get("ports", ()) if obj["kind"] == "Service" else ():
        if not any("nodePort" in asked for asked in sent["ports"]):
            port.pop("nodePort", None)
    del obj["metadata"]["managedFields"]
    return obj


@pytest.mark.parametrize(
    "item",
    [item for item in SAMPLES if item["status"] == 201],
    ids=lambda item: item["label"].replace(" ", "-"),
)
def test_created_objects_are_owned_as_on_a_real_server(item):
    wanted = item["answer"]["metadata"]["managedFields"]
    obj = as_sent(item)
    track_update(None, obj, "Python-urllib", "", resource_of(item["request"]), wanted[0]["time"])
    assert obj["metadata"]["managedFields"] == wanted


def test_a_conflict_is_told_as_by_a_real_server():
    item = sample("apply conflict")
    live = sample("service clusterIP chosen")["answer"]
    with pytest.raises(StatusError) as error:
        apply(live, json.loads(item["request"]["body"]), "me", False, SERVICES, T1)
    assert error.value.status == item["answer"]


# --- updates ---


def configmap(**data):
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}, "data": data}


def owners(obj) -> dict:
    return {
        (entry["manager"], entry["operation"]): sorted(entry["fieldsV1"].get("f:data", {}))
        for entry in obj["metadata"].get("managedFields", ())
    }


def updated(old, new, manager, now=T2, subresource="", resource=CONFIGMAPS):
    new = copy.deepcopy(new)
    track_update(old, new, manager, subresource, resource, now)
    return new


def test_who_changes_a_field_takes_it_from_its_owner():
    first = updated(None, configmap(a="1", b="1"), "one", T1)
    second = updated(first, configmap(a="1", b="2"), "two")
    assert owners(second) == {("one", "Update"): [".", "f:a"], ("two", "Update"): ["f:b"]}
    assert [entry["time"] for entry in second["metadata"]["managedFields"]] == [T1, T2]


def test_nobody_owns_what_is_gone_and_empty_entries_are_dropped():
    first = updated(None, configmap(a="1"), "one", T1)
    second = updated(first, configmap(a="1", b="2"), "two")
    third = updated(second, configmap(a="1"), "three", T3)
    assert owners(third) == {("one", "Update"): [".", "f:a"]}
    assert updated(third, {**configmap(), "data": {}}, "x")["metadata"].get("managedFields", []) != []
    assert "managedFields" not in updated(third, {k: v for k, v in configmap().items() if k != "data"}, "x")["metadata"]


def test_an_update_that_changes_nothing_changes_no_time():
    first = updated(None, configmap(a="1"), "one", T1)
    again = updated(first, configmap(a="1"), "one")
    assert again["metadata"]["managedFields"] == first["metadata"]["managedFields"]


def test_a_subresource_is_an_owner_of_its_own_and_status_does_not_touch_spec():
    deployment = fields.decode_body({"metadata": {"name": "d"}, "spec": {"replicas": 1}}, [], DEPLOYMENTS, "Strict", [])
    live = updated(None, {**deployment, "status": {"replicas": 9}}, "kubectl", T1, "", DEPLOYMENTS)
    assert "f:status" not in live["metadata"]["managedFields"][0]["fieldsV1"]
    changed = {**live, "spec": {**live["spec"], "replicas": 2}, "status": {"replicas": 1}}
    after = updated(live, changed, "controller", T2, "status", DEPLOYMENTS)
    entry = after["metadata"]["managedFields"][1]
    assert (entry["subresource"], entry["fieldsV1"]) == ("status", {"f:status": {"f:replicas": {}}})
    assert list(entry) == ["manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource"]


def test_a_client_may_forget_all_owners_and_may_not_write_nonsense():
    first = updated(None, configmap(a="1"), "one", T1)
    reset = configmap(a="1")
    reset["metadata"]["managedFields"] = [{}]
    assert "managedFields" not in updated(first, reset, "two")["metadata"]
    for nonsense in ([{"manager": 1}], ["x"], "x", [{"operation": "Update", "fieldsV1": {"x": {}}}]):
        broken = configmap(a="1")
        broken["metadata"]["managedFields"] = nonsense
        kept = updated(first, broken, "two")
        assert kept["metadata"]["managedFields"] == first["metadata"]["managedFields"]


def test_the_number_of_updaters_is_bounded():
    obj = None
    for index in range(30):
        data = {f"k{n}": "1" for n in range(index + 1)}
        obj = updated(obj, configmap(**data), f"m{index}", f"2024-01-01T00:00:{index:02}Z")
    names = [entry["manager"] for entry in obj["metadata"]["managedFields"]]
    assert len(names) == 10
    assert "ancient-changes" in names
    assert sum(len(keys) for keys in owners(obj).values()) == 31


# --- server-side apply ---


def service(*ports, **spec):
    spec = {**spec, "ports": list(ports)} if ports else spec
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}


def applied(live, config, manager="me", force=False, now=T1, resource=SERVICES):
    before = copy.deepcopy((live, config))
    result = apply(live, config, manager, force, resource, now)
    assert (live, config) == before
    stored = fields.decode_body(result, [], resource, "Strict", [])
    return stored


def test_applying_creates_and_owns_what_was_said():
    obj = applied(None, service({"port": 80}, selector={"a": "b"}))
    assert obj["spec"] == {"ports": [{"port": 80}], "selector": {"a": "b"}}
    (entry,) = obj["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["time"]) == ("me", "Apply", T1)
    assert entry["fieldsV1"] == {
        "f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}, "f:selector": {}}
    }


def test_what_is_no_longer_said_goes():
    live = applied(None, service({"port": 80}, {"port": 81}, selector={"a": "b"}, type="NodePort"))
    obj = applied(live, service({"port": 80}), now=T2)
    assert obj["spec"] == {"ports": [{"port": 80}]}


def test_what_somebody_else_owns_stays():
    live = applied(None, service({"port": 80}, {"port": 81}, type="NodePort"))
    shared = applied(live, service({"port": 81}, type="NodePort"), "other", now=T2)
    obj = applied(shared, service({"port": 80}), now=T3)
    assert obj["spec"] == {"ports": [{"port": 80}, {"port": 81}], "type": "NodePort"}
    gone = applied(obj, service(), "other", now=T3)
    assert gone["spec"] == {"ports": [{"port": 80}]}


def test_what_the_server_defaulted_stays():
    live = applied(None, service({"port": 80}))
    live["spec"]["ports"][0] |= {"protocol": "TCP", "targetPort": 80}
    live["spec"]["type"] = "ClusterIP"
    obj = applied(live, service({"port": 80, "name": "http"}), now=T2)
    assert obj["spec"]["ports"] == [{"port": 80, "name": "http", "protocol": "TCP", "targetPort": 80}]
    assert obj["spec"]["type"] == "ClusterIP"


def test_force_takes_fields_over():
    live = updated(None, configmap(a="1", b="1"), "one", T1)
    with pytest.raises(StatusError, match=r'Apply failed with 1 conflict: conflict with "one" using v1: \.data\.a'):
        applied(live, configmap(a="2"), resource=CONFIGMAPS)
    obj = applied(live, configmap(a="2"), force=True, resource=CONFIGMAPS)
    assert obj["data"] == {"a": "2", "b": "1"}
    assert owners(obj) == {("me", "Apply"): ["f:a"], ("one", "Update"): [".", "f:b"]}


def test_the_same_value_is_shared_and_no_conflict():
    live = updated(None, configmap(a="1"), "one", T1)
    obj = applied(live, configmap(a="1"), resource=CONFIGMAPS, now=T2)
    assert owners(obj) == {("me", "Apply"): ["f:a"], ("one", "Update"): [".", "f:a"]}


def test_several_owners_are_named_one_after_the_other():
    live = updated(updated(None, configmap(a="1"), "one", T1), configmap(a="1", b="1"), "two")
    live = applied(live, configmap(c="1"), "three", resource=CONFIGMAPS)
    with pytest.raises(StatusError) as error:
        applied(live, configmap(a="2", b="2", c="2"), resource=CONFIGMAPS)
    assert error.value.message == (
        'Apply failed with 3 conflicts: conflicts with "one" using v1:\n- .data.a\n'
        'conflicts with "three":\n- .data.c\nconflicts with "two" using v1:\n- .data.b'
    )


def test_objects_from_before_ownership_was_tracked_have_an_owner_at_once():
    obj = applied(configmap(a="1"), configmap(b="1"), resource=CONFIGMAPS)
    assert owners(obj) == {("me", "Apply"): ["f:b"], ("before-first-apply", "Update"): [".", "f:a"]}


def test_kubectl_may_take_over_what_it_applied_from_the_client_side():
    said = configmap(a="1", b="1")
    live = configmap(a="1", b="2", c="1")
    live["metadata"]["annotations"] = {LAST_APPLIED: json.dumps(said)}
    live = updated(None, live, "kubectl-client-side-apply", T1)
    obj = applied(live, configmap(a="9"), "kubectl", resource=CONFIGMAPS)
    assert obj["data"] == {"a": "9", "b": "2", "c": "1"}
    assert json.loads(obj["metadata"]["annotations"][LAST_APPLIED]) == configmap(a="9")
    with pytest.raises(StatusError, match="conflict"):
        applied(live, configmap(b="9"), "kubectl", resource=CONFIGMAPS)
    with pytest.raises(StatusError, match="conflict"):
        applied(live, configmap(a="9"), "somebody", resource=CONFIGMAPS)


@pytest.mark.parametrize(
    ("config", "code", "why"),
    [
        (
            service(bogus=1),
            500,
            "failed to create typed patch object (/web; /v1, Kind=Service): .spec.bogus: field not declared in schema",
        ),
        (service({"port": 80, "x": 1}, bogus=1), 500, "errors:\n"),
        (service({"port": "80"}), 500, '.spec.ports[port="80",protocol="TCP"].port: expected numeric (int or float)'),
        (service({"port": 80}, {"port": 80, "protocol": "TCP"}), 500, "duplicate entries for key"),
        ({**service(), "spec": []}, 500, ".spec: expected map, got &{[]}"),
        ({**service(), "metadata": 3}, 500, ".metadata: expected map, got &{3}"),
        (["a", "list"], 400, "while decoding JSON: json: cannot unmarshal array into Go value"),
        ({**service(), "apiVersion": 2}, 400, "invalid object type: /, Kind=Service"),
        ({"apiVersion": "v1"}, 400, "invalid object type: /v1, Kind="),
        ({**service(), "apiVersion": "v2"}, 400, "invalid object type: /v2, Kind=Service"),
        ({**service(), "metadata": {"managedFields": [{}]}}, 400, "metadata.managedFields must be nil"),
    ],
)  # fmt: skip
def test_configurations_that_do_not_fit_are_refused(config, code, why):
    with pytest.raises(StatusError) as error:
        apply(None, config, "me", False, SERVICES, T1)
    assert (error.value.code, why in error.value.message) == (code, True), error.value.message


def test_an_item_without_a_key_is_known_by_the_keys_default_where_there_is_one():
    obj = apply(None, service({"name": "x"}), "me", False, SERVICES, T1)
    (entry,) = obj["metadata"]["managedFields"]
    assert 'k:{"port":0,"protocol":"TCP"}' in entry["fieldsV1"]["f:spec"]["f:ports"]
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}, "secrets": [{"kind": "x"}]}
    with pytest.raises(StatusError, match=r'omits all key fields \["name"\]'):
        apply(None, account, "me", False, RESOURCES["serviceaccounts"], T1)


def test_applied_items_come_in_their_order_and_others_keep_their_place():
    def names(*items):
        return {"metadata": {"name": "d"}, "spec": {"template": {"spec": {"containers": [{"name": n} for n in items]}}},
                "apiVersion": "apps/v1", "kind": "Deployment"}  # fmt: skip

    live = updated(None, names("a", "sidecar", "b"), "one", T1, "", DEPLOYMENTS)
    obj = apply(live, names("b", "c", "a"), "me", False, DEPLOYMENTS, T2)
    assert [c["name"] for c in obj["spec"]["template"]["spec"]["containers"]] == ["sidecar", "b", "c", "a"]


# --- what must hold whatever is applied ---

_KEYS = st.sampled_from("abc")
_VALUES = st.sampled_from("123")
PORTS = st.lists(
    st.fixed_dictionaries(
        {"port": st.integers(80, 82)},
        optional={"protocol": st.sampled_from(["TCP", "UDP"]), "name": _KEYS, "targetPort": st.integers(1, 3)},
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda port: (port["port"], port.get("protocol", "TCP")),
)
TIMEOUTS = st.fixed_dictionaries({"timeoutSeconds": st.integers(1, 3)})
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "ports": PORTS,
        "selector": st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=2),
        "type": _VALUES,
        "externalIPs": st.lists(_VALUES, min_size=1, max_size=2),
        "sessionAffinityConfig": st.fixed_dictionaries({"clientIP": TIMEOUTS}),
    },
)
METADATA = st.fixed_dictionaries(
    {"name": st.just("web")},
    optional={
        "labels": st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=2),
        "finalizers": st.lists(_VALUES, min_size=1, max_size=2, unique=True),
    },
)
# Containers are never empty: the stored form leaves those out, so that they count as applied anew each time.
CONFIGS = st.fixed_dictionaries(
    {"apiVersion": st.just("v1"), "kind": st.just("Service"), "metadata": METADATA}, optional={"spec": SPECS}
)
MANAGERS = st.sampled_from(["x", "y", "z"])
STEPS = st.lists(st.tuples(MANAGERS, CONFIGS), min_size=1, max_size=4)


def applied_all(steps):
    live = None
    for manager, config in steps:
        live = applied(live, config, manager, force=True)
    return live


def owned_fields(obj) -> dict:
    return {e["manager"]: from_fields_v1(e["fieldsV1"]) for e in obj["metadata"].get("managedFields", ())}


def said_is_so(said, obj) -> bool:
    """Everything a configuration says holds of the object."""
    if isinstance(said, dict):
        return all(said_is_so(value, (obj or {}).get(name)) for name, value in said.items())
    if isinstance(said, list) and said and isinstance(said[0], dict):
        by_key = {(p["port"], p.get("protocol", "TCP")): p for p in obj}
        return all(said_is_so(p, by_key[p["port"], p.get("protocol", "TCP")]) for p in said)
    if isinstance(said, list):
        return all(item in (obj or ()) for item in said)
    return said == obj


@given(STEPS)
def test_what_was_said_last_holds(steps):
    assert said_is_so(steps[-1][1], applied_all(steps))


@given(STEPS)
def test_applying_again_changes_nothing_not_even_a_time(steps):
    live = applied_all(steps)
    manager, config = steps[-1]
    assert applied(live, config, manager, now=T3) == live


@given(STEPS)
def test_every_owned_field_exists(steps):
    live = applied_all(steps)
    existing = with_named_parents(fields_of(live, "core.v1.Service"), "core.v1.Service")
    assert all(owned <= existing for owned in owned_fields(live).values())


@given(STEPS, MANAGERS, CONFIGS)
def test_without_force_nobody_loses_a_field(steps, manager, config):
    live = applied_all(steps)
    try:
        after = applied(live, config, manager)
    except StatusError as error:
        assert error.code == 409
        assert f'with "{manager}"' not in error.message
        return
    for other, owned in owned_fields(live).items():
        if other != manager:
            assert owned_fields(after).get(other, set()) == owned


@given(CONFIGS, CONFIGS)
def test_the_only_owner_that_says_nothing_more_leaves_nothing(first, second):
    live = applied_all([("x", first), ("x", second), ("x", {**service(), "spec": {}})])
    bare = applied(None, {**service(), "spec": {}}, "x")
    assert live["spec"] == bare["spec"]
    assert set(live["metadata"]) <= {"name", "managedFields"}


@given(STEPS)
def test_sets_of_fields_survive_being_written(steps):
    for owned in owned_fields(applied_all(steps)).values():
        assert from_fields_v1(to_fields_v1(owned)) == owned


def test_what_is_as_if_nobody_had_set_it_belongs_to_nobody():
    event = {"metadata": {"name": "e"}, "message": "B", "reportingComponent": "", "reportingInstance": "node-1"}
    track_update(None, event, "me", "", RESOURCES["events"], T1)
    assert event["metadata"]["managedFields"][0]["fieldsV1"] == {"f:message": {}, "f:reportingInstance": {}}
    nothing = {"metadata": {"name": "p"}, "value": 0, "preemptionPolicy": "Never"}
    track_update(None, nothing, "me", "", RESOURCES["priorityclasses.scheduling.k8s.io"], T1)
    assert nothing["metadata"]["managedFields"][0]["fieldsV1"] == {"f:preemptionPolicy": {}}
