"""A namespace with a few Pods that the tests of this folder share, and each kubectl of the machine on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from streaming_cluster import Kubectl, kubectls

from lab_helpers.clusters import EmbeddedCluster

NAMESPACE = "streams"
PODS = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: web, image: httpd, ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: shell}
spec: {containers: [{name: shell, image: busybox, command: [sleep, "100000"]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 8080, targetPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: empty}
spec: {selector: {app: nothing}, ports: [{name: http, port: 8080, targetPort: 80}]}
"""


@pytest.fixture(scope="session")
def stage(cluster: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    """The cluster with the Pods `web` (an httpd behind a Service) and `shell`."""
    kubectl = Kubectl(kubectls()[0], cluster, NAMESPACE)
    kubectl("create", "namespace", NAMESPACE)
    kubectl("apply", "-f", "-", stdin=PODS)
    kubectl("wait", "--for=condition=Ready", "pod/web", "pod/shell", "--timeout=30s")
    yield cluster
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(params=kubectls())
def kubectl(request: pytest.FixtureRequest, stage: EmbeddedCluster) -> Kubectl:
    """Each kubectl of the machine."""
    return Kubectl(request.param, stage, NAMESPACE)


@pytest.fixture
def one_kubectl(stage: EmbeddedCluster) -> Kubectl:
    """One kubectl, where the server alone matters."""
    return Kubectl(kubectls()[0], stage, NAMESPACE)
