"""Server-side tables: the cells that `kubectl get -o wide` prints."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lab_helpers.pocketkube.api.tables.table import columns_of, table_of
from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.resources.table import RESOURCES

NOW = datetime(2026, 11, 22, 7, 36, 56, tzinfo=UTC)


def meta(name: str, **more: Any) -> Obj:
    return {"name": name, "namespace": "default", "creationTimestamp": "2026-11-22T07:36:25Z", **more}


def cells(kind: str, **parts: Any) -> list[Any]:
    obj = {"kind": kind, "metadata": parts.pop("metadata", meta("x")), **parts}
    table = table_of(kind, [obj], {}, NOW)
    row: list[Any] = table["rows"][0]["cells"]
    assert len(row) == len(table["columnDefinitions"])
    return row


def pod(containers: int = 1, *, statuses: list[Obj] | None = None, **status: Any) -> list[Any]:
    spec = {"containers": [{"name": f"c{i}"} for i in range(containers)], "nodeName": "lab"}
    return cells("Pod", spec=spec, status={"containerStatuses": statuses or [], **status})


RUNNING = {"ready": True, "restartCount": 0, "state": {"running": {"startedAt": "2026-11-22T07:36:26Z"}}}


def test_a_running_pod() -> None:
    row = pod(statuses=[RUNNING], phase="Running", podIPs=[{"ip": "10.244.0.63"}])
    assert row == ["x", "1/1", "Running", "0", "31s", "10.244.0.63", "lab", "<none>", "<none>"]


def test_a_pod_that_crashed_says_why_and_when() -> None:
    ended = {"exitCode": 1, "reason": "Error", "finishedAt": "2026-11-22T07:36:28Z"}
    status = {"ready": False, "restartCount": 2, "state": {"terminated": ended}, "lastState": {"terminated": ended}}
    assert pod(statuses=[status], phase="Running")[1:4] == ["0/1", "Error", "2 (28s ago)"]


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ({"waiting": {"reason": "ImagePullBackOff"}}, "ImagePullBackOff"),
        ({"terminated": {"exitCode": 137, "signal": 9}}, "Signal:9"),
        ({"terminated": {"exitCode": 3}}, "ExitCode:3"),
        ({"terminated": {"exitCode": 0, "reason": "Completed"}}, "Completed"),
    ],
)
def test_a_pod_is_named_after_what_its_container_does(state: Obj, word: str) -> None:
    assert pod(statuses=[{"state": state}], phase="Running")[2] == word


def test_one_container_done_and_one_running_is_a_running_pod_if_ready() -> None:
    done = {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
    ready = [{"type": "Ready", "status": "True"}]
    assert pod(2, statuses=[done, RUNNING], phase="Running", conditions=ready)[1:3] == ["1/2", "Running"]
    assert pod(2, statuses=[done, RUNNING], phase="Running")[2] == "NotReady"


def test_a_pod_in_its_init_containers() -> None:
    spec = {"containers": [{"name": "c"}], "initContainers": [{"name": "a"}, {"name": "b"}]}
    done, waiting = {"name": "a", "state": {"terminated": {"exitCode": 0}}}, {"name": "b", "state": {"running": {}}}
    status = {"phase": "Pending", "initContainerStatuses": [done, waiting]}
    assert cells("Pod", spec=spec, status=status)[1:3] == ["0/1", "Init:1/2"]


def test_a_sidecar_counts_as_a_container() -> None:
    sidecar = {"name": "s", "restartPolicy": "Always"}
    status = {
        "phase": "Running",
        "initContainerStatuses": [{**RUNNING, "name": "s", "started": True}],
        "containerStatuses": [RUNNING],
    }
    row = cells("Pod", spec={"containers": [{"name": "c"}], "initContainers": [sidecar]}, status=status)
    assert row[1:3] == ["2/2", "Running"]


def test_a_pod_that_is_deleted_is_terminating_until_it_has_ended() -> None:
    metadata = meta("x", deletionTimestamp="2026-11-22T07:36:50Z")
    spec = {"containers": [{"name": "c"}]}
    assert cells("Pod", metadata=metadata, spec=spec, status={"phase": "Running"})[2] == "Terminating"
    assert cells("Pod", metadata=metadata, spec=spec, status={"phase": "Succeeded"})[2] == "Succeeded"


def test_a_pod_that_has_ended_is_marked() -> None:
    obj = {"metadata": meta("x"), "spec": {"containers": []}, "status": {"phase": "Failed"}}
    (condition,) = table_of("Pod", [obj], {}, NOW)["rows"][0]["conditions"]
    assert condition["type"] == "Completed" and condition["reason"] == "Failed"


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        (
            {"type": "ClusterIP", "clusterIPs": ["10.96.0.7"], "ports": [{"port": 80, "protocol": "TCP"}]},
            {},
            ["ClusterIP", "10.96.0.7", "<none>", "80/TCP"],
        ),
        (
            {"type": "NodePort", "clusterIPs": ["10.96.0.7"], "ports": [{"port": 80, "nodePort": 32206}]},
            {},
            ["NodePort", "10.96.0.7", "<none>", "80:32206/TCP"],
        ),
        (
            {"type": "LoadBalancer", "clusterIPs": ["10.96.0.7"]},
            {},
            ["LoadBalancer", "10.96.0.7", "<pending>", "<none>"],
        ),
        (
            {"type": "LoadBalancer", "clusterIPs": ["10.96.0.7"], "externalIPs": ["1.2.3.4"]},
            {"loadBalancer": {"ingress": [{"ip": "192.168.49.200"}]}},
            ["LoadBalancer", "10.96.0.7", "192.168.49.200,1.2.3.4", "<none>"],
        ),
        (
            {"type": "ExternalName", "externalName": "db.example"},
            {},
            ["ExternalName", "<none>", "db.example", "<none>"],
        ),
        ({"type": "ClusterIP", "clusterIPs": ["None"]}, {}, ["ClusterIP", "None", "<none>", "<none>"]),
    ],
)
def test_services(spec: Obj, status: Obj, expected: list[str]) -> None:
    row = cells("Service", spec={**spec, "selector": {"b": "2", "a": "1"}}, status=status)
    assert row[1:5] == expected
    assert row[6] == "a=1,b=2"


def test_an_endpoint_slice_shows_three_addresses_and_counts_the_rest() -> None:
    endpoints = [{"addresses": [f"10.244.0.{n}"]} for n in range(1, 6)]
    row = cells("EndpointSlice", addressType="IPv4", ports=[{"name": "", "port": 80}], endpoints=endpoints)
    assert row == ["x", "IPv4", "80", "10.244.0.1,10.244.0.2,10.244.0.3 + 2 more...", "31s"]
    assert cells("EndpointSlice", addressType="IPv4", ports=None, endpoints=[])[2:4] == ["<unset>", "<unset>"]


def test_endpoints() -> None:
    subset = {"addresses": [{"ip": "10.9.9.9"}, {"ip": "10.9.9.10"}], "ports": [{"port": 80}]}
    assert cells("Endpoints", subsets=[subset])[1] == "10.9.9.9:80,10.9.9.10:80"
    assert cells("Endpoints")[1] == "<none>"


def test_a_deployment() -> None:
    template = {"spec": {"containers": [{"name": "httpd-container", "image": "httpd"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": {"name": "deployment"}}, "template": template}
    row = cells("Deployment", spec=spec, status={"readyReplicas": 1, "updatedReplicas": 3})
    assert row == ["x", "1/3", 3, 0, "31s", "httpd-container", "httpd", "name=deployment"]


def test_selectors_of_every_sort() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["b", "a"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "env", "operator": "Exists"},
    ]
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "x"}, "matchExpressions": expressions}}
    assert cells("ReplicaSet", spec=spec)[-1] == "app=x,env,!old,tier in (a,b)"


def test_a_node() -> None:
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "addresses": [{"type": "InternalIP", "address": "192.168.49.2"}],
        "nodeInfo": {"kubeletVersion": "v1.36.2", "osImage": "Debian"},
    }
    metadata = meta("lab", labels={"node-role.kubernetes.io/control-plane": ""})
    row = cells("Node", metadata=metadata, spec={"unschedulable": True}, status=status)
    assert row[:6] == ["lab", "Ready,SchedulingDisabled", "control-plane", "31s", "v1.36.2", "192.168.49.2"]
    assert row[6:] == ["<none>", "Debian", "<unknown>", "<unknown>"]
    assert cells("Node")[1:3] == ["Unknown", "<none>"]


def test_an_event_of_either_group() -> None:
    core = cells(
        "Event",
        type="Normal",
        reason="Pulled",
        message=" done\n",
        involvedObject={"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
        source={"component": "kubelet", "host": "lab"},
        firstTimestamp="2026-11-22T07:36:26Z",
        lastTimestamp="2026-11-22T07:36:55Z",
        count=3,
    )
    assert core == ["1s", "Normal", "Pulled", "pod/p", "spec.containers{c}", "kubelet, lab", "done", "30s", 3, "x"]
    new = cells(
        "Event",
        type="Normal",
        reason="R",
        note="n",
        regarding={"kind": "Pod", "name": "p"},
        eventTime="2026-11-22T07:36:26.000000Z",
    )
    assert new[0] == "30s" and new[3] == "pod/p" and new[8] == 1


def test_a_kind_without_columns_gets_name_and_creation() -> None:
    row = cells("LimitRange")
    assert row == ["x", "2026-11-22T07:36:25Z"]
    assert [column["name"] for column in columns_of("LimitRange")] == ["Name", "Created At"]


def test_rows_carry_as_much_of_the_object_as_asked() -> None:
    obj = {"metadata": meta("x"), "data": {"a": "b"}}
    assert table_of("ConfigMap", [obj], {}, NOW, include="None")["rows"][0]["object"] is None
    assert table_of("ConfigMap", [obj], {}, NOW, include="Object")["rows"][0]["object"] == obj
    partial = table_of("ConfigMap", [obj], {}, NOW)["rows"][0]["object"]
    assert partial == {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


@pytest.mark.parametrize("kind", sorted({resource.kind for resource in RESOURCES.values()}))
def test_an_object_with_nothing_in_it_has_a_row(kind: str) -> None:
    assert cells(kind)[0 if kind != "Event" else 9] == "x"
