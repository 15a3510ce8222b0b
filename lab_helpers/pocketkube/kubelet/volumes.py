"""The volumes of a Pod: folders and files that the kubelet makes, to be seen inside the containers.

A Pod's volumes lie in `POD_DIR/volumes/NAME`; the runtime shows them in the containers as `Mount`s. What can be made
from the API's objects is made here: emptyDir, configMap, secret, downwardAPI, projected (with ServiceAccount tokens);
also hostPath. Volumes that need a storage system are left out, and say so.
Models pkg/volume (v1.36).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol

from ..objects import Obj, namespace_of
from .downward import PodAddresses, container_resource, pod_field
from .environment import Configs, CreateContainerConfigError, data_of, expand
from .runtime import Mount

_DEFAULT_MODE = 0o644


class VolumeError(Exception):
    """A volume can't be made now; the text is what a user sees in the FailedMount event."""


class Tokens(Protocol):
    """Gives tokens to ServiceAccounts."""

    async def token(self, pod: Obj, audience: str, expiration_seconds: int) -> str:
        """A token for the Pod's ServiceAccount, bound to the Pod."""
        ...


class Volumes:
    """The volumes of one Pod."""

    def __init__(self, pod_dir: Path, configs: Configs, tokens: Tokens) -> None:
        self._root = pod_dir / "volumes"
        self._configs = configs
        self._tokens = tokens

    async def make(self, pod: Obj, addresses: PodAddresses) -> None:
        """Makes all volumes, or brings those made from objects up to date. Raises VolumeError."""
        for volume in pod["spec"].get("volumes") or []:
            try:
                await self._make_one(volume, pod, addresses)
            except (VolumeError, OSError) as error:
                reason = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
                raise VolumeError(reason) from error

    def mounts(self, pod: Obj, container: Obj, env: Mapping[str, str]) -> list[Mount]:
        """Where a container sees them. Raises CreateContainerConfigError."""
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
        mounts = []
        for mount in container.get("volumeMounts") or []:
            volume = volumes[mount["name"]]
            source = self._path_of(volume)
            sub_path = expand(mount.get("subPathExpr") or "", env) or mount.get("subPath") or ""
            if sub_path:
                source = _below(source, sub_path)
                if not source.exists():
                    source.mkdir(parents=True)
            read_only = bool(mount.get("readOnly")) or any(
                kind in volume for kind in ("configMap", "secret", "downwardAPI", "projected")
            )
            mounts.append(Mount(source, mount["mountPath"], read_only=read_only))
        return mounts

    def _path_of(self, volume: Obj) -> Path:
        if "hostPath" in volume:
            return Path(str(volume["hostPath"]["path"]))
        return self._root / str(volume["name"])

    async def _make_one(self, volume: Obj, pod: Obj, addresses: PodAddresses) -> None:
        folder = self._path_of(volume)
        if "emptyDir" in volume or volume.keys() == {"name"}:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o777)
        elif "hostPath" in volume:
            _check_host_path(folder, volume["hostPath"].get("type", ""))
        elif "configMap" in volume:
            source = volume["configMap"]
            _write(folder, await self._keys(source, "configmaps", source.get("name", ""), pod), source)
        elif "secret" in volume:
            source = volume["secret"]
            _write(folder, await self._keys(source, "secrets", source.get("secretName", ""), pod), source)
        elif "downwardAPI" in volume:
            _write(folder, _downward_files(volume["downwardAPI"], pod, addresses), volume["downwardAPI"])
        elif "projected" in volume:
            files: dict[str, bytes] = {}
            for source in volume["projected"].get("sources") or []:
                files |= await self._projected_files(source, pod, addresses)
            _write(folder, files, volume["projected"])
        else:
            kind = next(key for key in volume if key != "name")
            raise VolumeError(f"volumes of type {kind} are not part of the embedded cluster")

    async def _projected_files(self, source: Obj, pod: Obj, addresses: PodAddresses) -> dict[str, bytes]:
        if "serviceAccountToken" in source:
            wanted = source["serviceAccountToken"]
            token = await self._tokens.token(
                pod, wanted.get("audience", ""), int(wanted.get("expirationSeconds") or 3600)
            )
            return {wanted["path"]: token.encode()}
        if "downwardAPI" in source:
            return _downward_files(source["downwardAPI"], pod, addresses)
        for key, resource in (("configMap", "configmaps"), ("secret", "secrets")):
            if key in source:
                return await self._keys(source[key], resource, source[key].get("name", ""), pod)
        raise VolumeError(f"projections of type {next(iter(source), '')} are not part of the embedded cluster")

    async def _keys(self, source: Obj, resource: str, name: str, pod: Obj) -> dict[str, bytes]:
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
            return data
        for item in items:
            if item["key"] not in data and not optional:
                raise VolumeError(f"references non-existent {resource[:-1]} key: {item['key']}")
        return {item["path"]: data[item["key"]] for item in items if item["key"] in data}


def _downward_files(source: Obj, pod: Obj, addresses: PodAddresses) -> dict[str, bytes]:
    files = {}
    for item in source.get("items") or []:
        if "fieldRef" in item:
            text = pod_field(pod, item["fieldRef"]["fieldPath"], addresses)
        else:
            text = container_resource(pod, item["resourceFieldRef"])
        files[item["path"]] = text.encode()
    return files


def _write(folder: Path, files: Mapping[str, bytes], source: Obj) -> None:
    """Makes the folder hold exactly these files. Each is replaced in one step, so a reader never sees half of one."""
    folder.mkdir(parents=True, exist_ok=True)
    mode = int(source.get("defaultMode") or _DEFAULT_MODE)
    modes = {item["path"]: item["mode"] for item in source.get("items") or [] if item.get("mode") is not None}
    wanted = {_below(folder, path): (path, content) for path, content in files.items()}
    for old in [path for path in folder.rglob("*") if path.is_file() and path not in wanted]:
        old.unlink()
    for target, (path, content) in wanted.items():
        if target.is_file() and target.read_bytes() == content:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f"..{target.name}.new")
        fresh.write_bytes(content)
        fresh.chmod(modes.get(path, mode))
        fresh.replace(target)


def _below(folder: Path, relative: str) -> Path:
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts:
        raise CreateContainerConfigError(f"path {relative!r} must be relative and may not contain '..'")
    return folder / path


def _check_host_path(path: Path, kind: str) -> None:
    """Models pkg/volume/hostpath, on the machine's own files as the node process sees them."""
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch()
    elif kind == "Directory" and not path.is_dir():
        raise VolumeError(f"hostPath type check failed: {path} is not a directory")
    elif kind == "File" and not path.is_file():
        raise VolumeError(f"hostPath type check failed: {path} is not a file")
    elif not path.exists():
        raise VolumeError(f"hostPath type check failed: {path} does not exist")
