"""What the nodes of one cluster stand on: the network they have, and how processes are started there.

Two kinds: in the kernel, inside a sandbox of namespaces; or simulated, as ordinary processes of the user. Which one a
cluster has was decided when it was started (`ClusterConfig.engine`); what runs on it is left to `node`.
"""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import linux
from .config import ClusterConfig
from .kubelet.runtime import Runtime
from .kubelet.template import Template
from .network.engine import Engine
from .shell_server import Places


@dataclass(frozen=True)
class Ground:
    """What one node process has at hand."""

    engine: Engine
    runtime: Runtime
    places: Places
    files: Path
    """A folder for the kubelets."""


def prepare(config: ClusterConfig, preload: Sequence[str]) -> Callable[[], Awaitable[Ground]]:
    """To be called before the event loop, in a process with one thread; what it returns in the loop.

    In the kernel the process goes on inside the sandbox. `preload` are modules that programs of images need.
    """
    return _prepare_userspace(config, preload) if config.engine == "userspace" else _prepare_kernel(config, preload)


def _prepare_kernel(config: ClusterConfig, preload: Sequence[str]) -> Callable[[], Awaitable[Ground]]:
    from . import sandbox
    from .host_probe import require_kernel_engine
    from .kubelet.kernel_runtime import KernelRuntime
    from .kubelet.rootfs import RootBuilder
    from .network.kernel import KernelEngine
    from .shell_server import KernelPlaces

    probe = require_kernel_engine()
    inside = sandbox.enter(config.state_dir / "sandbox")
    template = Template.start(inside.files, preload, one_user=not inside.all_users)
    roots = RootBuilder(inside.files, all_users=inside.all_users, hidden=[config.state_dir.parent])

    async def make() -> Ground:
        engine = await KernelEngine.create(config, template, probe.iptables or "")
        runtime = KernelRuntime(engine, template, roots)
        return Ground(engine, runtime, KernelPlaces(engine, template, roots), inside.files)

    return make


def _prepare_userspace(config: ClusterConfig, preload: Sequence[str]) -> Callable[[], Awaitable[Ground]]:
    from .kubelet.userspace_files import PrivateFiles
    from .kubelet.userspace_runtime import Interceptors, UserspaceRuntime
    from .network.simulated_commands import write_scripts
    from .network.userspace import UserspaceEngine
    from .userspace_places import UserspacePlaces

    linux.adopt_orphans()
    folder = config.state_dir / "sandbox"
    shutil.rmtree(folder, ignore_errors=True)  # What a node process left that was killed.
    folder.mkdir(mode=0o700)
    template = Template.start(folder, preload)
    write_scripts(folder / "commands")
    files = PrivateFiles(folder, hidden=[config.state_dir.parent], commands=folder / "commands")

    async def make() -> Ground:
        engine = UserspaceEngine(config)
        interceptors = Interceptors(engine, template)
        runtime = UserspaceRuntime(engine, template, files, interceptors)
        return Ground(engine, runtime, UserspacePlaces(engine, interceptors, files), folder)

    return make
