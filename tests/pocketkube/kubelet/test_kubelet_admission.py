"""Pods that name their node: the kubelet refuses those that do not fit, and takes them once there is room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kubelet_fakes import Lab, new_pod, run_lab

from lab_helpers.pocketkube.kubelet.admission import refusal_of
from lab_helpers.pocketkube.objects import Obj

PORT = {"ports": [{"containerPort": 80, "hostPort": 8080}]}
NODE: Obj = {
    "metadata": {"name": "lab", "labels": {"disk": "ssd"}},
    "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "2"}},
}


def asking(**requests: str) -> Obj:
    return new_pod(container={"resources": {"requests": requests}})


@pytest.mark.parametrize(
    ("pod", "reason", "message"),
    [
        (
            asking(cpu="1500m", memory="2Gi"),
            "OutOfcpu",
            "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
        ),
        (
            asking(memory="2Gi"),
            "OutOfmemory",
            "Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824",
        ),
        (
            new_pod(nodeSelector={"disk": "hdd"}),
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
        (
            new_pod(container=PORT),
            "NodePorts",
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
        ),
    ],
)
def test_what_stands_against_a_pod_is_told_as_upstream_tells_it(pod: Obj, reason: str, message: str) -> None:
    there = asking(cpu="1")
    there["spec"]["containers"][0] |= PORT
    assert refusal_of(pod, NODE, [there]) == (reason, message)
    assert refusal_of(new_pod(), NODE, [there]) is None
    full = refusal_of(new_pod(), NODE, [there, there])
    assert full == ("OutOfpods", "Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2")


def test_a_pod_whose_host_port_is_taken_fails_and_never_runs(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(container=PORT))
        assert lab.phase() == "Running"
        await lab.run_pod(new_pod("late", container={**PORT, "name": "late"}))
        status = lab.status("late")
        why = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
        assert (status["phase"], status["reason"], status["message"]) == (
            "Failed",
            "NodePorts",
            f"Pod was rejected: {why}",
        )
        assert "containerStatuses" not in status and lab.runtime.started == ["app"]
        verdicts: dict[str, Any] = {c["type"]: (c["status"], c.get("reason")) for c in status["conditions"]}
        assert verdicts == {"Ready": ("False", "PodFailed"), "ContainersReady": ("False", "PodFailed")}
        assert ("NodePorts", why, "") in lab.journal.lines
        await lab.restart()
        await lab.settle()
        assert lab.status("late") == status
        await lab.api.delete("pods", "late", "default")
        await lab.api.delete("pods", "web", "default")
        await lab.settle()
        assert not lab.exists() and not lab.exists("late")
        await lab.run_pod(new_pod("next", container=PORT))
        assert lab.status("next")["phase"] == "Running"

    run_lab(tmp_path, story)


def test_the_node_is_asked_for_its_labels_of_now(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.api.patch("nodes", "lab", {"metadata": {"labels": {"disk": "ssd"}}})
        await lab.run_pod(new_pod(nodeSelector={"disk": "ssd"}))
        assert lab.phase() == "Running"

    run_lab(tmp_path, story)
