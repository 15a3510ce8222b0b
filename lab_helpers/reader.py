"""The objects of one namespace, read from any cluster as plain JSON.

Pictures and checks read through this one class and never write through it. It uses the official client, which stays
connected: a list takes milliseconds, where a kubectl command takes tenths of a second.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .clusters.base import Cluster
from .errors import ClusterError, ClusterNotRunning
from .pocketkube.objects import Obj

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

REQUEST_SECONDS = 10
WATCH_SECONDS = 300
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.25, 10.0

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

    def watch(self, resource: str, on_change: Callable[[], None]) -> Watch:
        """Calls `on_change` from a thread of its own whenever an object of the resource changes, until stopped."""
        group, method, _, _ = _LISTS[resource]
        return Watch(lambda: self._call(group, method, watch=True, timeout_seconds=WATCH_SECONDS), on_change)

    def _connected(self) -> ApiClient:
        if self._client is None:
            self._client = self.cluster.api_client()
        return self._client

    def _call(self, group: str, method: str, **options: Any) -> Any:
        """The response to a list or watch request, its body not read yet."""
        from kubernetes import client

        return getattr(getattr(client, group)(self._connected()), method)(
            self.namespace, _preload_content=False, **options
        )

    def _ask(self, group: str, method: str) -> Any:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            response = self._call(group, method, _request_timeout=REQUEST_SECONDS)
            if response.status < 400:
                return response
            raise ClusterError(f"The API server answered {response.status} {response.reason}.")
        except ApiException as error:
            raise ClusterError(f"The API server answered {error.status} {error.reason}.") from error
        except HTTPError as error:
            self._client = None
            raise ClusterNotRunning(
                f"The cluster {self.cluster.name!r} does not answer.",
                hint=f"Look at it with: servicelab status --name {self.cluster.name}",
            ) from error


class Watch:
    """A thread that reads a watch of the API and tells of every change; begins anew when the server ends it."""

    def __init__(self, connect: Callable[[], Any], on_change: Callable[[], None]) -> None:
        self._connect = connect
        self._on_change = on_change
        self._response: Any = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends it, also while it waits for the server."""
        self._stopped.set()
        shutdown = getattr(self._response, "shutdown", None)
        if shutdown:
            with contextlib.suppress(ValueError, RuntimeError):  # the response has ended by itself meanwhile
                shutdown()

    def _follow(self) -> None:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        pause = RETRY_SECONDS
        while not self._stopped.is_set():
            begun = time.monotonic()
            try:
                self._response = self._connect()
                for _ in self._response.stream(amt=None):
                    if self._stopped.is_set():
                        return
                    self._on_change()
            except (HTTPError, ApiException, OSError):
                self._on_change()
            pause = (
                RETRY_SECONDS
                if time.monotonic() - begun > LONGEST_RETRY_SECONDS
                else min(pause * 2, LONGEST_RETRY_SECONDS)
            )
            self._stopped.wait(pause)
