"""Groups of the API that this cluster leaves out on purpose, and what is said to who writes to one of them.

Reading there is answered as on any cluster that lacks a group, for clients look around before they choose.
A writer is told why, also in a warning: some commands of kubectl hide the answer behind an error of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .status import StatusError

_LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {
        "gateway.networking.k8s.io": "has no gateways",
        "metrics.k8s.io": "measures no Pods and no nodes",
        "snapshot.storage.k8s.io": "has no persistent storage",
    }
)


def refuse_left_out(method: str, group: str) -> None:
    """Raises for a request that would change something of a group that is left out; other requests pass."""
    if method in ("GET", "HEAD") or group not in _LEFT_OUT:
        return
    why = f"{group} is not served: this cluster {_LEFT_OUT[group]}"
    error = StatusError(404, "NotFound", why, {"group": group})
    error.warnings = (why,)
    raise error
