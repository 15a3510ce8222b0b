"""Services: defaults, and the addresses and ports they hold while they change type.

What is allowed in a Service is in `service_validation`; forwarding its traffic is left to kube-proxy.
Models pkg/apis/core/v1/defaults.go, registry/core/service/{strategy.go,storage/{alloc,rest}.go} (v1.36).
"""

from __future__ import annotations

from ..api.status import Cause, StatusError, invalid_value
from ..objects import Obj, name_of, namespace_of
from .addresses import address_warnings, range_warnings
from .allocators import NodePortAllocator, NotAllocated, PortOperation, ServiceIPAllocator, cluster_ips, node_ports
from .naming import label_problems
from .service_validation import (
    TOPOLOGY_HINTS,
    TOPOLOGY_MODE,
    is_externally_accessible,
    is_headless,
    needs_cluster_ip,
    needs_health_check_port,
    needs_node_port,
    validate_cluster_ips,
    validate_service,
    validate_service_update,
    validate_status,
)
from .strategy import Strategy, Undo, nothing

_AFFINITY_SECONDS = 10800
_OLD_HINTS = f"annotation {TOPOLOGY_HINTS} is deprecated, please use {TOPOLOGY_MODE} instead"
_EXTERNAL_IPS = "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
_PREFER_CLOSE = 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


