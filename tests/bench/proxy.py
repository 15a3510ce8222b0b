"""Prints how long kube-proxy takes at size: many Services at once, and one change among them.

    python tests/bench/proxy.py [--services 1000] [--endpoints 10] [--runs 5]

For each proxy mode, in a network namespace of its own, from the event of a watch to the rules in the kernel. On 2
shared cores a real kube-proxy (v1.36.2, iptables) took 0.6 to 1.0 s for 200 Services, 0.21 s for one change among them.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / folder) for folder in (".", "pocketkube/proxy")]

from proxy_parts import NODE, WatchedApi, endpoint_slice, namespace_engine, service  # noqa: E402

from lab_helpers.pocketkube.config import PROXY_MODES, ClusterConfig  # noqa: E402
from lab_helpers.pocketkube.proxy.proxier import Proxier  # noqa: E402


def addresses(number: int, count: int) -> list[str]:
    return [f"10.244.{number % 250}.{number // 250 * count + n + 1}" for n in range(count)]


async def measure(mode: str, services: int, endpoints: int, runs: int) -> None:
    api = WatchedApi()
    for n in range(services):
        api.put(service(f"s{n}", f"10.96.{n // 250}.{n % 250 + 1}"))
        api.put(endpoint_slice(addresses(n, endpoints), f"s{n}"))
    with namespace_engine() as engine:
        proxier = Proxier(api, engine, NODE.name, NODE.ip, ClusterConfig("bench", Path("/"), proxy_mode=mode))
        began = time.perf_counter()
        task = asyncio.create_task(proxier.run())
        await proxier.synced.wait()
        print(f"{mode:<9} {services} Services x {endpoints} endpoints: {time.perf_counter() - began:.2f} s")
        done = asyncio.Event()
        write = proxier.mode.write

        async def noting(*, full: bool) -> None:
            await write(full=full)
            done.set()

        proxier.mode.write = noting  # type: ignore[method-assign]

        async def change(what: str, act: Callable[[int], None]) -> None:
            found = []
            for run in range(runs):
                done.clear()
                began = time.perf_counter()
                act(run)
                await done.wait()
                found.append(1000 * (time.perf_counter() - began))
            span = f"{min(found):.0f}-{max(found):.0f} ({runs})"
            print(f"{mode:<9} {what}: {statistics.median(found):.0f} ms, {span}")

        await change("one endpoint less", lambda run: api.put(endpoint_slice(addresses(7, endpoints)[run + 1 :], "s7")))
        await change("another port", lambda run: api.put(service("s9", "10.96.0.10", ports=[{"port": 8000 + run}])))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--endpoints", type=int, default=10)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    for mode in PROXY_MODES:
        asyncio.run(measure(mode, options.services, options.endpoints, options.runs))


if __name__ == "__main__":
    main()
