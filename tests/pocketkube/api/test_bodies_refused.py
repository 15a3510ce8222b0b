"""Bodies that are no objects, objects of other kinds, options that don't exist: refused in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest
from api_serving import Served, run

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
UNRECOGNIZED = (
    "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error:"
)
HEAD = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
JSON_PATCH, APPLY = "application/json-patch+json", "application/apply-patch+yaml"
NO_OPTIONS = "pkg/apis/meta/internalversion/scheme/register.go:27"


def refusal(method: str, path: str, body: bytes | Any, content_type: str = "application/json") -> tuple[int, str]:
    answers: list[tuple[int, str]] = []

    async def scenario(served: Served) -> None:
        await served.post(CONFIG_MAPS, {"metadata": {"name": "a"}, "data": {"x": "1"}})
        answer = await served.request(method, path, body, Content_Type=content_type)
        answers.append((answer.status, answer.message))

    run(scenario)
    return answers[0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", f"{UNRECOGNIZED} unexpected end of JSON input (<empty>)"),
        (b'{"apiVersion":', f'{UNRECOGNIZED} unexpected end of JSON input ({{"apiVersion":)'),
        (b"garbage", f"{UNRECOGNIZED} invalid character 'g' looking for beginning of value (67617262616765)"),
        (b"x" * 31, f"{UNRECOGNIZED} invalid character 'x' looking for beginning of value ({'78' * 30} ...)"),
        (b'{"a":' + b"1" * 30, f'{UNRECOGNIZED} unexpected end of JSON input ({{"a":{"1" * 25} ...)'),
        (b"[]", f"{UNRECOGNIZED} json: cannot unmarshal array into Go value of type {HEAD} (5b5d)"),
        (b"12", f"{UNRECOGNIZED} json: cannot unmarshal number into Go value of type {HEAD} (3132)"),
        (b'{"kind":1}',
         f'{UNRECOGNIZED} json: cannot unmarshal number into Go struct field .kind of type string ({{"kind":1}})'),
        (b'{"apiVersion":"a/b/c"}', "the object provided is unrecognized (must be of type ConfigMap): "
         'unexpected GroupVersion string: a/b/c ({"apiVersion":"a/b/c"})'),
        (b'{"apiVersion":"v1","kind":"Pod"}', 'Pod in version "v1" cannot be handled as a ConfigMap: '
         "converting (v1.Pod) to (core.ConfigMap): unknown conversion"),
    ],
)  # fmt: skip
def test_bodies_that_are_no_such_object(body: bytes, message: str) -> None:
    assert refusal("POST", CONFIG_MAPS, body) == (400, message)


def test_null_is_an_object_without_a_name() -> None:
    why = 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'
    assert refusal("POST", CONFIG_MAPS, b"null") == (422, why)


@pytest.mark.parametrize(
    ("body", "content_type", "code", "message"),
    [
        (b"{}", "text/plain", 415, "415: Unsupported Media Type"),
        (b"[5]", JSON_PATCH, 400,
         "error decoding patch: json: cannot unmarshal number into Go value of type handlers.jsonPatchOp"),
        (b'{"metadata":{"uid":"b"}}', MERGE, 422,
         'ConfigMap "a" is invalid: metadata.uid: Invalid value: "b": field is immutable'),
        (b"{a", MERGE, 400, "error decoding patch: invalid character 'a' looking for beginning of object key string"),
        (b"{a", STRATEGIC, 400, "invalid character 'a' looking for beginning of object key string"),
        (b"[]", MERGE, 400,
         "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (b"null", MERGE, 400, "Invalid JSON Patch"),
        (b"{}", JSON_PATCH, 400,
         "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
        (b'{"metadata":{"name":"b"}}', MERGE, 400,
         "the name of the object (b) does not match the name on the URL (a)"),
        (b'{"metadata":{"name":null}}', MERGE, 400,
         "the name of the object (a based on URL) was undeterminable: name must be provided"),
        (b'{"metadata":{"namespace":"b"}}', MERGE, 400,
         "the namespace of the provided object does not match the namespace sent on the request"),
        (b'{"metadata":{"resourceVersion":"b"}}', MERGE, 500, 'strconv.ParseUint: parsing "b": invalid syntax'),
    ],
)  # fmt: skip
def test_patches_that_can_not_be_applied(body: bytes, content_type: str, code: int, message: str) -> None:
    assert refusal("PATCH", f"{CONFIG_MAPS}/a", body, content_type) == (code, message)


@pytest.mark.parametrize(
    ("method", "query", "body", "code", "message"),
    [
        ("PATCH", "force=true", b"{}", 422,
         'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch'),
        ("PATCH", "fieldManager=a%07b", b"{}", 422, 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: '
         'Invalid value: "a\\ab": invalid character U+0007 (at position 1)'),
        ("DELETE", "propagationPolicy=Foo", b"", 422, 'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: '
         'Unsupported value: "Foo": supported values: "Foreground", "Background", "Orphan", "nil"'),
        ("DELETE", "", {"dryRun": ["Foo"]}, 422,
         'DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Foo"]: supported values: "All"'),
        ("DELETE", "", {"gracePeriodSeconds": "a"}, 400,
         "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64"),
        ("DELETE", "", b"garbage", 400,
         "couldn't get version/kind; json parse error: invalid character 'g' looking for beginning of value"),
        ("DELETE", "", {"kind": "Pod", "apiVersion": "v1"}, 400,
         f'no kind "Pod" is registered for version "v1" in scheme "{NO_OPTIONS}"'),
    ],
)  # fmt: skip
def test_options_that_do_not_exist(method: str, query: str, body: bytes | Any, code: int, message: str) -> None:
    content_type = MERGE if method == "PATCH" else "application/json"
    assert refusal(method, f"{CONFIG_MAPS}/a?{query}", body, content_type) == (code, message)


def test_a_list_sends_no_initial_events() -> None:
    why = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"
    assert refusal("GET", f"{CONFIG_MAPS}?sendInitialEvents=true", None) == (
        422, f'ListOptions.meta.k8s.io "" is invalid: {why}',
    )  # fmt: skip


def test_a_table_includes_objects_in_three_ways() -> None:
    async def scenario(served: Served) -> None:
        table = "application/json;as=Table;v=v1;g=meta.k8s.io"
        refused = await served.get(f"{CONFIG_MAPS}?includeObject=Some", Accept=table)
        assert (refused.status, refused.message) == (
            400,
            'Unable to convert to Table as requested: includeObject: Invalid value: "Some": '
            "must be 'Metadata', 'Object', 'None', or empty",
        )

    run(scenario)


def test_warnings_come_with_reads_and_with_errors_too() -> None:
    async def scenario(served: Served) -> None:
        for path in ("", "/nope", "?watch=1&timeoutSeconds=1"):
            answer = await served.request("GET", f"/api/v1/namespaces/default/endpoints{path}")
            assert "v1 Endpoints is deprecated in v1.33+" in answer.headers["Warning"]
        refused = await served.post(CONFIG_MAPS, {"metadata": {}, "extra": 1})
        assert (refused.status, refused.headers["Warning"]) == (422, '299 - "unknown field \\"extra\\""')

    run(scenario)
