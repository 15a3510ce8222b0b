"""The volumes of a Pod: folders and files that the kubelet makes, to be seen inside the containers.

A Pod's volumes lie in `POD_DIR/volumes/NAME`; the runtime shows them in the containers as `Mount`s. What can be made
from the API's objects is made here: emptyDir, configMap, secret, downwardAPI, projected (with ServiceAccount tokens);
also image, and hostPath on a disk of the node's own (`host_disk.py`). How files change at once is in `volume_files.py`.
Volumes that need a storage system are left out, and say so.
Models pkg/volume (v1.36).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol

from ..objects import Obj, namespace_of
from .downward import PodAddresses, container_resource, pod_field
from .environment import Configs, CreateContainerConfigError, data_of, expand
from .host_disk import HostDisk, HostPathError, within
from .image_catalogue import ImageCatalogue
from .images import InvalidImageName, parse_reference
from .runtime import Mount
from .volume_files import VolumeFile, own, write_files

_DEFAULT_MODE = 0o644
_TOKEN_MODE = 0o600
"""For a Pod that says whose its files are."""
_READ_ONLY = ("configMap", "secret", "downwardAPI", "projected", "image")

Files = dict[str, VolumeFile]


class VolumeError(Exception):
    """A volume can't be made now; the text is what a user sees in the FailedMount event."""


class Tokens(Protocol):
    """Gives tokens to ServiceAccounts."""

    async def token(self, pod: Obj, audience: str, expiration_seconds: int) -> str:
        """A token for the Pod's ServiceAccount, bound to the Pod."""
        ...


