"""The objects of one namespace, read from any cluster as plain JSON.

Pictures and checks read through this one class and never write through it. It uses the official client, which stays
connected: a list takes milliseconds, where a kubectl command takes tenths of a second.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .clusters.base import Cluster
from .errors import ClusterError, ClusterNotRunning
from .pocketkube.objects import Obj

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_LISTS = {
    "pods": ("CoreV1Api", "list_namespaced_pod", "v1", "Pod"),
    "services": ("CoreV1Api", "list_namespaced_service", "v1", "Service"),
    "endpointslices": ("DiscoveryV1Api", "list_namespaced_endpoint_slice", "discovery.k8s.io/v1", "EndpointSlice"),
    "deployments": ("AppsV1Api", "list_namespaced_deployment", "apps/v1", "Deployment"),
    "replicasets": ("AppsV1Api", "list_namespaced_replica_set", "apps/v1", "ReplicaSet"),
}


class Reader:
    """Reads one namespace of one cluster."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self._client: ApiClient | None = None

    def list(self, resource: str) -> list[Obj]:
        """All objects of a resource (`pods`, `services`, ...) in the namespace, by name.

        Raises ClusterNotRunning if nothing answers.
        """
        group, method, api_version, kind = _LISTS[resource]
        response = self._ask(group, method)
        items: list[Obj] = json.loads(response.data).get("items") or []
        for item in items:
            item.setdefault("apiVersion", api_version)
            item.setdefault("kind", kind)
        return sorted(items, key=lambda item: str(item["metadata"]["name"]))

    def get(self, resource: str, name: str) -> Obj | None:
        """One object by name, or None."""
        return next((item for item in self.list(resource) if item["metadata"]["name"] == name), None)

    def _connected(self) -> ApiClient:
        if self._client is None:
            self._client = self.cluster.api_client()
        return self._client

    def _ask(self, group: str, method: str) -> Any:
        from kubernetes import client
        from urllib3.exceptions import HTTPError

        call = getattr(getattr(client, group)(self._connected()), method)
        try:
            return call(self.namespace, _preload_content=False, _request_timeout=10)
        except client.ApiException as error:
            raise ClusterError(f"The API server answered {error.status} {error.reason}.") from error
        except HTTPError as error:
            self._client = None
            raise ClusterNotRunning(
                f"The cluster {self.cluster.name!r} does not answer.",
                hint=f"Look at it with: servicelab status --name {self.cluster.name}",
            ) from error
