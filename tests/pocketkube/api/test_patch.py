"""Patches: known answers, the directives one by one, and each kind of patch against an independent model."""

from __future__ import annotations

import contextlib
import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_samples import sample

from lab_helpers.pocketkube.api.patch import MAX_OPERATIONS, apply_patch
from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.client import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from lab_helpers.pocketkube.resources.table import RESOURCES

PODS, SERVICES, DEPLOYMENTS = RESOURCES["pods"], RESOURCES["services"], RESOURCES["deployments.apps"]


def refusal(patch_type, current, patch, resource=PODS) -> StatusError:
    with pytest.raises(StatusError) as error:
        apply_patch(patch_type, current, patch, resource)
    return error.value


# --- JSON patch ---


def test_json_patch_does_its_operations_in_order():
    operations = [
        {"op": "test", "path": "/spec/type", "value": "ClusterIP"},
        {"op": "replace", "path": "/spec/type", "value": "NodePort"},
        {"op": "add", "path": "/spec/ports/-", "value": {"port": 81}},
        {"op": "remove", "path": "/spec/ports/0"},
        {"op": "copy", "from": "/spec/type", "path": "/metadata/labels/a~1b"},
        {"op": "move", "from": "/spec/ports", "path": "/spec/p"},
    ]
    current = {"metadata": {"labels": {}}, "spec": {"type": "ClusterIP", "ports": [{"port": 80}]}}
    before = copy.deepcopy(current)
    assert apply_patch(JSON_PATCH, current, operations, SERVICES) == {
        "metadata": {"labels": {"a/b": "NodePort"}},
        "spec": {"type": "NodePort", "p": [{"port": 81}]},
    }
    assert current == before


@pytest.mark.parametrize("label", ["json patch test fails", "json patch bad path"])
def test_json_patches_that_do_not_fit_are_refused_as_by_a_real_server(label):
    current = sample("service created, defaults filled")["answer"]
    error = refusal(JSON_PATCH, current, sample(label)["request"]["body"], SERVICES)
    assert error.status == sample(label)["answer"]


@pytest.mark.parametrize(
    "operation",
    [
        None, {}, {"op": "add"}, {"op": "nope", "path": "/a"}, {"op": "move", "path": "/a"},
        {"op": "copy", "path": "/a", "from": "/nope/x"}, {"op": "add", "path": "a", "value": 1},
        {"op": "test", "path": "/spec"}, {"op": "add", "path": "/spec/x/y", "value": 1},
        {"op": "add", "path": "/n/y", "value": 1}, {"op": "add", "path": "", "value": []}, {"op": "remove", "path": ""},
    ],
)  # fmt: skip
def test_malformed_operations_are_refused(operation):
    assert refusal(JSON_PATCH, {"spec": {}, "n": 1}, [operation]).code == 422


@pytest.mark.parametrize("operation", [{"op": 1, "path": "/a"}, {"op": "add", "path": 5}, {"op": "add", "from": 3}])
def test_members_that_are_no_texts_are_named(operation):
    error = refusal(JSON_PATCH, {}, [operation])
    name = next(name for name, value in operation.items() if isinstance(value, int))
    why = f"json: cannot unmarshal number into Go struct field jsonPatchOp.{name} of type string"
    assert (error.code, error.message) == (400, f"error decoding patch: {why}")


def test_pointers_and_values_are_read_as_leniently_as_upstream():
    labels = {"metadata": {"labels": {}}}
    assert apply_patch(JSON_PATCH, labels, [{"op": "add", "path": "/metadata/labels/~2", "value": "x"}], SERVICES) == {
        "metadata": {"labels": {"~2": "x"}}
    }
    assert apply_patch(JSON_PATCH, labels, [{"op": "add", "path": "x/metadata", "value": 1}], SERVICES) == {
        "metadata": 1
    }
    assert apply_patch(JSON_PATCH, labels, [{"op": "add", "path": "/a"}], SERVICES) == {**labels, "a": None}
    assert apply_patch(JSON_PATCH, labels, [{"op": "test", "path": "/metadata/nope"}], SERVICES) == labels


def test_a_patch_has_bounds():
    many = [{"op": "add", "path": "/a", "value": 1}] * (MAX_OPERATIONS + 1)
    assert refusal(JSON_PATCH, {}, many).code == 413
    doubling = [{"op": "copy", "from": "/a", "path": f"/a/x{i}"} for i in range(64)]
    assert refusal(JSON_PATCH, {"a": {"b": "c" * 100}}, doubling).code == 422
    nesting = [{"op": "add", "path": "/a" * depth, "value": {}} for depth in range(1, 400)]
    assert refusal(JSON_PATCH, {}, nesting).code == 422


@pytest.mark.parametrize(("patch_type", "patch"), [(JSON_PATCH, {}), (MERGE_PATCH, []), (STRATEGIC_MERGE_PATCH, "x")])
def test_a_patch_must_be_of_its_form(patch_type, patch):
    assert refusal(patch_type, {}, patch).code == 400


