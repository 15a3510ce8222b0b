"""The downward API: facts about a Pod that its containers may read as variables or files.

Models pkg/fieldpath and pkg/api/v1/resource (v1.36).
"""

from __future__ import annotations

import json
import math
import os
import re
from typing import Protocol

from .. import quantity
from ..objects import Obj, name_of, namespace_of, uid_of

_KEYED = re.compile(r"metadata\.(labels|annotations)\['(?P<key>[^']+)'\]")


class PodAddresses(Protocol):
    """The addresses that a Pod may be told beside what its object says."""

    @property
    def node_ip(self) -> str:
        """The node's address."""
        ...

    @property
    def pod_ip(self) -> str:
        """The Pod's address."""
        ...


def pod_field(pod: Obj, path: str, addresses: PodAddresses) -> str:
    """The value at a `fieldPath`; empty for one that does not exist."""
    if match := _KEYED.fullmatch(path):
        return str((pod["metadata"].get(match[1]) or {}).get(match["key"], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        return _format_map(pod["metadata"].get(path.partition(".")[2]) or {})
    values = {
        "metadata.name": name_of(pod),
        "metadata.namespace": namespace_of(pod),
        "metadata.uid": uid_of(pod),
        "spec.nodeName": pod["spec"].get("nodeName", ""),
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", ""),
        "status.hostIP": addresses.node_ip,
        "status.hostIPs": addresses.node_ip,
        "status.podIP": addresses.pod_ip,
        "status.podIPs": addresses.pod_ip,
    }
    return str(values.get(path, ""))


def container_resource(pod: Obj, ref: Obj, container: Obj | None = None) -> str:
    """The value of a `resourceFieldRef`; without a limit of its own a container may use the whole node."""
    name = ref.get("containerName")
    containers = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])]
    chosen = next((c for c in containers if c["name"] == name), container or containers[0])
    kind, _, resource = ref["resource"].partition(".")
    resources = chosen.get("resources") or {}
    amount = (resources.get(kind) or {}).get(resource)
    if amount is None and kind == "limits":
        amount = _node_amount(resource)
    divisor = quantity.value(ref.get("divisor") or "1") or 1
    return str(math.ceil(quantity.value(amount or "0") / divisor))


def _node_amount(resource: str) -> str:
    if resource == "cpu":
        return str(os.cpu_count() or 1)
    if resource == "memory":
        return str(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return "0"


def _format_map(values: dict[str, str]) -> str:
    return "\n".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in sorted(values.items()))
