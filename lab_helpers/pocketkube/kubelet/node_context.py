"""What the Pod workers of one node share: the way to the API and to the runtime, and the node's own parts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..api.status import StatusError
from ..client import Client
from ..clock import Clock
from ..config import ClusterConfig
from ..informer import Informer
from ..objects import Obj, name_of, namespace_of, uid_of
from .configs import WatchedConfigs
from .host_disk import HostDisk
from .hosts_files import plain_hosts
from .image_manager import ImageManager
from .recorder import Recorder
from .runtime import Runtime
from .volumes import VolumeError


@dataclass(frozen=True)
class NodeContext:
    """One node, as a Pod worker sees it."""

    client: Client
    runtime: Runtime
    config: ClusterConfig
    name: str
    ip: str
    clock: Clock
    recorder: Recorder
    images: ImageManager
    configs: WatchedConfigs
    services: Informer
    root: Path
    """Folder for volumes, in a file system of the node process that containers can be shown parts of."""

    @cached_property
    def disk(self) -> HostDisk:
        """The node's own disk."""
        return HostDisk(self.root / "disk", plain_hosts(self.name))

    def pod_dir(self, pod: Obj) -> Path:
        """Where the volumes of a Pod are made."""
        return self.root / "pods" / uid_of(pod)

    def log_dir(self, pod: Obj) -> Path:
        """Where the logs of a Pod's containers are. Models /var/log/pods."""
        return self.config.log_dir / "pods" / f"{namespace_of(pod)}_{name_of(pod)}_{uid_of(pod)}"

    async def token(self, pod: Obj, audience: str, expiration_seconds: int) -> str:
        """A token for the Pod's ServiceAccount, bound to the Pod; implements `volumes.Tokens`."""
        account = pod["spec"].get("serviceAccountName") or "default"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": expiration_seconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name_of(pod), "uid": uid_of(pod)},
            },
        }
        try:
            answer = await self.client.create_subresource(
                "serviceaccounts", account, "token", request, namespace_of(pod)
            )
        except StatusError as error:
            raise VolumeError(f"failed to fetch token: {error.message}") from error
        return str(answer["status"]["token"])
