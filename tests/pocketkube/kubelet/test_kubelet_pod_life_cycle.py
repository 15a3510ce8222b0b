"""A Pod's life on its node, led over a fake runtime and a fake API."""

from __future__ import annotations

from pathlib import Path

from kubelet_fakes import NODE_IP, Lab, new_pod, run_lab


def test_a_pod_becomes_ready_with_everything_its_status_needs(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod())
        status = lab.status()
        assert status["phase"] == "Running"
        assert status["podIP"] == "10.244.0.1" and status["podIPs"] == [{"ip": "10.244.0.1"}]
        assert status["hostIP"] == NODE_IP and status["hostIPs"] == [{"ip": NODE_IP}]
        assert status["startTime"] and status["observedGeneration"] == 1 and status["qosClass"] == "BestEffort"
        kinds = [condition["type"] for condition in status["conditions"]]
        assert kinds == ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
        assert all(c["status"] == "True" and c["observedGeneration"] == 1 for c in status["conditions"])
        container = lab.container()
        assert container["ready"] and container["started"] and container["restartCount"] == 0
        assert container["image"] == "docker.io/library/httpd:latest"
        assert container["imageID"].startswith("docker.io/library/httpd@sha256:")
        assert container["containerID"].startswith("pocketkube://")
        assert container["state"]["running"]["startedAt"]
        assert [line[:2] for line in lab.journal.lines[1:]] == [
            ("Pulling", 'Pulling image "httpd"'),
            (
                "Pulled",
                'Successfully pulled image "httpd" in 1ms (1ms including waiting). '
                f"Image size: {lab.image_size('httpd')} bytes.",
            ),
            ("Created", "Container created"),
            ("Started", "Container started"),
        ]
        assert {field for _, _, field in lab.journal.lines[1:]} == {"spec.containers{app}"}

    run_lab(tmp_path, story)


