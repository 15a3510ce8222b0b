"""The handlers that probes and life-cycle hooks share: run a command, GET a page, open a connection.

When they are called, and what follows, is left to `probes.py` and the Pod worker.
Models pkg/probe and pkg/kubelet/lifecycle/handlers.go (v1.36).
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit, urlunsplit

from ..clock import Clock
from ..objects import Obj
from ..pki import unverified_context
from .backoff import go_duration
from .grpc_health import HealthAnswer, check_health
from .runtime import Process, Runtime

USER_AGENT = "kube-probe/1.36"

_LONGEST_OUTPUT = 10 * 1024
_CONNECT_AGAIN_SECONDS = 0.1
_MOST_REDIRECTS = 10

_T = TypeVar("_T")


class HandlerFailed(Exception):
    """The answer was not good; the text says why, as the Event will."""


class HandlerErrored(HandlerFailed):
    """It could not be asked at all. For a probe that is no answer: neither good nor bad."""


@dataclass(frozen=True)
class Target:
    """The running container that is asked."""

    runtime: Runtime
    sandbox_id: str
    container_id: str
    container: Obj
    pod_ip: str
    clock: Clock

    async def __call__(self, handler: Obj, timeout: float) -> str:
        """Asks once; returns what is odd about a good answer, mostly nothing. Raises HandlerFailed."""
        if "exec" in handler:
            command = handler["exec"].get("command") or []
            slow = f'command timed out: "{" ".join(command)}" timed out after {go_duration(timeout)}'
            await _within(self._exec(command), timeout, slow)
        elif "httpGet" in handler:
            return await self._http_get(handler["httpGet"], timeout)
        elif "tcpSocket" in handler:
            port = self._port(handler["tcpSocket"]["port"])
            address = f"{handler['tcpSocket'].get('host') or self.pod_ip}:{port}"
            await _within(self._connect(port, address), timeout, f"dial tcp {address}: i/o timeout")
        elif "sleep" in handler:
            await self.clock.sleep(float(handler["sleep"].get("seconds") or 0))
        else:
            await self._grpc(handler["grpc"], timeout)
        return ""

    async def _exec(self, argv: list[str]) -> None:
        try:
            process = await self.runtime.exec(self.container_id, argv)
        except RuntimeError as error:
            raise HandlerErrored(f"rpc error: code = Unknown desc = {error}") from error
        try:
            output, status = await asyncio.gather(_output(process), process.wait())
        except asyncio.CancelledError:
            process.kill(signal.SIGKILL)
            raise
        if status.exit_code != 0:
            raise HandlerFailed(output)

    async def _http_get(self, action: Obj, timeout: float) -> str:
        path = action.get("path") or "/"
        path = path if path.startswith("/") else f"/{path}"
        address = f"{action.get('host') or self.pod_ip}:{self._port(action['port'])}"
        url = f"{(action.get('scheme') or 'HTTP').lower()}://{address}{path}"
        what = f'Get "{url}"'
        slow = f"{what}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        try:
            answer = await _within(self._follow(url, action), timeout, slow)
        except ConnectionError as error:
            raise HandlerFailed(f"{what}: {error}") from error
        if 300 <= answer.status < 400:
            return f"Probe terminated redirects, Response body: {answer.body}"
        if not 200 <= answer.status < 400:
            raise HandlerFailed(f"HTTP probe failed with statuscode: {answer.status}")
        return ""

    async def _follow(self, url: str, action: Obj) -> _Answer:
        """Follows redirects, but not to other hosts. Models pkg/probe/http (v1.36)."""
        first = urlsplit(url)
        for _ in range(_MOST_REDIRECTS):
            answer = await self._get(url, action)
            following = urljoin(url, answer.location)
            if not 300 <= answer.status < 400 or not answer.location or urlsplit(following).hostname != first.hostname:
                return answer
            url = following
        raise ConnectionError(f"stopped after {_MOST_REDIRECTS} redirects")

    async def _get(self, url: str, action: Obj) -> _Answer:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        headers = {header["name"]: header["value"] for header in action.get("httpHeaders") or []}
        headers = {"Host": parts.netloc, "User-Agent": USER_AGENT, "Accept": "*/*", **headers, "Connection": "close"}
        path = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        request = f"GET {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
        reader, writer = await self._dial(port, f"{parts.hostname}:{port}")
        try:
            if secure:
                await writer.start_tls(unverified_context())
            writer.write(request.encode())
            await writer.drain()
            return await _read_answer(reader)
        finally:
            writer.close()

    async def _connect(self, port: int, address: str) -> None:
        try:
            _, writer = await self._dial(port, address)
        except ConnectionError as error:
            raise HandlerFailed(str(error)) from error
        writer.close()

    async def _grpc(self, action: Obj, timeout: float) -> None:
        address = f"{self.pod_ip}:{action['port']}"
        within = go_duration(timeout)
        answer = await _within(
            self._ask_health(int(action["port"]), address, action.get("service") or ""),
            timeout,
            f'timeout: failed to connect service "{address}" within {within}: context deadline exceeded',
        )
        if answer.code == "Unimplemented":
            raise HandlerFailed(
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "
                f"{answer.message}"
            )
        if answer.code != "OK":
            raise HandlerFailed(
                f"error: health rpc probe failed: rpc error: code = {answer.code} desc = {answer.message}"
            )
        if answer.status != "SERVING":
            raise HandlerFailed(f'service unhealthy (responded with "{answer.status}")')

    async def _ask_health(self, port: int, address: str, service: str) -> HealthAnswer:
        """Connects as gRPC does: until it succeeds, or the caller has no more time."""
        while True:
            try:
                reader, writer = await self._dial(port, address)
            except ConnectionError:
                await self.clock.sleep(_CONNECT_AGAIN_SECONDS)
                continue
            try:
                return await check_health(reader, writer, address, service, USER_AGENT)
            except ConnectionError as error:
                return HealthAnswer("Unavailable", f"connection error: {error}")
            finally:
                writer.close()

    async def _dial(self, port: int, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host = address.rpartition(":")[0]
        try:
            return await self.runtime.dial(self.sandbox_id, port, host=host)
        except ConnectionRefusedError:
            raise ConnectionError(f"dial tcp {address}: connect: connection refused") from None
        except (OSError, RuntimeError) as error:
            raise ConnectionError(f"dial tcp {address}: {error}") from error

    def _port(self, port: int | str) -> int:
        """A port by number or by the name that the container gave it."""
        if isinstance(port, int) or port.isdigit():
            return int(port)
        for named in self.container.get("ports") or []:
            if named.get("name") == port:
                return int(named["containerPort"])
        raise HandlerErrored(f'strconv.Atoi: parsing "{port}": invalid syntax')


@dataclass(frozen=True)
class _Answer:
    """What matters of an HTTP response; its body only if it is a redirect."""

    status: int
    location: str = ""
    body: str = ""


async def _read_answer(reader: asyncio.StreamReader) -> _Answer:
    line = await reader.readline()
    try:
        status = int(line.split()[1])
    except (IndexError, ValueError):
        raise ConnectionError("EOF" if not line else f"malformed HTTP response {line!r}") from None
    if not 300 <= status < 400:
        return _Answer(status)
    location = ""
    while (header := await reader.readline()).strip():
        name, _, value = header.decode("latin-1").partition(":")
        if name.lower() == "location":
            location = value.strip()
    return _Answer(status, location, (await reader.read(_LONGEST_OUTPUT)).decode(errors="replace"))


async def _within(work: Coroutine[Any, Any, _T], timeout: float, complaint: str) -> _T:
    try:
        async with asyncio.timeout(timeout):
            return await work
    except TimeoutError:
        raise HandlerFailed(complaint) from None


async def _output(process: Process) -> str:
    """What a command prints, both streams; the beginning, if it is long."""
    streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
    parts = await asyncio.gather(*(stream.read() for stream in streams))
    return b"".join(parts)[:_LONGEST_OUTPUT].decode(errors="replace")
