"""What clients accept, and what they send."""

from __future__ import annotations

import pytest

from lab_helpers.pocketkube.api.negotiate import Representation, body_type, encode, negotiate, parse_accept, patch_type
from lab_helpers.pocketkube.api.status import StatusError

KUBECTL_GET = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


@pytest.mark.parametrize(
    "accept", ["", "*/*", "application/*", "application/json", "text/html, application/json;q=0.5"]
)
def test_json_is_what_everybody_can_have(accept: str) -> None:
    assert negotiate(accept) == Representation()


def test_go_clients_that_prefer_protobuf_get_json() -> None:
    assert negotiate("application/vnd.kubernetes.protobuf,application/json") == Representation()


def test_kubectl_get_asks_for_a_table() -> None:
    assert negotiate(KUBECTL_GET, is_list=True) == Representation(transform="Table")
    assert negotiate("application/json;as=Table;v=v1beta1;g=meta.k8s.io").version == "v1beta1"


def test_a_transform_that_is_not_known_is_passed_over() -> None:
    assert negotiate("application/json;as=Table;v=v9;g=meta.k8s.io,application/json") == Representation()
    with pytest.raises(StatusError):
        negotiate("application/json;as=Table;v=v9;g=meta.k8s.io")


def test_lists_and_objects_have_bare_metadata_of_their_own() -> None:
    wanted = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    assert negotiate(wanted, is_list=True).transform == "PartialObjectMetadataList"
    with pytest.raises(StatusError):
        negotiate(wanted)


@pytest.mark.parametrize("wanted", ["as=Foo;g=meta.k8s.io;v=v1", "as=Table;g=meta.k8s.io;v=v7", "as=Table"])
def test_a_transform_that_there_is_not_is_told_in_words_of_its_own(wanted: str) -> None:
    with pytest.raises(StatusError) as refused:
        negotiate(f"application/json;{wanted}")
    assert refused.value.message == (
        "only the following media types are accepted: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


def test_a_watch_may_be_called_a_list() -> None:
    for kind in ("PartialObjectMetadata", "PartialObjectMetadataList"):
        assert negotiate(f"application/json;as={kind};v=v1;g=meta.k8s.io", is_watch=True).transform == kind


def test_what_can_not_be_had_is_406_with_what_can() -> None:
    with pytest.raises(StatusError) as refused:
        negotiate("text/csv")
    assert refused.value.code == 406
    assert refused.value.message == (
        "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "
        "application/vnd.kubernetes.protobuf"
    )
    with pytest.raises(StatusError) as refused:
        negotiate("text/csv", is_list=True)
    assert refused.value.message.endswith(
        "application/vnd.kubernetes.protobuf, application/json;stream=watch, "
        "application/vnd.kubernetes.protobuf;stream=watch"
    )


def test_quality_orders_the_alternatives() -> None:
    clauses = parse_accept("a/a;q=0.1, b/b, c/c;q=0, d/d;q=0.5")
    assert [clause.media_type for clause in clauses] == ["b/b", "d/d", "a/a"]


def test_yaml_is_written_for_who_asks() -> None:
    assert negotiate("application/yaml").media_type == "application/yaml"
    assert encode({"b": 1, "a": ["x"]}, "application/yaml") == b"b: 1\na:\n- x\n"


def test_bodies() -> None:
    assert body_type("application/json; charset=utf-8") == "application/json"
    assert body_type("") == "application/json"
    assert body_type("application/yaml") == "application/yaml"
    with pytest.raises(StatusError) as refused:
        body_type("text/plain")
    assert refused.value.code == 415


def test_patches() -> None:
    assert patch_type("application/merge-patch+json; charset=utf-8") == "application/merge-patch+json"
    with pytest.raises(StatusError) as refused:
        patch_type("application/json")
    assert refused.value.code == 415
    assert refused.value.message == "415: Unsupported Media Type"
