"""The image catalogue: names, tags, commands."""

from __future__ import annotations

import importlib

import pytest

from lab_helpers.pocketkube.kubelet.image_catalogue import ImageCatalogue
from lab_helpers.pocketkube.kubelet.images import Image, InvalidImageName, parse_reference

CATALOGUE = ImageCatalogue()


def image(name: str) -> Image:
    found = CATALOGUE.find(parse_reference(name))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("httpd", "docker.io/library/httpd:latest"),
        ("httpd:2.4", "docker.io/library/httpd:2.4"),
        ("traefik/whoami", "docker.io/traefik/whoami:latest"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        (f"httpd@sha256:{'a' * 64}", f"docker.io/library/httpd@sha256:{'a' * 64}"),
    ],
)
def test_a_name_is_filled_in_as_container_tools_do(text: str, whole: str) -> None:
    assert str(parse_reference(text)) == whole


@pytest.mark.parametrize("text", ["", "UPPER", "a b", "httpd:", "httpd:b@d", "-x", "a//b", "httpd@sha256:12"])
def test_a_name_that_no_image_could_have_is_refused(text: str) -> None:
    with pytest.raises(InvalidImageName):
        parse_reference(text)


@pytest.mark.parametrize(
    "name", ["httpd:2.4-alpine", "mirror.example:5000/library/httpd:2", "curlimages/curl:8.10.1", "nginx:alpine"]
)
def test_an_image_is_found_behind_any_registry_and_tag(name: str) -> None:
    assert CATALOGUE.find(parse_reference(name)) is not None


@pytest.mark.parametrize("name", ["nosuch", "httpd:nosuch", "httpd:9.9.9", "ngnix"])
def test_an_image_or_tag_that_does_not_exist_is_not_found(name: str) -> None:
    assert CATALOGUE.find(parse_reference(name)) is None


def test_an_image_id_depends_on_name_and_tag_alone() -> None:
    assert image("httpd").id == image("docker.io/library/httpd:latest").id
    assert image("httpd").id.startswith("docker.io/library/httpd@sha256:")
    assert image("httpd").id != image("httpd:2.4").id
    assert image(f"httpd@sha256:{'b' * 64}").id == f"docker.io/library/httpd@sha256:{'b' * 64}"


def test_a_command_replaces_the_entrypoint_and_arguments_replace_the_default_ones() -> None:
    curl = image("curlimages/curl")
    assert curl.argv([], []) == ["sh", "/entrypoint.sh", "curl"]
    assert curl.argv([], ["http://x"]) == ["sh", "/entrypoint.sh", "http://x"]
    assert curl.argv(["sleep"], ["1"]) == ["sleep", "1"]
    assert curl.argv(["sleep"], []) == ["sleep"]


def test_programs_of_an_image_are_python_functions_and_everything_else_is_not() -> None:
    httpd = image("httpd")
    assert httpd.builtin(["httpd-foreground"]).endswith("programs.httpd:main")
    assert httpd.builtin(["sh", "-c", "httpd-foreground"]) == ""
    assert image("busybox").builtin(["sh"]) == ""


@pytest.mark.parametrize("name", CATALOGUE.names())
def test_every_program_of_the_catalogue_exists(name: str) -> None:
    for program in image(name).programs.values():
        module, _, function = program.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("name", CATALOGUE.names())
def test_every_image_says_what_it_is(name: str) -> None:
    found = image(name)
    assert found.about and found.repository.rpartition("/")[2] and found.env["PATH"]
    assert found.argv([], []), "an image has to run something"
