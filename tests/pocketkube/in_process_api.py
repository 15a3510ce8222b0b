"""An API without HTTP around it: operations over a store of their own, with a clock that tests move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lab_helpers.pocketkube.api.fields import decode_body
from lab_helpers.pocketkube.api.operations import Operations
from lab_helpers.pocketkube.api.request import DeleteOptions, ListOptions, RequestContext
from lab_helpers.pocketkube.client import MERGE_PATCH
from lab_helpers.pocketkube.config import ClusterConfig
from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.resources.table import RESOURCES
from lab_helpers.pocketkube.store import Store


class ManualClock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass
class Api:
    """The verbs, in few words."""

    operations: Operations
    clock: ManualClock
    warnings: list[str]

    def context(self, **fields: Any) -> RequestContext:
        return RequestContext(user_agent="test/1.0", warnings=self.warnings, **fields)

    def create(self, resource: str, obj: Obj, namespace: str = "default", **context: Any) -> Obj:
        kind = RESOURCES[resource]
        decoded = decode_body(obj, (), kind, "Strict", [])
        return self.operations.create(self.context(**context), kind, namespace, decoded).object

    def get(self, resource: str, name: str, namespace: str = "default") -> Obj:
        return self.operations.get(RESOURCES[resource], namespace, name)

    def list(self, resource: str, namespace: str | None = None, **options: Any) -> Obj:
        return self.operations.list(RESOURCES[resource], namespace, ListOptions(**options))

    def update(self, resource: str, obj: Obj, subresource: str = "", **context: Any) -> Obj:
        kind = RESOURCES[resource]
        decoded = decode_body(obj, (), kind, "Strict", [], subresource)
        meta = obj["metadata"]
        written = self.operations.update(
            self.context(**context), kind, meta.get("namespace"), meta["name"], decoded, subresource=subresource
        )
        return written.object

    def patch(
        self, resource: str, name: str, patch: Any, kind: str = MERGE_PATCH, subresource: str = "", **context: Any
    ) -> Obj:
        written = self.operations.patch(
            self.context(**context), RESOURCES[resource], "default", name, kind, patch, subresource=subresource
        )
        return written.object

    def bind(self, name: str, node: str) -> Obj:
        binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": node}}
        written = self.operations.create_subresource(
            self.context(), RESOURCES["pods"], "default", name, "binding", binding
        )
        return written.object

    def delete(self, resource: str, name: str, namespace: str = "default", **options: Any) -> Obj:
        return self.operations.delete(
            self.context(), RESOURCES[resource], namespace, name, DeleteOptions(**options)
        ).object


def make_api(path: Path, seed: int = 1, **store_options: Any) -> Api:
    clock = ManualClock()
    config = ClusterConfig("test", path)
    store = Store(config.database, **store_options)
    return Api(Operations(store, config, clock=clock, random=Random(seed)), clock, [])


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    api = make_api(tmp_path)
    api.create("namespaces", {"metadata": {"name": "default"}})
    yield api
    api.operations.store.close()


def service(name: str, **spec: Any) -> Obj:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}, **spec}}


def pod(name: str, **spec: Any) -> Obj:
    return {
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "httpd"}], **spec},
    }


def deployment(name: str, **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "httpd"}]}}
    return {
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }
