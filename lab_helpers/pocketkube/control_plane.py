"""The control plane process: store, API server, controllers and scheduler of one cluster.

It lives in the host's own network, where kubectl is. So that Pods reach it as a real cluster's Pods do, the node
process opens a socket on the node's address inside and hands it over (`handover`). Each part is in a module of its
own; this one starts and stops them in order.
"""

from __future__ import annotations

import asyncio
import resource
import socket

from ..errors import LabError
from .api.local import LocalClient
from .api.operations import Operations
from .api.server import ApiServer
from .api.status import StatusError
from .bootstrap import bootstrap
from .clock import Clock
from .config import ClusterConfig
from .controllers import run_controllers
from .handover import accept_sockets
from .lifetime import run_until, told_to_end
from .pki import Pki, ensure_pki, write_kubeconfig
from .report import Report
from .store import Store

MOST_FILES = 4096
"""Every user of the machine can open connections: this bounds what they cost, and is enough for many watches."""


def run(config: ClusterConfig, tcp: socket.socket, unix: socket.socket, report: Report) -> None:
    """Runs until SIGTERM. `tcp` and `unix` are the API's listening sockets; they outlive this process."""
    _limit_connections()
    asyncio.run(_run(config, tcp, unix, report))


async def _run(config: ClusterConfig, tcp: socket.socket, unix: socket.socket, report: Report) -> None:
    told = told_to_end()
    pki = ensure_pki(config)
    store = Store(config.database)
    operations = Operations(store, config)
    server = ApiServer(operations, config, pki)
    client = LocalClient(operations)
    try:
        await _bootstrap(client, config, pki)
        await server.start(tcp, unix)
        write_kubeconfig(config, pki, tcp.getsockname()[1])
        report.step("API server")
        with accept_sockets(config.handover_socket, server.add_listener):
            await run_until(told, run_controllers(client, config, Clock()))
    finally:
        await server.stop()
        store.close()


async def _bootstrap(client: LocalClient, config: ClusterConfig, pki: Pki) -> None:
    try:
        await bootstrap(client, config, ca_certificate=pki.ca_certificate.read_text())
    except StatusError as error:
        # Where no client is to be answered, what ails the store is the error.
        raise error.__cause__ if isinstance(error.__cause__, LabError) else error from None


def _limit_connections() -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
