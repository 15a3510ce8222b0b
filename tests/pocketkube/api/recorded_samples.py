"""What a real Kubernetes answered: requests with their answers, and stored objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lab_helpers.pocketkube.resources.table import RESOURCES, Resource

DATA = Path(__file__).parents[1] / "data"

SAMPLES: list[Any] = json.loads((DATA / "field_samples.json").read_text())["samples"]
STORED: list[Any] = json.loads((DATA / "stored_objects.json").read_text())["items"]

_OTHERS = {"configmaps": "ConfigMap", "secrets": "Secret", "resourcequotas": "ResourceQuota"}


def sample(label: str) -> Any:
    (found,) = (item for item in SAMPLES if item["label"] == label)
    return found


def resource_of(request: Any) -> Resource:
    """The resource that a request's path names."""
    parts = request["path"].partition("?")[0].strip("/").split("/")
    group = "" if parts[0] == "api" else parts[1]
    plural = parts[parts.index("namespaces") + 2]
    name = f"{plural}.{group}" if group else plural
    return RESOURCES.get(name) or Resource(plural, _OTHERS[plural], group)


def body_of(request: Any) -> bytes:
    body = request["body"]
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()
