"""What is filled in and refused in the kinds around workloads: sets, ingresses, policies, limits, roles, classes."""

from __future__ import annotations

from typing import Any

import pytest
from in_process_api import Api, pod

from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.objects import Obj

CPU_LIMITS = {
    "type": "Container",
    "max": {"cpu": "1"},
    "min": {"cpu": "50m"},
    "default": {"cpu": "500m"},
    "defaultRequest": {"cpu": "100m"},
}


def refused(api: Api, resource: str, obj: Obj, *texts: str) -> None:
    with pytest.raises(StatusError) as error:
        api.create(resource, obj)
    for text in texts:
        assert text in error.value.message


def workload(**spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "httpd"}]}}
    return {
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }


def test_the_defaults_of_a_stateful_set(api: Api) -> None:
    spec = api.create("statefulsets.apps", workload())["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["podManagementPolicy"]) == (1, 10, "OrderedReady")
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}


def test_the_defaults_of_a_daemon_set(api: Api) -> None:
    spec = api.create("daemonsets.apps", workload())["spec"]
    rolling = {"maxUnavailable": 1, "maxSurge": 0}
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}


@pytest.mark.parametrize("resource", ["statefulsets.apps", "daemonsets.apps"])
def test_the_mistakes_that_all_workloads_share(api: Api, resource: str) -> None:
    other = workload(selector={"matchLabels": {"app": "other"}})
    refused(api, resource, other, "`selector` does not match template `labels`", "spec.template.metadata.labels")
    refused(api, resource, workload(selector={}), "empty selector is invalid for")
    api.create(resource, workload())
    with pytest.raises(StatusError):
        api.patch(resource, "web", {"spec": {"selector": {"matchLabels": {"more": "x"}}}})


def test_mistakes_in_update_strategies(api: Api) -> None:
    strange = workload(updateStrategy={"type": "Strange"})
    refused(api, "statefulsets.apps", strange, "must be 'RollingUpdate' or 'OnDelete'")
    refused(api, "daemonsets.apps", strange, 'supported values: "RollingUpdate", "OnDelete"')
    both = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
    text = "may not be set when maxUnavailable is non-zero"
    refused(api, "daemonsets.apps", workload(updateStrategy=both), text)
    refused(api, "statefulsets.apps", workload(podManagementPolicy="Any"), "must be 'OrderedReady' or 'Parallel'")


def ingress(**path: Any) -> Obj:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    entry = {"path": "/", "pathType": "Prefix", "backend": backend, **path}
    return {"metadata": {"name": "web"}, "spec": {"rules": [{"host": "a.example", "http": {"paths": [entry]}}]}}


def test_an_ingress_is_kept_and_says_that_nobody_serves_it(api: Api) -> None:
    made = api.create("ingresses.networking.k8s.io", ingress())
    assert made["status"] == {"loadBalancer": {}}
    assert any("no ingress controller" in warning for warning in api.warnings)


def test_mistakes_in_an_ingress(api: Api) -> None:
    resource = "ingresses.networking.k8s.io"
    refused(api, resource, ingress(path="x"), 'path: Invalid value: "x": must be an absolute path')
    refused(api, resource, ingress(pathType="Odd"), "pathType: Unsupported value")
    refused(api, resource, ingress(backend={}), "resource or service backend is required")
    portless = {"service": {"name": "web"}}
    refused(api, resource, ingress(backend=portless), "port name or number is required")
    text = "either `defaultBackend` or `rules` must be specified"
    refused(api, resource, {"metadata": {"name": "web"}, "spec": {}}, text)


def test_a_network_policy_says_that_it_protects_nothing(api: Api) -> None:
    spec = {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]}
    made = api.create("networkpolicies.networking.k8s.io", {"metadata": {"name": "deny"}, "spec": spec})
    assert made["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert made["spec"]["egress"][0]["ports"] == [{"port": 53, "protocol": "TCP"}]
    assert any("does not enforce them" in warning for warning in api.warnings)


def test_a_cron_job_needs_a_schedule_that_can_be_read(api: Api) -> None:
    containers = [{"name": "c", "image": "busybox"}]
    job_spec = {"template": {"spec": {"restartPolicy": "Never", "containers": containers}}}
    spec: Obj = {"schedule": "*/5 * * * *", "jobTemplate": {"spec": job_spec}}
    made = api.create("cronjobs.batch", {"metadata": {"name": "tick"}, "spec": spec})
    assert (made["spec"]["concurrencyPolicy"], made["spec"]["suspend"]) == ("Allow", False)
    wrong = {"metadata": {"name": "bad"}, "spec": {**spec, "schedule": "* * *"}}
    refused(api, "cronjobs.batch", wrong, "expected exactly 5 fields, found 3: [* * *]")
    nowhere = {"metadata": {"name": "bad"}, "spec": {**spec, "timeZone": "Mars/Olympus"}}
    refused(api, "cronjobs.batch", nowhere, "unknown time zone Mars/Olympus")


def test_only_an_indexed_job_has_limits_for_its_indexes(api: Api) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}}
    spec: Obj = {"template": template, "backoffLimitPerIndex": 1}
    refused(api, "jobs.batch", {"metadata": {"name": "bad"}, "spec": spec}, "requires indexed completion mode")
    indexed = {**spec, "completionMode": "Indexed"}
    refused(api, "jobs.batch", {"metadata": {"name": "bad"}, "spec": {**indexed, "parallelism": 2}}, "spec.completions")
    made = api.create("jobs.batch", {"metadata": {"name": "good"}, "spec": {**indexed, "completions": 2}})
    assert made["spec"]["backoffLimit"] == 2**31 - 1, "the Job as a whole has no limit then"


