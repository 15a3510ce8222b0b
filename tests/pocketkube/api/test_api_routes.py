"""Paths of the API."""

from __future__ import annotations

import pytest

from lab_helpers.pocketkube.api.routes import SUBRESOURCES, Router
from lab_helpers.pocketkube.resources.table import RESOURCES


@pytest.fixture(scope="module")
def router() -> Router:
    return Router()


@pytest.mark.parametrize(
    ("path", "resource", "namespace", "name", "subresource"),
    [
        ("pods", "pods", "", "", ""),
        ("namespaces", "namespaces", "", "", ""),
        ("namespaces/a", "namespaces", "", "a", ""),
        ("namespaces/a/status", "namespaces", "", "a", "status"),
        ("namespaces/a/finalize", "namespaces", "", "a", "finalize"),
        ("namespaces/a/pods", "pods", "a", "", ""),
        ("namespaces/a/pods/b", "pods", "a", "b", ""),
        ("namespaces/a/pods/b/log", "pods", "a", "b", "log"),
        ("nodes/n", "nodes", "", "n", ""),
    ],
)
def test_paths(router: Router, path: str, resource: str, namespace: str, name: str, subresource: str) -> None:
    route = router.route("", "v1", path.split("/"))
    assert route is not None
    assert (route.resource.name, route.namespace, route.name, route.subresource) == (
        resource,
        namespace,
        name,
        subresource,
    )


@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "pods/a",
        "namespaces/a/nodes",
        "namespaces/a/nothing",
        "namespaces/a/pods/b/nothing",
        "namespaces/a/pods/b/log/more",
        "namespaces/a/services/b/scale",
    ],
)
def test_where_nothing_is(router: Router, path: str) -> None:
    assert router.route("", "v1", path.split("/")) is None


def test_a_proxy_has_a_path_of_its_own(router: Router) -> None:
    route = router.route("", "v1", ["namespaces", "a", "services", "http:b:80", "proxy", "x", "y"])
    assert route is not None
    assert (route.name, route.subresource, route.rest) == ("http:b:80", "proxy", "x/y")


def test_every_subresource_of_the_table_is_known() -> None:
    assert {name for resource in RESOURCES.values() for name in resource.subresources} <= SUBRESOURCES.keys()
