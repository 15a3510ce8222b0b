"""Whom containers run as and what they may, from the security contexts to what a process finds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sandboxed import Lab, run

from lab_helpers.pocketkube.kubelet.environment import CreateContainerConfigError
from lab_helpers.pocketkube.kubelet.identity import UnknownUser, resolve
from lab_helpers.pocketkube.kubelet.images import Image, parse_reference
from lab_helpers.pocketkube.kubelet.runtime import Identity, Mount, Rights
from lab_helpers.pocketkube.kubelet.security import identity_of, rights_of
from lab_helpers.pocketkube.linux import CONTAINER_CAPABILITIES

Context = dict[str, Any]


def identity(pod: Context | None = None, own: Context | None = None, image_user: str = "") -> Identity:
    image = Image("app", "docker.io/library/app", "", parse_reference("app"), user=image_user)
    container = {"name": "main", "securityContext": own or {}}
    meta = {"name": "web", "namespace": "default", "uid": "u"}
    return identity_of({"metadata": meta, "spec": {"securityContext": pod or {}}}, container, image)


def test_the_container_overrules_its_pod_and_that_overrules_the_image() -> None:
    assert identity() == Identity()
    assert identity(image_user="app:staff") == Identity("app", "staff")
    assert identity({"runAsUser": 7}, image_user="app:staff") == Identity("7")
    assert identity({"runAsUser": 7, "runAsGroup": 8}, {"runAsUser": 9}) == Identity("9", "8")
    groups = {"supplementalGroups": [5, 6], "fsGroup": 6, "supplementalGroupsPolicy": "Strict"}
    assert identity(groups) == Identity(groups=(5, 6), with_image_groups=False)


@pytest.mark.parametrize(
    ("own", "image_user", "expected"),
    [
        ({}, "", "container has runAsNonRoot and image will run as root"),
        ({"runAsUser": 0}, "", "container's runAsUser breaks non-root policy"),
        ({}, "app", "image has non-numeric user (app), cannot verify user is non-root"),
    ],
)
def test_a_container_that_may_not_be_root_is_not(own: Context, image_user: str, expected: str) -> None:
    with pytest.raises(CreateContainerConfigError) as refusal:
        identity({"runAsNonRoot": True}, own, image_user)
    assert expected in str(refusal.value)
    assert '(pod: "web_default(u)", container: main)' in str(refusal.value)


def test_rights_are_added_and_dropped() -> None:
    def kept(**capabilities: list[str]) -> set[str]:
        return set(rights_of({"securityContext": {"capabilities": capabilities}}).capabilities)

    assert kept() == CONTAINER_CAPABILITIES
    assert kept(drop=["ALL"], add=["NET_BIND_SERVICE"]) == {"NET_BIND_SERVICE"}
    assert kept(drop=["CAP_NET_RAW"]) == CONTAINER_CAPABILITIES - {"NET_RAW"}
    assert "NET_ADMIN" in kept(add=["NET_ADMIN"])
    assert "SYS_ADMIN" not in kept(add=["ALL"]), "nobody may mount"


def test_names_are_those_of_the_containers_own_files(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nbroken\napp:x:70:71::/srv/app:/bin/sh\n")
    (tmp_path / "group").write_text("staff:x:50:app,other\nothers:x:51:other\n")
    found = resolve(Identity("app", groups=(9,)), tmp_path)
    assert (found.user, found.group, found.groups, found.home) == (70, 71, [71, 9, 50], "/srv/app")
    assert resolve(Identity("app", with_image_groups=False), tmp_path).groups == [71]
    assert resolve(Identity("1234", "staff"), tmp_path) == resolve(Identity("1234", "50"), tmp_path)
    assert resolve(Identity("1234"), tmp_path).home == "/"
    with pytest.raises(UnknownUser, match="unable to find user nobody-here: no matching entries in passwd file"):
        resolve(Identity("nobody-here"), tmp_path)


def in_container(*argv: str, **settings: Any) -> tuple[int, str, str]:
    async def scenario(lab: Lab) -> tuple[int, str, str]:
        container = await lab.run(await lab.sandbox(), "sleep", "1000", **settings)
        return await lab.output(container, *argv)

    found: tuple[int, str, str] = run(scenario)
    return found


@pytest.mark.kernel
def test_a_process_is_whom_its_container_runs_as_and_so_is_what_exec_starts() -> None:
    async def scenario(lab: Lab) -> tuple[str, str, str]:
        pod, log = await lab.sandbox(), lab.config.state_dir / "0.log"
        who = Identity("1234", "4321")
        script = "id -u; id -g; echo $HOME; grep CapEff /proc/self/status; echo again > /dev/stdout; exec sleep 1000"
        container = await lab.run(pod, "sh", "-c", script, identity=who, log_path=log)
        _, executed, _ = await lab.output(container, "sh", "-c", script.rpartition(";")[0])
        _, process, _ = await lab.output(container, "sh", "-c", "grep -E '^(Uid|Gid):' /proc/1/status")
        return log.read_text(), executed, process

    logged, executed, first = run(scenario)
    assert executed.split() == ["1234", "4321", "/", "CapEff:", "0000000000000000", "again"]
    assert [line.split()[-1] for line in logged.splitlines()] == ["1234", "4321", "/", "0000000000000000", "again"]
    assert first.split()[1] == "1234"


@pytest.mark.kernel
@pytest.mark.only("root", "without it there is one user")
@pytest.mark.skipif(os.geteuid() != 0, reason="without root all users of a container are one user of the machine")
def test_another_user_may_not_write_what_belongs_to_root(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    script = "touch /etc/x /open/x; ls -n /open/x; id -G; head -c1 /proc/1/environ | wc -c"
    who = Identity("1234", groups=(77,))
    _code, out, err = in_container("sh", "-c", script, identity=who, mounts=[Mount(tmp_path, "/open")])
    assert "cannot touch '/etc/x': Permission denied" in err
    assert out.split()[2:4] == ["1234", "0"]
    assert "0 77" in out


@pytest.mark.kernel
def test_a_read_only_root_leaves_the_volumes_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    script = "for d in / /etc /tmp /usr/lib /dev/shm /volume; do touch $d/x 2>/dev/null && echo $d; done; :>/dev/null"
    settings = {"rights": Rights(writable_root=False), "mounts": [Mount(tmp_path, "/volume")]}
    assert in_container("sh", "-c", script, **settings) == (0, "/dev/shm\n/volume\n", "")


@pytest.mark.kernel
def test_rights_that_may_not_grow_do_not() -> None:
    _code, out, _err = in_container("grep", "NoNewPrivs", "/proc/self/status", rights=Rights(may_gain_more=False))
    assert out.split() == ["NoNewPrivs:", "1"]


@pytest.mark.kernel
def test_a_user_whom_the_container_does_not_know_is_told() -> None:
    async def scenario(lab: Lab) -> str:
        try:
            await lab.run(await lab.sandbox(), "true", identity=Identity("nobody-here"))
        except RuntimeError as error:
            return str(error)
        return "started"

    assert "unable to find user nobody-here: no matching entries in passwd file" in run(scenario)
