"""HttpClient and Informer against a small server on a Unix socket that can be stopped and started again."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from waiting import until_async

from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.http_client import HttpClient
from lab_helpers.pocketkube.informer import Informer


class Server:
    """Answers what a test put in; remembers what it was asked."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.requests: list[tuple[str, str, Any]] = []
        self.agents: set[str] = set()
        self.answer: tuple[int, Any] = (200, {})
        self.listed: dict[str, Any] = {"metadata": {"resourceVersion": "1"}, "items": []}
        self.watches: asyncio.Queue[list[Any] | None] = asyncio.Queue()
        self.asked_versions: list[str] = []
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self.socket)).start()

    async def stop(self) -> None:
        assert self._runner
        await self._runner.cleanup()
        # A watch that was cut off must not take what is meant for the next one.
        self.watches.put_nowait(None)
        self.watches = asyncio.Queue()
        self.socket.unlink(missing_ok=True)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, request.path_qs, json.loads(body) if body else None))
        self.agents.add(request.headers["User-Agent"].partition("/")[0])
        if request.query.get("watch"):
            self.asked_versions.append(request.query["resourceVersion"])
            response = web.StreamResponse()
            await response.prepare(request)
            watches = self.watches
            while (events := await watches.get()) is not None:
                await response.write(b"".join(json.dumps(event).encode() + b"\n" for event in events))
            return response
        if request.method == "GET" and request.path.endswith("/pods"):
            return web.json_response(self.listed)
        code, answer = self.answer
        return web.json_response(answer, status=code)


def run(tmp_path: Path, scenario: Callable[[Server, HttpClient], Awaitable[None]]) -> None:
    async def main() -> None:
        server = Server(tmp_path / "api.sock")
        client = HttpClient(server.socket, "kubelet")
        await server.start()
        try:
            await scenario(server, client)
        finally:
            await client.close()
            await server.stop()

    asyncio.run(main())