def test_the_first_status_says_that_the_container_is_being_created(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod())
        first = lab.api.status_writes[0]
        assert first["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
        ready = next(c for c in first["conditions"] if c["type"] == "Ready")
        assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
        assert ready["message"] == "containers with unready status: [app]"

    run_lab(tmp_path, story)


def test_an_unchanged_status_is_not_written_again(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod())
        writes = len(lab.api.status_writes)
        await lab.api.patch("pods", "web", {"metadata": {"annotations": {"a": "b"}}}, "default")
        await lab.settle()
        assert len(lab.api.status_writes) == writes

    run_lab(tmp_path, story)


def test_a_deleted_pod_gets_its_grace_period_and_leaves_nothing(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod())
        await lab.api.delete("pods", "web", "default")
        await lab.settle()
        assert not lab.exists()
        assert lab.runtime.stopped == [("app", 30.0)]
        assert not lab.runtime.sandboxes and not lab.runtime.containers
        assert ("Killing", "Stopping container app", "spec.containers{app}") in lab.journal.lines
        assert [w["phase"] for w in lab.api.status_writes if "phase" in w][-1] == "Failed"  # 143: it ended by SIGTERM
        assert not [*(lab.config.state_dir / "kubelet" / "lab").glob("*/*")]

    run_lab(tmp_path, story)


def test_a_second_deletion_with_a_shorter_grace_period_counts(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        lab.runtime.stubborn = True
        await lab.run_pod(new_pod())
        await lab.api.delete("pods", "web", "default")
        await lab.settle()
        assert lab.exists()
        await lab.api.delete("pods", "web", "default", grace_period_seconds=1)
        await lab.settle()
        await lab.advance(1)
        assert lab.runtime.running() == []

    run_lab(tmp_path, story)


def test_a_pod_that_is_gone_from_the_api_is_ended_without_a_word(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod())
        writes = len(lab.api.status_writes)
        await lab.api.delete("pods", "web", "default", grace_period_seconds=0)
        await lab.settle()
        assert not lab.runtime.containers and not lab.runtime.sandboxes
        assert len(lab.api.status_writes) == writes

    run_lab(tmp_path, story)


def test_a_crashing_container_is_restarted_at_once_and_then_with_growing_pauses(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod())
        await lab.end("app", 1)
        assert lab.container()["restartCount"] == 1 and lab.container()["state"].keys() == {"running"}
        assert lab.container()["lastState"]["terminated"]["exitCode"] == 1
        assert lab.container()["lastState"]["terminated"]["reason"] == "Error"
        for restarts, pause, shown in ((2, 10, "10s"), (3, 20, "20s"), (4, 40, "40s"), (5, 80, "1m20s")):
            await lab.end("app", 1)
            waiting = lab.container()["state"]["waiting"]
            uid = lab.pod()["metadata"]["uid"]
            assert waiting["reason"] == "CrashLoopBackOff"
            assert waiting["message"] == f"back-off {shown} restarting failed container=app pod=web_default({uid})"
            assert not lab.container()["ready"] and lab.phase() == "Running"
            await lab.advance(pause - 0.5)
            assert lab.runtime.running() == []
            await lab.advance(0.5)
            assert lab.runtime.running() == ["app"]
            assert lab.container()["restartCount"] == restarts
        uid = lab.pod()["metadata"]["uid"]
        assert set(lab.journal.messages("BackOff")) == {
            f"Back-off restarting failed container app in pod web_default({uid})"
        }

    run_lab(tmp_path, story)


def test_the_pause_is_forgotten_after_ten_minutes_without_a_crash(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod())
        await lab.end("app", 1)
        await lab.end("app", 1)
        await lab.advance(10)
        await lab.advance(601)
        await lab.end("app", 1)
        assert lab.runtime.running() == ["app"]

    run_lab(tmp_path, story)


def test_restart_policy_never_ends_the_pod_with_its_containers(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(restartPolicy="Never"))
        await lab.end("app", 3)
        assert lab.phase() == "Failed"
        assert lab.container()["state"]["terminated"]["exitCode"] == 3
        assert lab.condition("Ready")["reason"] == "PodFailed"
        assert lab.condition("PodReadyToStartContainers")["status"] == "False"
        assert not lab.runtime.sandboxes
        assert lab.status()["podIP"]

    run_lab(tmp_path, story)


def test_restart_policy_on_failure_ends_with_success(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(restartPolicy="OnFailure"))
        await lab.end("app", 1)
        assert lab.phase() == "Running" and lab.container()["restartCount"] == 1
        await lab.end("app", 0)
        assert lab.phase() == "Succeeded"
        assert lab.container()["state"]["terminated"]["reason"] == "Completed"
        assert lab.condition("Ready")["reason"] == lab.condition("Initialized")["reason"] == "PodCompleted"

    run_lab(tmp_path, story)


def test_a_terminal_pod_is_deleted_when_asked_for(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(restartPolicy="Never"))
        await lab.end("app", 0)
        await lab.api.delete("pods", "web", "default")
        await lab.settle()
        assert not lab.exists()

    run_lab(tmp_path, story)


def test_init_containers_run_one_after_the_other_before_all_others(tmp_path: Path) -> None:
    inits = [{"name": name, "image": "busybox"} for name in ("first", "second")]

    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(initContainers=inits))
        assert lab.runtime.running() == ["first"]
        assert lab.phase() == "Pending"
        assert lab.container()["state"]["waiting"]["reason"] == "PodInitializing"
        assert lab.condition("Initialized")["message"] == "containers with incomplete status: [first second]"
        await lab.end("first", 1)
        assert lab.runtime.running() == ["first"] and lab.container("first")["restartCount"] == 1
        await lab.end("first", 0)
        assert lab.runtime.running() == ["second"]
        assert lab.condition("Initialized")["message"] == "containers with incomplete status: [second]"
        await lab.end("second", 0)
        assert lab.runtime.running() == ["app"]
        assert lab.phase() == "Running" and lab.condition("Initialized")["status"] == "True"
        assert lab.container("first")["ready"]

    run_lab(tmp_path, story)


def test_a_failed_init_container_fails_a_pod_that_is_never_restarted(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(restartPolicy="Never", initContainers=[{"name": "init", "image": "busybox"}]))
        await lab.end("init", 1)
        assert lab.phase() == "Failed" and lab.runtime.running() == []

    run_lab(tmp_path, story)


def test_a_sidecar_starts_first_runs_along_and_ends_last(tmp_path: Path) -> None:
    sidecar = {"name": "proxy", "image": "busybox", "restartPolicy": "Always"}

    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(restartPolicy="Never", initContainers=[sidecar]))
        assert lab.runtime.started == ["proxy", "app"]
        assert lab.status()["initContainerStatuses"][0]["ready"]
        await lab.end("proxy", 1)
        assert lab.container("proxy")["restartCount"] == 1
        await lab.end("app", 0)
        assert lab.runtime.stopped == [("proxy", 30.0)]
        assert lab.phase() == "Succeeded"

    run_lab(tmp_path, story)


def test_sidecars_are_stopped_after_the_others_in_reverse_order(tmp_path: Path) -> None:
    sidecars = [{"name": name, "image": "busybox", "restartPolicy": "Always"} for name in ("a", "b")]

    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(initContainers=sidecars))
        await lab.api.delete("pods", "web", "default")
        await lab.settle()
        assert [name for name, _ in lab.runtime.stopped] == ["app", "b", "a"]

    run_lab(tmp_path, story)


