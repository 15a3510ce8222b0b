"""A fuzzer over the OpenAPI that the server serves: whatever is sent, it answers in order and lives on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server_process import ServerProcess
from test_hostile_clients import exchange, request

FORMS = {
    "post": ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"],
    "put": ["application/json", "application/yaml"],
    "patch": [
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    ],
}
NAMES = ["default", "kube-system", "kubernetes", "kube-root-ca.crt", "x", "..", "a b", "é", "A" * 300]
WORDS = ["metadata", "name", "labels", "spec", "ports", "port", "data", "items", "kind", "apiVersion", "op", "path",
         "value", "$patch", "$setElementOrder/ports", "managedFields", "ownerReferences", "selector", "containers",
         "template", "clusterIP", "type", "finalizers", "annotations", "status"]  # fmt: skip

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20),
    st.sampled_from(["v1", "apps/v1", "ConfigMap", "Service", "add", "/metadata/name", "replace", "delete", "None"]),
)  # fmt: skip
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=8), inner),
    max_leaves=25,
)
queries = st.dictionaries(
    st.sampled_from(
        ["limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector", "fieldSelector", "dryRun",
         "fieldManager", "fieldValidation", "force", "gracePeriodSeconds", "propagationPolicy", "pretty"]
    ),
    st.one_of(st.sampled_from(["All", "Strict", "true", "0", "1", "-1", "a=b", "a in (b", "Exact", ""]), st.text()),
    max_size=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("fuzzed"))
    process.start()
    yield process
    assert process.is_alive()
    process.close()


@pytest.fixture(scope="module")
def operations(server: ServerProcess) -> list[tuple[str, str]]:
    """Method and path template of all that the server says it serves; streams and proxies are others' work."""
    found = []
    for group_version in read(server, "/openapi/v3")["paths"]:
        for path, methods in read(server, f"/openapi/v3/{group_version}")["paths"].items():
            found += [(method, path) for method in methods if method in ("get", "post", "put", "patch", "delete")]
    assert len(found) > 100
    return found


def read(server: ServerProcess, path: str) -> Any:
    return json.loads(asyncio.run(exchange(server, request("GET", path))).body)


@settings(max_examples=200, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_request_is_too_strange(
    server: ServerProcess, operations: list[tuple[str, str]], data: st.DataObject
) -> None:
    """The same requests each time."""
    send_something(server, operations, data)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_request_at_all_is_too_strange(
    server: ServerProcess, operations: list[tuple[str, str]], data: st.DataObject
) -> None:
    """Other requests each time."""
    send_something(server, operations, data)


def send_something(server: ServerProcess, operations: list[tuple[str, str]], data: st.DataObject) -> None:
    method, template = data.draw(st.sampled_from(operations))
    steps = template.split("/")
    filled = [data.draw(st.sampled_from(NAMES)) if step.startswith("{") else step for step in steps]
    query = "&".join(f"{key}={quote(value, safe='')}" for key, value in data.draw(queries).items())
    path = "/".join(quote(step, safe="") for step in filled) + (f"?{query}" if query else "")
    form = data.draw(st.sampled_from(FORMS.get(method, ["application/json"])))
    body = b"" if method == "get" else json.dumps(data.draw(documents)).encode()
    if form.endswith("protobuf"):
        body = b"k8s\0" + data.draw(st.binary(max_size=200))
    reply = asyncio.run(exchange(server, request(method.upper(), path, body, form)))
    assert reply.status in (200, 201, 202) or 400 <= reply.status < 500 or is_upstreams_own(reply.body), reply


def is_upstreams_own(body: bytes) -> bool:
    """Some 5xx are upstream's answers, too: to resource versions of no meaning or from the future, to a full quota."""
    status = json.loads(body)
    return status["kind"] == "Status" and "InternalError" not in status.get("reason", "")
