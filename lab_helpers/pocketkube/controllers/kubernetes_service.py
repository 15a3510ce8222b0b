"""The keeper of the `kubernetes` Service: deleted or bent, it is put right at once, or no Pod would find the API.

Models pkg/controlplane/controller/kubernetesservice (v1.36).
"""

from __future__ import annotations

from ..bootstrap import ensure_kubernetes_service
from ..client import Client, EventType
from ..clock import Clock
from ..config import ClusterConfig
from ..informer import Controller, SharedInformers
from ..objects import Obj, key_of

_KEY = "default/kubernetes"


class KubernetesServiceController(Controller):
    """Watches over one Service, its Endpoints and its EndpointSlice, all of the same name."""

    name = "kubernetes-service"

    def __init__(self, client: Client, informers: SharedInformers, config: ClusterConfig, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._config = config
        for resource in ("services", "endpoints", "endpointslices.discovery.k8s.io"):
            informers.get(resource).add_handler(self._on_change)

    async def reconcile(self, key: str) -> None:
        """Writes what is missing or wrong."""
        await ensure_kubernetes_service(self._client, self._config)

    def _on_change(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if event != "ADDED" and key_of(new or old or {}) == _KEY:
            self.queue.add(_KEY)
