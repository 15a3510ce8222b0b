"""The environment variables of a container, from everything that may add to them.

In this order, later ones winning: the image, the Services of the namespace, `envFrom`, `env`.
A value may name others as $(NAME). Pure but for reading ConfigMaps and Secrets through the `Configs` it is given.
Models pkg/kubelet/kubelet_pods.go makeEnvironmentVariables and pkg/kubelet/envvars (v1.36).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Protocol

from ..objects import Obj, name_of, namespace_of
from .downward import PodAddresses, container_resource, pod_field

KUBERNETES_SERVICE = "kubernetes"

_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")
_VARIABLE_NAME = re.compile(r"[^=\x00-\x1f\x7f-\U0010ffff]+")


class CreateContainerConfigError(Exception):
    """Something that a container refers to does not exist; the text is what a user sees."""

    reason = "CreateContainerConfigError"


class CreateContainerError(CreateContainerConfigError):
    """The runtime would not make such a container."""

    reason = "CreateContainerError"


class Configs(Protocol):
    """Reads ConfigMaps and Secrets."""

    async def find(self, resource: str, namespace: str, name: str) -> Obj | None:
        """The object (`configmaps` or `secrets`), or None if there is none."""
        ...


async def make_environment(
    pod: Obj,
    container: Obj,
    image_env: Mapping[str, str],
    services: Iterable[Obj],
    configs: Configs,
    addresses: PodAddresses,
) -> dict[str, str]:
    """All variables of a container. Raises CreateContainerConfigError."""
    env = dict(image_env)
    env |= service_variables(pod, services)
    for source in container.get("envFrom") or []:
        env |= await _from_source(source, namespace_of(pod), configs)
    for variable in container.get("env") or []:
        value = await _value(variable, pod, container, env, configs, addresses)
        if value is not None:
            env[variable["name"]] = value
    return env


def service_variables(pod: Obj, services: Iterable[Obj]) -> dict[str, str]:
    """`NAME_SERVICE_HOST` and its siblings for each Service of the namespace, and always for `kubernetes`."""
    namespace = namespace_of(pod)
    links = pod["spec"].get("enableServiceLinks", True)
    chosen: dict[str, Obj] = {}
    for service in services:
        if service["spec"].get("clusterIP") in (None, "", "None"):
            continue
        if namespace_of(service) == "default" and name_of(service) == KUBERNETES_SERVICE:
            chosen.setdefault(KUBERNETES_SERVICE, service)
        elif links and namespace_of(service) == namespace:
            chosen[name_of(service)] = service
    env: dict[str, str] = {}
    for service in chosen.values():
        env |= _variables_of_service(service)
    return env


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replaces $(NAME) by its value; an unknown one stays as it is, and $$ is a plain $.

    Models third_party/forked/golang/expansion.
    """

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return env.get(match[1], match[0])

    return _REFERENCE.sub(replace, text)


def _variables_of_service(service: Obj) -> dict[str, str]:
    address, ports = service["spec"]["clusterIP"], service["spec"].get("ports") or []
    if not ports:
        return {}
    prefix = _variable(name_of(service))
    first = ports[0]
    env = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(first["port"])}
    for port in ports:
        if port.get("name"):
            env[f"{prefix}_SERVICE_PORT_{_variable(port['name'])}"] = str(port["port"])
    env[f"{prefix}_PORT"] = f"{first.get('protocol', 'TCP').lower()}://{address}:{first['port']}"
    for port in ports:
        protocol = port.get("protocol", "TCP")
        link = f"{prefix}_PORT_{port['port']}_{protocol}"
        env[link] = f"{protocol.lower()}://{address}:{port['port']}"
        env[f"{link}_PROTO"] = protocol.lower()
        env[f"{link}_PORT"] = str(port["port"])
        env[f"{link}_ADDR"] = address
    return env


def _variable(name: str) -> str:
    variable = name.upper().replace("-", "_").replace(".", "_")
    return f"_{variable}" if variable[0].isdigit() else variable


async def _from_source(source: Obj, namespace: str, configs: Configs) -> dict[str, str]:
    resource, ref = (
        ("configmaps", source["configMapRef"]) if "configMapRef" in source else ("secrets", source["secretRef"])
    )
    obj = await configs.find(resource, namespace, ref["name"])
    if obj is None:
        if ref.get("optional"):
            return {}
        raise CreateContainerConfigError(f'{resource[:-1]} "{ref["name"]}" not found')
    prefix = source.get("prefix", "")
    values = {f"{prefix}{key}": value.decode(errors="replace") for key, value in data_of(obj).items()}
    return {key: value for key, value in values.items() if _VARIABLE_NAME.fullmatch(key)}


async def _value(
    variable: Obj, pod: Obj, container: Obj, env: Mapping[str, str], configs: Configs, addresses: PodAddresses
) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return expand(variable.get("value") or "", env)
    if "fieldRef" in source:
        return pod_field(pod, source["fieldRef"]["fieldPath"], addresses)
    if "resourceFieldRef" in source:
        return container_resource(pod, source["resourceFieldRef"], container)
    resource, ref = (
        ("configmaps", source["configMapKeyRef"])
        if "configMapKeyRef" in source
        else ("secrets", source["secretKeyRef"])
    )
    kind = resource[:-1]
    obj = await configs.find(resource, namespace_of(pod), ref["name"])
    if obj is None:
        if ref.get("optional"):
            return None
        raise CreateContainerConfigError(f'{kind} "{ref["name"]}" not found')
    data = data_of(obj)
    if ref["key"] not in data:
        if ref.get("optional"):
            return None
        shown = "ConfigMap" if kind == "configmap" else "Secret"
        raise CreateContainerConfigError(f"couldn't find key {ref['key']} in {shown} {namespace_of(pod)}/{ref['name']}")
    return data[ref["key"]].decode(errors="replace")


def data_of(obj: Obj) -> dict[str, bytes]:
    """The contents of a ConfigMap or a Secret, decoded."""
    data = obj.get("data") or {}
    if obj.get("kind") == "Secret":
        return {key: base64.b64decode(value) for key, value in data.items()}
    binary = {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}
    return {key: value.encode() for key, value in data.items()} | binary
