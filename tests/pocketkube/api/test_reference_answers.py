"""Every recorded request, in order, answered as a real Kubernetes 1.36 answered it: code, reason, causes and object.

What is HTTP's own (paths, bodies that are no objects, tables) is in the tests of the server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from in_process_api import Api, make_api

from lab_helpers.pocketkube.api.fields import decode_body
from lab_helpers.pocketkube.api.request import DeleteOptions
from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.client import APPLY_PATCH
from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.resources.table import RESOURCES

SAMPLES: list[Any] = json.loads((Path(__file__).parents[1] / "data" / "api_samples.json").read_text())["samples"]
PATH = re.compile(r"/apis?/(?:(?P<group>[^/]+\.[^/]+|apps)/)?v1/namespaces/(?P<namespace>[^/]+)/(?P<rest>.+)")
HTTP_ONLY = (
    "duplicate key", "not json", "wrong apiVersion", "bad limit", "watch", "log of", "table of", "partial",
    "acceptable",
)  # fmt: skip
NORMAL = (
    (r"[0-9a-f]{8}-[0-9a-f-]{27}", "UID"),
    (r"10\.96\.\d+\.\d+", "10.96.x.x"),
    (r"\d{4}-\d\d-\d\dT[\d:]+Z", "TIME"),
    (r'"resourceVersion": "\d+"', '"resourceVersion": "N"'),
    (r"kube-api-access-\w+", "kube-api-access-N"),
    (r'"nodePort": \d+', '"nodePort": N'),
    (r"gen-\w{5}", "gen-N"),
)


def normal(answer: Any) -> str:
    """Without what differs from run to run, and without what only the recorded cluster mounts into Pods."""
    text = json.dumps(answer, sort_keys=True)
    for pattern, replacement in NORMAL:
        text = re.sub(pattern, replacement, text)
    text = re.sub(r"\\n@@.*?\\n\"", '"', text)  # a diff of types that are internal to the recorded server
    return re.sub(r', \{"configMap": \{"items": \[[^]]*\], "name": "openshift-service-ca.crt"\}\}', "", text)


def send(api: Api, request: Any) -> tuple[int, Obj]:
    path, _, query = request["path"].partition("?")
    parameters = dict(parse_qsl(query))
    found = PATH.fullmatch(path)
    assert found is not None
    plural, _, rest = found["rest"].partition("/")
    name, _, subresource = rest.partition("/")
    resource = RESOURCES[f"{plural}.{found['group']}" if found["group"] else plural]
    context = api.context(
        dry_run="dryRun" in parameters,
        field_manager=parameters.get("fieldManager", ""),
        field_validation=parameters.get("fieldValidation", "Warn"),
    )
    context.user_agent = "Python-urllib/3.11"
    where, body, verbs = found["namespace"], request.get("body"), api.operations
    match request["method"]:
        case "GET" if name:
            return 200, verbs.get(resource, where, name, subresource=subresource)
        case "GET":
            return 200, api.list(plural, where, limit=1, continue_token=parameters["continue"])
        case "DELETE":
            return 200, verbs.delete(context, resource, where, name, DeleteOptions()).object
        case "PATCH":
            kind = request["ct"]
            patch = json.loads(body) if kind == APPLY_PATCH else body
            written = verbs.patch(context, resource, where, name, kind, patch, subresource=subresource)
        case _:
            decoded = decode_body(body, (), resource, context.field_validation, context.warnings, subresource)
            if subresource:
                written = verbs.create_subresource(context, resource, where, name, subresource, decoded)
            else:
                written = verbs.create(context, resource, where, decoded)
    return written.code, written.object


def answers(api: Api) -> Iterator[tuple[Any, int, Obj]]:
    for sample in SAMPLES:
        if any(word in sample["label"] for word in HTTP_ONLY) or not PATH.fullmatch(sample["request"]["path"]):
            continue
        api.warnings.clear()
        try:
            code, answer = send(api, sample["request"])
        except StatusError as error:
            code, answer = error.code, error.status
        yield sample, code, answer


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, int, Obj]]:
    api = make_api(tmp_path_factory.mktemp("api"))
    for namespace in ("default", "samples"):
        api.create("namespaces", {"metadata": {"name": namespace}})
    return list(answers(api))


def test_recorded_answers_are_ours(replayed: list[tuple[Any, int, Obj]]) -> None:
    assert len(replayed) > 60
    for sample, code, answer in replayed:
        assert (sample["label"], code) == (sample["label"], sample["status"])
        assert (sample["label"], normal(answer)) == (sample["label"], normal(sample["answer"]))
