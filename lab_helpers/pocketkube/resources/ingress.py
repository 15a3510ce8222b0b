"""Ingresses, IngressClasses and NetworkPolicies: kept and checked as upstream does, but nobody acts on them here.

Every write says so in a warning: a policy that silently protects nothing would teach the wrong thing.
Models pkg/apis/networking/{v1/defaults.go,validation} (v1.36).
"""

from __future__ import annotations

import ipaddress
from typing import Any

from ..api.status import Cause, forbidden_field, invalid_value, not_supported, required, too_long
from ..objects import Obj
from .causes import invalid_each, validate_prefixed_path
from .label_selector import validate_label_selector
from .metadata import validate_immutable
from .naming import (
    cidr_problems,
    ip_problems,
    label_problems,
    path_segment_problems,
    port_name_problems,
    port_number_problems,
    subdomain_problems,
    wildcard_problems,
)
from .strategy import Strategy

_NO_INGRESS = "this cluster stores Ingresses but runs no ingress controller: no traffic follows this object"
_NO_POLICY = "this cluster stores NetworkPolicies but does not enforce them: every Pod can still reach every other"
_NOT_IN_PATHS = ("//", "/./", "/../", "%2f", "%2F")
_LONGEST_CONTROLLER = 250
_SCOPES = ("Cluster", "Namespace")
_CLASS = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_DIRECTIONS = ("Ingress", "Egress")


class IngressStrategy(Strategy):
    """Rules of an HTTP proxy in front of Services."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """There is an empty load balancer until somebody fills it in."""
        obj.setdefault("spec", {})
        obj.setdefault("status", {}).setdefault("loadBalancer", {})

    def prepare_for_create(self, obj: Obj) -> None:
        """Nobody serves it yet."""
        obj["status"] = {"loadBalancer": {}}

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateIngressSpec."""
        spec = obj["spec"]
        causes: list[Cause] = []
        rules, backend = spec.get("rules") or [], spec.get("defaultBackend")
        if not rules and backend is None:
            causes.append(invalid_value("spec", rules, "either `defaultBackend` or `rules` must be specified"))
        if backend is not None:
            causes += _validate_backend(backend, "spec.defaultBackend")
        for index, rule in enumerate(rules):
            causes += _validate_rule(rule, f"spec.rules[{index}]")
        for index, entry in enumerate(spec.get("tls") or []):
            causes += _validate_tls(entry, f"spec.tls[{index}]")
        name = spec.get("ingressClassName")
        if name is not None:
            causes += [invalid_value("spec.ingressClassName", name, problem) for problem in subdomain_problems(name)]
        return causes

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """That nobody acts on it."""
        return [_NO_INGRESS]


