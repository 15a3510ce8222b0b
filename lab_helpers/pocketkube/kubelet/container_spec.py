"""What the runtime is told to start: a container's command, variables, files and mounts, put together from the Pod,
the image, and what the cluster adds. Where its output goes is left to the caller.

Models pkg/kubelet/kuberuntime/kuberuntime_container.go generateContainerConfig (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterable

from ..objects import Obj
from .environment import Configs, expand, make_environment
from .hosts_files import hostname_of, hosts_file
from .images import Image
from .pod_status import PodFacts
from .runtime import ContainerSpec
from .security import identity_of, rights_of
from .stand_ins import stand_ins
from .volumes import Volumes


async def make_container_spec(
    pod: Obj,
    container: Obj,
    image: Image,
    services: Iterable[Obj],
    configs: Configs,
    volumes: Volumes,
    facts: PodFacts,
    cluster_domain: str,
) -> ContainerSpec:
    """Everything about a container. Raises CreateContainerConfigError."""
    image_env = {**image.env, "HOSTNAME": hostname_of(pod)}
    env = await make_environment(pod, container, image_env, services, configs, facts)
    argv = image.argv(
        [expand(word, env) for word in container.get("command") or []],
        [expand(word, env) for word in container.get("args") or []],
    )
    return ContainerSpec(
        name=container["name"],
        argv=argv,
        env=env,
        builtin=image.builtin(argv),
        working_dir=container.get("workingDir") or image.working_dir,
        files={
            **stand_ins(image.layers),
            **image.files,
            "/etc/hosts": hosts_file(pod, facts.pod_ip, cluster_domain).encode(),
            "/etc/hostname": f"{hostname_of(pod)}\n".encode(),
        },
        layers=image.layers,
        mounts=volumes.mounts(pod, container, env),
        identity=identity_of(pod, container, image),
        rights=rights_of(container),
        tty=bool(container.get("tty")),
        stdin=bool(container.get("stdin")),
    )