class Volumes:
    """The volumes of one Pod."""

    def __init__(
        self,
        pod_dir: Path,
        configs: Configs,
        tokens: Tokens,
        disk: HostDisk | None = None,
        catalogue: ImageCatalogue | None = None,
    ) -> None:
        self._root = pod_dir / "volumes"
        self._configs = configs
        self._tokens = tokens
        self._disk = disk or HostDisk(pod_dir / "disk")
        self._catalogue = catalogue or ImageCatalogue()

    async def make(self, pod: Obj, addresses: PodAddresses) -> None:
        """Makes all volumes, or brings those made from objects up to date. Raises VolumeError."""
        for volume in pod["spec"].get("volumes") or []:
            try:
                await self._make_one(volume, pod, addresses)
            except (VolumeError, HostPathError, CreateContainerConfigError, OSError) as error:
                reason = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
                raise VolumeError(reason) from error

    def mounts(self, pod: Obj, container: Obj, env: Mapping[str, str]) -> list[Mount]:
        """Where a container sees them. Raises CreateContainerConfigError."""
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
        mounts = []
        for mount in container.get("volumeMounts") or []:
            volume = volumes[mount["name"]]
            try:
                source = self._path_of(volume)
            except (HostPathError, OSError) as error:
                raise CreateContainerConfigError(str(error)) from error
            sub_path = expand(mount.get("subPathExpr") or "", env) or mount.get("subPath") or ""
            if sub_path:
                source = _sub_path(source, sub_path)
            read_only = bool(mount.get("readOnly")) or any(kind in volume for kind in _READ_ONLY)
            mounts.append(Mount(source, mount["mountPath"], read_only=read_only))
        return mounts

    def _path_of(self, volume: Obj) -> Path:
        if "hostPath" in volume:
            return self._disk.path(str(volume["hostPath"]["path"]))
        return self._root / str(volume["name"])

    async def _make_one(self, volume: Obj, pod: Obj, addresses: PodAddresses) -> None:
        if "hostPath" in volume:
            self._disk.path(str(volume["hostPath"]["path"]), volume["hostPath"].get("type") or "")
            return
        folder, group = self._path_of(volume), _group_of(pod)
        if "emptyDir" in volume or volume.keys() == {"name"}:
            if not folder.exists():
                folder.mkdir(parents=True)
                folder.chmod(0o777)
                if group is not None:
                    own(folder, group, read_only=False)
        elif "image" in volume:
            self._lay_out(volume["image"].get("reference") or "", folder)
        else:
            write_files(folder, await self._files_of(volume, pod, addresses), group)

    async def _files_of(self, volume: Obj, pod: Obj, addresses: PodAddresses) -> Files:
        if "configMap" in volume:
            source = volume["configMap"]
            return await self._keys(source, "configmaps", source.get("name", ""), pod, _mode_of(source))
        if "secret" in volume:
            source = volume["secret"]
            return await self._keys(source, "secrets", source.get("secretName", ""), pod, _mode_of(source))
        if "downwardAPI" in volume:
            source = volume["downwardAPI"]
            return _downward_files(source, pod, addresses, _mode_of(source))
        if "projected" in volume:
            files: Files = {}
            for source in volume["projected"].get("sources") or []:
                files |= await self._projected_files(source, pod, addresses, _mode_of(volume["projected"]))
            return files
        kind = next(key for key in volume if key != "name")
        raise VolumeError(f"volumes of type {kind} are not part of the embedded cluster")

    async def _projected_files(self, source: Obj, pod: Obj, addresses: PodAddresses, mode: int) -> Files:
        if "serviceAccountToken" in source:
            wanted = source["serviceAccountToken"]
            token = await self._tokens.token(
                pod, wanted.get("audience", ""), int(wanted.get("expirationSeconds") or 3600)
            )
            user = _only_user(pod)
            private = user is not None or _group_of(pod) is not None
            return {wanted["path"]: VolumeFile(token.encode(), _TOKEN_MODE if private else mode, user)}
        if "downwardAPI" in source:
            return _downward_files(source["downwardAPI"], pod, addresses, mode)
        for key, resource in (("configMap", "configmaps"), ("secret", "secrets")):
            if key in source:
                return await self._keys(source[key], resource, source[key].get("name", ""), pod, mode)
        raise VolumeError(f"projections of type {next(iter(source), '')} are not part of the embedded cluster")

    async def _keys(self, source: Obj, resource: str, name: str, pod: Obj, mode: int) -> Files:
        """The files made from a ConfigMap or Secret: one a key, or those that `items` asks for."""
        optional = bool(source.get("optional"))
        obj = await self._configs.find(resource, namespace_of(pod), name)
        if obj is None:
            if optional:
                return {}
            raise VolumeError(f'{resource[:-1]} "{name}" not found')
        data = data_of(obj)
        items = source.get("items")
        if items is None:
            return {key: VolumeFile(content, mode) for key, content in data.items()}
        for item in items:
            if item["key"] not in data and not optional:
                raise VolumeError(f"references non-existent {resource[:-1]} key: {item['key']}")
        return {
            _checked(item["path"]): VolumeFile(data[item["key"]], _mode(item, mode))
            for item in items
            if item["key"] in data
        }

    def _lay_out(self, reference: str, folder: Path) -> None:
        """An image's files as a volume."""
        try:
            image = self._catalogue.find(parse_reference(reference))
        except InvalidImageName:
            image = None
        if image is None:
            names = ", ".join(self._catalogue.names())
            raise VolumeError(f'failed to pull image "{reference}": not found (the images here are: {names})')
        if folder.exists():
            return
        draft = folder.with_name(f".{folder.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for layer in image.layers:
            place = draft / layer.path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            if layer.source.is_dir():
                shutil.copytree(layer.source, place, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy2(layer.source, place)
        for path, content in image.files.items():
            place = draft / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        draft.rename(folder)


def _downward_files(source: Obj, pod: Obj, addresses: PodAddresses, mode: int) -> Files:
    files = {}
    for item in source.get("items") or []:
        if "fieldRef" in item:
            text = pod_field(pod, item["fieldRef"]["fieldPath"], addresses)
        else:
            text = container_resource(pod, item["resourceFieldRef"])
        files[_checked(item["path"])] = VolumeFile(text.encode(), _mode(item, mode))
    return files


def _mode_of(source: Obj) -> int:
    mode = source.get("defaultMode")
    return _DEFAULT_MODE if mode is None else int(mode)


def _mode(item: Obj, default: int) -> int:
    return default if item.get("mode") is None else int(item["mode"])


def _group_of(pod: Obj) -> int | None:
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return None if group is None else int(group)


def _only_user(pod: Obj) -> int | None:
    """The user whom all containers run as, if the Pod says so and they agree. Models pkg/volume/util FsUserFrom."""
    spec = pod["spec"]
    whole = (spec.get("securityContext") or {}).get("runAsUser")
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    users = {(container.get("securityContext") or {}).get("runAsUser", whole) for container in containers}
    return users.pop() if len(users) == 1 else None


def _checked(relative: str) -> str:
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts:
        raise CreateContainerConfigError(f"path {relative!r} must be relative and may not contain '..'")
    return str(path)


def _sub_path(volume: Path, relative: str) -> Path:
    """A part of a volume, made if it is not there; links that a Pod has put there do not lead out of the volume."""
    try:
        found = within(volume, _checked(relative))
        if not found.exists():
            found.mkdir(parents=True)
            found.chmod(volume.stat().st_mode & 0o7777)
    except (HostPathError, OSError) as error:
        raise CreateContainerConfigError(f'failed to prepare subPath "{relative}": {error}') from error
    return found
