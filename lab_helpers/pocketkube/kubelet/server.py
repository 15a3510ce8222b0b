"""The kubelets' own HTTP server: exec, attach, port-forward and logs of the Pods of all nodes of one node process.

It listens on a Unix socket with the paths of the real kubelet; the API server forwards its clients to it. `/nodes/NAME`
before a path asks one node alone, `/dial` is a way into a Pod for the API server's proxy, and `/images` is where
`servicelab image` tells that there are others now.
How streams are spoken is left to `streams/`, how logs are read to `logs.py`.
Models pkg/kubelet/server/server.go (v1.36).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from ..clock import Clock
from ..http_server import withhold_software
from ..metrics import CONTENT_TYPE as METRICS_TYPE
from ..objects import Obj, name_of
from ..upgrade import Connection, Upgraded, splice, switching_protocols
from .container_record import ContainerRecord, containers_of
from .figures import configuration, metrics_page
from .kubelet import Kubelet
from .logs import InvalidLogOptions, LogOptions, LogReader, follow, log_path
from .pod_worker import PodWorker
from .runtime import Process, Runtime
from .streams.channels import StreamOptions, open_channels
from .streams.link import asks_for_spdy
from .streams.port_forward import serve_port_forward
from .streams.remote_command import failure_status, serve_process


class KubeletServer:
    """Serves while it is entered as a context."""

    def __init__(self, socket: Path, kubelets: Sequence[Kubelet], runtime: Runtime, clock: Clock | None = None) -> None:
        self._socket = socket
        self._kubelets = kubelets
        self._runtime = runtime
        self._clock = clock or Clock()
        self._runner = web.AppRunner(
            self._application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )

    async def __aenter__(self) -> KubeletServer:
        await self._runner.setup()
        self._socket.unlink(missing_ok=True)
        await web.UnixSite(self._runner, str(self._socket)).start()
        self._socket.chmod(0o600)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        self._socket.unlink(missing_ok=True)

    def _application(self) -> web.Application:
        application = web.Application()
        application.on_response_prepare.append(withhold_software)
        container = "/{namespace}/{pod}/{container}"
        for method in ("GET", "POST"):
            application.router.add_route(method, f"/exec{container}", self._exec)
            application.router.add_route(method, f"/attach{container}", self._attach)
            application.router.add_route(method, "/portForward/{namespace}/{pod}", self._port_forward)
        application.router.add_get("/dial/{namespace}/{pod}/{port}", self._dial)
        application.router.add_get(f"/containerLogs{container}", self._logs)
        application.router.add_post("/images", self._images_changed)
        for node in ("", "/nodes/{node}"):
            application.router.add_get(f"{node}/healthz", self._healthz)
            application.router.add_get(f"{node}/pods", self._pods)
            application.router.add_get(f"{node}/metrics", self._metrics)
            application.router.add_get(f"{node}/configz", self._configz)
        return application

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _images_changed(self, _: web.Request) -> web.Response:
        for kubelet in self._kubelets:
            kubelet.images_changed()
        return web.Response()

    async def _metrics(self, request: web.Request) -> web.Response:
        page = metrics_page(self._kubelets_of(request))
        return web.Response(body=page, headers={"Content-Type": METRICS_TYPE})

    async def _configz(self, request: web.Request) -> web.Response:
        return web.json_response(configuration(self._kubelets_of(request)[0].config))

    def _kubelets_of(self, request: web.Request) -> list[Kubelet]:
        """The kubelet of the node that the path names; all of them if it names none."""
        node = request.match_info.get("node", "")
        found = [kubelet for kubelet in self._kubelets if kubelet.node_name == node or not node]
        if not found:
            raise web.HTTPNotFound(text=f'node "{node}" not found')
        return found

    async def _pods(self, request: web.Request) -> web.Response:
        pods = [pod for kubelet in self._kubelets_of(request) for pod in kubelet.pods()]
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        _, _, record = self._running(request)
        options = _stream_options(request)
        command = request.query.getall("command", [])
        if not command:
            raise web.HTTPBadRequest(text="you must specify at least 1 command for the container")
        _require_upgrade(request)
        channels = await open_channels(request, options)
        try:
            process = await self._runtime.exec(
                record.container_id, _without_foreign_owners(command), tty=options.tty, stdin=options.stdin
            )
        except RuntimeError as error:
            await channels.finish(failure_status(f"error executing command in container: {error}"))
            return channels.response
        await serve_process(channels, process, options, owns=True)
        return channels.response

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        _, worker, record = self._running(request)
        container = next(spec for _, spec in containers_of(worker.pod) if spec["name"] == record.name)
        options = _stream_options(request)
        _require_upgrade(request)
        channels = await open_channels(request, options)
        try:
            process = await self._runtime.attach(record.container_id)
        except RuntimeError as error:
            await channels.finish(failure_status(f"error attaching to container: {error}"))
            return channels.response
        await serve_process(channels, process, options, owns=False, close_stdin=bool(container.get("stdinOnce")))
        return channels.response

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        _, worker = self._find_pod(request.match_info["namespace"], request.match_info["pod"])
        sandbox = worker.sandbox
        if sandbox is None:
            raise web.HTTPInternalServerError(text="unable to forward port because pod is not running")
        listed = [text for value in request.query.getall("port", []) for text in value.split(",")]
        if not all(text.isdigit() and 0 < int(text) < 65536 for text in listed):
            raise web.HTTPBadRequest(text=f"invalid port number in {','.join(listed)}")
        _require_upgrade(request)
        return await serve_port_forward(
            request, [int(text) for text in listed], lambda port: self._runtime.dial(sandbox.id, port)
        )

    async def _dial(self, request: web.Request) -> web.StreamResponse:
        """A plain connection to a port of the Pod, for the API server, which is in another network."""
        _, worker = self._find_pod(request.match_info["namespace"], request.match_info["pod"])
        sandbox = worker.sandbox
        if sandbox is None:
            raise web.HTTPBadGateway(text="connect: no route to host")
        try:
            port = int(request.match_info["port"])
            reader, writer = await self._runtime.dial(sandbox.id, port, host=sandbox.ip)
        except ConnectionRefusedError as error:
            raise web.HTTPBadGateway(text="connect: connection refused") from error
        except OSError as error:
            raise web.HTTPBadGateway(text=str(error)) from error
        try:
            await splice(Connection(request, switching_protocols("tcp", {})), reader, writer)
        finally:
            writer.close()
        return Upgraded()

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        kubelet, worker, record = self._find(request)
        try:
            options = LogOptions.from_query(request.query, self._clock.now())
        except InvalidLogOptions as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        path = _log_of(kubelet.log_dir(worker), name_of(worker.pod), record, previous=options.previous)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        reader = LogReader(path, options)
        await response.prepare(request)
        async for text in follow(reader, await self._bell(record, options)):
            if text:
                await response.write(text)
        return response

    async def _bell(self, record: ContainerRecord, options: LogOptions) -> Process | None:
        """What rings when a followed container has written something."""
        if not options.follow or options.previous or not record.running:
            return None
        with contextlib.suppress(RuntimeError):  # it has ended this very moment
            return await self._runtime.attach(record.container_id)
        return None

    def _find(self, request: web.Request) -> tuple[Kubelet, PodWorker, ContainerRecord]:
        namespace, name, container = (request.match_info[key] for key in ("namespace", "pod", "container"))
        kubelet, worker = self._find_pod(namespace, name)
        record = worker.records.get(container)
        if record is None:
            raise web.HTTPNotFound(text=f'container "{container}" not found in pod "{name}_{namespace}"')
        return kubelet, worker, record

    def _find_pod(self, namespace: str, name: str) -> tuple[Kubelet, PodWorker]:
        for kubelet in self._kubelets:
            worker = kubelet.worker(namespace, name)
            if worker is not None:
                return kubelet, worker
        raise web.HTTPNotFound(text=f'pod "{name}_{namespace}" not found')

    def _running(self, request: web.Request) -> tuple[Kubelet, PodWorker, ContainerRecord]:
        kubelet, worker, record = self._find(request)
        if not record.running:
            # Models GenericRuntime's container lookup: there is nothing to exec in.
            raise web.HTTPInternalServerError(text=f'container not found ("{record.name}")')
        return kubelet, worker, record


def _log_of(folder: Path, pod_name: str, record: ContainerRecord, *, previous: bool) -> Path:
    """The log of a container's current or last run. Models kubelet_pods.go validateContainerLogStatus."""
    waiting: Obj | None = record.state.get("waiting")
    last = record.last_state.get("terminated")
    if previous:
        if last is None:
            raise web.HTTPBadRequest(
                text=f'previous terminated container "{record.name}" in pod "{pod_name}" not found'
            )
        run = record.restart_count if waiting is not None else record.restart_count - 1
        return log_path(folder, record.name, run)
    if last is None and (waiting is not None or not record.state):
        reason = (waiting or {}).get("reason", "ContainerCreating")
        why = {
            "ErrImagePull": "image can't be pulled",
            "ImagePullBackOff": "trying and failing to pull image",
        }.get(reason, reason)
        raise web.HTTPBadRequest(text=f'container "{record.name}" in pod "{pod_name}" is waiting to start: {why}')
    return log_path(folder, record.name, record.restart_count)


def _without_foreign_owners(command: list[str]) -> list[str]:
    """`kubectl cp` unpacks with tar, which as root restores owners.

    Where the cluster runs without root, the only user that exists inside is root, and tar would fail.
    """
    one_user_only = Path("/proc/self/uid_map").read_text().split()[-1] == "1"
    if one_user_only and command[0] == "tar":
        return [*command, "--no-same-owner"]
    return command


def _stream_options(request: web.Request) -> StreamOptions:
    options = StreamOptions(
        stdin=request.query.get("input") == "1",
        stdout=request.query.get("output") == "1",
        stderr=request.query.get("error") == "1",
        tty=request.query.get("tty") == "1",
    )
    if not (options.stdin or options.stdout or options.stderr):
        raise web.HTTPBadRequest(text="you must specify at least 1 of stdin, stdout, stderr")
    return options


def _require_upgrade(request: web.Request) -> None:
    """Models kubelet pkg/cri/streaming, which answers so."""
    if request.headers.get("Upgrade", "").lower() != "websocket" and not asks_for_spdy(request):
        raise web.HTTPBadRequest(text="Upgrade request required")
