"""The node process: the small machine inside which the nodes of one cluster and all their Pods live.

It readies the ground (`ground`: a sandbox of namespaces, or a simulated network), and runs for every node a kubelet
and kube-proxy. It reports `ready` when the cluster can be used. When it ends, everything in it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from dnslib import RCODE, DNSRecord

from ..errors import StartFailed
from . import ground
from .clock import Clock
from .config import ClusterConfig
from .controllers.events import EventRecorder
from .ground import Ground
from .handover import hand_over
from .http_client import HttpClient
from .informer import SharedInformers
from .kubelet.kubelet import Kubelet
from .kubelet.server import KubeletServer
from .lifetime import run_until, told_to_end
from .network.engine import Engine
from .network.load_balancer import LoadBalancers
from .proxy.proxier import Proxier
from .proxy.server import HEALTH_PORT, METRICS_PORT, ProxyDoors, ProxyServers
from .proxy.service_health import ServiceHealthServers
from .report import Report
from .shell_server import ShellServer
from .state import StateDir

PRELOADED = (
    "lab_helpers.pocketkube.dns",
    "lab_helpers.pocketkube.kubelet.programs.agnhost",
    "lab_helpers.pocketkube.kubelet.programs.httpd",
    "lab_helpers.pocketkube.kubelet.programs.nginx",
    "lab_helpers.pocketkube.kubelet.programs.whoami",
)
"""Programs of images, imported by the template so that a container of theirs starts in milliseconds."""

READY_DEADLINE = 30.0
ASK_AGAIN = 0.01
"""Seconds between two questions to the cluster's DNS while the cluster starts."""

PATIENCE = 0.1
"""Seconds to wait for one answer: a question asked while rules are being replaced is lost, and TCP repeats it late."""

log = logging.getLogger("node")

for _module in PRELOADED:
    importlib.import_module(_module)


def run(config: ClusterConfig, report: Report) -> None:
    """Runs until SIGTERM; called in a forked child with one thread, and does not return in that process."""
    began = time.monotonic()
    make = ground.prepare(config, PRELOADED)
    report.step("ground for the nodes")
    asyncio.run(NodeProcess(config, report, make, began).run())


@dataclass(frozen=True)
class NodeProcess:
    """What the parts of this process share."""

    config: ClusterConfig
    report: Report
    make_ground: Callable[[], Awaitable[Ground]]
    began: float
    """When it was started, in seconds of the monotonic clock."""

    async def run(self) -> None:
        """Works until SIGTERM; raises what no part could handle, so that the supervisor starts a new process."""
        told = told_to_end()
        made = await self.make_ground()
        self.report.step("network")
        await run_until(told, self._work(made))

    async def _work(self, made: Ground) -> None:
        """Everything that runs on the nodes, until cancelled."""
        config, clock, engine, runtime = self.config, Clock(), made.engine, made.runtime
        client = HttpClient(config.api_socket, "kubelet")
        informers = SharedInformers(client, clock)
        names = [(config.node_name(index), config.node_ip(index)) for index in range(config.nodes)]
        LoadBalancers(informers, engine.balance, dict(names))
        proxiers = [
            Proxier(
                client,
                engine,
                name,
                ip,
                config,
                clock,
                informers=informers,
                health_servers=ServiceHealthServers(partial(engine.listen, name, "0.0.0.0")),
            )
            for name, ip in names
        ]
        kubelets = [
            Kubelet(
                client,
                runtime,
                config,
                name,
                ip,
                clock,
                EventRecorder(client, "kubelet", name, clock=clock),
                services=informers.get("services"),
                root=made.files / "kubelet" / name,
            )
            for name, ip in names
        ]
        door = engine.listen(config.node_name(0), config.node_ip(0), config.api_port_inside)
        async with (
            KubeletServer(config.kubelet_socket, kubelets, runtime),
            ShellServer(config.shell_socket, made.places),
            ProxyServers([_proxy_doors(engine, proxier) for proxier in proxiers]),
            asyncio.TaskGroup() as group,
        ):
            group.create_task(hand_over(config.handover_socket, door), name="door of the API server")
            group.create_task(informers.run(), name="informers")
            for proxier in proxiers:
                group.create_task(proxier.run(), name=f"kube-proxy on {proxier.node}")
            for kubelet in kubelets:
                group.create_task(kubelet.run(), name=f"kubelet on {kubelet.node_name}")
            await self._until_ready(engine, kubelets, proxiers)
            _announce(config, self.report, time.monotonic() - self.began)

    async def _until_ready(self, engine: Engine, kubelets: list[Kubelet], proxiers: list[Proxier]) -> None:
        """Returns when nodes are Ready, rules are in the kernel, and DNS answers through its ClusterIP.

        Raises StartFailed when that takes too long.
        """
        waiting_for = "the node to register"
        try:
            async with asyncio.timeout(READY_DEADLINE):
                for kubelet in kubelets:
                    await kubelet.registered.wait()
                self.report.step("node registered")
                waiting_for = "kube-proxy's first rules"
                for proxier in proxiers:
                    await proxier.synced.wait()
                self.report.step("kube-proxy's rules")
                waiting_for = "the cluster's DNS"
                while not await _dns_answers(engine, self.config):
                    await asyncio.sleep(ASK_AGAIN)
        except TimeoutError:
            raise StartFailed(
                f"The cluster was still waiting for {waiting_for} after {READY_DEADLINE:g} s.",
                hint="Is the machine very busy? Try again; servicelab doctor looks for what is wrong.",
            ) from None


def _proxy_doors(engine: Engine, proxier: Proxier) -> ProxyDoors:
    metrics = engine.listen(proxier.node, "127.0.0.1", METRICS_PORT)
    return ProxyDoors(proxier, metrics, engine.listen(proxier.node, "0.0.0.0", HEALTH_PORT))


async def _dns_answers(engine: Engine, config: ClusterConfig) -> bool:
    """Asks the cluster's DNS for the `kubernetes` Service, from the first node, as any client on it would."""
    loop = asyncio.get_running_loop()
    query = DNSRecord.question(f"kubernetes.default.svc.{config.cluster_domain}").pack()
    try:
        async with asyncio.timeout(PATIENCE):
            with contextlib.closing(await engine.dial(config.node_name(0), config.dns_ip, 53)) as client:
                await loop.sock_sendall(client, struct.pack("!H", len(query)) + query)
                answer = await _read_answer(client)
    except (OSError, TimeoutError):
        return False
    return bool(answer) and DNSRecord.parse(answer).header.rcode == RCODE.NOERROR


async def _read_answer(client: socket.socket) -> bytes:
    """One DNS message over TCP; empty if the server hung up."""
    loop = asyncio.get_running_loop()
    received = b""
    while len(received) < 2 or len(received) < 2 + struct.unpack_from("!H", received)[0]:
        part = await loop.sock_recv(client, 4096)
        if not part:
            return b""
        received += part
    return received[2:]


def _announce(config: ClusterConfig, report: Report, seconds: float) -> None:
    """Tells `servicelab up`, and leaves for `servicelab status` what it shows; again after each restart."""
    StateDir(config.state_dir).write_info(
        {
            "engine": config.engine,
            "server": f"https://127.0.0.1:{(config.state_dir / 'api-port').read_text()}",
            "startSeconds": round(seconds, 3),
        }
    )
    if not report.is_ready():
        report.ready()
    log.info("ready after %.3f s", seconds)
