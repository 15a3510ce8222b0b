"""What the runtime is told to start: a container's command, variables, files and mounts, put together from the Pod,
the image, and what the cluster adds. Where its output goes is left to the caller.

Models pkg/kubelet/kuberuntime/kuberuntime_container.go generateContainerConfig (v1.36).
"""

from __future__ import annotations

from pathlib import Path

from .. import quantity
from ..objects import Obj
from .environment import Configs, CreateContainerError, expand, make_environment
from .hosts_files import hosts_file, machine_name_of
from .identity import GROUP, PASSWD
from .images import Image
from .node_context import NodeContext
from .pod_status import PodFacts
from .runtime import ContainerSpec, Mount
from .security import identity_of, rights_of
from .stand_ins import stand_ins
from .volumes import Volumes

HOSTS = "/etc/hosts"


async def make_container_spec(
    pod: Obj,
    container: Obj,
    image: Image,
    node: NodeContext,
    configs: Configs,
    volumes: Volumes,
    facts: PodFacts,
) -> ContainerSpec:
    """Everything about a container. Raises CreateContainerConfigError."""
    hostname = machine_name_of(pod, node.name, node.config.cluster_domain)
    image_env = {**image.env, "HOSTNAME": hostname}
    env = await make_environment(pod, container, image_env, node.services.list(), configs, facts)
    argv = image.argv(
        [expand(word, env) for word in container.get("command") or []],
        [expand(word, env) for word in container.get("args") or []],
    )
    if not argv:
        raise CreateContainerError(
            f'failed to generate container "{container["name"]}" spec: failed to generate spec: no command specified '
            f"(the image {image.name!r} runs nothing by itself)"
        )
    mounts = volumes.mounts(pod, container, env)
    if HOSTS not in {mount.path for mount in mounts}:
        mounts.append(Mount(_write_hosts(pod, node, facts), HOSTS))
    return ContainerSpec(
        name=container["name"],
        argv=argv,
        env=env,
        builtin=image.builtin(argv),
        working_dir=container.get("workingDir") or image.working_dir,
        files={
            **stand_ins(image.layers),
            **_users(image),
            **image.files,
            "/etc/hostname": f"{hostname}\n".encode(),
        },
        layers=image.layers,
        mounts=mounts,
        identity=identity_of(pod, container, image),
        rights=rights_of(container),
        memory_limit=_memory_limit(container),
        tty=bool(container.get("tty")),
        stdin=bool(container.get("stdin")),
    )


def _memory_limit(container: Obj) -> int:
    amount = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    return 0 if amount is None else int(quantity.value(amount))


def _users(image: Image) -> dict[str, bytes]:
    """/etc/passwd and /etc/group, unless the image has its own."""
    users = {"/etc/passwd": PASSWD, "/etc/group": GROUP}
    trees = [layer.source for layer in image.layers if layer.path == "/"]
    return {
        path: text.encode()
        for path, text in users.items()
        if not any((tree / path.lstrip("/")).exists() for tree in trees)
    }


def _write_hosts(pod: Obj, node: NodeContext, facts: PodFacts) -> Path:
    """The Pod's /etc/hosts, which all its containers share."""
    file = node.pod_dir(pod) / "etc-hosts"
    node_hosts = node.disk.hosts if pod["spec"].get("hostNetwork") else ""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(hosts_file(pod, facts.pod_ip, node.config.cluster_domain, node_hosts))
    file.chmod(0o644)
    return file