def test_limits_are_filled_in_and_held_to(api: Api) -> None:
    api.create("limitranges", {"metadata": {"name": "cpu"}, "spec": {"limits": [CPU_LIMITS]}})
    made = api.create("pods", pod("modest"))
    assert made["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}}
    note = made["metadata"]["annotations"]["kubernetes.io/limit-ranger"]
    assert note == "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    greedy = pod("greedy")
    greedy["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "2"}}
    refused(api, "pods", greedy, 'pods "greedy" is forbidden:', "maximum cpu usage per Container is 1, but limit is 2")
    tiny = pod("tiny")
    tiny["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "10m"}}
    refused(api, "pods", tiny, "minimum cpu usage per Container is 50m, but request is 10m")


def test_all_of_a_pod_is_held_to_bounds_and_ratios(api: Api) -> None:
    whole = {"type": "Pod", "max": {"memory": "1Gi"}, "maxLimitRequestRatio": {"memory": "2"}}
    api.create("limitranges", {"metadata": {"name": "memory"}, "spec": {"limits": [whole]}})
    greedy = pod("greedy")
    resources = {"limits": {"memory": "600Mi"}, "requests": {"memory": "200Mi"}}
    greedy["spec"]["containers"] = [{"name": name, "image": "httpd", "resources": resources} for name in "ab"]
    message = (
        'pods "greedy" is forbidden: [maximum memory usage per Pod is 1Gi, but limit is 1200Mi, '
        "memory max limit to request ratio per Pod is 2, but provided ratio is 3.000000]"
    )
    refused(api, "pods", greedy, message)
    refused(api, "pods", pod("none"), "maximum memory usage per Pod is 1Gi.  No limit is specified")
    refused(api, "pods", pod("wrong", restartPolicy="Sometimes"), "spec.restartPolicy: Unsupported value")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"type": "Node"},
         'spec.limits[0].type: Invalid value: "Node": must be a standard limit type or fully qualified'),
        ({"type": "Container", "max": {"pods": "1"}},
         'spec.limits[0].max[pods]: Invalid value: "pods": must be a standard resource for containers'),
        ({"type": "PersistentVolumeClaim"},
         "spec.limits[0].limits: Required value: either minimum or maximum storage value is required"),
        ({"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}},
         'maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1'),
        ({"type": "Pod", "maxLimitRequestRatio": {"cpu": "5"}, "min": {"cpu": "1"}, "max": {"cpu": "2"}},
         "ratio 5 is greater than max/min = 2.000000"),
        ({"type": "Container", "default": {"cpu": "2"}, "max": {"cpu": "1"}},
         'spec.limits[0].default[cpu]: Invalid value: "1": default value 2 is greater than max value 1'),
    ],
)  # fmt: skip
def test_bounds_are_checked(api: Api, item: Obj, message: str) -> None:
    refused(api, "limitranges", {"metadata": {"name": "odd"}, "spec": {"limits": [item]}}, message)


