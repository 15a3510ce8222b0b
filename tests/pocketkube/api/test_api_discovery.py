"""What the server says it offers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab_helpers.pocketkube.api import discovery, openapi
from lab_helpers.pocketkube.api.discovery import Document
from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.resources.table import RESOURCES

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
    assert "name" not in core["metadata"]
    names = [group["metadata"]["name"] for group in root(False)["items"]]
    assert names[0] == "apps"
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
    apps = root(False)["items"][0]["versions"][0]
    entry = next(entry for entry in apps["resources"] if entry["resource"] == "deployments")
    assert entry["responseKind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert (entry["scope"], entry["singularResource"]) == ("Namespaced", "deployment")
    assert (entry["shortNames"], entry["categories"]) == (["deploy"], ["all"])
    scale = next(entry for entry in entry["subresources"] if entry["subresource"] == "scale")
    assert scale["responseKind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}


def test_the_older_lists() -> None:
    assert root(True, "application/json")["versions"] == ["v1"]
    groups = root(False, "application/json")["groups"]
    assert groups[0]["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
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


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in _references(item)]
    return [found for item in value for found in _references(item)] if isinstance(value, list) else []
