"""The generated schema knows every served kind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab_helpers.pocketkube import schema
from lab_helpers.pocketkube.resources.table import RESOURCES
from lab_helpers.pocketkube.schema import Field


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=lambda resource: resource.name)
def test_every_served_kind_has_a_type_with_metadata(resource):
    fields = schema.fields(schema.kind_type(resource.group, resource.version, resource.kind))
    assert fields["metadata"].type == "meta.v1.ObjectMeta"
    assert fields["kind"].type == "string"


@pytest.mark.parametrize(
    ("group", "version", "kind", "expected"),
    [
        ("", "v1", "Pod", "core.v1.Pod"),
        ("apps", "v1", "Deployment", "apps.v1.Deployment"),
        ("events.k8s.io", "v1", "Event", "events.v1.Event"),
        ("autoscaling", "v1", "Scale", "autoscaling.v1.Scale"),
        ("policy", "v1", "Eviction", "policy.v1.Eviction"),
        ("", "v1", "DeleteOptions", "meta.v1.DeleteOptions"),
        ("meta.k8s.io", "v1", "DeleteOptions", "meta.v1.DeleteOptions"),
    ],
)
def test_a_kind_is_found_by_its_names(group, version, kind, expected):
    assert schema.kind_type(group, version, kind) == expected


def test_an_unknown_kind_is_a_lookup_error_that_names_it():
    with pytest.raises(LookupError, match='no kind "Widget" is known for version "example.com/v1"'):
        schema.kind_type("example.com", "v1", "Widget")


def test_a_list_knows_how_it_is_merged_and_owned():
    ports = schema.fields("core.v1.ServiceSpec")["ports"]
    assert ports == Field(
        "ports", "core.v1.ServicePort", "list", wire=(1,), patch_strategy=("merge",), merge_key="port",
        list_type="map", list_map_keys=("port", "protocol"),
    )  # fmt: skip
    assert not ports.is_atomic
    assert schema.fields("core.v1.ServiceSpec")["clusterIPs"].is_atomic


def test_atomic_comes_from_the_field_or_from_its_type():
    spec = schema.fields("core.v1.ServiceSpec")
    assert spec["selector"].is_atomic and spec["selector"].kind == "map"
    assert schema.fields("apps.v1.DeploymentSpec")["selector"].is_atomic
    assert not schema.fields("meta.v1.ObjectMeta")["labels"].is_atomic


def test_pointers_and_structs_by_value_are_told_apart():
    assert schema.fields("apps.v1.DeploymentSpec")["replicas"].nullable
    assert schema.fields("core.v1.Container")["resources"].by_value
    assert not schema.fields("core.v1.PodSpec")["securityContext"].by_value
    assert not schema.fields("meta.v1.ObjectMeta")["creationTimestamp"].by_value


def test_a_field_inside_an_embedded_message_has_two_wire_numbers():
    assert len(schema.fields("core.v1.Volume")["emptyDir"].wire) == 2
    assert len(schema.fields("core.v1.Probe")["httpGet"].wire) == 2


def test_every_type_that_is_referred_to_exists():
    for type_name in schema._table()["types"]:
        for field in schema.fields(type_name).values():
            assert field.type in schema.SCALARS or schema.fields(field.type) is not None


def test_descriptions_come_from_the_official_client():
    assert "IP address of the service" in schema.describe("core.v1.ServiceSpec", "clusterIP")
    assert schema.describe("meta.v1.ListMeta", "continue").startswith("continue may be set if")
    assert schema.describe("core.v1.Service", "nothing") == ""


def test_a_struct_is_described_once_by_its_type_and_not_again_by_the_field_that_holds_it():
    assert schema.describe("core.v1.ServiceSpec").startswith("ServiceSpec describes")
    assert schema.describe("core.v1.Service", "spec") == ""


def test_defaults_are_those_of_the_api_server_or_the_zero_of_what_is_always_written():
    assert schema.fields("core.v1.ContainerPort")["protocol"].default == "TCP"
    assert schema.fields("core.v1.ContainerPort")["containerPort"].default == 0
    assert schema.fields("core.v1.ReplicationControllerSpec")["replicas"].default == 1
    assert schema.fields("core.v1.Container")["image"].default is None


def test_the_values_that_the_api_allows_are_known_by_name():
    assert schema.fields("core.v1.PodSpec")["restartPolicy"].enum == ("Always", "Never", "OnFailure")
    assert schema.fields("core.v1.ServiceSpec")["ipFamilies"].enum == ("", "IPv4", "IPv6")
    assert schema.fields("core.v1.PodSpec")["nodeName"].enum == ()


def test_loading_the_table_does_not_load_the_client():
    code = (
        "import sys; from lab_helpers.pocketkube import schema; schema.fields('core.v1.Pod');"
        "assert not {'kubernetes', 'yaml', 'aiohttp'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
