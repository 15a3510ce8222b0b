"""The controllers: one module each, and here what starts them all.

Each watches the cluster through informers that all of them share, and reconciles what it is responsible for.
They know nothing of each other: a Deployment becomes ReplicaSets, these become Pods, these become endpoints, each
step written to the API server and seen there by the next.
"""

from __future__ import annotations

import asyncio

from ..client import Client
from ..clock import Clock
from ..config import ClusterConfig
from ..informer import SharedInformers


async def run_controllers(client: Client, config: ClusterConfig, clock: Clock) -> None:
    """Runs all controllers and the scheduler until cancelled."""
    # Not at the top: the scheduler, which `manager` imports, uses modules of this package.
    from .manager import new_controllers

    informers = SharedInformers(client, clock)
    controllers = new_controllers(client, informers, config, clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(informers.run())
        await informers.wait_synced()
        for controller in controllers:
            group.create_task(controller.run())