def pod(name: str, version: str, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": name, "resourceVersion": version}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, **more}


def test_verbs_become_requests(tmp_path: Path) -> None:
    async def scenario(server: Server, client: HttpClient) -> None:
        await client.get("deployments.apps", "web", "shop")
        await client.create("pods", {"metadata": {"name": "a", "namespace": "shop"}})
        await client.update("nodes", {"metadata": {"name": "n1"}}, subresource="status")
        await client.create_subresource(
            "pods", "a", "binding", {"metadata": {"name": "a"}, "target": {"name": "n1"}}, "shop"
        )
        await client.delete("pods", "a", "shop", uid="u", grace_period_seconds=0, propagation_policy="Background")
        assert [request[:2] for request in server.requests] == [
            ("GET", "/apis/apps/v1/namespaces/shop/deployments/web"),
            ("POST", "/api/v1/namespaces/shop/pods"),
            ("PUT", "/api/v1/nodes/n1/status"),
            ("POST", "/api/v1/namespaces/shop/pods/a/binding"),
            ("DELETE", "/api/v1/namespaces/shop/pods/a"),
        ]
        assert server.requests[-1][2] == {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": "u"},
            "gracePeriodSeconds": 0,
            "propagationPolicy": "Background",
        }

    run(tmp_path, scenario)


def test_an_error_is_the_status_the_server_answered(tmp_path: Path) -> None:
    async def scenario(server: Server, client: HttpClient) -> None:
        server.answer = (404, StatusError.not_found("pods", "a").status)
        with pytest.raises(StatusError) as caught:
            await client.get("pods", "a", "default")
        assert (caught.value.code, caught.value.reason) == (404, "NotFound")
        assert caught.value.message == 'pods "a" not found'

    run(tmp_path, scenario)


def test_a_request_waits_for_a_server_that_is_being_restarted(tmp_path: Path) -> None:
    async def scenario(server: Server, client: HttpClient) -> None:
        await client.get("nodes", "n1")
        await server.stop()
        request = asyncio.create_task(client.get("nodes", "n1"))
        await asyncio.sleep(0)
        await server.start()
        assert await asyncio.wait_for(request, 10) == {}

    run(tmp_path, scenario)


def test_an_absent_server_is_a_connection_error_in_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        client = HttpClient(tmp_path / "nobody.sock", "kubelet", wait_for_server=0)
        with pytest.raises(ConnectionError, match="is away"):
            await client.get("nodes", "n1")
        await client.close()

    asyncio.run(main())


def test_watch_lines_may_be_long(tmp_path: Path) -> None:
    async def scenario(server: Server, client: HttpClient) -> None:
        big = {"type": "ADDED", "object": pod("big", "2", data="x" * 1_000_000)}
        await server.watches.put([big, {"type": "DELETED", "object": pod("big", "3")}])
        await server.watches.put(None)
        events = [event async for event in client.watch("pods", resource_version="1")]
        assert [event.type for event in events] == ["ADDED", "DELETED"]
        assert len(events[0].object["data"]) == 1_000_000

    run(tmp_path, scenario)


def test_an_informer_resumes_relists_and_survives_a_restart(tmp_path: Path) -> None:
    async def scenario(server: Server, client: HttpClient) -> None:
        seen: list[tuple[str, str]] = []
        informer = Informer(client, "pods")
        informer.add_handler(lambda event, new, old: seen.append((event, (new or old or {})["metadata"]["name"])))
        server.listed = {"metadata": {"resourceVersion": "5"}, "items": [pod("a", "3"), pod("b", "4")]}
        running = asyncio.create_task(informer.run())
        await asyncio.wait_for(informer.synced.wait(), 10)
        assert seen == [("ADDED", "a"), ("ADDED", "b")]

        await server.watches.put([{"type": "MODIFIED", "object": pod("a", "6")}])
        bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}
        await server.watches.put([bookmark])
        await server.watches.put(None)
        await until_async(lambda: len(server.asked_versions) == 2)
        assert server.asked_versions == ["5", "9"], "the watch goes on where the bookmark was"
        assert seen[2:] == [("MODIFIED", "a")]

        server.listed = {"metadata": {"resourceVersion": "30"}, "items": [pod("a", "6"), pod("c", "20")]}
        await server.watches.put([{"type": "ERROR", "object": StatusError.gone_expired("too old").status}])
        await until_async(lambda: server.asked_versions[-1] == "30")
        assert seen[3:] == [("DELETED", "b"), ("ADDED", "c")], "after 410 only the difference is told"

        await server.stop()
        await server.start()
        await until_async(lambda: len(server.asked_versions) == 4)
        await server.watches.put([{"type": "DELETED", "object": pod("c", "31")}])
        await until_async(lambda: informer.get("default/c") is None)
        assert [obj["metadata"]["name"] for obj in informer.list("default")] == ["a"]
        running.cancel()

    run(tmp_path, scenario)


def test_an_object_replaced_while_nobody_watched_is_deleted_and_added(tmp_path: Path) -> None:
    async def scenario(server: Server, client: HttpClient) -> None:
        seen: list[str] = []
        informer = Informer(client, "pods")
        owned = pod("a", "3")
        owned["metadata"]["ownerReferences"] = [{"uid": "owner"}]
        server.listed = {"metadata": {"resourceVersion": "5"}, "items": [owned]}
        running = asyncio.create_task(informer.run())
        await asyncio.wait_for(informer.synced.wait(), 10)
        assert informer.owned_by("owner") == [owned]
        informer.add_handler(lambda event, new, old: seen.append(event))
        anew = pod("a", "8")
        anew["metadata"]["uid"] = "another"
        await server.watches.put([{"type": "MODIFIED", "object": anew}])
        await until_async(lambda: len(seen) == 3)
        assert seen == ["ADDED", "DELETED", "ADDED"]
        assert informer.owned_by("owner") == []
        running.cancel()

    run(tmp_path, scenario)


def test_a_component_gives_its_own_name_so_that_it_owns_what_it_writes(tmp_path: Path) -> None:
    async def scenario(server: Server, client: HttpClient) -> None:
        await client.patch("pods", "web", {"status": {}}, "default", subresource="status")
        assert server.agents == {"kubelet"}

    run(tmp_path, scenario)
