"""Fields of a body: unknown, duplicate and wrongly typed ones, and the form that is stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_samples import SAMPLES, STORED, body_of, resource_of, sample

from lab_helpers.pocketkube.api import fields
from lab_helpers.pocketkube.api.body import parse_json
from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.resources.table import RESOURCES

SERVICES, DEPLOYMENTS, PODS = RESOURCES["services"], RESOURCES["deployments.apps"], RESOURCES["pods"]


def refusal(obj, resource=SERVICES, validation="Strict", duplicates=()) -> StatusError:
    with pytest.raises(StatusError) as error:
        fields.decode_body(obj, duplicates, resource, validation, [])
    return error.value


def service(**spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}


@pytest.mark.parametrize(
    "label",
    [
        "service unknown field strict",
        "service duplicate key strict",
        "wrong apiVersion",
        "configmap bad value",
        "secret bad base64",
    ],
)
def test_bad_bodies_are_refused_as_by_a_real_server(label):
    request = sample(label)["request"]
    obj, duplicates = parse_json(body_of(request))
    error = refusal(obj, resource_of(request), "Strict", duplicates)
    assert error.status == sample(label)["answer"]


def test_warn_warns_and_ignore_is_silent():
    request = sample("service unknown field warn")["request"]
    for validation, expected in (("Warn", ['unknown field "spec.selectors"']), ("Ignore", [])):
        warnings: list[str] = []
        stored = fields.decode_body(request["body"], [], SERVICES, validation, warnings)
        assert warnings == expected
        assert "selectors" not in stored["spec"]


@pytest.mark.parametrize("obj", STORED, ids=lambda obj: f"{obj['kind']}-{obj['metadata']['name']}")
def test_what_a_real_server_stored_is_stored_unchanged(obj):
    group, _, version = obj["apiVersion"].rpartition("/")
    type_name = fields.schema.kind_type(group, version, obj["kind"])
    assert fields.canonical(obj, type_name) == obj


@pytest.mark.parametrize(
    "item", [item for item in SAMPLES if item["status"] == 201], ids=lambda item: item["label"].replace(" ", "-")
)
def test_answers_of_a_real_server_are_fixed_points(item):
    stored = fields.decode_body(item["answer"], [], resource_of(item["request"]), "Strict", [])
    assert stored == item["answer"]


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            {"ports": [{"port": "eighty"}]},
            "json: cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            {"ports": [{"port": 80.5}]},
            "json: cannot unmarshal number 80.5 into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            {"ports": [{"port": 2**31}]},
            "json: cannot unmarshal number 2147483648 into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            {"ports": [{"port": 80, "protocol": 6}]},
            "json: cannot unmarshal number into Go struct field ServicePort.spec.ports.protocol of type v1.Protocol",
        ),
        (
            {"ports": {}},
            "json: cannot unmarshal object into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort",
        ),
        (
            {"selector": ["a"]},
            "json: cannot unmarshal array into Go struct field ServiceSpec.spec.selector of type map[string]string",
        ),
        (
            {"publishNotReadyAddresses": "yes"},
            "json: cannot unmarshal string into Go struct field ServiceSpec.spec.publishNotReadyAddresses of type bool",
        ),
        (
            {"ports": [80]},
            "json: cannot unmarshal number into Go struct field ServiceSpec.spec.ports of type v1.ServicePort",
        ),
    ],
)
def test_wrong_types_are_named_in_the_words_of_go(spec, sentence):
    error = refusal(service(**spec), validation="Ignore")
    assert error.message == f'Service in version "v1" cannot be handled as a Service: {sentence}'
    assert error.code == 400


def test_a_wrong_type_counts_for_more_than_an_unknown_field():
    assert "cannot unmarshal" in refusal(service(bogus=1, type=1)).message


def test_all_strict_errors_are_listed():
    message = refusal(
        service(bogus=1, ports=[{"port": 1}, {"nope": 1}]), duplicates=['duplicate field "spec.type"']
    ).message
    assert message.endswith(
        'strict decoding error: duplicate field "spec.type", unknown field "spec.bogus", '
        'unknown field "spec.ports[1].nope"'
    )


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        (
            {"creationTimestamp": "soon"},
            'parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006"',
        ),
        (
            {"creationTimestamp": 1},
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
        ),
    ],
)
def test_times_must_be_times(metadata, sentence):
    assert refusal({"metadata": metadata}).message.endswith(sentence)


def test_another_kind_is_refused():
    message = refusal({"apiVersion": "v1", "kind": "Pod"}).message
    assert message == (
        'Pod in version "v1" cannot be handled as a Service: converting (v1.Pod) to (core.Service): unknown conversion'
    )


@pytest.mark.parametrize("obj", [[], "text", None, 3, {"kind": 3}, {"apiVersion": []}])
def test_what_is_no_object_is_refused(obj):
    assert refusal(obj).code == 400


def test_kind_and_version_are_taken_from_the_url():
    stored = fields.decode_body({"metadata": {"name": "c"}}, [], RESOURCES["configmaps"], "Strict", [])
    assert (stored["apiVersion"], stored["kind"]) == ("v1", "ConfigMap")
    scale = fields.decode_body({"spec": {"replicas": 2}}, [], DEPLOYMENTS, "Strict", [], "scale")
    assert (scale["apiVersion"], scale["kind"], scale["spec"]) == ("autoscaling/v1", "Scale", {"replicas": 2})


def test_the_stored_form_is_what_go_would_write():
    container = {"name": "c", "image": "", "args": [], "env": [{"name": "E", "value": ""}], "resources": None}
    spec = {"containers": [container], "hostNetwork": False, "nodeName": "", "securityContext": {}, "volumes": None}
    pod = {"metadata": {"name": "p", "labels": {}, "creationTimestamp": None}, "spec": spec}
    assert fields.decode_body(pod, [], PODS, "Strict", []) == {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "env": [{"name": "E"}], "resources": {}}], "securityContext": {}},
        "status": {},
    }


def test_zero_values_of_pointers_are_kept():
    deployment = {"spec": {"replicas": 0, "revisionHistoryLimit": 0, "minReadySeconds": 0, "paused": False}}
    spec = fields.decode_body(deployment, [], DEPLOYMENTS, "Strict", [])["spec"]
    assert spec == {"replicas": 0, "revisionHistoryLimit": 0, "strategy": {}, "template": {"metadata": {}, "spec": {}}}


def test_quantities_and_times_are_rewritten():
    limits = {"cpu": 0.5, "memory": "1024Mi"}
    meta = {"deletionTimestamp": "2024-01-01T01:00:00.5+01:00"}
    pod = {"metadata": meta, "spec": {"containers": [{"name": "c", "resources": {"limits": limits}}]}}
    stored = fields.decode_body(pod, [], PODS, "Strict", [])
    assert stored["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "500m", "memory": "1Gi"}}
    assert stored["metadata"]["deletionTimestamp"] == "2024-01-01T00:00:00Z"


def test_an_outcome_of_a_patch_is_refused_as_the_patch():
    with pytest.raises(StatusError) as error:
        fields.decode_patched(service(bogus=1), SERVICES, "Strict", [], shown={"spec": {"bogus": 1}})
    assert error.value.code == 422
    assert error.value.message == (
        ' "" is invalid: patch: Invalid value: "map[spec:map[bogus:1]]": '
        'strict decoding error: unknown field "spec.bogus"'
    )


def test_what_comes_in_is_not_changed_and_not_shared():
    given_body = service(ports=[{"port": 80}], selector={"a": "b"})
    before = repr(given_body)
    stored = fields.decode_body(given_body, [], SERVICES, "Strict", [])
    stored["spec"]["selector"]["a"] = "c"
    stored["status"]["loadBalancer"]["x"] = 1
    assert repr(given_body) == before
    assert fields.decode_body(given_body, [], SERVICES, "Strict", [])["status"] == {"loadBalancer": {}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["spec", "metadata", "labels", "name", "ports", "port", "targetPort", "selector", "containers", "status",
         "creationTimestamp", "resources", "limits", "cpu", "template", "data", "managedFields", "fieldsV1"]
    ), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON, st.sampled_from([SERVICES, PODS, DEPLOYMENTS, RESOURCES["secrets"]]))
def test_hostile_bodies_never_do_worse_than_a_status_and_stored_forms_are_stable(obj, resource):
    try:
        stored = fields.decode_body(obj, [], resource, "Warn", [])
    except StatusError as error:
        assert error.code == 400
        return
    assert fields.decode_body(stored, [], resource, "Strict", []) == stored


def test_a_strict_reader_complains_in_the_order_of_the_document() -> None:
    body = b"""{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {
        "one": 1, "type": "NodePort", "ports": [{"port": 1, "two": 2, "port": 80}], "type": "ClusterIP", "three": 3}}"""
    value, duplicates = parse_json(body)
    with pytest.raises(StatusError) as caught:
        fields.decode_body(value, duplicates, RESOURCES["services"], "Strict", [])
    assert caught.value.message.partition("strict decoding error: ")[2] == (
        'unknown field "spec.one", unknown field "spec.ports[0].two", duplicate field "spec.ports[0].port", '
        'duplicate field "spec.type", unknown field "spec.three"'
    )
    assert (value["spec"]["type"], value["spec"]["ports"][0]["port"]) == ("ClusterIP", 80)
