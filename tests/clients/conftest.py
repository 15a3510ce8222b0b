"""The newest kubectl, and a namespace of its own for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from kubectls import Kubectl, newest

from lab_helpers.clusters import EmbeddedCluster

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def kubectl(cluster: EmbeddedCluster) -> Kubectl:
    return newest(cluster)


@pytest.fixture
def k(kubectl: Kubectl) -> Iterator[Kubectl]:
    """kubectl in a new namespace."""
    namespace = f"clients-{next(_numbers)}"
    kubectl("create", "namespace", namespace)
    yield kubectl.within(namespace)
    kubectl("delete", "namespace", namespace, "--wait=false")
