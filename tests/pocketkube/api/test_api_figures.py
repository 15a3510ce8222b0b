"""What the API server tells about itself: health, metrics, and its types in the older form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from api_serving import Served, config_map, run

from lab_helpers.pocketkube.api.health import health_report

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
CHECKS = {"ping": lambda: True, "etcd": lambda: False}


def test_health_is_told_check_by_check() -> None:
    assert health_report("livez", {"ping": lambda: True}, verbose=False) == (True, "ok")
    assert health_report("livez", CHECKS, verbose=False) == (
        False,
        "[+]ping ok\n[-]etcd failed: reason withheld\nlivez check failed\n",
    )
    assert health_report("livez", CHECKS, verbose=True, excluded=["etcd", "x"]) == (
        True,
        "[+]ping ok\n[+]etcd excluded: ok\n"
        'warn: some health checks cannot be excluded: no matches for "x"\nlivez check passed\n',
    )


def test_requests_are_counted_by_what_they_ask_for() -> None:
    async def scenario(served: Served) -> None:
        await served.post(CONFIG_MAPS, config_map("a"))
        await served.get(f"{CONFIG_MAPS}/a")
        await served.get(f"{CONFIG_MAPS}/b")
        await served.get(CONFIG_MAPS)
        reply = await served.get("/metrics")
        assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        page = reply.body.decode()

        def counted(scope: str, verb: str, code: int) -> bool:
            labels = 'component="apiserver",dry_run="",group="",resource="configmaps"'
            rest = f'scope="{scope}",subresource="",verb="{verb}",version="v1",code="{code}"'
            return f"apiserver_request_total{{{labels},{rest}}} 1\n" in page

        assert counted("namespace", "POST", 201) and counted("namespace", "LIST", 200)
        assert counted("resource", "GET", 200) and counted("resource", "GET", 404)
        assert 'apiserver_storage_objects{resource="configmaps"} 1\n' in page
        assert 'apiserver_request_duration_seconds_count{component="apiserver"' in page
        assert 'apiserver_current_inflight_requests{request_kind="readOnly"} 1\n' in page

    run(scenario)


def references(value: Any) -> set[str]:
    """Every name a document refers to."""
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(item) for item in value.values()))
    return set().union(*(references(item) for item in value)) if isinstance(value, list) else set()


def test_the_types_come_as_swagger_too() -> None:
    async def scenario(served: Served) -> None:
        document = json.loads((await served.get("/openapi/v2")).body)
        assert document["swagger"] == "2.0"
        names = {f"#/definitions/{name}" for name in document["definitions"]}
        assert references(document) <= names
        ports = document["definitions"]["io.k8s.api.core.v1.ServiceSpec"]["properties"]["ports"]
        assert ports["x-kubernetes-patch-merge-key"] == "port"
        assert ports["items"] == {"$ref": "#/definitions/io.k8s.api.core.v1.ServicePort"}
        patch = document["paths"]["/api/v1/namespaces/{namespace}/services/{name}"]["patch"]
        assert "application/strategic-merge-patch+json" in patch["consumes"]
        assert '"allOf": [' not in json.dumps(document)
        protobuf = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
        reply = await served.get("/openapi/v2", Accept=protobuf)
        assert (reply.status, reply.body[:5]) == (200, b"\x0a\x032.0")

    run(scenario)


@pytest.mark.parametrize("path", ["/metrics", "/openapi/v2", "/.well-known/openid-configuration"])
def test_the_root_lists_them(path: str) -> None:
    async def scenario(served: Served) -> None:
        assert path in (await served.get("/")).json["paths"]

    run(scenario)
