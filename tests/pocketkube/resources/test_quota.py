"""What a namespace may hold: what counts, in which scope, and what is said when there is no room."""

from __future__ import annotations

from typing import Any

import pytest
from in_process_api import Api, pod, service

from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.resources.quota import used
from lab_helpers.pocketkube.resources.quota_usage import pod_amounts


def quota(api: Api, hard: dict[str, str], **spec: Any) -> None:
    api.create("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}})


def asking(name: str, requests: Obj | None = None, limits: Obj | None = None, **spec: Any) -> Obj:
    made = pod(name, **spec)
    made["spec"]["containers"][0]["resources"] = {"requests": requests or {}, "limits": limits or {}}
    return made


def refusal(api: Api, resource: str, obj: Obj) -> str:
    with pytest.raises(StatusError) as caught:
        api.create(resource, obj)
    assert (caught.value.code, caught.value.reason) == (403, "Forbidden")
    return caught.value.message.partition(" is forbidden: ")[2]


def test_requests_and_limits_of_pods_are_summed_and_bounded(api: Api) -> None:
    quota(api, {"requests.cpu": "1", "memory": "1Gi", "limits.memory": "2Gi", "pods": "5"})
    api.create("pods", asking("a", {"cpu": "600m", "memory": "512Mi"}, {"memory": "1Gi"}))
    assert refusal(api, "pods", asking("b", {"cpu": "0.5", "memory": "513Mi"}, {"memory": "1Gi"})) == (
        "exceeded quota: q, requested: memory=513Mi,requests.cpu=500m, used: memory=512Mi,requests.cpu=600m, "
        "limited: memory=1Gi,requests.cpu=1"
    )
    api.create("pods", asking("b", {"cpu": "400m", "memory": "512Mi"}, {"memory": "1Gi"}))


def test_who_is_bounded_must_say_what_he_asks_for(api: Api) -> None:
    quota(api, {"limits.cpu": "1", "requests.memory": "1Gi"})
    assert refusal(api, "pods", pod("p")) == ("failed quota: q: must specify limits.cpu for: c; requests.memory for: c")


def test_devices_and_huge_pages_count_by_their_names(api: Api) -> None:
    quota(api, {"requests.example.com/dongle": "3", "hugepages-2Mi": "4Mi"})
    amounts = {"example.com/dongle": "2", "hugepages-2Mi": "4Mi", "memory": "1Mi"}
    api.create("pods", asking("a", amounts, amounts))
    dongles = {"example.com/dongle": "2"}
    assert refusal(api, "pods", asking("b", dongles, dongles)) == (
        "exceeded quota: q, requested: requests.example.com/dongle=2, used: requests.example.com/dongle=2, "
        "limited: requests.example.com/dongle=3"
    )


@pytest.mark.parametrize(
    ("scopes", "inside", "outside"),
    [
        (["Terminating"], {"activeDeadlineSeconds": 60}, {}),
        (["NotTerminating"], {}, {"activeDeadlineSeconds": 60}),
        (["BestEffort"], {}, {"requests": {"cpu": "1"}}),
        (["NotBestEffort"], {"requests": {"cpu": "1"}}, {}),
        (["NotBestEffort", "Terminating"], {"requests": {"cpu": "1"}, "activeDeadlineSeconds": 1}, {}),
    ],
)
def test_a_scope_tells_whom_a_quota_is_about(api: Api, scopes: list[str], inside: Obj, outside: Obj) -> None:
    quota(api, {"pods": "1"}, scopes=scopes)
    api.create("pods", asking("a", **inside))
    for name in ("x", "y"):
        api.create("pods", asking(name, **outside))
    assert refusal(api, "pods", asking("b", **inside)).startswith("exceeded quota: q, requested: pods=1, used: pods=1")


@pytest.mark.parametrize(
    ("operator", "values", "bounded"),
    [
        ("In", ["high"], ["high"]),
        ("NotIn", ["high"], ["low", None]),
        ("Exists", [], ["high", "low"]),
        ("DoesNotExist", [], [None]),
    ],
)
def test_quotas_are_for_classes_of_pods(api: Api, operator: str, values: list[str], bounded: list[str | None]) -> None:
    for name in ("high", "low"):
        api.create("priorityclasses.scheduling.k8s.io", {"metadata": {"name": name}, "value": 7})
    selector = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": values}]}
    quota(api, {"pods": "0"}, scopeSelector=selector)
    refused = []
    for name in ("high", "low", None):
        made = pod("p", **({"priorityClassName": name} if name else {}))
        try:
            api.create("pods", made, dry_run=True)
        except StatusError:
            refused.append(name)
    assert refused == bounded


def test_a_pod_that_gets_a_deadline_comes_into_another_scope(api: Api) -> None:
    quota(api, {"pods": "0"}, scopes=["Terminating"])
    api.create("pods", pod("p"))
    with pytest.raises(StatusError, match="exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0"):
        api.patch("pods", "p", {"spec": {"activeDeadlineSeconds": 60}})
    api.patch("pods", "p", {"metadata": {"labels": {"a": "b"}}})


def test_a_service_that_changes_its_type_counts_anew(api: Api) -> None:
    quota(api, {"services": "3", "services.nodeports": "1", "services.loadbalancers": "1"})
    api.create("services", service("web"))
    api.create("services", service("open", type="NodePort"))
    with pytest.raises(StatusError, match="requested: services.nodeports=1, used: services.nodeports=1"):
        api.patch("services", "web", {"spec": {"type": "NodePort"}})
    balanced = service("balanced", type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    api.create("services", balanced)
    assert "requested: services=1,services.loadbalancers=1, used:" in refusal(
        api, "services", {**balanced, "metadata": {"name": "more"}}
    )


def test_an_init_container_counts_where_it_needs_more_than_all_that_follow() -> None:
    def container(cpu: str, **more: str) -> Obj:
        return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}

    sidecar = container("1", restartPolicy="Always")
    spec = {"containers": [container("500m"), container("500m")], "initContainers": [sidecar, container("3")]}
    assert pod_amounts({"spec": spec}, "requests") == {"cpu": "4"}
    spec["initContainers"].reverse()
    assert pod_amounts({"spec": spec}, "requests") == {"cpu": "3"}
    assert pod_amounts({"spec": {**spec, "overhead": {"cpu": "1"}}}, "requests") == {"cpu": "4"}


def test_only_what_can_be_counted_has_a_usage() -> None:
    hard = {"count/deployments.apps": "1", "count/cows.example.com": "1", "requests.storage": "1Gi", "secrets": "1"}
    assert used({"hard": hard}, lambda resource: [{}] if resource == "secrets" else []) == {
        "count/deployments.apps": "0", "requests.storage": "0", "secrets": "1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]},
         'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource'),
        ({"hard": {"pods": "1"}, "scopes": ["Terminating", "NotTerminating"]},
         'spec.scopes: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes'),
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}},
         "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is "
         "'In' or 'NotIn' for scope selector"),
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Is"}]}},
         'spec.scopeSelector.matchExpressions.operator: Invalid value: "Is": not a valid selector operator'),
    ],
)  # fmt: skip
def test_scopes_are_checked(api: Api, spec: Obj, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        api.create("resourcequotas", {"metadata": {"name": "q"}, "spec": spec})
    assert message in caught.value.message


def test_scopes_are_for_life(api: Api) -> None:
    quota(api, {"pods": "1"}, scopes=["Terminating"])
    with pytest.raises(StatusError, match="spec.scopes: Invalid value: .*: field is immutable"):
        api.patch("resourcequotas", "q", {"spec": {"scopes": ["NotTerminating"]}})
