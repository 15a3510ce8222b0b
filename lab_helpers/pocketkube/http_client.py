"""The API server, reached over its Unix socket: how the node process speaks to the control plane.

JSON in, JSON out; errors come back as the StatusError the server answered. A server that is being restarted is
waited for as long as nothing was sent yet; a request that was cut off raises ConnectionError, because whether it
was carried out is not known. Following a resource across restarts is left to the `Informer`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from .api.status import StatusError
from .client import MERGE_PATCH, ObjList, WatchEvent
from .config import KUBERNETES_VERSION
from .objects import Obj, name_of, namespace_of
from .resources.table import RESOURCES

_RETRY_PAUSE = 0.05


class HttpClient:
    """Implements `Client` over HTTP on a Unix socket. Make it in the event loop that uses it; `close` it there."""

    def __init__(self, unix_socket: Path, component: str, *, wait_for_server: float = 10.0) -> None:
        """`component` (`kubelet`) owns what it writes, and is its User-Agent.

        `wait_for_server`: for how many seconds a request waits for a server that doesn't listen.
        """
        self._unix_socket = unix_socket
        self._component = component
        self._wait_for_server = wait_for_server
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, resource: str, name: str, namespace: str | None = None) -> Obj:
        """One object, or StatusError 404."""
        return await self._call("GET", _path(resource, namespace, name))

    async def list(
        self, resource: str, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> ObjList:
        """All objects of a resource in a namespace, or in all of them."""
        query = _selectors(label_selector, field_selector)
        answer = await self._call("GET", _path(resource, namespace), query=query)
        kind, api_version = RESOURCES[resource].kind, RESOURCES[resource].api_version
        # Items of a list may come without their kind; everybody else relies on it.
        items = [{"kind": kind, "apiVersion": api_version} | item for item in answer.get("items") or []]
        return ObjList(items, answer["metadata"]["resourceVersion"])

    async def create(self, resource: str, obj: Obj, namespace: str | None = None) -> Obj:
        """Creates; `metadata.namespace` decides where unless given. StatusError 409 if it exists."""
        return await self._call("POST", _path(resource, namespace or namespace_of(obj)), body=obj)

    async def update(self, resource: str, obj: Obj, *, subresource: str = "") -> Obj:
        """Replaces (`subresource="status"` for the status alone)."""
        return await self._call("PUT", _path(resource, namespace_of(obj), name_of(obj), subresource), body=obj)

    async def patch(
        self,
        resource: str,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        patch_type: str = MERGE_PATCH,
        subresource: str = "",
    ) -> Obj:
        """Changes part of an object."""
        path = _path(resource, namespace, name, subresource)
        return await self._call("PATCH", path, body=patch, content_type=patch_type)

    async def create_subresource(
        self, resource: str, name: str, subresource: str, body: Obj, namespace: str | None = None
    ) -> Obj:
        """POSTs to a subresource: `binding`, `eviction`, `token`."""
        return await self._call("POST", _path(resource, namespace, name, subresource), body=body)

    async def delete(
        self,
        resource: str,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
    ) -> Obj:
        """Deletes, or marks for deletion where a grace period or finalizers ask for it."""
        options: Obj = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if propagation_policy is not None:
            options["propagationPolicy"] = propagation_policy
        return await self._call("DELETE", _path(resource, namespace, name), body=options)

    async def watch(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """Changes after `resource_version`, in order, until the server ends the stream."""
        query = _selectors(label_selector, field_selector)
        query |= {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": resource_version}
        response = await self._send("GET", _path(resource, namespace), query=query)
        try:
            if response.status >= 400:
                raise StatusError.from_body(response.status, await _json(response))
            async for line in _lines(response):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise StatusError.from_body(int(event["object"].get("code") or 500), event["object"])
                yield WatchEvent(event["type"], event["object"])
        except aiohttp.ClientError as error:
            raise ConnectionError(f"watch of {resource} was cut off: {error}") from error
        finally:
            response.close()

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Obj:
        response = await self._send(method, path, query=query, body=body, content_type=content_type)
        try:
            answer = await _json(response)
        except aiohttp.ClientError as error:
            raise ConnectionError(f"{method} {path} was cut off: {error}") from error
        finally:
            response.release()
        if response.status >= 400:
            raise StatusError.from_body(response.status, answer)
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json", "User-Agent": f"{self._component}/{KUBERNETES_VERSION}"}
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = json.dumps(body, separators=(",", ":")).encode()
        deadline = asyncio.get_running_loop().time() + self._wait_for_server
        while True:
            try:
                return await self._open_session().request(method, path, params=query, data=data, headers=headers)
            except aiohttp.ClientConnectorError as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise ConnectionError(f"the API server at {self._unix_socket} is away: {error}") from error
                await asyncio.sleep(_RETRY_PAUSE)
            except aiohttp.ClientError as error:
                raise ConnectionError(f"{method} {path} was cut off: {error}") from error

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Every watch holds a connection: no limit on their number, no limit on their life.
            self._session = aiohttp.ClientSession(
                base_url="http://apiserver",
                connector=aiohttp.UnixConnector(path=str(self._unix_socket), limit=0),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session


def _path(resource: str, namespace: str | None, name: str = "", subresource: str = "") -> str:
    return RESOURCES[resource].path(namespace, name, subresource)


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    query = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {key: value for key, value in query.items() if value}


async def _json(response: aiohttp.ClientResponse) -> Obj:
    body = await response.read()
    try:
        answer: Obj = json.loads(body)
    except ValueError as error:
        if response.status < 400:
            raise ConnectionError(f"the API server answered something that is not JSON: {body[:200]!r}") from error
        return {"kind": "Status", "code": response.status, "message": body.decode(errors="replace")}
    return answer


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines of any length; aiohttp's own readline refuses those over 64 KiB."""
    rest: list[bytes] = []
    async for chunk in response.content.iter_any():
        head, *tail = chunk.split(b"\n")
        rest.append(head)
        for part in tail:
            line = b"".join(rest)
            if line.strip():
                yield line
            rest = [part]
