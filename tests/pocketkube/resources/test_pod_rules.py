"""What a Pod may be, and what it becomes when it is admitted."""

from __future__ import annotations

from typing import Any

import pytest
from in_process_api import Api, deployment, pod

from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.client import STRATEGIC_MERGE_PATCH
from lab_helpers.pocketkube.objects import copy
from lab_helpers.pocketkube.resources.pod_quality import qos_class


def problem(api: Api, container: dict[str, Any] | None = None, **spec: Any) -> str:
    wrong = pod("p", **spec)
    wrong["spec"]["containers"][0].update(container or {})
    with pytest.raises(StatusError) as caught:
        api.create("pods", wrong)
    assert caught.value.code == 422
    return caught.value.message.removeprefix('Pod "p" is invalid: ')


@pytest.mark.parametrize(
    ("container", "spec", "message"),
    [
        ({"image": ""}, {}, "spec.containers[0].image: Required value"),
        ({"image": " x"}, {},
         'spec.containers[0].image: Invalid value: " x": must not have leading or trailing whitespace'),
        ({"name": "a.b"}, {}, 'spec.containers[0].name: Invalid value: "a.b": must not contain dots'),
        ({"ports": [{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}]}, {},
         'spec.containers[0].ports[1].name: Duplicate value: "a"'),
        ({"env": [{"name": "a", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}, {},
         'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'),
        ({"volumeMounts": [{"name": "v", "mountPath": "/x"}]}, {},
         'spec.containers[0].volumeMounts[0].name: Not found: "v"'),
        ({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}, {},
         'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'),
        ({"livenessProbe": {"httpGet": {"port": 80}, "successThreshold": 2}}, {},
         "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"),
        ({}, {"volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]},
         'spec.volumes[1].name: Duplicate value: "v"'),
        ({}, {"dnsPolicy": "X"}, 'spec.dnsPolicy: Unsupported value: "X": supported values: '
         '"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"'),
        ({}, {"activeDeadlineSeconds": 0},
         "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"),
        ({}, {"tolerations": [{"operator": "Equal"}]}, 'spec.tolerations[0].operator: Invalid value: "Equal": '
         'operator must be Exists when `key` is empty, which means "match all values and all keys"'),
        ({}, {"ephemeralContainers": [{"name": "e", "image": "x"}]},
         "spec.ephemeralContainers: Forbidden: cannot be set on create"),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_said_as_upstream_says_it(
    api: Api, container: dict[str, Any], spec: dict[str, Any], message: str
) -> None:
    assert problem(api, container, **spec) == message


def test_names_of_all_containers_differ(api: Api) -> None:
    first = [{"name": "c", "image": "x"}]
    assert problem(api, initContainers=first) == 'spec.initContainers[0].name: Duplicate value: "c"'


def test_a_pod_gets_a_token_of_its_account_where_it_has_none(api: Api) -> None:
    spec = api.create("pods", pod("p"))["spec"]
    (mount,) = spec["containers"][0]["volumeMounts"]
    assert mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert [volume["name"] for volume in spec["volumes"]] == [mount["name"]]
    assert spec["serviceAccount"] == spec["serviceAccountName"] == "default"
    without = api.create("pods", pod("q", automountServiceAccountToken=False))["spec"]
    assert "volumes" not in without


def test_a_copy_of_a_pod_uses_the_token_volume_that_it_brings(api: Api) -> None:
    spec = copy(api.create("pods", pod("p"))["spec"])
    spec["containers"].append({"name": "debugger", "image": "busybox"})
    copied = api.create("pods", pod("copy", **spec))["spec"]
    (volume,) = copied["volumes"]
    assert [container["volumeMounts"][0]["name"] for container in copied["containers"]] == [volume["name"]] * 2


def test_an_unknown_account_is_refused(api: Api) -> None:
    with pytest.raises(StatusError) as caught:
        api.create("pods", pod("p", serviceAccountName="nobody"))
    assert caught.value.message == (
        'pods "p" is forbidden: error looking up service account default/nobody: serviceaccount "nobody" not found'
    )


def test_image_and_labels_may_change_and_little_else(api: Api) -> None:
    created = api.create("pods", pod("p"))
    image = {"spec": {"containers": [{"name": "c", "image": "httpd:2.4"}]}}
    changed = api.patch("pods", "p", image, STRATEGIC_MERGE_PATCH)
    assert changed["metadata"]["generation"] == 2
    api.patch("pods", "p", {"metadata": {"labels": {"x": "y"}}})
    with pytest.raises(StatusError) as caught:
        api.patch("pods", "p", {"spec": {"hostname": "x"}})
    assert "pod updates may not change fields other than `spec.containers[*].image`" in caught.value.message
    # As a difference of the server's own type, with Go's names and every field that nobody set.
    assert caught.value.message.endswith(
        ' "ImagePullSecrets": null,\n- "Hostname": "",\n+ "Hostname": "x",\n  "Subdomain": "",\n'
        '  "SetHostnameAsFQDN": null,\n  "Affinity": null,\n'
    )
    more = {"spec": {"containers": [{"name": "d", "image": "x"}]}}
    with pytest.raises(StatusError, match="pod updates may not add or remove containers"):
        api.patch("pods", "p", more, STRATEGIC_MERGE_PATCH)
    other = copy(created["spec"]["tolerations"])
    other[0]["effect"] = "NoSchedule"
    del other[0]["tolerationSeconds"]
    api.create("pods", pod("q", tolerations=[{"key": "k", "operator": "Exists"}]))
    with pytest.raises(StatusError, match="existing toleration can not be modified except its tolerationSeconds"):
        api.patch("pods", "q", {"spec": {"tolerations": other}})
    longer = copy(created["spec"]["tolerations"])
    longer[0]["tolerationSeconds"] = 600
    assert api.patch("pods", "p", {"spec": {"tolerations": longer}})["spec"]["tolerations"] == longer


def test_limits_are_requested_too(api: Api) -> None:
    limited = pod("p")
    limited["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "0.5", "memory": "64Mi"}}
    created = api.create("pods", limited)
    assert created["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "64Mi"}
    assert created["status"]["qosClass"] == "Guaranteed"


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1"}}, {}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "500m", "memory": "1"}}], "Burstable"),
    ],
)
def test_the_class_of_a_pod_follows_from_its_resources(resources: list[dict[str, Any]], expected: str) -> None:
    assert qos_class({"containers": [{"resources": each} for each in resources]}) == expected


# --- controllers of Pods ---


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"replicas": -1}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        ({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}},
         "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"),
        ({"strategy": {"rollingUpdate": {"maxUnavailable": "150%"}}},
         'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "150%": must not be greater than 100%'),
        ({"selector": {}}, "spec.selector: Invalid value: {}: empty selector is invalid for deployment"),
        ({"template": {}}, "[spec.template.metadata.labels: Invalid value: null: `selector` does not match template "
         "`labels`, spec.template.spec.containers: Required value]"),
    ],
)  # fmt: skip
def test_deployments_are_checked(api: Api, spec: dict[str, Any], message: str) -> None:
    with pytest.raises(StatusError) as caught:
        api.create("deployments.apps", deployment("d", **spec))
    assert caught.value.message.removeprefix('Deployment.apps "d" is invalid: ') == message


def test_a_selector_is_for_life(api: Api) -> None:
    api.create("deployments.apps", deployment("d"))
    labels = {"app": "other"}
    moved = {"spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}}
    with pytest.raises(StatusError) as caught:
        api.patch("deployments.apps", "d", moved)
    assert caught.value.message.endswith(
        'spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: field is immutable'
    )
