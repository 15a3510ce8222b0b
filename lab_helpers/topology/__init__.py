"""The path of a Service's traffic as a picture: client, virtual IP, kube-proxy rules, EndpointSlices, Pods.

`model` says what there is, `gather` reads it from a cluster, `graph` and `text` show it; `draw` does all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..clusters.base import Cluster

if TYPE_CHECKING:
    from .picture import Picture


def draw(cluster: Cluster, service: str, namespace: str = "default") -> Picture:
    """The picture of a Service as it is now."""
    from .gather import gather
    from .picture import Picture

    return Picture(gather(cluster, service, namespace))