class ServiceStrategy(Strategy):
    """Gives every Service what its type needs, and takes it back when the type no longer needs it."""

    returns_deleted = True
    creates_on_update = True

    def __init__(self, addresses: ServiceIPAllocator, ports: NodePortAllocator) -> None:
        self._addresses = addresses
        self._ports = ports

    def name_problems(self, name: str) -> list[str]:
        """A Service's name is a host name."""
        return label_problems(name)

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_Service."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("sessionAffinity", "None")
        if spec["sessionAffinity"] == "None":
            spec.pop("sessionAffinityConfig", None)
        if spec["sessionAffinity"] == "ClientIP":
            client = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
            client.setdefault("timeoutSeconds", _AFFINITY_SECONDS)
        spec.setdefault("type", "ClusterIP")
        for port in spec.get("ports") or []:
            port.setdefault("protocol", "TCP")
            if port.get("targetPort") in (None, 0, ""):
                port["targetPort"] = port.get("port", 0)
        if is_externally_accessible(spec):
            spec.setdefault("externalTrafficPolicy", "Cluster")
        if spec["type"] in ("ClusterIP", "NodePort", "LoadBalancer"):
            spec.setdefault("internalTrafficPolicy", "Cluster")
        if spec["type"] == "LoadBalancer":
            spec.setdefault("allocateLoadBalancerNodePorts", True)
        status = obj.setdefault("status", {})
        for ingress in status.setdefault("loadBalancer", {}).get("ingress") or []:
            if ingress.get("ip"):
                ingress.setdefault("ipMode", "VIP")

    def prepare_for_create(self, obj: Obj) -> None:
        """A new Service has no load balancer yet."""
        obj["status"] = {"loadBalancer": {}}

    def prepare_for_update(self, new: Obj, old: Obj) -> None:
        """Drops what only the old type needed, unless the client changed it. Models dropTypeDependentFields."""
        super().prepare_for_update(new, old)
        spec, before = new["spec"], old["spec"]
        if needs_cluster_ip(before) and not needs_cluster_ip(spec):
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
                _drop_unchanged(spec, before, field)
        if needs_node_port(before) and not needs_node_port(spec):
            _drop_node_ports(spec, before)
        if needs_health_check_port(before) and not needs_health_check_port(spec):
            _drop_unchanged(spec, before, "healthCheckNodePort")
        if before["type"] == "LoadBalancer" and spec["type"] != "LoadBalancer":
            _drop_unchanged(spec, before, "allocateLoadBalancerNodePorts")
            _drop_unchanged(spec, before, "loadBalancerClass")
        if is_externally_accessible(before) and not is_externally_accessible(spec):
            _drop_unchanged(spec, before, "externalTrafficPolicy")

    def validate(self, obj: Obj) -> list[Cause]:
        """See `service_validation`."""
        return validate_service(obj)

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """See `service_validation`."""
        return validate_service_update(new, old)

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """See `service_validation`."""
        return validate_status(new)

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """Models pkg/api/service GetWarningsForService."""
        spec, annotations = new["spec"], new["metadata"].get("annotations") or {}
        alias, headless = spec["type"] == "ExternalName", spec["type"] == "ClusterIP" and is_headless(spec)
        affinity, addresses = spec["sessionAffinity"] != "None", spec.get("externalIPs")
        said = (
            (TOPOLOGY_HINTS in annotations, _OLD_HINTS),
            *((True, text) for text in _address_warnings(spec, ("clusterIPs",) if not is_headless(spec) else ())),
            (headless and spec.get("loadBalancerIP"), "spec.loadBalancerIP is ignored for headless services"),
            (headless and addresses, "spec.externalIPs is ignored for headless services"),
            (headless and affinity, "spec.SessionAffinity is ignored for headless services"),
            *((True, text) for text in _address_warnings(spec, ("externalIPs",))),
            (addresses and not headless and not alias, _EXTERNAL_IPS),
            *((True, text) for text in _address_warnings(spec, ("loadBalancerIP", "loadBalancerSourceRanges"))),
            (alias and addresses, 'spec.externalIPs is ignored when spec.type is "ExternalName"'),
            (
                spec.get("externalName") and not alias,
                'spec.externalName is ignored when spec.type is not "ExternalName"',
            ),
            (spec.get("trafficDistribution") == "PreferClose", _PREFER_CLOSE),
        )
        return [text for applies, text in said if applies]

    def field_names(self) -> tuple[str, ...]:
        """Beside name and namespace."""
        return ("spec.clusterIP", "spec.type")

    def fields(self, obj: Obj) -> dict[str, str]:
        """Their values."""
        spec = obj.get("spec") or {}
        return {"spec.clusterIP": spec.get("clusterIP") or "", "spec.type": spec.get("type") or ""}

    # --- allocation ---

    def begin_create(self, obj: Obj, dry_run: bool) -> Undo:
        """Addresses and ports for a new Service."""
        spec = obj["spec"]
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        self._init_families(obj, None)
        return self._allocate(obj, None, dry_run)

    def begin_update(self, new: Obj, old: Obj, dry_run: bool) -> Undo:
        """Addresses and ports that a change of type or ports asks for, keeping what the client left out."""
        _keep_allocated(new["spec"], old["spec"])
        _normalize_cluster_ips(new["spec"], old["spec"])
        self._init_families(new, old)
        return self._allocate(new, old, dry_run)

    def after_update(self, new: Obj, old: Obj) -> None:
        """Gives back what the old type or ports held."""
        self._give_back(set(cluster_ips(old)) - set(cluster_ips(new)), node_ports(old) - node_ports(new))

    def after_delete(self, obj: Obj) -> None:
        """Gives everything back."""
        self._give_back(set(cluster_ips(obj)), node_ports(obj))

    def _give_back(self, addresses: set[str], ports: set[int]) -> None:
        for address in addresses:
            self._addresses.release(address)
        for port in ports:
            self._ports.release(port)

    def _allocate(self, new: Obj, old: Obj | None, dry_run: bool) -> Undo:
        addresses: set[str] = set()
        ports = PortOperation(self._ports, dry_run=dry_run)

        def undo() -> None:
            self._give_back(addresses, set())
            ports.undo()

        try:
            self._allocate_address(new, old, addresses, dry_run)
            self._allocate_ports(new, old, ports)
        except BaseException:
            undo()
            raise
        if not dry_run:
            return undo
        undo()  # the answer shows what would be given; nothing is kept
        return nothing

    def _allocate_address(self, new: Obj, old: Obj | None, got: set[str], dry_run: bool) -> None:
        spec = new["spec"]
        held = cluster_ips(old) if old else []
        if not needs_cluster_ip(spec) or is_headless(spec) or (old and is_headless(old["spec"])) or held:
            return
        asked = (spec.get("clusterIPs") or [""])[0]
        name = new["metadata"].get("name")
        if not name and not dry_run:
            raise _nameless(self._addresses, asked)
        address = self._asked_address(new, asked, dry_run) if asked else self._any_address(new, dry_run)
        if not dry_run:
            got.add(address)
        spec["clusterIP"], spec["clusterIPs"] = address, [address]

    def _asked_address(self, new: Obj, asked: str, dry_run: bool) -> str:
        try:
            if dry_run:
                self._addresses.check(asked, dry_run=True)
            else:
                self._addresses.allocate(asked, namespace_of(new), name_of(new))
        except NotAllocated as error:
            why = f"failed to allocate IP {asked}: {error}"
            raise _invalid(name_of(new), invalid_value("spec.clusterIPs", new["spec"]["clusterIPs"], why)) from None
        return asked

    def _any_address(self, new: Obj, dry_run: bool) -> str:
        try:
            return (
                self._addresses.preview if dry_run else self._addresses.allocate_next(namespace_of(new), name_of(new))
            )
        except NotAllocated as error:
            raise StatusError.internal(f"failed to allocate a serviceIP: {error}") from None

    def _allocate_ports(self, new: Obj, old: Obj | None, got: PortOperation) -> None:
        spec, held = new["spec"], node_ports(old) if old else set()
        if needs_node_port(spec):
            if old is None:
                self._init_node_ports(new, got)
            else:
                self._update_node_ports(new, held, got)
        if needs_health_check_port(spec):
            if not spec.get("healthCheckNodePort"):
                spec["healthCheckNodePort"] = _next_port(got)
            elif spec["healthCheckNodePort"] not in held:
                _take_port(new, "spec.healthCheckNodePort", spec["healthCheckNodePort"], got)

    def _init_node_ports(self, new: Obj, got: PortOperation) -> None:
        """Ports of a new Service: equal port numbers, of whatever protocol, share one. Models initNodePorts."""
        shared: dict[int, int] = {}
        for index, port in _asked_first(new["spec"]):
            number, asked = port.get("port", 0), port.get("nodePort") or 0
            if asked and asked != shared.get(number):
                _take_port(new, f"spec.ports[{index}].nodePort", asked, got)
            elif not asked:
                port["nodePort"] = shared.get(number) or _next_port(got)
            shared.setdefault(number, port["nodePort"])

    def _update_node_ports(self, new: Obj, held: set[int], got: PortOperation) -> None:
        """Ports that an update asks for beside those `held`. Models updateNodePorts."""
        seen: set[tuple[str, int]] = set()
        for index, port in _asked_first(new["spec"]):
            asked = port.get("nodePort") or 0
            if not asked:
                port["nodePort"] = _next_port(got)
            elif asked not in held and not got.holds(asked):
                _take_port(new, f"spec.ports[{index}].nodePort", asked, got)
            key = (port["protocol"], port["nodePort"])
            if key in seen:
                raise StatusError.unclassified(f"duplicate nodePort: {{{key[0]} {key[1]}}}")
            seen.add(key)

    def _init_families(self, new: Obj, old: Obj | None) -> None:
        """One family, IPv4: this cluster is not dual-stack. Models initIPFamilyFields."""
        spec = new["spec"]
        if not needs_cluster_ip(spec):
            return
        selectorless = is_headless(spec) and not spec.get("selector")
        before = (old or {}).get("spec") or {}
        if "ipFamilyPolicy" not in spec:
            fallback = "RequireDualStack" if selectorless else "SingleStack"
            spec["ipFamilyPolicy"] = before.get("ipFamilyPolicy") or fallback
        name = new["metadata"].get("name") or ""
        causes = validate_cluster_ips(spec)
        for index, address in enumerate(spec.get("clusterIPs") or []):
            if not causes and ":" in address and index >= len(spec.get("ipFamilies") or []):
                why = "IPv6 is not configured on this cluster"
                causes.append(invalid_value(f"spec.clusterIPs[{index}]", spec["clusterIPs"], why))
        if causes:
            raise _invalid(name, *causes)
        policy, families = spec["ipFamilyPolicy"], spec.setdefault("ipFamilies", [])
        if selectorless:
            families[:] = families or ["IPv4"]
            if len(families) < 2 and policy != "SingleStack":
                families.append("IPv6" if families[0] == "IPv4" else "IPv4")
            return
        if policy == "RequireDualStack":
            why = "this cluster is not configured for dual-stack services"
            causes.append(invalid_value("spec.ipFamilyPolicy", policy, why))
        for index, family in enumerate(families):
            if family != "IPv4":
                causes.append(invalid_value(f"spec.ipFamilies[{index}]", family, "not configured on this cluster"))
        if causes:
            raise _invalid(name, *causes)
        families[:] = families or ["IPv4"]


