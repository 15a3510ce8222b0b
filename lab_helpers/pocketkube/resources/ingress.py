"""Ingresses, IngressClasses and NetworkPolicies: kept and checked as upstream does, but nobody acts on them here.

Every write says so in a warning: a policy that silently protects nothing would teach the wrong thing.
Models pkg/apis/networking/{v1/defaults.go,validation} (v1.36).
"""

from __future__ import annotations

from typing import Any

from ..api.status import Cause, invalid_value, not_supported, required
from ..objects import Obj
from .label_selector import validate_label_selector
from .metadata import validate_immutable
from .naming import cidr_problems, ip_problems, label_1035_problems, port_number_problems, subdomain_problems
from .strategy import Strategy

_NO_INGRESS = "this cluster stores Ingresses but runs no ingress controller: no traffic follows this object"
_NO_POLICY = "this cluster stores NetworkPolicies but does not enforce them: every Pod can still reach every other"
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

    def validate(self, obj: Obj) -> list[Cause]:
        """Models validateIngressClassSpec."""
        controller = (obj.get("spec") or {}).get("controller") or ""
        if "/" not in controller:
            why = 'must be a domain-prefixed path (such as "acme.io/foo")'
            return [required("spec.controller")] if not controller else [_invalid_controller(controller, why)]
        domain = controller.partition("/")[0]
        return [_invalid_controller(controller, problem) for problem in subdomain_problems(domain)]

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The controller is for life."""
        before, after = (old.get("spec") or {}).get("controller"), (new.get("spec") or {}).get("controller")
        return self.validate(new) + validate_immutable(after, before, "spec.controller")

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """That nobody acts on it."""
        return [_NO_INGRESS]


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


def _invalid_controller(controller: str, why: str) -> Cause:
    return invalid_value("spec.controller", controller, why)


def _validate_rule(rule: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    host = rule.get("host") or ""
    if host and not ip_problems(host):
        causes.append(invalid_value(f"{path}.host", host, "must be a DNS name, not an IP address"))
    elif host:
        plain = host.removeprefix("*.")
        causes += [invalid_value(f"{path}.host", host, problem) for problem in subdomain_problems(plain)]
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
    return causes + _validate_backend(entry.get("backend") or {}, f"{path}.backend")


def _validate_backend(backend: Obj, path: str) -> list[Cause]:
    """Models validateIngressBackend."""
    service, resource = backend.get("service"), backend.get("resource")
    if resource is not None and service is not None:
        return [invalid_value(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return []
    if service is None:
        return [required(path, "resource or service backend is required")]
    causes: list[Cause] = []
    name = service.get("name") or ""
    if not name:
        causes.append(required(f"{path}.service.name"))
    else:
        where = f"{path}.service.name"
        causes += [invalid_value(where, name, problem) for problem in label_1035_problems(name)]
    return causes + _validate_backend_port(service.get("port") or {}, f"{path}.service.port")


def _validate_backend_port(port: Obj, path: str) -> list[Cause]:
    name, number = port.get("name"), port.get("number")
    if name and number:
        return [invalid_value(path, "", "cannot set both port name & port number")]
    if not name and not number:
        return [required(path, "port name or number is required")]
    if name:
        return []
    return [invalid_value(f"{path}.number", number, problem) for problem in port_number_problems(number or 0)]


def _validate_policy_port(port: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if port["protocol"] not in ("TCP", "UDP", "SCTP"):
        causes.append(not_supported(f"{path}.protocol", port["protocol"], ["SCTP", "TCP", "UDP"]))
    number: Any = port.get("port")
    if isinstance(number, int):
        causes += [invalid_value(f"{path}.port", number, problem) for problem in port_number_problems(number)]
    return causes


def _validate_peer(peer: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    given = [field for field in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(field) is not None]
    for field in given:
        if field == "ipBlock":
            cidr = peer["ipBlock"].get("cidr") or ""
            causes += [invalid_value(f"{path}.ipBlock.cidr", cidr, problem) for problem in cidr_problems(cidr)]
        else:
            causes += validate_label_selector(peer[field], f"{path}.{field}")
    if not given:
        causes.append(required(path, "must specify a peer"))
    elif "ipBlock" in given and len(given) > 1:
        why = "may not specify both ipBlock and another peer"
        causes.append(Cause("FieldValueForbidden", path, f"Forbidden: {why}"))
    return causes
