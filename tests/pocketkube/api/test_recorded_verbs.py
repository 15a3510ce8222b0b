"""Requests that were sent to a real API server of Kubernetes 1.36, one after the other, and answered here as there.

`data/api_verbs.json` holds them in order: what a request finds was left there by those before it. One without an
answer is only sent; uids, times and revisions are masked.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from api_serving import serving

RECORDED = json.loads((Path(__file__).parent.parent / "data" / "api_verbs.json").read_text())
ANSWERED = [index for index, step in enumerate(RECORDED) if step["answer"]]

MASKED = {"uid", "resourceVersion", "creationTimestamp", "time", "deletionTimestamp", "continue", "lastTransitionTime"}
UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")
REVISION = re.compile(r"(record \(|current: )\d+")


def masked(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: masked(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    if not isinstance(value, str) or key in MASKED:
        return "*" if isinstance(value, str) else value
    value = UID.sub("UID", value)
    return REVISION.sub(r"\1N", TIME.sub("TIME", value)) if key == "message" else value


async def replay() -> list[dict[str, Any]]:
    answers = []
    last = {"resourceVersion": "0", "uid": "x"}
    async with serving() as served:
        for path, name in (("/api/v1/namespaces", "av"), ("/api/v1/namespaces/av/serviceaccounts", "default")):
            await served.post(path, {"metadata": {"name": name}})
        for step in RECORDED:
            request = step["request"]
            headers = {"User_Agent": "kubectl/1", **request.get("headers", {})}
            body = request.get("body")
            if body is not None:
                text = body if isinstance(body, str) else json.dumps(body)
                text = text.replace("$RV", last["resourceVersion"]).replace("$UID", last["uid"])
                body = text.encode("latin-1" if request.get("latin1") else "utf-8")
                headers["Content_Type"] = request.get("type", "application/json")
            reply = await served.request(request["method"], request["path"], body, **headers)
            answer = json.loads(reply.body) if reply.body.startswith(b"{") else reply.body.decode()
            if isinstance(answer, dict):
                last |= {key: value for key in last if (value := (answer.get("metadata") or {}).get(key))}
            answers.append({"code": reply.status, "warnings": reply.headers.getall("Warning", []), "body": answer})
    return answers


@pytest.fixture(scope="module")
def answers() -> list[dict[str, Any]]:
    return asyncio.run(replay())


def test_there_is_much_to_compare() -> None:
    assert len(ANSWERED) > 300


@pytest.mark.parametrize("index", ANSWERED)
def test_a_request_is_answered_as_upstream_answered_it(answers: list[dict[str, Any]], index: int) -> None:
    request, expected = RECORDED[index]["request"], RECORDED[index]["answer"]
    answer = answers[index]
    assert (request, answer["code"]) == (request, expected["code"])
    assert answer["warnings"] == expected.get("warnings", [])
    assert masked(answer["body"]) == masked(expected["body"])
