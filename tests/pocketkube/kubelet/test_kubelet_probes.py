"""Probes over a fake runtime: what they ask, when, and what follows."""

from __future__ import annotations

from pathlib import Path

from kubelet_fakes import Lab, new_pod, run_lab

TCP = {"tcpSocket": {"port": 80}, "periodSeconds": 10, "timeoutSeconds": 1, "failureThreshold": 3}
EXEC = {"exec": {"command": ["check"]}, "periodSeconds": 10}


def test_a_pod_is_ready_once_its_readiness_probe_succeeds(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(container={"readinessProbe": TCP}))
        assert not lab.container()["ready"] and lab.container()["started"]
        lab.runtime.listening.add(80)
        for _ in range(20):
            await lab.advance(0.5)
        assert lab.container()["ready"] and lab.condition("Ready")["status"] == "True"

    run_lab(tmp_path, story)


def test_a_server_that_starts_in_milliseconds_does_not_wait_for_a_whole_period(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(container={"readinessProbe": TCP}))
        lab.runtime.listening.add(80)
        await lab.advance(0.025)
        assert lab.container()["ready"]
        assert "Unhealthy" not in lab.journal.reasons()

    run_lab(tmp_path, story)


def test_readiness_is_lost_after_the_failure_threshold_and_found_again(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        lab.runtime.listening.add(80)
        await lab.run_pod(new_pod(container={"readinessProbe": TCP}))
        assert lab.container()["ready"]
        lab.runtime.listening.clear()
        await lab.advance(10)
        await lab.advance(10)
        assert lab.container()["ready"]
        await lab.advance(10)
        assert not lab.container()["ready"] and lab.container()["restartCount"] == 0
        assert lab.journal.messages("Unhealthy")[0] == (
            "Readiness probe failed: dial tcp 10.244.0.1:80: connect: connection refused"
        )
        lab.runtime.listening.add(80)
        await lab.advance(10)
        assert lab.container()["ready"]

    run_lab(tmp_path, story)


def test_a_failed_liveness_probe_restarts_the_container(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(container={"livenessProbe": {**EXEC, "failureThreshold": 2}}))
        lab.runtime.command_exit_code = 1
        await lab.advance(10)
        assert lab.container()["restartCount"] == 0
        await lab.advance(10)
        assert lab.container()["restartCount"] == 1
        assert lab.journal.messages("Unhealthy") == ["Liveness probe failed: what it says"] * 2
        assert lab.journal.messages("Killing") == ["Container app failed liveness probe, will be restarted"]
        assert lab.runtime.stopped == [("app", 30.0)]

    run_lab(tmp_path, story)


def test_a_probe_that_can_not_be_asked_is_told_and_counts_for_nothing(tmp_path: Path) -> None:
    """A mistyped port name, for example: upstream, too, restarts nobody for that."""
    probe = {"httpGet": {"port": "nosuch"}, "periodSeconds": 10, "failureThreshold": 1}

    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(container={"livenessProbe": probe, "readinessProbe": probe}))
        for _ in range(3):
            await lab.advance(10)
        assert lab.container()["restartCount"] == 0 and not lab.container()["ready"]
        assert set(lab.journal.messages("Unhealthy")) == {
            f'{kind} probe errored and resulted in unknown state: strconv.Atoi: parsing "nosuch": invalid syntax'
            for kind in ("Liveness", "Readiness")
        }

    run_lab(tmp_path, story)


def test_a_probe_has_its_own_grace_period(tmp_path: Path) -> None:
    probe = {**EXEC, "failureThreshold": 1, "terminationGracePeriodSeconds": 3}

    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(container={"livenessProbe": probe}))
        lab.runtime.command_exit_code = 1
        await lab.advance(10)
        assert lab.runtime.stopped == [("app", 3.0)]

    run_lab(tmp_path, story)


def test_other_probes_wait_for_the_startup_probe(tmp_path: Path) -> None:
    container = {"startupProbe": {**TCP, "failureThreshold": 30}, "livenessProbe": EXEC, "readinessProbe": EXEC}

    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(container=container))
        await lab.advance(1)
        await lab.advance(10)
        assert not lab.container()["started"] and lab.runtime.commands == []
        lab.runtime.listening.add(80)
        await lab.advance(10)
        assert lab.container()["started"] and lab.container()["ready"]
        assert lab.runtime.commands == [["check"], ["check"]]

    run_lab(tmp_path, story)


def test_a_failed_startup_probe_restarts_the_container(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(container={"startupProbe": {**TCP, "failureThreshold": 1}}))
        for _ in range(3):
            await lab.advance(0.5)
        assert lab.journal.messages("Killing") == ["Container app failed startup probe, will be restarted"]
        assert lab.container()["restartCount"] == 1

    run_lab(tmp_path, story)


def test_the_initial_delay_is_kept(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(container={"readinessProbe": {**EXEC, "initialDelaySeconds": 5}}))
        await lab.advance(4.9)
        assert lab.runtime.commands == []
        await lab.advance(0.1)
        assert lab.container()["ready"]

    run_lab(tmp_path, story)


def test_readiness_is_still_asked_for_while_the_pod_ends_but_liveness_is_not(tmp_path: Path) -> None:
    container = {"readinessProbe": {**TCP, "failureThreshold": 2}, "livenessProbe": {**EXEC, "failureThreshold": 1}}

    async def story(lab: Lab) -> None:
        lab.runtime.listening.add(80)
        lab.runtime.stubborn = True
        await lab.run_pod(new_pod(container=container))
        await lab.api.delete("pods", "web", "default")
        await lab.settle()
        asked = len(lab.runtime.commands)
        assert lab.container()["ready"]
        lab.runtime.listening.clear()
        for _ in range(2):
            await lab.advance(10)
        assert not lab.container()["ready"]
        assert len(lab.runtime.commands) == asked

    run_lab(tmp_path, story)


def test_a_port_may_be_named(tmp_path: Path) -> None:
    container = {
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1},
    }

    async def story(lab: Lab) -> None:
        lab.runtime.listening.add(8080)
        await lab.run_pod(new_pod(container=container))
        assert lab.container()["ready"]

    run_lab(tmp_path, story)