def test_other_patches_are_an_unsupported_media_type():
    assert refusal("application/json", {}, {}).code == 415


# --- merge patch ---

VALUES = st.recursive(
    st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "b"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


def merge_diff(old, new):
    """The merge patch that leads from one object to another."""
    patch = {name: None for name in old if name not in new}
    for name, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(name), dict):
            patch[name] = merge_diff(old[name], value)
        elif name not in old or old[name] != value or type(old[name]) is not type(value):
            patch[name] = value
    return patch


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_leads_where_its_difference_was_taken(old, new):
    before = copy.deepcopy(old)
    assert apply_patch(MERGE_PATCH, old, merge_diff(old, new), PODS) == new
    assert old == before


def test_null_removes_and_leaves_no_trace_in_what_is_new():
    assert apply_patch(MERGE_PATCH, {"a": 1}, {"a": None, "b": {"c": None, "d": 1}}, PODS) == {"b": {"d": 1}}


# --- strategic merge patch ---


def pod(*containers, **spec):
    return {"spec": {"containers": list(containers), **spec}}


def strategic(current, patch, resource=PODS):
    before = copy.deepcopy((current, patch))
    patched = apply_patch(STRATEGIC_MERGE_PATCH, current, patch, resource)
    assert (current, patch) == before
    return patched


def test_keyed_lists_are_merged_by_their_key():
    patch = pod({"name": "b", "image": "new"}, {"name": "c", "image": "c"})
    assert strategic(pod({"name": "a", "image": "a"}, {"name": "b", "image": "b", "tty": True}), patch) == pod(
        {"name": "a", "image": "a"}, {"name": "b", "image": "new", "tty": True}, {"name": "c", "image": "c"}
    )


def test_other_lists_are_replaced():
    current = pod({"name": "a", "args": ["1", "2"]})
    assert strategic(current, pod({"name": "a", "args": ["3"]})) == pod({"name": "a", "args": ["3"]})


def test_new_items_come_before_those_that_were_there():
    both = strategic(pod({"name": "a", "image": "a"}), pod({"name": "b", "image": "b"}))
    assert both == pod({"name": "b", "image": "b"}, {"name": "a", "image": "a"})


def test_a_container_takes_over_where_set_element_order_says():
    current = pod({"name": "a"}, {"name": "sidecar"}, {"name": "b"})
    patch = {
        "spec": {
            "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
            "containers": [{"name": "b", "tty": True}],
        }
    }
    names = [c["name"] for c in strategic(current, patch)["spec"]["containers"]]
    assert names == ["sidecar", "b", "a"], "what the order does not name stays before what it was before"


def test_items_the_order_does_not_name_keep_their_place():
    current = {"metadata": {"finalizers": ["x", "a", "b"]}}
    patch = {"metadata": {"$setElementOrder/finalizers": ["a", "c", "b"], "finalizers": ["c"]}}
    assert strategic(current, patch)["metadata"]["finalizers"] == ["x", "a", "c", "b"]


def test_delete_takes_an_item_out():
    current = pod({"name": "a"}, {"name": "b"})
    patch = pod({"name": "a", "$patch": "delete"}, {"name": "nope", "$patch": "delete"})
    assert strategic(current, patch) == pod({"name": "b"})


def test_replace_in_a_list_replaces_all_of_it():
    patch = pod({"$patch": "replace"}, {"name": "c"})
    assert strategic(pod({"name": "a"}, {"name": "b"}), patch) == pod({"name": "c"})


def test_replace_and_delete_on_an_object():
    current = {"metadata": {"labels": {"a": "1"}}, "spec": {"securityContext": {"runAsUser": 1}}}
    patch = {"metadata": {"labels": {"$patch": "replace", "b": "2"}}, "spec": {"securityContext": {"$patch": "delete"}}}
    assert strategic(current, patch) == {"metadata": {"labels": {"b": "2"}}, "spec": {"securityContext": {}}}


def test_values_are_taken_out_of_a_list_of_scalars():
    current = {"metadata": {"finalizers": ["a", "b", "c"]}}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "z"], "finalizers": ["c", "d"]}}
    assert strategic(current, patch) == {"metadata": {"finalizers": ["b", "c", "d"]}}


def test_retain_keys_drops_what_it_does_not_name():
    current = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic(current, patch, DEPLOYMENTS) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_a_volume_changes_its_source():
    current = pod(volumes=[{"name": "v", "emptyDir": {}}])
    patch = {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "c"}}]}}
    assert strategic(current, patch)["spec"]["volumes"] == [{"name": "v", "configMap": {"name": "c"}}]


