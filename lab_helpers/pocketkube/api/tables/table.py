"""Turns objects and lists into the tables that `kubectl get` prints.

A kind is a line of columns (columns.json) and a function that fills the cells of one row; a kind without them gets
upstream's default table of name and creation time. Which representation a client wants is left to `negotiate`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

from ...objects import Obj
from . import cluster, extensions, networking, pods, workloads


class Layout(NamedTuple):
    """The table of a kind that is not known here."""

    columns: list[Obj]
    cells: Callable[[Obj, datetime], list[Any]]


IncludeObject = Literal["None", "Metadata", "Object"]
CellFunction = Callable[[Obj, datetime], list[Any]]

_CELLS: dict[str, CellFunction] = {
    "APIService": extensions.api_service_cells,
    "CSIDriver": extensions.csi_driver_cells,
    "CSINode": extensions.csi_node_cells,
    "CertificateSigningRequest": extensions.signing_request_cells,
    "ClusterRoleBinding": cluster.role_binding_cells,
    "ComponentStatus": cluster.component_status_cells,
    "ConfigMap": cluster.config_map_cells,
    "ControllerRevision": workloads.controller_revision_cells,
    "CronJob": workloads.cron_job_cells,
    "DaemonSet": workloads.daemon_set_cells,
    "Deployment": workloads.deployment_cells,
    "DeviceClass": extensions.named_cells,
    "EndpointSlice": networking.endpoint_slice_cells,
    "Endpoints": networking.endpoints_cells,
    "Event": cluster.event_cells,
    "FlowSchema": extensions.flow_schema_cells,
    "HorizontalPodAutoscaler": workloads.autoscaler_cells,
    "IPAddress": networking.ip_address_cells,
    "Ingress": networking.ingress_cells,
    "IngressClass": networking.ingress_class_cells,
    "Job": workloads.job_cells,
    "Lease": cluster.lease_cells,
    "MutatingAdmissionPolicy": extensions.admission_policy_cells,
    "MutatingAdmissionPolicyBinding": extensions.policy_binding_cells,
    "MutatingWebhookConfiguration": extensions.webhook_cells,
    "Namespace": cluster.namespace_cells,
    "NetworkPolicy": networking.network_policy_cells,
    "Node": cluster.node_cells,
    "PersistentVolume": cluster.persistent_volume_cells,
    "PersistentVolumeClaim": cluster.persistent_volume_claim_cells,
    "Pod": pods.pod_cells,
    "PodDisruptionBudget": workloads.disruption_budget_cells,
    "PodTemplate": workloads.pod_template_cells,
    "PriorityClass": cluster.priority_class_cells,
    "PriorityLevelConfiguration": extensions.priority_level_cells,
    "ReplicaSet": workloads.replica_set_cells,
    "ReplicationController": workloads.replication_controller_cells,
    "ResourceClaim": extensions.resource_claim_cells,
    "ResourceClaimTemplate": extensions.named_cells,
    "ResourceQuota": cluster.resource_quota_cells,
    "ResourceSlice": extensions.resource_slice_cells,
    "RoleBinding": cluster.role_binding_cells,
    "RuntimeClass": extensions.runtime_class_cells,
    "Scale": workloads.scale_cells,
    "Secret": cluster.secret_cells,
    "Service": networking.service_cells,
    "ServiceAccount": cluster.service_account_cells,
    "ServiceCIDR": networking.service_cidr_cells,
    "StatefulSet": workloads.stateful_set_cells,
    "StorageClass": cluster.storage_class_cells,
    "ValidatingAdmissionPolicy": extensions.admission_policy_cells,
    "ValidatingAdmissionPolicyBinding": extensions.policy_binding_cells,
    "ValidatingWebhookConfiguration": extensions.webhook_cells,
    "VolumeAttachment": extensions.volume_attachment_cells,
    "VolumeAttributesClass": extensions.volume_attributes_class_cells,
}

_CONDITIONS: dict[str, Callable[[Obj], list[Obj]]] = {"Pod": pods.pod_conditions}

_DEFAULT_COLUMNS = [
    {"name": "Name", "type": "string", "format": "name"},
    {"name": "Created At", "type": "date"},
]


def table_of(
    kind: str,
    items: Sequence[Obj],
    list_metadata: Obj,
    now: datetime,
    *,
    version: str = "v1",
    include: IncludeObject = "Metadata",
    headers: bool = True,
    layout: Layout | None = None,
) -> Obj:
    """The Table of some objects of one kind. `headers` is off for all but the first event of a watch."""
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": list_metadata,
        "columnDefinitions": (layout.columns if layout else columns_of(kind)) if headers else None,
        "rows": [_row(kind, item, now, version, include, layout) for item in items],
    }


def list_metadata_of(obj: Obj) -> Obj:
    """The metadata of the table of one object: its resourceVersion."""
    version = obj["metadata"].get("resourceVersion")
    return {"resourceVersion": version} if version else {}


def partial_metadata(obj: Obj, version: str = "v1") -> Obj:
    """An object reduced to its metadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}


@cache
def columns_of(kind: str) -> list[Obj]:
    """The column definitions of a kind."""
    known = _columns().get(kind) if kind in _CELLS else None
    return [
        {
            "name": column["name"],
            "type": column["type"],
            "format": column.get("format", ""),
            "description": "",
            "priority": column.get("priority", 0),
        }
        for column in known or _DEFAULT_COLUMNS
    ]


@cache
def _columns() -> dict[str, list[Obj]]:
    text = files(__package__).joinpath("columns.json").read_text(encoding="utf-8")
    columns: dict[str, list[Obj]] = json.loads(text)
    return columns


def _row(kind: str, obj: Obj, now: datetime, version: str, include: IncludeObject, layout: Layout | None) -> Obj:
    cells = (layout.cells if layout else _CELLS.get(kind, _default_cells))(obj, now)
    row: Obj = {"cells": cells}
    if not layout and kind in _CONDITIONS and (conditions := _CONDITIONS[kind](obj)):
        row["conditions"] = conditions
    if include == "Object":
        row["object"] = obj
    elif include == "Metadata":
        row["object"] = partial_metadata(obj, version)
    else:
        row["object"] = None
    return row


def _default_cells(obj: Obj, now: datetime) -> list[Any]:
    return [obj["metadata"]["name"], obj["metadata"].get("creationTimestamp")]
