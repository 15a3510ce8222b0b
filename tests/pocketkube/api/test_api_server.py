"""The API over HTTPS, as clients see it."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import time
from typing import Any

import aiohttp
import pytest
from api_serving import Served, config_map, run

from lab_helpers.pocketkube.api.intake import BODY_LIMIT

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


async def lines(response: aiohttp.ClientResponse, count: int) -> list[Any]:
    """The next events of a watch."""
    return [json.loads(await response.content.readline()) for _ in range(count)]


def test_an_object_lives_and_dies() -> None:
    async def scenario(served: Served) -> None:
        created = await served.post(CONFIG_MAPS, config_map("a", x="1"))
        assert (created.status, created.json["data"]) == (201, {"x": "1"})
        path = f"{CONFIG_MAPS}/a"
        patched = await served.request("PATCH", path, {"data": {"y": "2"}}, Content_Type="application/merge-patch+json")
        assert patched.json["data"] == {"x": "1", "y": "2"}
        stale = await served.request("PUT", path, created.json)
        assert (stale.status, stale.json["reason"]) == (409, "Conflict")
        assert (await served.get(CONFIG_MAPS)).json["items"][0]["metadata"]["name"] == "a"
        deleted = await served.request("DELETE", path)
        assert deleted.json["status"] == "Success"
        gone = await served.get(path)
        assert (gone.status, gone.json["reason"]) == (404, "NotFound")

    run(scenario)


def test_who_shows_no_certificate_sees_health_and_version_alone() -> None:
    async def scenario(served: Served) -> None:
        context = ssl.create_default_context(cafile=str(served.pki.ca_certificate))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as nobody:
            for path in ("/healthz", "/livez", "/readyz", "/version"):
                assert (await served.request("GET", path, session=nobody)).status == 200
            for path in ("/api", "/api/v1/pods", "/nothing", "/openapi/v3"):
                refused = await served.request("GET", path, session=nobody)
                assert refused.status == 403
                assert 'User "system:anonymous" cannot ' in refused.message
            wrong = await served.request("GET", "/healthz", session=nobody, Authorization="Bearer x.y.z")
            assert wrong.status == 401

    run(scenario)


def test_the_unix_socket_is_trusted() -> None:
    async def scenario(served: Served) -> None:
        connector = aiohttp.UnixConnector(str(served.config.api_socket))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get("http://x/api/v1/namespaces") as answer,
        ):
            assert answer.status == 200

    run(scenario)


def test_a_pod_s_token_is_known_until_its_account_is_gone() -> None:
    async def scenario(served: Served) -> None:
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        await served.post(accounts, {"metadata": {"name": "bob"}})
        reply = await served.post(f"{accounts}/bob/token", {"spec": {"expirationSeconds": 600}})
        assert reply.status == 201
        bearer = f"Bearer {reply.json['status']['token']}"
        context = ssl.create_default_context(cafile=str(served.pki.ca_certificate))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as pod:
            assert (await served.request("GET", "/api", session=pod, Authorization=bearer)).status == 200
            refused = await served.request("GET", "/api/v1/pods", session=pod, Authorization=bearer)
            assert refused.status == 403
            assert refused.message == (
                'pods is forbidden: User "system:serviceaccount:default:bob" cannot list resource "pods" '
                'in API group "" at the cluster scope'
            )
            await served.request("DELETE", f"{accounts}/bob")
            assert (await served.request("GET", "/api", session=pod, Authorization=bearer)).status == 401

    run(scenario)


def test_an_administrator_may_act_as_another() -> None:
    async def scenario(served: Served) -> None:
        refused = await served.get("/api/v1/nodes", Impersonate_User="jane")
        assert refused.status == 403
        assert 'User "jane" cannot list resource "nodes"' in refused.message
        review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        question = {"spec": {"resourceAttributes": {"verb": "list", "resource": "pods"}}}
        assert (await served.post(review, question)).json["status"]["allowed"] is True
        as_jane = await served.post(review, question, Impersonate_User="system:serviceaccount:a:b")
        assert as_jane.json["status"]["allowed"] is False
        itself = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        whole = {"Impersonate-User": "jane", "Impersonate-Uid": "7", "Impersonate-Extra-Acme.com%2Fteam": "red"}
        reply = await served.post(itself, {}, **whole)
        assert reply.json["status"]["userInfo"] == {
            "username": "jane", "uid": "7", "groups": ["system:authenticated"], "extra": {"acme.com/team": ["red"]},
        }  # fmt: skip
        nobody = await served.get("/api/v1/nodes", Impersonate_Group="staff")
        assert nobody.status == 400
        assert "without impersonating a user name" in nobody.message

    run(scenario)


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/api/v1/nothing", 404, "the server could not find the requested resource"),
        ("/apis/apps/v1/nothing", 404, "the server could not find the requested resource"),
        ("/apis/apps/v9/deployments", 404, "404 page not found\n"),
        ("/nothing", 404, "404 page not found\n"),
        (f"{CONFIG_MAPS}?limit=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        (f"{CONFIG_MAPS}?labelSelector=,,", 400, "expected: !, identifier"),
        ("/api/v1/namespaces/default/services/x/proxy/", 404, 'services "x" not found'),
    ],
)
def test_what_can_not_be_answered(path: str, status: int, text: str) -> None:
    async def scenario(served: Served) -> None:
        reply = await served.get(path)
        assert reply.status == status
        said = reply.message if reply.body.startswith(b"{") else reply.body.decode()
        assert text in said

    run(scenario)


def test_a_verb_that_a_resource_lacks() -> None:
    async def scenario(served: Served) -> None:
        for method, path in (
            ("POST", f"{CONFIG_MAPS}/a"),
            ("PUT", CONFIG_MAPS),
            ("POST", "/api/v1/configmaps"),
            ("DELETE", "/api/v1/namespaces"),
        ):
            reply = await served.request(method, path, config_map("a"))
            assert (reply.status, reply.json["reason"]) == (405, "MethodNotAllowed")

    run(scenario)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "text"),
    [
        (b'{"apiVersion":', "application/json", 400, "unexpected end of JSON input"),
        (b"[]", "application/json", 400, "cannot unmarshal array"),
        (b"\xff\xfe{}", "application/json", 400, "invalid character"),
        (b'{"data":' * 5000 + b"1" + b"}" * 5000, "application/json", 400, "exceeded max depth"),
        (b"k8s\x00\xff\xff", "application/vnd.kubernetes.protobuf", 400, ""),
        (b"a: [", "application/yaml", 400, "yaml"),
        (b"{}", "text/plain", 415, "accepted media types include: application/json"),
        (b'{"kind":"Pod","apiVersion":"v1"}', "application/json", 400, "cannot be handled as a ConfigMap"),
    ],
)
def test_bodies_that_can_not_be_read(body: bytes, content_type: str, status: int, text: str) -> None:
    async def scenario(served: Served) -> None:
        reply = await served.post(CONFIG_MAPS, body, Content_Type=content_type)
        assert (reply.status, reply.json["kind"]) == (status, "Status")
        assert text in reply.message

    run(scenario)


def test_a_body_over_the_limit() -> None:
    async def scenario(served: Served) -> None:
        reply = await served.post(CONFIG_MAPS, config_map("big", x="x" * BODY_LIMIT))
        assert (reply.status, reply.json["reason"]) == (413, "RequestEntityTooLarge")
        assert reply.message == "Request entity too large: limit is 3145728"
        assert (await served.get("/healthz")).status == 200

    run(scenario)


def test_yaml_both_ways() -> None:
    async def scenario(served: Served) -> None:
        body = b"metadata:\n  name: yy\ndata:\n  when: '2026-11-22'\n  sure: 'y'\n  size: '1e3'\n"
        reply = await served.post(CONFIG_MAPS, body, Content_Type="application/yaml", Accept="application/yaml")
        assert reply.status == 201
        for line in (b"when: '2026-11-22'", b"sure: 'y'", b"size: '1e3'"):
            assert line in reply.body
        assert b"name: yy" in (await served.get(CONFIG_MAPS, Accept="application/yaml")).body

    run(scenario)


def test_fields_that_nobody_knows() -> None:
    async def scenario(served: Served) -> None:
        body = {**config_map("u"), "extra": 1}
        strict = await served.post(f"{CONFIG_MAPS}?fieldValidation=Strict", body)
        assert strict.status == 400 and 'unknown field "extra"' in strict.message
        warned = await served.post(CONFIG_MAPS, body)
        assert warned.headers.getall("Warning") == ['299 - "unknown field \\"extra\\""']
        twice = b'{"metadata":{"name":"d"},"data":{"a":"1","a":"2"}}'
        strict = await served.post(f"{CONFIG_MAPS}?fieldValidation=Strict", twice)
        assert 'duplicate field "data.a"' in strict.message

    run(scenario)


def test_a_dry_run_leaves_nothing_behind() -> None:
    async def scenario(served: Served) -> None:
        assert (await served.post(f"{CONFIG_MAPS}?dryRun=All", config_map("dry"))).status == 201
        assert (await served.get(f"{CONFIG_MAPS}/dry")).status == 404
        await served.post(CONFIG_MAPS, config_map("kept"))
        await served.request("DELETE", f"{CONFIG_MAPS}/kept", {"kind": "DeleteOptions", "dryRun": ["All"]})
        assert (await served.get(f"{CONFIG_MAPS}/kept")).status == 200

    run(scenario)


def test_tables_and_bare_metadata() -> None:
    async def scenario(served: Served) -> None:
        await served.post(CONFIG_MAPS, config_map("a", x="1"))
        table = (await served.get(CONFIG_MAPS, Accept=TABLE)).json
        assert table["kind"] == "Table"
        assert table["rows"][0]["cells"][:2] == ["a", 1]
        one = (await served.get(f"{CONFIG_MAPS}/a?includeObject=Object", Accept=TABLE)).json
        assert one["rows"][0]["object"]["data"] == {"x": "1"}
        bare = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
        (item,) = (await served.get(CONFIG_MAPS, Accept=bare)).json["items"]
        assert item["kind"] == "PartialObjectMetadata" and "data" not in item
        bad = await served.get(f"{CONFIG_MAPS}?includeObject=Some", Accept=TABLE)
        assert bad.status == 400

    run(scenario)


def test_a_large_answer_is_compressed_for_who_can_read_it() -> None:
    async def scenario(served: Served) -> None:
        await served.post(CONFIG_MAPS, config_map("big", x="x" * 200_000))
        context = served.pki.client_context()
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as raw:
            packed = await served.request("GET", CONFIG_MAPS, session=raw, Accept_Encoding="gzip")
            assert packed.headers["Content-Encoding"] == "gzip"
            assert len(json.loads(gzip.decompress(packed.body))["items"]) == 1
            plain = await served.request("GET", CONFIG_MAPS, session=raw, Accept_Encoding="identity")
            assert "Content-Encoding" not in plain.headers

    run(scenario)


def test_a_watch_tells_what_happens() -> None:
    async def scenario(served: Served) -> None:
        async with served.session.get(served.url(f"{CONFIG_MAPS}?watch=true")) as watch:
            await served.post(CONFIG_MAPS, config_map("a"))
            await served.request(
                "PATCH", f"{CONFIG_MAPS}/a", {"data": {"b": "c"}}, Content_Type="application/merge-patch+json"
            )
            await served.request("DELETE", f"{CONFIG_MAPS}/a")
            events = await lines(watch, 3)
        assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
        assert events[1]["object"]["data"] == {"b": "c"}

    run(scenario)


def test_a_watch_of_tables_names_its_columns_once() -> None:
    async def scenario(served: Served) -> None:
        url = served.url(f"{CONFIG_MAPS}?watch=true")
        async with served.session.get(url, headers={"Accept": TABLE}) as watch:
            await served.post(CONFIG_MAPS, config_map("a"))
            await served.post(CONFIG_MAPS, config_map("b"))
            first, second = await lines(watch, 2)
        assert first["object"]["columnDefinitions"][0]["name"] == "Name"
        assert second["object"]["columnDefinitions"] is None
        assert second["object"]["rows"][0]["cells"][0] == "b"

    run(scenario)


def test_a_streamed_list_ends_with_a_bookmark() -> None:
    async def scenario(served: Served) -> None:
        await served.post(CONFIG_MAPS, config_map("a"))
        query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        async with served.session.get(served.url(f"{CONFIG_MAPS}?{query}")) as watch:
            added, bookmark = await lines(watch, 2)
        assert (added["type"], bookmark["type"]) == ("ADDED", "BOOKMARK")
        assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}

    run(scenario)


def test_a_watch_ends_in_good_order_when_its_time_is_up() -> None:
    async def scenario(served: Served) -> None:
        begun = time.monotonic()
        reply = await served.get(f"{CONFIG_MAPS}?watch=true&timeoutSeconds=1")
        assert (reply.status, reply.body) == (200, b"")
        assert 0.9 < time.monotonic() - begun < 5

    run(scenario)


def test_a_watch_from_a_revision_that_makes_no_sense() -> None:
    async def scenario(served: Served) -> None:
        reply = await served.get(f"{CONFIG_MAPS}?watch=true&resourceVersion=abc")
        assert reply.status == 500
        assert reply.message == (
            'resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax'
        )

    run(scenario)


def test_stopping_ends_watches_at_once_and_in_good_order() -> None:
    async def scenario(served: Served) -> None:
        watches = [await served.session.get(served.url(f"{CONFIG_MAPS}?watch=true")) for _ in range(5)]
        begun = time.monotonic()
        await served.server.stop()
        assert time.monotonic() - begun < 0.9
        for watch in watches:
            assert await watch.read() == b""

    run(scenario)


def test_a_client_that_goes_takes_its_watch_with_it() -> None:
    async def scenario(served: Served) -> None:
        before = len(asyncio.all_tasks())
        watch = await served.session.get(served.url(f"{CONFIG_MAPS}?watch=true"))
        assert len(asyncio.all_tasks()) > before
        watch.close()
        async with asyncio.timeout(5):
            while len(asyncio.all_tasks()) > before:
                await asyncio.sleep(0.01)

    run(scenario)


def test_a_client_that_does_not_read_costs_little_and_holds_up_nobody() -> None:
    async def scenario(served: Served) -> None:
        context = served.pki.client_context()
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=context, limit=1024)
        writer.write(f"GET {CONFIG_MAPS}?watch=true HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        for number in range(60):
            await served.post(CONFIG_MAPS, config_map(f"m{number}", x="x" * 300_000))
        server = served.server._server
        assert server is not None
        waiting = [
            connection.transport.get_write_buffer_size() for connection in server.connections if connection.transport
        ]
        assert max(waiting) < 2_000_000
        writer.transport.abort()

    run(scenario)


def test_a_listener_may_come_later() -> None:
    async def scenario(served: Served) -> None:
        late = socket.create_server(("127.0.0.1", 0))
        port = late.getsockname()[1]
        await served.server.add_listener(late)
        async with served.session.get(f"https://127.0.0.1:{port}/readyz") as answer:
            assert await answer.text() == "ok"

    run(scenario)


def test_a_question_is_not_answered_as_a_table() -> None:
    async def scenario(served: Served) -> None:
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        review = {"spec": {"nonResourceAttributes": {"verb": "get", "path": "/"}}}
        assert (await served.request("POST", path, review)).status == 201
        table = await served.request("POST", path, review, Accept="application/json;as=Table;v=v1;g=meta.k8s.io")
        assert (table.status, table.json["reason"]) == (406, "NotAcceptable")

    run(scenario)


def test_who_writes_to_a_group_that_is_left_out_is_told_why() -> None:
    async def scenario(served: Served) -> None:
        path = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods"
        assert (await served.get(path)).body == b"404 page not found\n"
        refused = await served.request("POST", path, {})
        assert (refused.status, refused.json["reason"]) == (404, "NotFound")
        assert "this cluster measures no Pods" in refused.json["message"]
        assert "this cluster measures no Pods" in refused.headers["Warning"]
        assert (await served.request("POST", "/apis/example.com/v1/widgets", {})).body == b"404 page not found\n"

    run(scenario)


def test_kinds_that_nothing_heeds_are_kept_with_a_warning_and_what_would_deceive_is_refused() -> None:
    async def scenario(served: Served) -> None:
        policy = {"metadata": {"name": "p"}, "spec": {"policyName": "p"}}
        path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
        stored = await served.request("POST", path, policy)
        assert (stored.status, stored.json["metadata"]["generation"]) == (201, 1)
        assert "evaluates no admission policies" in stored.headers["Warning"]
        claim = {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
        refused = await served.request("POST", "/api/v1/namespaces/default/persistentvolumeclaims", claim)
        assert (refused.status, refused.json["details"]["causes"][0]["field"]) == (422, "spec.resources[storage]")
        for version in ("v1", "v2"):
            path = f"/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers"
            assert (await served.get(path)).json["items"] == []
            refused = await served.request("POST", path, {"metadata": {"name": "h"}})
            assert (refused.status, refused.json["reason"]) == (405, "MethodNotAllowed")
            assert "this cluster has no autoscaler" in refused.headers["Warning"]

    run(scenario)


@pytest.mark.parametrize(
    ("timeout", "problem"),
    [
        ("5", 'missing unit in duration "5"'),
        ("1h2x", 'unknown unit "x" in duration "1h2x"'),
        ("soon", 'invalid duration "soon"'),
        ("1h2m0.5s", ""),
        ("0", ""),
        ("", ""),
    ],
)
def test_a_timeout_in_the_url_is_a_duration(timeout: str, problem: str) -> None:
    async def scenario(served: Served) -> None:
        for path in ("/version", "/api/v1/namespaces"):
            reply = await served.get(f"{path}?timeout={timeout}")
            if not problem:
                assert reply.status == 200
                continue
            said = f"invalid timeout specified in the request URL - time: {problem}"
            assert (reply.status, reply.json["message"]) == (400, said)

    run(scenario)


def test_a_single_check_is_ok_or_says_why() -> None:
    async def scenario(served: Served) -> None:
        served.server.readiness["scheduler"] = lambda: False
        assert (await served.get("/livez/etcd?verbose")).body == b"ok"
        failed = await served.get("/readyz/scheduler")
        assert (failed.status, failed.body) == (500, b"internal server error: scheduler is not ready\n")
        assert (await served.get("/readyz/nope")).status == 404

    run(scenario)


def test_readiness_is_asked_of_all_who_have_a_say() -> None:
    async def scenario(served: Served) -> None:
        served.server.readiness["scheduler"] = lambda: False
        reply = await served.get("/readyz")
        assert reply.status == 500
        assert b"[-]scheduler failed" in reply.body
        assert (await served.get("/livez")).status == 200
        assert (await served.get("/readyz/ping")).body == b"ok"
        verbose = await served.get("/livez?verbose")
        assert verbose.body == b"[+]ping ok\n[+]log ok\n[+]etcd ok\nlivez check passed\n"

    run(scenario)


def test_documents_are_sent_once() -> None:
    async def scenario(served: Served) -> None:
        index = await served.get("/openapi/v3")
        path = index.json["paths"]["apis/apps/v1"]["serverRelativeURL"]
        document = await served.get(path)
        assert "immutable" in document.headers["Cache-Control"]
        again = await served.get(path, If_None_Match=document.headers["ETag"])
        assert (again.status, again.body) == (304, b"")

    run(scenario)


def test_a_fault_of_ours_is_a_status_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(served: Served) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("the disk is on fire")

        monkeypatch.setattr(served.operations, "list", fail)
        reply = await served.get(CONFIG_MAPS)
        assert (reply.status, reply.json["reason"]) == (500, "InternalError")
        assert "the disk is on fire" in reply.message

    run(scenario)


def test_the_server_starts_in_no_time() -> None:
    async def scenario(served: Served) -> None:
        from lab_helpers.pocketkube.api.server import ApiServer

        begun = time.perf_counter()
        other = ApiServer(served.operations, served.config, served.pki)
        listener = socket.create_server(("127.0.0.1", 0))
        await other.start(listener)
        took = time.perf_counter() - begun
        await other.stop()
        assert took < 0.05

    run(scenario)


def test_texts_for_what_is_not_there_and_where() -> None:
    async def scenario(served: Served) -> None:
        missing = await served.get("/api/v1/namespaces/default/services/nope/proxy/")
        assert (missing.status, missing.message) == (404, 'services "nope" not found')
        pod = {
            "metadata": {"name": "lost"},
            "spec": {"nodeName": "nonode", "containers": [{"name": "c", "image": "x"}]},
        }
        assert (await served.post("/api/v1/namespaces/default/pods", pod)).status == 201
        for path in ("log", "exec?command=ls", "attach", "portforward?ports=80"):
            reply = await served.get(f"/api/v1/namespaces/default/pods/lost/{path}")
            assert (reply.status, reply.message) == (404, 'pods "nonode" not found')
        assert (await served.get("/api//v1/namespaces")).json["reason"] == "NotFound"
        for path in ("/api/v1/namespaces/default", "/api/v1/namespaces"):
            assert (await served.request("HEAD", path)).status == 405
        for path in ("/.well-known/openid-configuration", "/openid/v1/jwks"):
            assert (await served.get(path)).headers["Cache-Control"] == "public, max-age=3600"

    run(scenario)


def test_an_eviction_may_be_of_the_older_version() -> None:
    async def scenario(served: Served) -> None:
        made = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
        await served.post("/api/v1/namespaces/default/pods", made)
        eviction = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}}
        reply = await served.post("/api/v1/namespaces/default/pods/p/eviction", eviction)
        assert (reply.status, reply.json["status"]) == (201, "Success")
        newer = {**eviction, "apiVersion": "policy/v2"}
        assert (await served.post("/api/v1/namespaces/default/pods/p/eviction", newer)).status == 400

    run(scenario)