def _address_warnings(spec: Obj, fields: tuple[str, ...]) -> list[str]:
    """Addresses that are not written as they should be."""
    found: list[str] = []
    for field in fields:
        value = spec.get(field) or []
        if isinstance(value, str):
            found += address_warnings(value, f"spec.{field}")
            continue
        check = range_warnings if field == "loadBalancerSourceRanges" else address_warnings
        found += [text for index, item in enumerate(value) for text in check(item, f"spec.{field}[{index}]")]
    return found


def _asked_first(spec: Obj) -> list[tuple[int, Obj]]:
    """The ports that get a number on the nodes; those that ask for one first: it must not be given away."""
    wants = spec["type"] == "NodePort" or spec.get("allocateLoadBalancerNodePorts") is not False
    ports = [(index, port) for index, port in enumerate(spec.get("ports") or []) if wants or port.get("nodePort")]
    return sorted(ports, key=lambda entry: not entry[1].get("nodePort"))


def _take_port(obj: Obj, path: str, port: int, got: PortOperation) -> None:
    try:
        got.allocate(port)
    except NotAllocated as error:
        raise _invalid(obj["metadata"].get("name") or "", invalid_value(path, port, str(error))) from None


def _next_port(got: PortOperation) -> int:
    try:
        return got.allocate_next()
    except NotAllocated as error:
        raise StatusError.internal(f"failed to allocate a nodePort: {error}") from None


