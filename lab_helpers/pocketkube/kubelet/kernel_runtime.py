"""The container runtime on the kernel engine: Pods in namespaces, with overlays for their files.

A sandbox is a set of namespaces that this process holds open, so it needs no process of its own. A container is the
first process of its own process namespace: when it ends, everything it started ends.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

from ..network.kernel import KernelEngine, PodNetwork
from .container_runtime import DEFAULT_TERMINAL, Container, ContainerRuntime, PodSandbox
from .rootfs import RootBuilder
from .runtime import ContainerSpec, SandboxSpec
from .spawn import SpawnRequest
from .template import Child, Template


class KernelRuntime(ContainerRuntime):
    """Pods in namespaces, on the kernel engine."""

    def __init__(self, engine: KernelEngine, template: Template, roots: RootBuilder) -> None:
        super().__init__(template, engine)
        self._engine = engine
        self._roots = roots

    def _open(self, identity: str, spec: SandboxSpec) -> PodSandbox:
        if spec.host_network:
            machine = self._engine.machine(spec.node)
            return PodSandbox(identity, spec, machine.ip, None, {"net": machine.network, "uts": machine.uts})
        own = self._engine.attach(spec.node, spec.hostname)
        return PodSandbox(identity, spec, own.ip, own, {"net": own.network, "uts": own.uts, "ipc": own.ipc})

    def _close(self, pod: PodSandbox) -> None:
        if isinstance(pod.own, PodNetwork):
            self._engine.detach(pod.own)

    async def _spawn_first(
        self, identity: str, pod: PodSandbox, spec: ContainerSpec, streams: Mapping[str, int]
    ) -> Child:
        root = self._roots.prepare(
            identity, hostname=pod.spec.hostname, hosts=pod.spec.hosts, resolv_conf=pod.spec.resolv_conf,
            files=spec.files, layers=spec.layers, mounts=spec.mounts, read_only=not spec.rights.writable_root,
        )  # fmt: skip
        request = SpawnRequest(
            list(spec.argv), dict(spec.env), builtin=spec.builtin, working_dir=spec.working_dir or "/",
            root=root.as_dict(), rights=spec.rights, identity=spec.identity,
            new_processes=True, terminal=DEFAULT_TERMINAL if spec.tty else None,
        )  # fmt: skip
        return await self._template.spawn(request, {**pod.descriptors, **streams})

    async def _spawn_into(self, container: Container, request: SpawnRequest, streams: Mapping[str, int]) -> Child:
        return await self._template.spawn(request, {"container": container.child.pidfd, **streams})

    async def _connect(self, pod: PodSandbox, host: str, port: int) -> socket.socket:
        end = self._engine.socket_in(pod.descriptors["net"])
        end.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(end, (host, port))
        except BaseException:
            end.close()
            raise
        return end

    def _end_rest(self, container: Container) -> None:
        """The kernel does: it was the first of a process namespace."""

    def _remove_files(self, identity: str) -> None:
        self._roots.remove(identity)
