"""Whom a container runs as and what it may: the security contexts of Pod and container, and the image's user, as one.

Only what `spawn` and `rootfs` can bring about is here. What a context may say is checked by the API's validation.
Models pkg/securitycontext and pkg/kubelet/kuberuntime/security_context.go (v1.36).
"""

from __future__ import annotations

from typing import Any

from ..linux import CAPABILITIES, CONTAINER_CAPABILITIES, NODE_CAPABILITIES
from ..objects import Obj, name_of, namespace_of, uid_of
from .environment import CreateContainerConfigError
from .images import Image
from .runtime import Identity, Rights

_ALL = "ALL"


def identity_of(pod: Obj, container: Obj, image: Image) -> Identity:
    """The user and the groups of a container. Raises CreateContainerConfigError if it may not be root and would be."""
    pod_context = pod["spec"].get("securityContext") or {}
    user = _effective(pod, container, "runAsUser")
    name, _, group = image.user.partition(":")
    if _effective(pod, container, "runAsNonRoot"):
        _refuse_root(pod, container, user, name)
    groups = [int(number) for number in pod_context.get("supplementalGroups") or []]
    if pod_context.get("fsGroup") is not None:
        groups.append(int(pod_context["fsGroup"]))
    return Identity(
        user=name or "0" if user is None else str(user),
        group=str(_or_empty(_effective(pod, container, "runAsGroup")) or (group if user is None else "")),
        groups=tuple(dict.fromkeys(groups)),
        with_image_groups=pod_context.get("supplementalGroupsPolicy") != "Strict",
    )


def rights_of(container: Obj) -> Rights:
    """What a container may do beyond its files."""
    context = container.get("securityContext") or {}
    capabilities = context.get("capabilities") or {}
    added = {_plain(name) for name in capabilities.get("add") or []}
    dropped = {_plain(name) for name in capabilities.get("drop") or []}
    if context.get("privileged"):
        kept = set(NODE_CAPABILITIES)
    else:
        kept = set() if _ALL in dropped else set(CONTAINER_CAPABILITIES) - dropped
        kept |= set(NODE_CAPABILITIES) if _ALL in added else added & NODE_CAPABILITIES
    return Rights(
        capabilities=tuple(sorted(kept & set(CAPABILITIES))),
        may_gain_more=context.get("allowPrivilegeEscalation") is not False,
        writable_root=not context.get("readOnlyRootFilesystem"),
    )


def _effective(pod: Obj, container: Obj, key: str) -> Any:
    """A setting of the container, else of its Pod."""
    own = (container.get("securityContext") or {}).get(key)
    return (pod["spec"].get("securityContext") or {}).get(key) if own is None else own


def _refuse_root(pod: Obj, container: Obj, user: int | None, image_user: str) -> None:
    where = f'(pod: "{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})", container: {container["name"]})'
    if user == 0:
        raise CreateContainerConfigError(f"container's runAsUser breaks non-root policy {where}")
    if user is not None:
        return
    if image_user and not image_user.isdigit():
        raise CreateContainerConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image_user}), "
            f"cannot verify user is non-root {where}"
        )
    if not int(image_user or 0):
        raise CreateContainerConfigError(f"container has runAsNonRoot and image will run as root {where}")


def _or_empty(number: int | None) -> str:
    return "" if number is None else str(number)


def _plain(capability: str) -> str:
    return capability.upper().removeprefix("CAP_")
