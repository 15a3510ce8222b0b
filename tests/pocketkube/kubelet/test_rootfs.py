"""What a container sees of files, and what the host sees of what a container does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sandboxed import Lab, run

from lab_helpers.pocketkube.kubelet.runtime import Layer

pytestmark = pytest.mark.kernel

IMAGE = {
    "/usr/local/apache2/htdocs/index.html": b"It works!\n",
    "/usr/local/bin/hello": b"#!/bin/sh\necho hello\n",
    "/bin/linked": b"#!/bin/sh\necho through a link\n",
    "/srv/www/page": b"page\n",
    "/var/run/state": b"running\n",
}

PROOF = "servicelab-was-here"


def in_container(script: str, *, overlays: bool = True, **settings: Any) -> tuple[int, str, str]:
    async def scenario(lab: Lab) -> tuple[int, str, str]:
        container = await lab.run(await lab.sandbox("web-0"), "sleep", "1000", **settings)
        return await lab.output(container, "sh", "-c", script)

    found: tuple[int, str, str] = run(scenario, overlays=overlays)
    return found


@pytest.mark.parametrize("overlays", [True, False], ids=["overlay", "without overlay"])
class TestEitherWay:
    """With overlays, and where the kernel refuses them."""

    def test_the_images_files_are_there_and_the_machines_programs_too(self, overlays: bool) -> None:
        script = (
            "cat /usr/local/apache2/htdocs/index.html; hello; linked; cat /srv/www/page /run/state; "
            "ls /usr/bin/env /bin/sh; cat /etc/hostname; env -i /usr/bin/env true && echo fine"
        )
        _code, out, err = in_container(script, overlays=overlays, files=IMAGE)
        assert err == ""
        assert out.splitlines() == [
            "It works!", "hello", "through a link", "page", "running", "/bin/sh", "/usr/bin/env", "web-0", "fine",
        ]  # fmt: skip

    def test_the_images_own_folders_can_be_written_to(self, overlays: bool) -> None:
        script = (
            "cd /usr/local/apache2/htdocs && echo new > index.html && cat index.html && touch other "
            "&& echo '10.0.0.1 x' >> /etc/hosts && touch /etc/new /tmp/a /run/b /var/c /root/d && ls"
        )
        code, out, err = in_container(script, overlays=overlays, files=IMAGE)
        assert (code, err) == (0, "")
        assert out.split() == ["new", "index.html", "other"]

    def test_the_hosts_private_places_are_not_seen(self, overlays: bool) -> None:
        home = Path.home()
        script = f"ls -A {home} /home /mnt /media 2>/dev/null; ls /dev; head -c1 /etc/shadow; ls /boot"
        _code, out, err = in_container(script, overlays=overlays)
        assert ".ssh" not in out
        assert ".bashrc" not in out
        assert "vda" not in out and "kmsg" not in out
        assert "/boot" in err


def test_nothing_that_a_container_writes_reaches_the_host() -> None:
    places = ["/etc", "/usr", "/usr/local", "/usr/bin", "/tmp", "/var", "/run", "/root", "/opt", "/dev/shm"]
    script = "; ".join(f"touch {place}/{PROOF} && echo {place}" for place in places)
    _code, out, _err = in_container(script)
    assert set(out.split()) == set(places), "all of it can be written to, as in any container"
    assert [place for place in places if os.access(f"{place}/{PROOF}", os.F_OK)] == []


def test_containers_share_nothing_they_write() -> None:
    async def scenario(lab: Lab) -> tuple[int, str, str]:
        pod = await lab.sandbox()
        first, second = await lab.run(pod, "sleep", "1000"), await lab.run(pod, "sleep", "1000")
        await lab.output(first, "touch", f"/etc/{PROOF}", f"/tmp/{PROOF}")
        return await lab.output(second, "ls", f"/etc/{PROOF}", f"/tmp/{PROOF}")

    assert run(scenario)[0] != 0


def test_the_machines_settings_can_not_be_changed() -> None:
    script = (
        "for f in /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward /proc/sysrq-trigger; "
        "do (echo 1 > $f) 2>/dev/null && echo $f; done; mount -t tmpfs x /mnt 2>/dev/null && echo mount; "
        "unshare -n true 2>/dev/null && echo unshare"
    )
    _code, out, _err = in_container(script)
    assert out == ""


def test_devices_and_terminals_are_the_containers_own() -> None:
    script = "echo x > /dev/null && head -c 3 /dev/zero | wc -c && ls /dev/pts && ls -d /dev/shm /dev/fd"
    code, out, err = in_container(script)
    assert (code, err) == (0, "")
    assert out.split() == ["3", "ptmx", "/dev/fd", "/dev/shm"]


def test_rights_are_dockers_default_set() -> None:
    _code, out, _err = in_container("grep -E 'Cap(Eff|Bnd)' /proc/self/status")
    assert out.split() == ["CapEff:", "00000000a80425fb", "CapBnd:", "00000000a80425fb"]


def test_a_file_can_not_replace_the_root() -> None:
    async def scenario(lab: Lab) -> str:
        try:
            await lab.run(await lab.sandbox(), "true", files={"/": b""})
        except RuntimeError as error:
            return str(error)
        return "started"

    assert "/ can't be replaced" in run(scenario)


@pytest.mark.parametrize("overlays", [True, False], ids=["overlay", "without overlay"])
def test_an_added_images_files_are_where_they_belong_and_the_machines_stay(tmp_path: Path, overlays: bool) -> None:
    tree, program = tmp_path / "a, tree: x", tmp_path / "prog"
    for name in ("bin/hello", "usr/local/lib/hello/run", "app/x", "var/www/page", "etc/hello.conf"):
        file = tree / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\necho {name}\n")
        file.chmod(0o755)
    (tree / "link").symlink_to("app/x")
    program.write_text("#!/bin/sh\necho alone\n")
    program.chmod(0o755)
    layers = [Layer(tree, "/"), Layer(program, "/opt/alone"), Layer(tree / "app", "/srv/covered")]
    script = (
        "hello; /usr/local/lib/hello/run; /app/x; /link; sh /var/www/page; sh /etc/hello.conf; /opt/alone; "
        "/srv/covered/x; ls -d /bin/sh /usr/bin/env /etc/passwd /var/log /run"
    )
    code, out, err = in_container(script, overlays=overlays, layers=layers)
    assert (code, err) == (0, "")
    assert out.split() == [
        "bin/hello", "usr/local/lib/hello/run", "app/x", "app/x", "var/www/page", "etc/hello.conf", "alone", "app/x",
        "/bin/sh", "/etc/passwd", "/run", "/usr/bin/env", "/var/log",
    ]  # fmt: skip


def test_what_a_container_writes_into_an_added_image_stays_its_own(tmp_path: Path) -> None:
    (tmp_path / "tree/data").mkdir(parents=True)
    (tmp_path / "tree/data/x").write_text("before\n")
    script = "echo after > /data/x; touch /data/new /opt/tree/data/new && cat /data/x /opt/tree/data/x"
    layers = [Layer(tmp_path / "tree", "/"), Layer(tmp_path / "tree", "/opt/tree")]
    assert in_container(script, layers=layers) == (0, "after\nbefore\n", "")
    assert [path.name for path in (tmp_path / "tree/data").iterdir()] == ["x"]
    assert (tmp_path / "tree/data/x").read_text() == "before\n"


def test_a_small_file_at_the_root_of_an_added_image_can_be_moved(tmp_path: Path) -> None:
    (tmp_path / "localhost.crt").write_text("a certificate\n")
    layers = [Layer(tmp_path, "/")]
    script = "mv /localhost.crt /tmp/ && cat /tmp/localhost.crt && ls /localhost.crt || echo gone"
    code, out, _ = in_container(script, layers=layers)
    assert (code, out) == (0, "a certificate\ngone\n")
    assert (tmp_path / "localhost.crt").read_text() == "a certificate\n"


def test_an_image_whose_files_are_gone_is_told(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> str:
        try:
            await lab.run(await lab.sandbox(), "true", layers=[Layer(tmp_path / "gone", "/")])
        except RuntimeError as error:
            return str(error)
        return "started"

    assert f"the image's files are gone: {tmp_path}/gone" in run(scenario)
