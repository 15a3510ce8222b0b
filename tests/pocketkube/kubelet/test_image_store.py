"""Adding images: what becomes of a program, a folder or a TOML file, and what is said about those that won't do."""

from __future__ import annotations

import os
import shutil
import stat
import struct
from pathlib import Path
from typing import Any

import pytest

from lab_helpers.errors import InvalidInput, LabError
from lab_helpers.pocketkube.kubelet.image_catalogue import ImageCatalogue
from lab_helpers.pocketkube.kubelet.image_store import ImageStore, NewImage, to_toml
from lab_helpers.pocketkube.kubelet.images import Image, parse_reference

OTHER_MACHINE = 183 if os.uname().machine != "aarch64" else 62


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images.d")


def script(path: Path, text: str = "#!/bin/sh\necho hello\n", mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def elf(path: Path, *, machine: int, loader: str = "") -> Path:
    """The head of a 64-bit Linux program, with one program header if it has a dynamic loader."""
    head = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, 1 if loader else 0, 0, 0, 0)
    header = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(loader) + 1, len(loader) + 1, 1) if loader else b""
    path.write_bytes(head + header + loader.encode() + b"\0")
    path.chmod(0o755)
    return path


def found(store: ImageStore, name: str) -> Image:
    image = ImageCatalogue([store.folder]).find(parse_reference(name))
    assert image is not None
    return image


def test_a_program_becomes_an_image_under_any_registry_tag_and_digest(store: ImageStore, tmp_path: Path) -> None:
    store.add(NewImage("my-app", script(tmp_path / "app"), aliases=["other"], env={"A": "b"}, cmd=["serve"]))
    digest = f"@sha256:{'a' * 64}"
    for name in ("my-app", "registry.example:5000/team/my-app:v7-odd_tag", f"my-app{digest}", "x.example/other"):
        image = found(store, name)
        assert (image.layers[0].path, image.argv([], [])[-1], image.env["A"]) == ("/app", "serve", "b")
        assert image.layers[0].source.read_text().startswith("#!/bin/sh")


def test_a_program_alone_is_what_its_image_runs(store: ImageStore, tmp_path: Path) -> None:
    store.add(NewImage("my-app", script(tmp_path / "app"), path="/usr/local/bin/"))
    assert found(store, "my-app").argv([], ["x"]) == ["/usr/local/bin/app", "x"]


def test_what_was_added_is_a_copy_with_a_digest_of_its_own(store: ImageStore, tmp_path: Path) -> None:
    source = script(tmp_path / "app", mode=0o700)
    store.add(NewImage("my-app", source))
    before = found(store, "my-app").id
    source.write_text("#!/bin/sh\necho changed\n")
    copy = found(store, "my-app").layers[0].source
    assert "changed" not in copy.read_text()
    assert stat.S_IMODE(copy.stat().st_mode) & 0o555 == 0o555, "any user of a container may run it"
    store.add(NewImage("my-app", source), replace=True)
    assert found(store, "my-app").id != before
    assert len([path for path in store.folder.iterdir() if path.is_dir()]) == 1, "the old copy is gone"


def test_a_tree_keeps_its_links_and_modes(store: ImageStore, tmp_path: Path) -> None:
    script(tmp_path / "tree/bin/run")
    (tmp_path / "tree/run").symlink_to("bin/run")
    script(tmp_path / "tree/data/x", "data", 0o640)
    os.mkfifo(tmp_path / "tree/pipe")
    store.add(NewImage("tree", tmp_path / "tree", entrypoint=["/run"]))
    layer = found(store, "tree").layers[0]
    assert layer.path == "/"
    assert (layer.source / "run").readlink() == Path("bin/run")
    assert stat.S_IMODE((layer.source / "data/x").stat().st_mode) == 0o644
    assert not (layer.source / "pipe").exists()