def test_an_unknown_image_waits_and_names_the_images_that_exist(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(container={"image": "nosuch:1"}))
        waiting = lab.container()["state"]["waiting"]
        assert waiting["reason"] == "ErrImagePull"
        assert 'failed to pull and unpack image "docker.io/library/nosuch:1"' in waiting["message"]
        assert "httpd" in waiting["message"] and "busybox" in waiting["message"]
        assert lab.phase() == "Pending" and lab.status()["podIP"]
        await lab.advance(3)
        waiting = lab.container()["state"]["waiting"]
        assert waiting["reason"] == "ImagePullBackOff"
        assert waiting["message"].startswith('Back-off pulling image "nosuch:1": ErrImagePull: ')
        await lab.advance(7)
        assert lab.container()["state"]["waiting"]["reason"] == "ErrImagePull"
        assert lab.journal.messages("Failed")[1:3] == ["Error: ErrImagePull", "Error: ImagePullBackOff"]
        assert lab.runtime.started == []

    run_lab(tmp_path, story)


def test_a_corrected_image_starts_the_container(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(container={"image": "nosuch:1"}))
        containers = [{**lab.pod()["spec"]["containers"][0], "image": "httpd:2.4"}]
        await lab.api.patch("pods", "web", {"spec": {"containers": containers}}, "default")
        await lab.settle()
        assert lab.phase() == "Running" and lab.container()["image"] == "docker.io/library/httpd:2.4"

    run_lab(tmp_path, story)


def test_a_changed_image_restarts_a_running_container(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod())
        containers = [{**lab.pod()["spec"]["containers"][0], "image": "nginx"}]
        await lab.api.patch("pods", "web", {"spec": {"containers": containers}}, "default")
        await lab.settle()
        assert lab.container()["ready"], "for a moment nothing is to be seen of it"
        await lab.advance(0.3)
        assert lab.container()["image"] == "docker.io/library/nginx:latest"
        assert lab.container()["restartCount"] == 1
        assert lab.journal.messages("Killing") == ["Container app definition changed, will be restarted"]

    run_lab(tmp_path, story)


def test_an_image_that_runs_nothing_needs_a_command(tmp_path: Path) -> None:
    (tmp_path / "images.d").mkdir()
    (tmp_path / "images.d/mine.toml").write_text('[data]\nfiles = { "/x" = "y" }\n')

    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(container={"image": "data"}))
        waiting = lab.container()["state"]["waiting"]
        assert waiting["reason"] == "CreateContainerError"
        assert "no command specified" in waiting["message"]

    run_lab(tmp_path, story)


