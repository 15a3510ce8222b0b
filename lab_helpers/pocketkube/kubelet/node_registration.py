"""Makes a node known to the cluster and keeps saying that it is alive.

The Node's status is written at the start and then every five minutes, its Lease every ten seconds: the Lease is the
cheap heartbeat. What the status says is left to `node_status.py`.
Models pkg/kubelet/kubelet_node_status.go and component-helpers/apimachinery/lease (v1.36).
"""

from __future__ import annotations

import logging

from ..api.status import StatusError
from ..client import Client
from ..clock import Clock
from ..objects import Obj, uid_of
from .image_catalogue import ImageCatalogue
from .node_status import new_node, node_labels, node_status

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
RENEW_SECONDS = 10.0
STATUS_SECONDS = 300.0
_LONGEST_PAUSE = 2.0


class NodeRegistration:
    """One node's Node and Lease objects."""

    def __init__(
        self,
        client: Client,
        name: str,
        ip: str,
        pod_cidr: str,
        clock: Clock,
        *,
        control_plane: bool,
        catalogue: ImageCatalogue | None = None,
        simulated: bool = False,
    ) -> None:
        self.node: Obj = {}
        """The Node as the API answered last."""
        self._client = client
        self._name = name
        self._ip = ip
        self._pod_cidr = pod_cidr
        self._clock = clock
        self._kind = {"control_plane": control_plane, "simulated": simulated}
        self._catalogue = catalogue or ImageCatalogue()

    async def register(self) -> None:
        """Creates the Node, or takes over the one that an earlier process made; returns when it is Ready.

        Waits for the API server for as long as it takes.
        """
        pause = 0.02
        while True:
            try:
                self.node = await self._create_or_adopt()
                await self.write_status()
                return
            except (StatusError, OSError) as error:
                log.info("node %s can't be registered yet: %s", self._name, error)
            await self._clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def write_status(self) -> None:
        """Writes the Node's status."""
        before = self.node.get("status") or {}
        status = node_status(self._name, self._ip, before, self._clock.rfc3339(), self._catalogue)
        self.node = await self._client.patch("nodes", self._name, {"status": status}, subresource="status")

    async def current(self) -> Obj:
        """The Node as it is now, or was when the API last answered."""
        try:
            self.node = await self._client.get("nodes", self._name)
        except (StatusError, OSError) as error:
            log.info("node %s can't be read: %s", self._name, error)
        return self.node

    async def run(self) -> None:
        """Renews Lease and status until cancelled."""
        next_status = self._clock.monotonic() + STATUS_SECONDS
        while True:
            try:
                await self._renew_lease()
                if self._clock.monotonic() >= next_status:
                    await self.write_status()
                    next_status = self._clock.monotonic() + STATUS_SECONDS
            except (StatusError, OSError) as error:
                log.info("node %s: heartbeat not written: %s", self._name, error)
                if isinstance(error, StatusError) and error.code == 404:
                    await self.register()  # somebody deleted the Node: a living kubelet makes it anew
            await self._clock.sleep(RENEW_SECONDS)

    async def _create_or_adopt(self) -> Obj:
        try:
            return await self._client.create("nodes", new_node(self._name, self._pod_cidr, **self._kind))
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
        labels = node_labels(self._name, **self._kind)
        return await self._client.patch("nodes", self._name, {"metadata": {"labels": labels}})

    async def _renew_lease(self) -> None:
        patch: Obj = {"spec": {"renewTime": self._clock.rfc3339_micro()}}
        try:
            await self._client.patch("leases.coordination.k8s.io", self._name, patch, LEASE_NAMESPACE)
        except StatusError as error:
            if error.code != 404:
                raise
            await self._client.create("leases.coordination.k8s.io", self._new_lease())

    def _new_lease(self) -> Obj:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self._name,
                "namespace": LEASE_NAMESPACE,
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": self._name, "uid": uid_of(self.node)}],
            },
            "spec": {
                "holderIdentity": self._name,
                "leaseDurationSeconds": LEASE_SECONDS,
                "renewTime": self._clock.rfc3339_micro(),
            },
        }
