"""A whole cluster under faults: its control plane killed, its store damaged; and who may read its files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from waiting import until

from lab_helpers.clusters import EmbeddedCluster
from lab_helpers.clusters.inspection import processes_below
from lab_helpers.errors import StateUnusable
from lab_helpers.pocketkube.state import StateDir

pytestmark = [pytest.mark.kernel, pytest.mark.kubectl]


def control_plane_of(cluster: EmbeddedCluster) -> int | None:
    """The process that has the store open."""
    supervisor = StateDir(cluster.config.state_dir).supervisor_pid() or 0
    for pid in processes_below(supervisor):
        try:
            links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        if str(cluster.config.database) in links:
            return pid
    return None


def kill_control_plane(cluster: EmbeddedCluster, check: str = "/readyz") -> None:
    """SIGKILL; returns when its successor serves."""
    before = control_plane_of(cluster)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    until(lambda: control_plane_of(cluster) not in (None, before), "a new control plane")
    until(lambda: cluster.kubectl("get", "--raw", check).ok, "the API")


def start_kubectl(cluster: EmbeddedCluster, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "KUBECONFIG": str(cluster.config.kubeconfig)}
    command = [sys.executable, "-m", "lab_helpers", "kubectl", "--name", cluster.config.name, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def test_clients_and_pods_outlive_the_control_plane(own_cluster: EmbeddedCluster) -> None:
    own_cluster.start()
    seen: list[str] = []
    enough = threading.Event()
    following = threading.Thread(target=follow_config_maps, args=(own_cluster, seen, enough), daemon=True)
    following.start()
    until(lambda: "kube-root-ca.crt" in seen, "the first event")
    assert own_cluster.kubectl("create", "deployment", "web", "--image=httpd", "--replicas=2").ok
    rollout = start_kubectl(own_cluster, "rollout", "status", "deployment/web", "--timeout=60s")
    watching = start_kubectl(own_cluster, "get", "pods", "--watch")
    kill_control_plane(own_cluster)
    output, _ = rollout.communicate(timeout=60)
    assert rollout.returncode == 0 and "successfully rolled out" in output, output
    pods = pods_of(own_cluster)
    assert own_cluster.kubectl("create", "configmap", "before").ok
    kill_control_plane(own_cluster)
    assert own_cluster.kubectl("create", "configmap", "after").ok
    until(lambda: {"before", "after"} <= set(seen), "the client to follow on")
    enough.set()
    assert own_cluster.kubectl("create", "configmap", "last").ok
    following.join(timeout=30)
    output, _ = watching.communicate(timeout=60)
    assert watching.returncode == 0, output  # it ends when its server does, as with any API server
    assert pods_of(own_cluster) == pods, "Pods have nothing to do with the control plane's life"


def pods_of(cluster: EmbeddedCluster) -> str:
    fields = "{.metadata.uid} {.status.podIP} {.status.containerStatuses[0].restartCount}"
    return cluster.kubectl("get", "pods", "-o", f"jsonpath={{range .items[*]}}{fields}{{'\\n'}}{{end}}").stdout


def follow_config_maps(cluster: EmbeddedCluster, seen: list[str], enough: threading.Event) -> None:
    """The official client's watch, resumed as its documentation has it: from the last revision; on 410 from a list."""
    import kubernetes
    import urllib3

    api = kubernetes.config.new_client_from_config(str(cluster.config.kubeconfig))
    core, revision = kubernetes.client.CoreV1Api(api), None
    while not enough.is_set():
        watch = kubernetes.watch.Watch()
        try:
            options = {} if revision is None else {"resource_version": revision}
            for event in watch.stream(core.list_namespaced_config_map, "default", **options):
                name, revision = event["object"].metadata.name, event["object"].metadata.resource_version
                if name not in seen:
                    seen.append(name)
                if enough.is_set():
                    return
        except kubernetes.client.ApiException as error:
            assert error.status == 410, error
            revision = None
        except urllib3.exceptions.HTTPError:
            continue


@pytest.mark.parametrize(
    "damage, sentence",
    [
        (lambda database: database.write_bytes(b"garbage" * 100), "is damaged"),
        (lambda database: database.write_bytes(database.read_bytes()[: -database.stat().st_size // 3]), "is damaged"),
        (lambda database: (database.unlink(), database.mkdir()), "can't be opened"),
    ],
    ids=["overwritten", "cut short", "not a file"],
)
def test_a_store_that_can_not_be_read_is_named(own_cluster: EmbeddedCluster, damage: object, sentence: str) -> None:
    own_cluster.start()
    supervisor = StateDir(own_cluster.config.state_dir).supervisor_pid()
    assert supervisor is not None and callable(damage)
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{supervisor}").exists() or control_plane_of(own_cluster) is None, "its end")
    merge_log_into(own_cluster.config.database)
    damage(own_cluster.config.database)
    with pytest.raises(StateUnusable) as refusal:
        own_cluster.start(resume=True)
    assert sentence in str(refusal.value) and refusal.value.hint and refusal.value.exit_code == 9


def merge_log_into(database: Path) -> None:
    """Puts everything into the one file, as SQLite does by itself from time to time."""
    import sqlite3

    connection = sqlite3.connect(database)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def test_the_cluster_s_files_are_its_owner_s_alone(cluster: EmbeddedCluster) -> None:
    folder = cluster.config.state_dir
    assert folder.stat().st_mode & 0o777 == 0o700
    shared = {"logs", "kubectl-cache"}  # made by containers and by kubectl, out of reach all the same
    own = [path for path in folder.rglob("*") if path.is_file() and not shared & set(path.parts)]
    open_to_others = [str(path) for path in own if path.stat().st_mode & 0o077]
    assert open_to_others == []