def test_an_image_can_stand_on_a_built_in_one(store: ImageStore, tmp_path: Path) -> None:
    script(tmp_path / "site/index.html", "mine", 0o644)
    store.add(NewImage("site", tmp_path / "site", path="/usr/local/apache2/htdocs", base="httpd"))
    image = found(store, "site:v2")
    assert image.builtin(image.argv([], [])).endswith("httpd:main")
    assert image.layers[0].path == "/usr/local/apache2/htdocs"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"source": "nosuch"}, "nosuch does not exist"),
        ({"source": "plain"}, "is not executable"),
        ({"source": "text"}, "neither a Linux binary nor a script"),
        ({"source": "windows.exe"}, "a program for Windows"),
        ({"source": "foreign"}, f"this machine is {os.uname().machine}"),
        ({"source": "dynamic"}, "needs the dynamic loader /lib/ld-nosuch.so.1"),
        ({"source": "empty"}, "is empty"),
        ({"source": "fifo"}, "neither a file nor a folder"),
        ({"source": "dangling"}, "is a link to nothing"),
        ({"source": "good", "path": "bin/x"}, "must begin with '/'"),
        ({"source": "good", "path": "/proc/x"}, "can't have files at '/proc/x'"),
        ({"source": "good", "entrypoint": ["/nosuch"]}, "'/nosuch' is neither in the image nor a program"),
        ({"source": "tree", "entrypoint": ["nosuch-program"]}, "'nosuch-program' is neither in the image"),
        ({"source": "good", "name": "My App"}, "can't be named 'My App'"),
        ({"source": "good", "name": "x/-"}, "can't be named"),
        ({"source": "good", "aliases": ["UPPER"]}, "can't be named 'UPPER'"),
        ({"source": "good", "env": {"1=": "x"}}, "is no name of a variable"),
        ({"source": "good", "base": "nosuch"}, "no built-in image 'nosuch'"),
    ],
)
def test_what_can_not_become_an_image_is_refused_with_the_reason(
    store: ImageStore, tmp_path: Path, settings: dict[str, Any], expected: str
) -> None:
    script(tmp_path / "good")
    script(tmp_path / "plain", mode=0o644)
    script(tmp_path / "text", "no shebang")
    script(tmp_path / "windows.exe", "MZ and so on")
    elf(tmp_path / "foreign", machine=OTHER_MACHINE)
    elf(tmp_path / "dynamic", machine={"x86_64": 62, "aarch64": 183}[os.uname().machine], loader="/lib/ld-nosuch.so.1")
    (tmp_path / "empty").mkdir()
    script(tmp_path / "tree/a")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nowhere")
    settings = {"name": "app", **settings, "source": tmp_path / settings["source"]}
    with pytest.raises(InvalidInput, match=".") as refusal:
        store.add(NewImage(**settings))
    assert expected in refusal.value.message
    assert refusal.value.hint
    assert not any(store.files())


def test_a_static_program_of_this_machine_is_taken(store: ImageStore, tmp_path: Path) -> None:
    program = elf(tmp_path / "static", machine={"x86_64": 62, "aarch64": 183}[os.uname().machine])
    assert store.add(NewImage("static", program)).entry["path"] == "/static"


def test_a_name_is_taken_once(store: ImageStore, tmp_path: Path) -> None:
    store.add(NewImage("one", script(tmp_path / "app"), aliases=["uno"]))
    for name in ("one", "uno", "registry.example/x/uno:v1"):
        with pytest.raises(InvalidInput, match="already") as refusal:
            store.add(NewImage(name, tmp_path / "app"))
        assert "servicelab image rm one" in refusal.value.hint
    assert store.add(NewImage("one", tmp_path / "app"), replace=True).name == "one"


def test_a_built_in_image_can_be_hidden_and_comes_back(store: ImageStore, tmp_path: Path) -> None:
    assert list(store.add(NewImage("httpd", script(tmp_path / "app"))).hides) == ["httpd"]
    assert found(store, "httpd:2.4").argv([], []) == ["/app"]
    assert store.remove("httpd")
    assert found(store, "httpd:2.4").argv([], []) == ["httpd-foreground"]
    assert not store.remove("httpd")


def test_a_full_disk_is_said_and_leaves_nothing(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(LabError, match="disk is full") as refusal:
        store.add(NewImage("app", script(tmp_path / "app")))
    assert "SERVICELAB_HOME" in refusal.value.hint
    assert [path.name for path in store.folder.iterdir()] == [".lock"]


def test_a_learners_file_is_read_where_it_lies_and_its_mistakes_are_told(store: ImageStore, tmp_path: Path) -> None:
    store.folder.mkdir()
    script(tmp_path / "bin/app")
    mine = store.folder / "mine.toml"
    mine.write_text(
        '[app]\nfrom = "../bin/app"\n\n[v2]\nbase = "httpd"\nfiles = { "/index" = "two" }\n[bad]\ncmd = 1\n'
    )
    catalogue = ImageCatalogue([store.folder])
    assert found(store, "app").argv([], []) == ["/app"]
    assert found(store, "v2").files["/index"] == b"two"
    assert [problem.partition(": ")[2] for problem in catalogue.problems()] == ["[bad] cmd must be a list of texts"]
    mine.write_text("[app\n")
    assert catalogue.find(parse_reference("app")) is None
    assert "is no TOML" in catalogue.problems()[0]


def test_a_toml_file_is_taken_over_with_its_files(store: ImageStore, tmp_path: Path) -> None:
    script(tmp_path / "app")
    file = tmp_path / "my.toml"
    file.write_text('[app]\nfrom = "app"\naliases = ["a"]\n[v2]\nbase = "httpd"\nfiles = { "/index" = "two" }\n')
    assert [added.name for added in store.add_file(file)] == ["app", "v2"]
    shutil.rmtree(tmp_path / "app", ignore_errors=True)
    assert found(store, "a").layers[0].source.is_file()
    assert found(store, "v2").files["/index"] == b"two"


def test_every_value_survives_the_file(store: ImageStore, tmp_path: Path) -> None:
    odd = 'quote " backslash \\ tab \t line \n euro € clef \U0001d11e del \x7f'
    store.add(NewImage("app.v2", script(tmp_path / "app"), env={"ODD": odd}, cmd=[odd], entrypoint=["/app"]))
    image = found(store, "app.v2")
    assert (image.env["ODD"], image.cmd) == (odd, [odd])
    assert to_toml("app.v2", {}).startswith('["app.v2"]')
