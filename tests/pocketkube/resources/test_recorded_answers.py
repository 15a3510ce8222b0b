"""Writes that a real Kubernetes 1.36 refused, warned of or filled in: what it answered is what we answer.

The requests were made by changing one thing at a time in good objects; all of them are dry runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from in_process_api import Api, make_api

from lab_helpers.pocketkube.api.decoding import decode_object, decode_patch
from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.resources.table import RESOURCES

RECORDED: Any = json.loads((Path(__file__).parents[1] / "data" / "validation_samples.json").read_text())
PATH = re.compile(r"/apis?/(?:(?P<group>[^/]+)/)?v1/(?:namespaces/(?P<namespace>[^/]+)/)?(?P<rest>.+)")
NORMAL = (
    (r"[0-9a-f]{8}-[0-9a-f-]{27}", "UID"),
    (r"10\.96\.\d+\.\d+", "10.96.x.x"),
    (r"kube-api-access-\w+", "kube-api-access-N"),
)
VOLATILE = ("uid", "creationTimestamp", "resourceVersion", "managedFields", "generation")
OURS = "this cluster stores"
"""How the warnings begin that a real cluster has no reason for."""


@pytest.fixture(scope="module")
def recorded_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    api = make_api(tmp_path_factory.mktemp("recorded"))
    api.create("namespaces", {"metadata": {"name": RECORDED["namespace"]}})
    for base in RECORDED["objects"]:
        code, answer, _ = send(api, {"method": "POST", "body": base["object"], **base}, dry_run=False)
        assert code == 201, answer
    yield api
    api.operations.store.close()


def send(api: Api, request: Any, *, dry_run: bool = True) -> tuple[int, Obj, list[str]]:
    found = PATH.fullmatch(request["path"])
    assert found is not None
    plural, _, rest = found["rest"].partition("/")
    name, _, subresource = rest.partition("/")
    resource = RESOURCES[f"{plural}.{found['group']}" if found["group"] else plural]
    context = api.context(dry_run=dry_run, field_validation="Warn")
    context.warnings = list(api.operations.deprecations(resource))
    form, raw = request.get("ct", "application/json"), json.dumps(request["body"]).encode()
    where = found["namespace"]
    try:
        if request["method"] == "PATCH":
            patch = decode_patch(raw, form)
            written = api.operations.patch(context, resource, where, name, form, patch, subresource=subresource)
        elif request["method"] == "PUT":
            body = decode_object(context, raw, form, resource, subresource)
            written = api.operations.update(context, resource, where, name, body, subresource=subresource)
        else:
            written = api.operations.create(context, resource, where, decode_object(context, raw, form, resource))
    except StatusError as error:
        return error.code, error.status, context.warnings
    return written.code, written.object, context.warnings


def comparable(answer: Obj) -> Any:
    """An answer without what differs from run to run; of a refusal all, of an object what the request is about."""
    shown = json.loads(json.dumps(answer))
    if shown.get("kind") != "Status":
        shown = {key: value for key, value in shown.items() if key != "status"}
        for field in VOLATILE:
            shown["metadata"].pop(field, None)
    ports = (shown.get("spec") or {}).get("ports") or []
    for port in ports:
        if port.get("nodePort", 0) >= 30000:
            port["nodePort"] = "N"
    text = json.dumps(shown, sort_keys=True)
    for pattern, replacement in NORMAL:
        text = re.sub(pattern, replacement, text)
    return json.loads(text)


@pytest.mark.parametrize("sample", [pytest.param(one, id=one["label"]) for one in RECORDED["samples"]])
def test_the_answer_is_that_of_a_real_cluster(recorded_api: Api, sample: Any) -> None:
    code, answer, warnings = send(recorded_api, sample["request"])
    assert comparable(answer) == comparable(sample["answer"])
    assert code == sample["status"]
    assert [text for text in warnings if not text.startswith(OURS)] == sample["warnings"]