class IngressClassStrategy(Strategy):
    """Which controller an Ingress is meant for."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_IngressClass."""
        parameters = (obj.get("spec") or {}).get("parameters")
        if parameters is not None and parameters.get("scope") is None:
            parameters["scope"] = "Cluster"

    def validate(self, obj: Obj) -> list[Cause]:
        """Models validateIngressClassSpec."""
        spec = obj.get("spec") or {}
        controller, path = spec.get("controller") or "", "spec.controller"
        causes = [too_long(path, _LONGEST_CONTROLLER)] if len(controller.encode()) > _LONGEST_CONTROLLER else []
        causes += validate_prefixed_path(controller, path)
        parameters = spec.get("parameters")
        return causes if parameters is None else causes + _validate_parameters(parameters, "spec.parameters")

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The controller is for life."""
        before, after = (old.get("spec") or {}).get("controller"), (new.get("spec") or {}).get("controller")
        return validate_immutable(after or "", before or "", "spec.controller") + self.validate(new)

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """That nobody acts on it."""
        return [_NO_INGRESS]


def _validate_parameters(parameters: Obj, path: str) -> list[Cause]:
    """Models validateIngressClassParametersReference."""
    group, scope, namespace = (parameters.get(field) for field in ("apiGroup", "scope", "namespace"))
    causes = [] if group is None else invalid_each(f"{path}.apiGroup", group, subdomain_problems(group))
    for field in ("kind", "name"):
        value = parameters.get(field) or ""
        if value:
            causes += invalid_each(f"{path}.{field}", value, path_segment_problems(value))
        else:
            causes.append(required(f"{path}.{field}"))
    if scope not in _SCOPES:
        causes.append(not_supported(f"{path}.scope", scope, _SCOPES))
    elif scope == "Namespace" and namespace is None:
        causes.append(required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'"))
    elif scope == "Namespace":
        causes += invalid_each(f"{path}.namespace", namespace, label_problems(str(namespace)))
    elif namespace is not None:
        causes.append(forbidden_field(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'"))
    return causes


class NetworkPolicyStrategy(Strategy):
    """Who may talk to whom."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_NetworkPolicy."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("podSelector", {})
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]
        for rule in [*(spec.get("ingress") or []), *(spec.get("egress") or [])]:
            for port in rule.get("ports") or []:
                port.setdefault("protocol", "TCP")

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateNetworkPolicySpec."""
        spec = obj["spec"]
        causes = validate_label_selector(spec["podSelector"], "spec.podSelector")
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for index, rule in enumerate(spec.get(direction) or []):
                path = f"spec.{direction}[{index}]"
                for number, port in enumerate(rule.get("ports") or []):
                    causes += _validate_policy_port(port, f"{path}.ports[{number}]")
                for number, peer in enumerate(rule.get(peers) or []):
                    causes += _validate_peer(peer, f"{path}.{peers}[{number}]")
        types = spec["policyTypes"]
        if len(types) > len(_DIRECTIONS):
            return [*causes, invalid_value("spec.policyTypes", types, "may not specify more than two policyTypes")]
        for index, direction in enumerate(types):
            if direction not in _DIRECTIONS:
                causes.append(not_supported(f"spec.policyTypes[{index}]", direction, ["Ingress", "Egress"]))
        return causes

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """That nobody acts on it."""
        return [_NO_POLICY]


def _validate_rule(rule: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    host = rule.get("host") or ""
    if host and not ip_problems(host):
        causes.append(invalid_value(f"{path}.host", host, "must be a DNS name, not an IP address"))
    if host:
        check = wildcard_problems if "*" in host else subdomain_problems
        causes += invalid_each(f"{path}.host", host, check(host))
    http = rule.get("http")
    if http is None:
        return causes
    paths = http.get("paths") or []
    if not paths:
        causes.append(required(f"{path}.http.paths"))
    for index, entry in enumerate(paths):
        causes += _validate_path(entry, f"{path}.http.paths[{index}]")
    return causes


def _validate_path(entry: Obj, path: str) -> list[Cause]:
    kind, text = entry.get("pathType"), entry.get("path") or ""
    if kind is None:
        return [required(f"{path}.pathType", "pathType must be specified")]
    causes: list[Cause] = []
    if kind not in _PATH_TYPES:
        causes.append(not_supported(f"{path}.pathType", kind, _PATH_TYPES))
    elif not text.startswith("/") and (kind != "ImplementationSpecific" or text):
        causes.append(invalid_value(f"{path}.path", text, "must be an absolute path"))
    if kind in ("Exact", "Prefix"):
        inside = [part for part in _NOT_IN_PATHS if part in text]
        causes += [invalid_value(f"{path}.path", text, f"must not contain '{part}'") for part in inside]
        ends = [end for end in ("/..", "/.") if text.endswith(end)]
        causes += [invalid_value(f"{path}.path", text, f"cannot end with '{end}'") for end in ends]
    return causes + _validate_backend(entry.get("backend") or {}, f"{path}.backend")


def _validate_backend(backend: Obj, path: str) -> list[Cause]:
    """Models validateIngressBackend."""
    service, resource = backend.get("service"), backend.get("resource")
    if resource is not None and service is not None:
        return [invalid_value(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _validate_reference(resource, f"{path}.resource")
    if service is None:
        return [invalid_value(path, "", "resource or service backend is required")]
    causes: list[Cause] = []
    name = service.get("name") or ""
    if not name:
        causes.append(required(f"{path}.service.name"))
    else:
        where = f"{path}.service.name"
        causes += [invalid_value(where, name, problem) for problem in label_problems(name)]
    return causes + _validate_backend_port(service.get("port") or {}, path)


def _validate_backend_port(port: Obj, path: str) -> list[Cause]:
    name, number = port.get("name"), port.get("number")
    if name and number:
        return [invalid_value(path, "", "cannot set both port name & port number")]
    if not name and not number:
        return [required(path, "port name or number is required")]
    if name:
        return invalid_each(f"{path}.service.port.name", name, port_name_problems(name))
    return invalid_each(f"{path}.service.port.number", number, port_number_problems(number or 0))


def _validate_reference(reference: Obj, path: str) -> list[Cause]:
    """An object of any kind."""
    group = reference.get("apiGroup")
    causes = invalid_each(f"{path}.apiGroup", group, subdomain_problems(group)) if group is not None else []
    for field in ("kind", "name"):
        value, where = reference.get(field) or "", f"{path}.{field}"
        causes += invalid_each(where, value, path_segment_problems(value)) if value else [required(where)]
    return causes


def _validate_tls(entry: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, host in enumerate(entry.get("hosts") or []):
        check = wildcard_problems if "*" in host else subdomain_problems
        causes += invalid_each(f"{path}.hosts[{index}]", host, check(host))
    name = entry.get("secretName") or ""
    return causes + (invalid_each(f"{path}.secretName", name, subdomain_problems(name)) if name else [])


def _validate_policy_port(port: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if port["protocol"] not in ("TCP", "UDP", "SCTP"):
        causes.append(not_supported(f"{path}.protocol", port["protocol"], ["TCP", "UDP", "SCTP"]))
    number: Any = port.get("port")
    if isinstance(number, int):
        causes += invalid_each(f"{path}.port", number, port_number_problems(number))
    return causes + _validate_end_port(port, path)


def _validate_end_port(port: Obj, path: str) -> list[Cause]:
    """The last of a range of ports."""
    number, last, where = port.get("port"), port.get("endPort"), f"{path}.endPort"
    causes: list[Cause] = []
    if isinstance(number, str):
        if last is not None:
            causes.append(invalid_value(where, last, "may not be specified when `port` is non-numeric"))
        return causes + invalid_each(f"{path}.port", number, port_name_problems(number))
    if last is None:
        return []
    if number is None:
        return [invalid_value(where, last, "may not be specified when `port` is not specified")]
    if last < number:
        causes.append(invalid_value(where, number, "must be greater than or equal to `port`"))
    return causes + invalid_each(where, last, port_number_problems(last))


def _validate_block(block: Obj, path: str) -> list[Cause]:
    """A range of addresses, but for some."""
    cidr = block.get("cidr") or ""
    if not cidr:
        return [required(f"{path}.cidr")]
    causes = invalid_each(f"{path}.cidr", cidr, cidr_problems(cidr))
    if cidr_problems(cidr):
        return causes
    whole = ipaddress.ip_network(cidr)
    for index, text in enumerate(block.get("except") or []):
        where, problems = f"{path}.except[{index}]", cidr_problems(text)
        causes += invalid_each(where, text, problems)
        if problems:
            continue
        part = ipaddress.ip_network(text)
        if part.network_address not in whole or whole.prefixlen >= part.prefixlen:
            causes.append(invalid_value(where, text, "must be a strict subset of `cidr`"))
    return causes


def _validate_peer(peer: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    given = [field for field in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(field) is not None]
    for field in given:
        if field == "ipBlock":
            causes += _validate_block(peer["ipBlock"], f"{path}.ipBlock")
        else:
            causes += validate_label_selector(peer[field], f"{path}.{field}")
    if not given:
        causes.append(required(path, "must specify a peer"))
    elif "ipBlock" in given and len(given) > 1:
        why = "may not specify both ipBlock and another peer"
        causes.append(Cause("FieldValueForbidden", path, f"Forbidden: {why}"))
    return causes