def test_a_command_that_cannot_be_started_is_a_start_error(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        lab.runtime.start_error = 'exec: "nosuch": executable file not found in $PATH'
        await lab.run_pod(new_pod())
        last = lab.container()["lastState"]["terminated"]
        assert (last["exitCode"], last["reason"], last["message"]) == (128, "StartError", lab.runtime.start_error)
        assert lab.container()["state"]["waiting"]["reason"] == "RunContainerError"
        await lab.advance(1)
        assert lab.container()["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        assert f"Error: {lab.runtime.start_error}" in lab.journal.messages("Failed")
        lab.runtime.start_error = ""
        await lab.advance(10)
        assert lab.phase() == "Running"

    run_lab(tmp_path, story)


def test_a_start_error_ends_a_pod_that_is_never_restarted(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        lab.runtime.start_error = "no"
        await lab.run_pod(new_pod(restartPolicy="Never"))
        assert lab.phase() == "Failed"
        assert lab.container()["state"]["terminated"]["reason"] == "StartError"

    run_lab(tmp_path, story)


def test_a_sandbox_that_cannot_be_made_is_tried_again(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        lab.runtime.sandbox_error = "no address left"
        await lab.run_pod(new_pod())
        assert lab.journal.messages("FailedCreatePodSandBox") == [
            "Failed to create pod sandbox: rpc error: code = Unknown desc = no address left"
        ]
        assert lab.condition("PodReadyToStartContainers")["status"] == "False"
        lab.runtime.sandbox_error = ""
        await lab.advance(1)
        assert lab.phase() == "Running"

    run_lab(tmp_path, story)


def test_a_missing_config_map_holds_the_container_up_until_it_is_there(tmp_path: Path) -> None:
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "a"}}}]

    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(container={"env": env}))
        waiting = lab.container()["state"]["waiting"]
        assert waiting == {"reason": "CreateContainerConfigError", "message": 'configmap "conf" not found'}
        await lab.api.create(
            "configmaps",
            {"kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "default"}, "data": {"a": "1"}},
        )
        await lab.settle()
        assert lab.phase() == "Running" and lab.runtime.spec_of("app").env["A"] == "1"

    run_lab(tmp_path, story)


def test_a_missing_volume_source_holds_the_pod_up_until_it_is_there(tmp_path: Path) -> None:
    volumes = [{"name": "v", "configMap": {"name": "conf"}}]

    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]}, volumes=volumes))
        assert lab.journal.messages("FailedMount") == [
            'MountVolume.SetUp failed for volume "v" : configmap "conf" not found'
        ]
        config_map = {"kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "default"}, "data": {"a": "1"}}
        await lab.api.create("configmaps", config_map)
        await lab.settle()
        assert lab.phase() == "Running"
        file = lab.runtime.spec_of("app").mounts[0].source / "a"
        assert file.read_text() == "1"
        await lab.api.patch("configmaps", "conf", {"data": {"a": "2"}}, "default")
        await lab.settle()
        assert file.read_text() == "2"

    run_lab(tmp_path, story)


def test_the_containers_of_a_lost_node_process_are_started_again(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod())
        await lab.restart()
        await lab.settle()
        assert lab.runtime.running() == ["app"]
        assert lab.container()["restartCount"] == 1
        last = lab.container()["lastState"]["terminated"]
        assert (last["exitCode"], last["reason"]) == (255, "Unknown")
        assert "SandboxChanged" in lab.journal.reasons()

    run_lab(tmp_path, story)


def test_init_containers_run_again_in_a_new_sandbox(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(initContainers=[{"name": "init", "image": "busybox"}]))
        await lab.end("init", 0)
        await lab.restart()
        await lab.settle()
        assert lab.runtime.running() == ["init"]
        await lab.end("init", 0)
        assert lab.runtime.running() == ["app"]

    run_lab(tmp_path, story)


def test_a_pod_that_is_never_restarted_fails_with_its_node_process(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(restartPolicy="Never"))
        await lab.restart()
        await lab.settle()
        assert lab.phase() == "Failed" and lab.runtime.running() == []

    run_lab(tmp_path, story)


def test_a_pod_past_its_deadline_fails(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(activeDeadlineSeconds=5))
        await lab.advance(5)
        assert lab.phase() == "Failed"
        assert lab.status()["reason"] == "DeadlineExceeded"
        assert lab.runtime.running() == []

    run_lab(tmp_path, story)


def test_conditions_of_others_are_kept_and_readiness_gates_count(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(readinessGates=[{"conditionType": "example.com/ok"}]))
        assert lab.condition("Ready")["reason"] == "ReadinessGatesNotReady"
        assert lab.condition("ContainersReady")["status"] == "True"
        gate = {"type": "example.com/ok", "status": "True"}
        await lab.api.patch("pods", "web", {"status": {"conditions": [*lab.status()["conditions"], gate]}}, "default")
        await lab.settle()
        assert lab.condition("Ready")["status"] == "True"
        assert lab.condition("example.com/ok")["status"] == "True"

    run_lab(tmp_path, story)


def test_an_ephemeral_container_is_started_once_and_does_not_change_the_phase(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod())
        debugger = {"name": "debugger", "image": "busybox"}
        await lab.api.patch("pods", "web", {"spec": {"ephemeralContainers": [debugger]}}, "default")
        await lab.settle()
        assert lab.container("debugger")["state"].keys() == {"running"}
        await lab.end("debugger", 1)
        assert lab.container("debugger")["state"]["terminated"]["exitCode"] == 1
        assert lab.phase() == "Running" and lab.runtime.started == ["app", "debugger"]

    run_lab(tmp_path, story)


def test_post_start_and_pre_stop_hooks_run_in_the_container(tmp_path: Path) -> None:
    lifecycle = {"postStart": {"exec": {"command": ["hello"]}}, "preStop": {"exec": {"command": ["bye"]}}}

    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(container={"lifecycle": lifecycle}))
        assert lab.runtime.commands == [["hello"]] and lab.container()["ready"]
        await lab.api.delete("pods", "web", "default")
        await lab.settle()
        assert lab.runtime.commands == [["hello"], ["bye"]] and not lab.exists()

    run_lab(tmp_path, story)


def test_a_failed_post_start_hook_ends_the_container(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        lab.runtime.command_exit_code = 1
        await lab.run_pod(new_pod(container={"lifecycle": {"postStart": {"exec": {"command": ["hello"]}}}}))
        assert lab.journal.messages("FailedPostStartHook")[0] == "PostStartHook failed: what it says"
        assert lab.container()["restartCount"] >= 1 and not lab.container()["ready"]

    run_lab(tmp_path, story)


def test_a_container_may_have_its_own_rules_for_restarts(tmp_path: Path) -> None:
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]

    async def story(lab: Lab) -> None:
        await lab.run_pod(new_pod(restartPolicy="Never", container={"restartPolicyRules": rules}))
        await lab.end("app", 42)
        assert lab.phase() == "Running" and lab.container()["restartCount"] == 1
        await lab.end("app", 1)
        assert lab.phase() == "Failed"

    run_lab(tmp_path, story)