def test_a_limit_range_that_contradicts_itself(api: Api) -> None:
    limits = {"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}
    wrong = {"metadata": {"name": "odd"}, "spec": {"limits": [limits]}}
    refused(api, "limitranges", wrong, "min value 2 is greater than max value 1")


def test_priorities_come_from_classes(api: Api) -> None:
    classes = "priorityclasses.scheduling.k8s.io"
    api.create(classes, {"metadata": {"name": "high"}, "value": 1000})
    assert api.create("pods", pod("one", priorityClassName="high"))["spec"]["priority"] == 1000
    refused(api, "pods", pod("two", priorityClassName="none"), "no PriorityClass with name none was found")
    api.create(classes, {"metadata": {"name": "usual"}, "value": 7, "globalDefault": True})
    made = api.create("pods", pod("three"))["spec"]
    assert (made["priorityClassName"], made["priority"]) == ("usual", 7)
    second = {"metadata": {"name": "also"}, "value": 8, "globalDefault": True}
    refused(api, classes, second, "PriorityClass usual is already marked as default")
    refused(api, classes, {"metadata": {"name": "system-mine"}, "value": 1}, "reserved for system use only")
    with pytest.raises(StatusError, match="may not be changed in an update"):
        api.patch(classes, "high", {"value": 5})


def test_roles_and_bindings(api: Api) -> None:
    rule = {"verbs": ["get"], "resources": ["pods"]}
    group = "rbac.authorization.k8s.io"
    text = "rules[0].apiGroups: Required value: resource rules must supply at least one api group"
    refused(api, f"roles.{group}", {"metadata": {"name": "r"}, "rules": [rule]}, text)
    made = api.create(f"roles.{group}", {"metadata": {"name": "read:pods"}, "rules": [{**rule, "apiGroups": [""]}]})
    assert made["metadata"]["name"] == "read:pods"
    binding: Obj = {
        "metadata": {"name": "b"},
        "roleRef": {"kind": "Role", "name": "read:pods", "apiGroup": group},
        "subjects": [{"kind": "User", "name": "ann"}],
    }
    assert api.create(f"rolebindings.{group}", binding)["subjects"][0]["apiGroup"] == group
    with pytest.raises(StatusError, match="cannot change roleRef"):
        api.patch(f"rolebindings.{group}", "b", {"roleRef": {"name": "other"}})
    refused(api, f"clusterrolebindings.{group}", binding, "roleRef.kind: Unsupported value")


def test_budgets_have_one_bound(api: Api) -> None:
    both = {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "maxUnavailable": 1}}
    refused(api, "poddisruptionbudgets.policy", both, "minAvailable and maxUnavailable cannot be both set")


def test_addresses_are_named_by_themselves(api: Api) -> None:
    parent = {"resource": "services", "namespace": "default", "name": "web"}
    resource = "ipaddresses.networking.k8s.io"
    api.create(resource, {"metadata": {"name": "10.96.1.2"}, "spec": {"parentRef": parent}})
    refused(api, resource, {"metadata": {"name": "web"}, "spec": {"parentRef": parent}}, "must be a valid IP address")
    refused(api, resource, {"metadata": {"name": "10.96.1.3"}, "spec": {}}, "spec.parentRef: Required value")
    spelled = {"metadata": {"name": "2001:db8:0::1"}, "spec": {"parentRef": parent}}
    refused(api, resource, spelled, 'must be in canonical form ("2001:db8::1")')


@pytest.mark.parametrize(
    ("cidrs", "message"),
    [
        ([], "spec.cidrs: Required value: at least one CIDR required"),
        (
            ["10.97.0.1/24"],
            'spec.cidrs[0]: Invalid value: "10.97.0.1/24": must not have bits set beyond the prefix length',
        ),
        (
            ["2001:db8:0::/64"],
            'spec.cidrs[0]: Invalid value: "2001:db8:0::/64": must be in canonical form ("2001:db8::/64")',
        ),
        (
            ["10.97.0.0/24", "10.98.0.0/24"],
            'spec.cidrs: Invalid value: ["10.97.0.0/24","10.98.0.0/24"]: may specify no more',
        ),
        (["10.97.0.0"], 'spec.cidrs[0]: Invalid value: "10.97.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24'),
    ],
)
def test_ranges_are_networks_one_a_family(api: Api, cidrs: list[str], message: str) -> None:
    refused(api, "servicecidrs.networking.k8s.io", {"metadata": {"name": "more"}, "spec": {"cidrs": cidrs}}, message)


def test_a_range_may_only_be_joined_by_one_of_the_other_family(api: Api) -> None:
    resource, wider = "servicecidrs.networking.k8s.io", {"spec": {"cidrs": ["10.97.0.0/24", "2001:db8::/64"]}}
    api.create(resource, {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.97.0.0/24"]}})
    with pytest.raises(StatusError, match=r'spec.cidrs\[0\]: Invalid value: "10.98.0.0/24": field is immutable'):
        api.patch(resource, "more", {"spec": {"cidrs": ["10.98.0.0/24"]}})
    assert api.patch(resource, "more", wider)["spec"] == wider["spec"]


def test_the_phase_of_a_namespace_follows_from_its_deletion(api: Api) -> None:
    ending = {"status": {"phase": "Terminating"}}
    with pytest.raises(StatusError) as caught:
        api.patch("namespaces", "default", ending, subresource="status")
    assert caught.value.message == (
        'Namespace "default" is invalid: status.Phase: Invalid value: "Terminating": '
        "may only be 'Active' if `deletionTimestamp` is empty"
    )


def test_the_pods_of_a_deleted_job_stay_unless_the_request_says_otherwise(api: Api) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}}
    for name in ("one", "two"):
        api.create("jobs.batch", {"metadata": {"name": name}, "spec": {"template": template}})
    assert api.delete("jobs.batch", "one")["metadata"]["finalizers"] == ["orphan"]
    assert any("child pods are preserved by default" in warning for warning in api.warnings)
    api.warnings.clear()
    api.delete("jobs.batch", "two", propagation_policy="Background")
    assert api.warnings == []
