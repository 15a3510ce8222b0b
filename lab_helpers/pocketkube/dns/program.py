"""The program of the `coredns` image: a DNS server in a Pod, which watches the API and answers from what it sees.

It reaches the API over the Unix socket that the kubelet mounts into its Pod (`POCKETKUBE_API_SOCKET`), listens on
port 53 of the Pod, and serves /health on 8080, /ready on 8181 and /metrics on 9153, as kubeadm's Corefile has it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

from dnslib import DNSRecord

from ..clock import Clock
from ..config import API_SOCKET_VARIABLE
from ..http_client import HttpClient
from ..informer import SharedInformers
from ..lifetime import run_until, told_to_end
from .answer import answer
from .records import Records
from .server import DnsServer, serve_pages

DNS_PORT, HEALTH_PORT, READY_PORT, METRICS_PORT = 53, 8080, 8181, 9153
_WAIT_FOR_SERVER = 5.0


def main(argv: Sequence[str]) -> int:
    """Serves until SIGTERM; `argv` is the command line, of which only the name is looked at."""
    path = os.environ.get(API_SOCKET_VARIABLE, "")
    if not path:
        print(f"{argv[0]}: {API_SOCKET_VARIABLE} names no socket of an API server", file=sys.stderr)
        return 1
    asyncio.run(_serve_until_told(Path(path)))
    return 0


async def _serve_until_told(api_socket: Path) -> None:
    told = told_to_end()
    await run_until(told, serve(api_socket))
    if told.is_set():
        _say("[INFO] SIGTERM: Shutting down servers then terminating")


async def serve(api_socket: Path, *, host: str = "0.0.0.0", ports: Sequence[int] = ()) -> None:
    """Serves until cancelled. `ports`: those of DNS, health, readiness and metrics, if not the usual ones."""
    dns_port, health_port, ready_port, metrics_port = ports or (DNS_PORT, HEALTH_PORT, READY_PORT, METRICS_PORT)
    records, random, ready = Records(), Random(), asyncio.Event()

    def respond(query: DNSRecord) -> DNSRecord:
        return answer(query, records, random=random)

    server = DnsServer(respond)
    client = HttpClient(api_socket, "coredns", wait_for_server=_WAIT_FOR_SERVER)
    informers = SharedInformers(client, Clock())
    informers.get("namespaces").add_handler(records.handle_namespace)
    informers.get("services").add_handler(records.handle_service)
    informers.get("endpointslices.discovery.k8s.io").add_handler(records.handle_slice)
    pages = (
        await serve_pages(host, health_port, {"/health": lambda: (200, "OK")}),
        await serve_pages(host, ready_port, {"/ready": lambda: _readiness(ready)}),
        await serve_pages(host, metrics_port, {"/metrics": lambda: (200, _metrics(server))}),
    )
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(informers.run())
            _say("[INFO] plugin/kubernetes: waiting for Kubernetes API before starting server")
            await informers.wait_synced()
            await server.start(host, dns_port)
            ready.set()
            _say(f".:{dns_port}")
            _say("CoreDNS's kubernetes plugin as pocketkube has it: cluster.local, in-addr.arpa")
    finally:
        server.close()
        for page in pages:
            page.close()
        await client.close()


def _readiness(ready: asyncio.Event) -> tuple[int, str]:
    return (200, "OK") if ready.is_set() else (503, "kubernetes")


def _metrics(server: DnsServer) -> str:
    lines = [
        "# HELP coredns_dns_requests_total Counter of DNS requests made per protocol and type.",
        "# TYPE coredns_dns_requests_total counter",
    ]
    for (protocol, kind), count in sorted(server.requests.items()):
        labels = f'proto="{protocol}",server="dns://:53",type="{kind}",zone="."'
        lines.append(f"coredns_dns_requests_total{{{labels}}} {count}")
    lines += [
        "# HELP coredns_dns_responses_total Counter of response status codes.",
        "# TYPE coredns_dns_responses_total counter",
    ]
    for code, count in sorted(server.responses.items()):
        lines.append(f'coredns_dns_responses_total{{rcode="{code}",server="dns://:53",zone="."}} {count}')
    return "\n".join(lines) + "\n"


def _say(line: str) -> None:
    print(line, flush=True)