def _invalid(name: str, *causes: Cause) -> StatusError:
    return StatusError.invalid("Service", name, causes)


def _nameless(addresses: ServiceIPAllocator, asked: str) -> StatusError:
    """An address is allocated in the name of its Service, so that is where a missing name shows."""
    reason = f'failed to allocate IP: IPAddress.networking.k8s.io "{asked or addresses.find_free()}" is invalid'
    why = f"{reason}: spec.parentRef.name: Required value"
    return _invalid("", invalid_value("spec.clusterIPs", [asked], why))


def _drop_unchanged(new: Obj, old: Obj, field: str) -> None:
    if new.get(field) == old.get(field):
        new.pop(field, None)


def _drop_node_ports(new: Obj, old: Obj) -> None:
    if {port.get("nodePort") for port in new.get("ports") or []} == {
        port.get("nodePort") for port in old.get("ports") or []
    }:
        for port in new.get("ports") or []:
            port.pop("nodePort", None)


def _keep_allocated(new: Obj, old: Obj) -> None:
    """A PUT that leaves out what the server had filled in keeps it. Models patchAllocatedValues."""
    if needs_cluster_ip(old) and needs_cluster_ip(new):
        if not new.get("clusterIP") and old.get("clusterIP"):
            new["clusterIP"] = old["clusterIP"]
        if not new.get("clusterIPs") and new.get("clusterIP") == old.get("clusterIP") and "clusterIPs" in old:
            new["clusterIPs"] = list(old["clusterIPs"])
    if needs_node_port(old) and needs_node_port(new):
        known = {(port.get("protocol"), port.get("port", 0)): port.get("nodePort") for port in old.get("ports") or []}
        taken = {port.get("nodePort") for port in new.get("ports") or []}
        for port in new.get("ports") or []:
            kept = known.get((port.get("protocol"), port.get("port")))
            if not port.get("nodePort") and kept and kept not in taken:
                port["nodePort"] = kept
    if needs_health_check_port(old) and needs_health_check_port(new) and not new.get("healthCheckNodePort"):
        new["healthCheckNodePort"] = old["healthCheckNodePort"]


def _normalize_cluster_ips(new: Obj, old: Obj) -> None:
    """`clusterIP` and the first of `clusterIPs` are one value. Models normalizeClusterIPs."""
    if new.get("clusterIP") == old.get("clusterIP"):
        return
    if new.get("clusterIPs") and new.get("clusterIPs") != old.get("clusterIPs"):
        return
    if new.get("clusterIP"):
        new["clusterIPs"] = [new["clusterIP"], *(new.get("clusterIPs") or [])[1:]]
    else:
        new.pop("clusterIPs", None)
