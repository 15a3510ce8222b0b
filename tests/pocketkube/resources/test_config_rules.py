"""What ConfigMaps and Secrets may be."""

from __future__ import annotations

import pytest
from in_process_api import Api

from lab_helpers.pocketkube.api.status import StatusError


def test_a_sealed_config_map_stays_as_it_is(api: Api) -> None:
    api.create("configmaps", {"metadata": {"name": "c"}, "data": {"a": "1"}, "immutable": True})
    for change in ({"data": {"a": "2"}}, {"immutable": None}):
        with pytest.raises(StatusError, match="field is immutable when `immutable` is set"):
            api.patch("configmaps", "c", change)
    assert api.patch("configmaps", "c", {"metadata": {"labels": {"x": "y"}}})["data"] == {"a": "1"}


def test_plain_text_of_a_secret_is_encoded(api: Api) -> None:
    secret = api.create("secrets", {"metadata": {"name": "s"}, "stringData": {"a": "b"}, "data": {"c": "ZA=="}})
    assert secret["data"] == {"a": "Yg==", "c": "ZA=="}
    assert secret["type"] == "Opaque"
    assert "stringData" not in secret


def test_a_type_of_secret_needs_its_keys(api: Api) -> None:
    with pytest.raises(StatusError) as caught:
        api.create("secrets", {"metadata": {"name": "s"}, "type": "kubernetes.io/tls"})
    assert caught.value.message == (
        'Secret "s" is invalid: [data[tls.crt]: Required value, data[tls.key]: Required value]'
    )


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({}, "metadata.name: Required value: name or generateName is required"),
        (
            {"name": "o", "finalizers": ["orphan", "foregroundDeletion"]},
            'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: '
            "finalizer orphan and foregroundDeletion cannot be both set",
        ),
        (
            {"name": "o", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": ""}]},
            'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
        ),
        ({"name": "o", "annotations": {"a": "x" * 300_000}},
         "metadata.annotations: Too long: may not be more than 262144 bytes"),
    ],
)  # fmt: skip
def test_metadata_is_checked(api: Api, meta: dict[str, object], message: str) -> None:
    with pytest.raises(StatusError) as caught:
        api.create("configmaps", {"metadata": meta})
    assert caught.value.message.partition(" is invalid: ")[2] == message
