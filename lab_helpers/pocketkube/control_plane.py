"""The control plane process: store, API server, controllers and scheduler of one cluster.

It lives in the host's own network, where kubectl is. So that Pods reach it as a real cluster's Pods do, the node
process opens a socket on the node's address inside and hands it over (`handover`). Each part is in a module of its
own; this one starts and stops them in order.
"""

from __future__ import annotations

import asyncio
import socket

from .api.local import LocalClient
from .api.operations import Operations
from .api.server import ApiServer
from .bootstrap import bootstrap
from .clock import Clock
from .config import ClusterConfig
from .controllers import run_controllers
from .handover import accept_sockets
from .lifetime import run_until, told_to_end
from .pki import ensure_pki, write_kubeconfig
from .report import Report
from .store import Store


def run(config: ClusterConfig, tcp: socket.socket, unix: socket.socket, report: Report) -> None:
    """Runs until SIGTERM. `tcp` and `unix` are the API's listening sockets; they outlive this process."""
    asyncio.run(_run(config, tcp, unix, report))


async def _run(config: ClusterConfig, tcp: socket.socket, unix: socket.socket, report: Report) -> None:
    told = told_to_end()
    pki = ensure_pki(config)
    store = Store(config.database)
    operations = Operations(store, config)
    server = ApiServer(operations, config, pki)
    client = LocalClient(operations)
    try:
        await bootstrap(client, config, ca_certificate=pki.ca_certificate.read_text())
        await server.start(tcp, unix)
        write_kubeconfig(config, pki, tcp.getsockname()[1])
        report.step("API server")
        with accept_sockets(config.handover_socket, server.add_listener):
            await run_until(told, run_controllers(client, config, Clock()))
    finally:
        await server.stop()
        store.close()
