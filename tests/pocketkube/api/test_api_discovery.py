"""What the server says it offers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab_helpers.pocketkube.api import discovery, openapi, swagger
from lab_helpers.pocketkube.api.discovery import Document
from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.resources.table import RESOURCES

DATA = Path(__file__).parents[1] / "data"

KUBECTL = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


def body(document: Document | None) -> Any:
    assert document is not None
    return json.loads(document.body)


def root(core: bool, accept: str = KUBECTL) -> Any:
    return body(discovery.root_document(core, accept, "192.168.49.2:8443"))


def test_aggregated_discovery_repeats_the_parameters_it_was_asked_for() -> None:
    document = discovery.root_document(False, KUBECTL, "")
    assert document.content_type == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    older = discovery.root_document(False, KUBECTL.partition(",")[2], "")
    assert older.content_type == "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
    assert body(older)["apiVersion"] == "apidiscovery.k8s.io/v2beta1"


def test_the_core_group_and_the_others_are_apart() -> None:
    (core,) = root(True)["items"]
    assert core["metadata"] == {}
    names = [group["metadata"]["name"] for group in root(False)["items"]]
    assert names[:2] == ["apiregistration.k8s.io", "apps"]
    assert {"discovery.k8s.io", "authorization.k8s.io"} <= set(names)


def test_every_resource_of_the_table_is_offered() -> None:
    offered = set()
    for group in root(True)["items"] + root(False)["items"]:
        for version in group["versions"]:
            for entry in version["resources"]:
                name = group["metadata"].get("name", "")
                offered.add(f"{entry['resource']}.{name}" if name else entry["resource"])
    assert RESOURCES.keys() <= offered


def test_a_resource_with_all_that_kubectl_needs() -> None:
    apps = root(False)["items"][1]["versions"][0]
    entry = next(entry for entry in apps["resources"] if entry["resource"] == "deployments")
    assert entry["responseKind"] == {"group": "", "version": "", "kind": "Deployment"}
    assert (entry["scope"], entry["singularResource"]) == ("Namespaced", "deployment")
    assert (entry["shortNames"], entry["categories"]) == (["deploy"], ["all"])
    scale = next(entry for entry in entry["subresources"] if entry["subresource"] == "scale")
    assert scale["responseKind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}


def test_resources_are_offered_as_by_a_real_server() -> None:
    """`aggregated-discovery.json` is what kube-apiserver 1.36.0 says of the resources that we serve."""
    offered = {}
    for group in root(True)["items"] + root(False)["items"]:
        for version in group["versions"]:
            names = {"group": group["metadata"].get("name", ""), "version": version["version"]}
            offered |= {(*names.values(), entry["resource"]): {**names, **entry} for entry in version["resources"]}
    for real in json.loads((DATA / "aggregated-discovery.json").read_text()):
        ours = offered[real["group"], real["version"], real["resource"]]
        subresources = {entry["subresource"]: entry for entry in real.pop("subresources", ())}
        for entry in ours.pop("subresources", ()):
            assert entry == subresources[entry["subresource"]], real["resource"]
        assert ours == real


def test_storage_versions_have_the_hashes_of_a_real_server() -> None:
    hashes = {}
    for group in ("", "apps", "events.k8s.io"):
        listed = body(discovery.resources_document(group, "v1"))["resources"]
        hashes |= {(group, entry["name"]): entry.get("storageVersionHash") for entry in listed}
    assert (hashes["", "pods"], hashes["", "pods/status"]) == ("xPOwRZ+Yhw8=", None)
    assert hashes["apps", "deployments"] == "8aSe+NMegvE="
    assert hashes["events.k8s.io", "events"] == hashes["", "events"] == "r2yiGXH7wu8="


def test_the_older_lists() -> None:
    assert root(True, "application/json")["versions"] == ["v1"]
    groups = root(False, "application/json")["groups"]
    assert groups[1]["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
    scaling = next(group for group in groups if group["name"] == "autoscaling")
    assert [version["version"] for version in scaling["versions"]] == ["v2", "v1"]
    assert body(discovery.group_document("apps"))["kind"] == "APIGroup"
    core = body(discovery.resources_document("", "v1"))
    names = [entry["name"] for entry in core["resources"]]
    assert names == sorted(names)
    assert {"pods", "pods/log", "services", "serviceaccounts/token"} <= set(names)
    assert discovery.group_document("nope") is None
    assert discovery.resources_document("apps", "v9") is None


def test_discovery_in_a_form_we_lack() -> None:
    with pytest.raises(StatusError):
        discovery.root_document(True, "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList", "")


def test_the_openapi_index_names_every_document_by_its_hash() -> None:
    paths = body(openapi.index())["paths"]
    for path, entry in paths.items():
        assert entry["serverRelativeURL"].startswith(f"/openapi/v3/{path}?hash=")
        assert openapi.document(path) is not None
    assert openapi.document("apis/nope/v1") is None


def test_every_reference_in_a_document_leads_somewhere() -> None:
    for path in body(openapi.index())["paths"]:
        document = body(openapi.document(path))
        schemas = document["components"]["schemas"]
        for reference in _references(document):
            assert reference.removeprefix("#/components/schemas/") in schemas


def test_kubectl_finds_what_it_merges_by() -> None:
    core = body(openapi.document("api/v1"))
    containers = core["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-patch-strategy"] == "merge"
    patch = core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]
    assert "fieldValidation" in {parameter["name"] for parameter in patch["parameters"]}


def test_operations_are_those_of_a_real_server() -> None:
    """`openapi-operations.txt` says so of kube-apiserver 1.36.0: method, path, id, action and parameters."""
    recorded = set((DATA / "openapi-operations.txt").read_text().splitlines())
    served = {line for path in body(openapi.index())["paths"] for line in _operations(body(openapi.document(path)))}
    assert served == recorded


def _operations(document: Any) -> list[str]:
    lines = []
    for path, item in document["paths"].items():
        shared = [parameter["name"] for parameter in item["parameters"]] if "parameters" in item else []
        for method in item.keys() - {"parameters"}:
            operation = item[method]
            names = sorted(shared + [parameter["name"] for parameter in operation.get("parameters", ())])
            action = operation.get("x-kubernetes-action", "-")
            lines.append(f"{method} {path} {operation['operationId']} {action} {','.join(names) or '-'}")
    return lines


def test_fields_carry_defaults_enums_and_unions() -> None:
    schemas = body(openapi.document("api/v1"))["components"]["schemas"]
    port = schemas["io.k8s.api.core.v1.ContainerPort"]["properties"]
    assert port["protocol"] == {"type": "string", "default": "TCP", "enum": ["SCTP", "TCP", "UDP"]}
    assert port["containerPort"] == {"type": "integer", "format": "int32", "default": 0}
    assert schemas["io.k8s.api.core.v1.Pod"]["properties"]["spec"]["default"] == {}
    assert "default" not in schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["affinity"]
    (union,) = schemas["io.k8s.api.core.v1.SeccompProfile"]["x-kubernetes-unions"]
    assert union["discriminator"] == "type"
    kinds = schemas["io.k8s.api.core.v1.PodList"]["x-kubernetes-group-version-kind"]
    assert kinds == [{"group": "", "version": "v1", "kind": "PodList"}]


def test_swagger_as_protobuf_holds_every_definition_and_path() -> None:
    document = swagger.build()
    found = _messages(swagger.protobuf_document().body)
    assert found[1] == [b"2.0"]
    paths = [_messages(item)[1][0].decode() for item in _messages(found[8][0])[2]]
    assert paths == [*document["paths"]]
    definitions = {_messages(item)[1][0].decode(): _messages(item)[2][0] for item in _messages(found[9][0])[1]}
    assert definitions.keys() == document["definitions"].keys()
    port = _messages(definitions["io.k8s.api.core.v1.ContainerPort"])
    assert port[19] == [b"containerPort"]
    properties = {_messages(item)[1][0]: _messages(item)[2][0] for item in _messages(port[25][0])[1]}
    assert _messages(properties[b"containerPort"])[2] == [b"int32"]
    assert [_messages(value)[2] for value in _messages(properties[b"protocol"])[20]] == [
        [b'"SCTP"'], [b'"TCP"'], [b'"UDP"']
    ]  # fmt: skip


def _messages(data: bytes) -> dict[int, list[Any]]:
    """The fields of a protobuf message, by number."""
    fields: dict[int, list[Any]] = {}
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag, size = number(), number()
        if tag & 7 == 0:
            fields.setdefault(tag >> 3, []).append(size)
            continue
        fields.setdefault(tag >> 3, []).append(data[at : at + size])
        at += size
    return fields


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in _references(item)]
    return [found for item in value for found in _references(item)] if isinstance(value, list) else []
