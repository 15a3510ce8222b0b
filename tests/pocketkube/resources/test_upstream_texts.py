"""Objects that a real API server refuses are refused with its words."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from in_process_api import Api, deployment, pod

from lab_helpers.pocketkube.api.status import StatusError

QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def refusal(api: Api, resource: str, obj: Any) -> str:
    with pytest.raises(StatusError) as caught:
        api.create(resource, obj)
    assert caught.value.code == 422
    return caught.value.message.partition(" is invalid: ")[2]


@pytest.mark.parametrize(
    ("container", "spec", "message"),
    [
        ({"securityContext": {"runAsUser": -1}}, {}, "spec.containers[0].securityContext.runAsUser: "
         "Invalid value: -1: must be between 0 and 2147483647, inclusive"),
        ({"env": [{"name": "a", "valueFrom": {"resourceFieldRef": {"resource": "x"}}}]}, {},
         'spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Unsupported value: "x": supported values: '
         '"limits.cpu", "limits.ephemeral-storage", "limits.memory", '
         '"requests.cpu", "requests.ephemeral-storage", "requests.memory"'),
        ({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}, {}, "spec.containers[0].lifecycle.preStop.sleep: "
         "Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)"),
        ({"readinessProbe": {"tcpSocket": {"port": 80}, "terminationGracePeriodSeconds": 5}}, {},
         "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: "
         "must not be set for readinessProbes"),
        ({"resources": {"limits": {"a.b/c": "1500m"}}}, {},
         '[spec.containers[0].resources.limits[a.b/c]: Invalid value: "1500m": must be an integer, '
         'spec.containers[0].resources.requests[a.b/c]: Invalid value: "1500m": must be an integer]'),
        ({"resources": {"requests": {"a.b/c": "1"}}}, {},
         "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources"),
        ({}, {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": []}}}},
         f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms: Required value: "
         "must have at least one node selector term"),
        ({}, {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "a", "operator": "Is"}]}]}}}},
         f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].operator: "
         'Invalid value: "Is": not a valid selector operator'),
        ({}, {"affinity": {"podAntiAffinity": {PREFERRED: [
            {"weight": 0, "podAffinityTerm": {"topologyKey": "a", "labelSelector": {}}}]}}},
         f"spec.affinity.podAntiAffinity.{PREFERRED}[0].weight: Invalid value: 0: must be in the range 1-100"),
        ({}, {"topologySpreadConstraints": [
            {"maxSkew": 0, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}]},
         "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"),
        ({}, {"topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "Never", "labelSelector": {}}]},
         'spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "Never": '
         'supported values: "DoNotSchedule", "ScheduleAnyway"'),
    ],
)  # fmt: skip
def test_pods(api: Api, container: dict[str, Any], spec: dict[str, Any], message: str) -> None:
    wrong = pod("p", **spec)
    wrong["spec"]["containers"][0].update(container)
    assert refusal(api, "pods", wrong) == message


def test_a_selector_that_can_not_be_read_is_not_compared_with_labels(api: Api) -> None:
    wrong = deployment("d")
    wrong["spec"]["selector"] = {"matchLabels": {"a b": "c"}}
    assert refusal(api, "deployments.apps", wrong) == (
        f'[spec.selector.matchLabels: Invalid value: "a b": {QUALIFIED}, '
        'spec.selector: Invalid value: {"matchLabels":{"a b":"c"}}: invalid label selector]'
    )


@pytest.mark.parametrize(
    ("resource", "fields", "message"),
    [
        ("configmaps", {"metadata": {"name": "a", "finalizers": ["mine"]}}, 'metadata.finalizers[0]: Invalid value: '
         '"mine": name is neither a standard finalizer name nor is it fully qualified'),
        ("namespaces", {"spec": {"finalizers": ["mine"]}}, 'spec.finalizers: Invalid value: '
         '"mine": name is neither a standard finalizer name nor is it fully qualified'),
        ("resourcequotas", {"spec": {"hard": {"foo": "1"}}},
         '[spec.hard[foo]: Invalid value: "foo": must be a standard resource type or fully qualified, '
         'spec.hard[foo]: Invalid value: "foo": must be a standard resource for quota]'),
        ("resourcequotas", {"spec": {"hard": {"pods": "-1"}}},
         'spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0'),
        ("resourcequotas", {"spec": {"hard": {"pods": "1500m"}}},
         'spec.hard[pods]: Invalid value: "1500m": must be an integer'),
        ("resourcequotas", {"spec": {"hard": {"pods": "1"}, "scopes": ["Other"]}},
         'spec.scopes: Invalid value: ["Other"]: unsupported scope'),
        ("secrets", {"type": "kubernetes.io/dockerconfigjson",
                     "data": {".dockerconfigjson": base64.b64encode(b"abc").decode()}},
         'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": '
         "invalid character 'a' looking for beginning of value"),
        ("secrets", {"type": "kubernetes.io/service-account-token"},
         "metadata.annotations[kubernetes.io/service-account.name]: Required value"),
        ("endpoints", {"subsets": [{"addresses": [{"ip": "1.2.3.04"}]}]},
         '[subsets[0].addresses[0].ip: Invalid value: "1.2.3.04": must not have leading 0s, '
         'subsets[0].addresses[0].ip: Invalid value: "1.2.3.04": must be a valid IP address]'),
        ("endpoints", {"subsets": [{"addresses": [{"ip": "1.2.3.4", "hostname": "a.b"}]}]},
         'subsets[0].addresses[0].hostname: Invalid value: "a.b": must not contain dots'),
        ("endpointslices.discovery.k8s.io", {"addressType": "IPv4", "endpoints": [
            {"addresses": ["1.2.3.4"], "hints": {"forZones": [{"name": "a"}, {"name": "a"}]}}]},
         'endpoints[0].hints.forZones[1].name: Duplicate value: "a"'),
    ],
)  # fmt: skip
def test_plain_objects(api: Api, resource: str, fields: dict[str, Any], message: str) -> None:
    assert refusal(api, resource, {"metadata": {"name": "a"}, **fields}) == message


def test_a_service_can_be_created_by_put(api: Api) -> None:
    service = {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}}
    assert api.update("services", service)["spec"]["clusterIP"]


def test_the_number_of_a_priority_is_not_for_clients(api: Api) -> None:
    with pytest.raises(StatusError) as caught:
        api.create("pods", pod("p", priority=5))
    assert (caught.value.code, caught.value.message) == (
        403,
        'pods "p" is forbidden: the integer value of priority (5) must not be provided in pod spec; '
        "priority admission controller computed 0 from the given PriorityClass name",
    )
