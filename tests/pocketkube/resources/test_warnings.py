"""What is allowed, and said to be unwise, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest
from in_process_api import Api, deployment, pod

from lab_helpers.pocketkube.resources.pod_warnings import pod_warnings
from lab_helpers.pocketkube.resources.service import ServiceStrategy

ENV = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
TCP = {"containerPort": 80, "protocol": "TCP"}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@pytest.mark.parametrize(
    ("container", "spec", "warning"),
    [
        ({"env": ENV}, {},
         'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'),
        ({"env": [ENV[0], {"name": "A", "value": "$(A)2"}]}, {}, ""),
        ({"ports": [TCP, TCP]}, {},
         "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"),
        ({"ports": [TCP, {**TCP, "hostPort": 80}]}, {},
         "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]"),
        ({"ports": [{**TCP, "hostPort": 80}, {**TCP, "hostPort": 80, "hostIP": "1.2.3.4"}]}, {},
         "spec.containers[0].ports[1]: dangerously ambiguous port definition with spec.containers[0].ports[0]"),
        ({"ports": [TCP, {**TCP, "protocol": "UDP"}]}, {}, ""),
        ({"resources": {"limits": {"memory": "500m"}}}, {}, 'spec.containers[0].resources.limits[memory]: '
         'fractional byte value "500m" is invalid, must be an integer'),
        ({}, {"terminationGracePeriodSeconds": -1}, "spec.terminationGracePeriodSeconds: must be >= 0; "
         "negative values are invalid and will be treated as 1"),
        ({}, {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}, "spec.nodeSelector[beta.kubernetes.io/os]: "
         'deprecated since v1.14; use "kubernetes.io/os" instead'),
        ({}, {"imagePullSecrets": [{}]}, 'spec.imagePullSecrets[0].name: invalid empty name ""'),
        ({}, {"hostAliases": [{"ip": "1.2.3.4"}, {"ip": "1.2.3.4"}]},
         'spec.hostAliases[1].ip: duplicate ip "1.2.3.4"'),
        ({}, {"topologySpreadConstraints": [{"topologyKey": "a"}]},
         "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod"),
        ({}, {"affinity": {"podAffinity": {REQUIRED: [{"topologyKey": "a"}]}}},
         f"spec.affinity.podAffinity.{REQUIRED}[0].labelSelector: a null labelSelector results in matching no pod"),
    ],
)  # fmt: skip
def test_pods(container: dict[str, Any], spec: dict[str, Any], warning: str) -> None:
    whole = {"containers": [{"name": "c", **container}], **spec}
    assert pod_warnings({}, whole) == ([warning] if warning else [])


def test_a_pod_is_warned_of_once_and_a_template_at_every_change(api: Api) -> None:
    lone = pod("a.b")
    lone["spec"]["containers"][0]["env"] = ENV
    api.create("pods", lone)
    assert api.warnings == [
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
        "a DNS label is recommended: [must not contain dots]",
        'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
    ]
    api.warnings.clear()
    controlled = deployment("d")
    controlled["spec"]["template"]["spec"]["containers"][0]["env"] = ENV
    api.create("deployments.apps", controlled)
    assert [text.partition(":")[0] for text in api.warnings] == ["spec.template.spec.containers[0].env[1]"]


@pytest.mark.parametrize(
    ("spec", "annotations", "warning"),
    [
        ({"externalIPs": ["1.2.3.4"]}, {},
         "spec.externalIPs is deprecated and may no longer be implemented in some clusters"),
        ({"externalName": "a"}, {}, 'spec.externalName is ignored when spec.type is not "ExternalName"'),
        ({"clusterIP": "None", "sessionAffinity": "ClientIP"}, {},
         "spec.SessionAffinity is ignored for headless services"),
        ({"clusterIP": "None", "loadBalancerIP": "1.2.3.4"}, {},
         "spec.loadBalancerIP is ignored for headless services"),
        ({"type": "ExternalName", "externalIPs": ["1.2.3.4"]}, {},
         'spec.externalIPs is ignored when spec.type is "ExternalName"'),
        ({"trafficDistribution": "PreferClose"}, {},
         'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'),
        ({}, {"service.kubernetes.io/topology-aware-hints": "auto"},
         "annotation service.kubernetes.io/topology-aware-hints is deprecated, "
         "please use service.kubernetes.io/topology-mode instead"),
        ({}, {}, ""),
    ],
)  # fmt: skip
def test_services(spec: dict[str, Any], annotations: dict[str, str], warning: str) -> None:
    obj = {"metadata": {"annotations": annotations}, "spec": {"type": "ClusterIP", "sessionAffinity": "None", **spec}}
    assert ServiceStrategy.warnings(ServiceStrategy.__new__(ServiceStrategy), obj, None) == (
        [warning] if warning else []
    )