def test_ports_of_a_service_are_merged_by_port():
    current = {"spec": {"ports": [{"port": 80, "targetPort": 80}, {"port": 443}]}}
    patched = strategic(current, {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}, SERVICES)
    assert patched["spec"]["ports"] == [{"port": 80, "targetPort": 8080}, {"port": 443}]


def test_directives_do_not_reach_what_is_new():
    patch = pod({"name": "a", "env": [{"name": "E", "$patch": "delete"}, {"name": "F", "value": "1"}], "tty": None})
    assert strategic({}, patch) == pod({"name": "a", "env": [{"name": "F", "value": "1"}]})


@pytest.mark.parametrize(
    ("patch", "code", "why"),
    [
        ({"spec": {"$patch": "nope"}}, 500, "unknown patch type: nope in map: map[$patch:nope]"),
        (
            {"spec": {"containers": [{"image": "x"}]}},
            500,
            "map: map[image:x] does not contain declared merge key: name",
        ),
        ({"spec": {"containers": ["x"]}}, 500, "does not contain declared merge key"),
        ({"spec": {"$retainKeys": ["a"], "nodeName": "n"}}, 400, "retainKeys"),
        ({"spec": {"$retainKeys": 1}}, 400, "retainKeys"),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": 1}}, 400, "primitive list"),
        ({"spec": {"$setElementOrder/containers": {}}}, 400, "setElementOrder"),
        (
            {"spec": {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a"}]}},
            500,
            "doesn't match $setElementOrder list",
        ),
    ],
)
def test_directives_that_make_no_sense_are_refused(patch, code, why):
    error = refusal(STRATEGIC_MERGE_PATCH, {"metadata": {}, "spec": {"containers": [{"name": "a"}]}}, patch)
    assert (error.code, why in error.message) == (code, True), error.message


# A model of what kubectl computes: the difference of two Pods as a strategic merge patch.

_NAMES = st.sampled_from("abcd")


def keyed_list(key, **others):
    item = st.fixed_dictionaries({key: _NAMES}, optional=others)
    return st.lists(item, max_size=4, unique_by=lambda value: value[key])


ENV = keyed_list("name", value=st.sampled_from("12"))
PODS_STRATEGY = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "labels": st.dictionaries(_NAMES, st.sampled_from("12"), max_size=3),
                "finalizers": st.lists(_NAMES, max_size=3, unique=True),
            },
        ),
        "spec": st.fixed_dictionaries(
            {"containers": keyed_list("name", image=st.sampled_from("xy"), env=ENV, args=st.lists(_NAMES, max_size=2))},
            optional={"tolerations": st.lists(st.fixed_dictionaries({"key": _NAMES}), max_size=2)},
        ),
    }
)
MERGED_BY = {"containers": "name", "env": "name", "finalizers": None}


def strategic_diff(old, new):
    patch = {name: None for name in old if name not in new}
    for name, value in new.items():
        if name not in old:
            patch[name] = value
        elif isinstance(value, dict):
            patch[name] = strategic_diff(old[name], value)
        elif name in MERGED_BY and old[name] != value:
            patch.update(list_diff(name, old[name], value, MERGED_BY[name]))
        elif old[name] != value:
            patch[name] = value
    return patch


def list_diff(name, old, new, key):
    if key is None:
        gone = [item for item in old if item not in new]
        added = [item for item in new if item not in old]
        return {f"$deleteFromPrimitiveList/{name}": gone, f"$setElementOrder/{name}": new, name: added}
    before = {item[key]: item for item in old}
    changed = [
        {**strategic_diff(before[item[key]], item), key: item[key]} if item[key] in before else item for item in new
    ]
    wanted = {item[key] for item in new}
    gone = [{key: item[key], "$patch": "delete"} for item in old if item[key] not in wanted]
    return {f"$setElementOrder/{name}": [{key: item[key]} for item in new], name: changed + gone}


@given(PODS_STRATEGY, PODS_STRATEGY)
def test_a_strategic_patch_leads_where_its_difference_was_taken(old, new):
    assert strategic(old, strategic_diff(old, new)) == new


@given(PODS_STRATEGY, PODS_STRATEGY)
def test_a_strategic_patch_applied_twice_changes_nothing_more(old, patch):
    once = strategic(old, patch)
    assert strategic(once, patch) == once


@given(PODS_STRATEGY, st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["delete", "replace", "merge", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["spec", "metadata", "containers", "env", "name", "labels", "finalizers", "$patch", "$retainKeys",
         "$setElementOrder/containers", "$setElementOrder/labels", "$deleteFromPrimitiveList/finalizers", "a"]
    ), inner, max_size=4), max_leaves=12,
))  # fmt: skip
def test_hostile_patches_never_do_worse_than_a_status(current, patch):
    for patch_type in (STRATEGIC_MERGE_PATCH, MERGE_PATCH, JSON_PATCH):
        with contextlib.suppress(StatusError):
            apply_patch(patch_type, current, patch, PODS)
