"""The network engine that is real: network namespaces, veth pairs, and iptables in the kernel.

    outside (the sandbox's first namespace): br0 192.168.49.1/24 ── the link of each node
      node:  eth0 192.168.49.2/24, default via .1, iptables ── one veth a Pod, each a route of its own
        Pod: eth0 10.244.0.2/32, default via 169.254.1.1, for which the node answers (proxy_arp)

The outside machine has no route to Pods or Services, and nothing here is connected to the host's network.
Which Pods exist is the kubelet's business, which rules are written is kube-proxy's, and processes are the template's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .. import linux
from ..config import ClusterConfig
from ..kubelet.template import SpawnError, Template
from ..linux import Namespace
from . import flows
from .engine import NFACCT_COUNTERS, EngineError
from .flows import Flow
from .ipam import PodAddresses
from .masquerade import masquerade_rules
from .netlink import LOOPBACK, Netlink

_T = TypeVar("_T")

OUTSIDE = "outside"
LINK_LOCAL_GATEWAY = "169.254.1.1"
RESTORE_WAIT = ("-w", "5")
"""As kube-proxy calls iptables-restore."""

_COMMON_SETTINGS = {
    "ipv6/conf/default/disable_ipv6": "1",  # The cluster is IPv4 only; lo keeps ::1.
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv4/ip_unprivileged_port_start": "0",  # As containerd sets it: any user may serve port 80.
    "ipv4/ping_group_range": "0 0",
}
_NODE_SETTINGS = {
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/route_localnet": "1",
    # A Service without endpoints says so to every connection; with the default limit all but the first few time out.
    "ipv4/icmp_ratelimit": "0",
    # As kube-proxy sets them (conntrack.tcpEstablishedTimeout, tcpCloseWaitTimeout): half-closed connections last.
    "netfilter/nf_conntrack_tcp_timeout_established": "86400",
    "netfilter/nf_conntrack_tcp_timeout_close_wait": "3600",
}
_OUTSIDE_SETTINGS = {
    # Which of several nodes gets a connection depends on its ports, not on its addresses alone.
    "ipv4/fib_multipath_hash_policy": "1",
}
_POD_LINK_SETTINGS = {"ipv4/conf/default/proxy_arp": "1"}
"""Inherited by every link made later: the Pods'."""


@dataclass(frozen=True)
class Machine:
    """A node, or the machine outside: its address and descriptors of its network and UTS namespaces."""

    name: str
    ip: str
    network: int
    uts: int


@dataclass(frozen=True)
class PodNetwork:
    """A Pod's address and descriptors of the namespaces that its containers share."""

    node: str
    ip: str
    network: int
    uts: int
    ipc: int
    link: int
    """Index of the node's end of the veth."""


@dataclass(frozen=True)
class _Node:
    machine: Machine
    netlink: Netlink
    addresses: PodAddresses


class KernelEngine:
    """The network of all nodes of one cluster. Lives in the sandbox's first process, which `sandbox.enter` made."""

    simulated = False

    def __init__(self, config: ClusterConfig, template: Template, restore_program: str) -> None:
        self._config = config
        self._template = template
        self._restore_program = restore_program
        self._save_program = restore_program.replace("-restore", "-save")
        self._lock_dir = template.files / "locks"
        self._base = linux.open_namespace("net")
        self._base_names = {Namespace.UTS: linux.open_namespace("uts"), Namespace.IPC: linux.open_namespace("ipc")}
        self._nodes: dict[str, _Node] = {}
        self._links = 0
        self.nfacct: frozenset[str] = frozenset()
        """The counters of `NFACCT_COUNTERS` that rules can use here."""
        self.outside = self._make_outside()

    @classmethod
    async def create(cls, config: ClusterConfig, template: Template, restore_program: str = "") -> KernelEngine:
        """Builds the outside machine and all nodes. `restore_program` is the one that `host_probe` found to work."""
        found = restore_program or linux.find_program("iptables-restore")
        if not found:
            raise EngineError("iptables-restore is not installed")
        engine = cls(config, template, found)
        for index in range(config.nodes):
            engine._add_node(index)
        for name in engine._nodes:
            await engine.restore(name, masquerade_rules(config, engine._nodes[name].addresses.cidr))
        await engine._find_accounting()
        return engine

    def machine(self, place: str) -> Machine:
        """A node by its name, or `outside`. Raises KeyError."""
        return self.outside if place == OUTSIDE else self._nodes[place].machine

    def places(self) -> list[str]:
        """The names that `machine` knows."""
        return [*self._nodes, OUTSIDE]

    def attach(self, node: str, hostname: str) -> PodNetwork:
        """Makes a Pod's namespaces, connected to its node. Raises NoFreeAddress, or OSError."""
        place = self._nodes[node]
        address = place.addresses.allocate()
        with contextlib.ExitStack() as undo:
            undo.callback(place.addresses.release, address)
            with self._new_namespaces(Namespace.NET | Namespace.UTS | Namespace.IPC):
                linux.sethostname(hostname)
                network, uts, ipc = (linux.open_namespace(kind) for kind in ("net", "uts", "ipc"))
                inside = Netlink()
                _write_settings(_COMMON_SETTINGS)
            for descriptor in (network, uts, ipc):
                undo.callback(os.close, descriptor)
            self._links += 1
            link = place.netlink.add_veth(f"veth{self._links:08x}", "eth0", network)
            _configure_pod(inside, address)
            place.netlink.add_address(link, place.addresses.gateway, 32)
            place.netlink.answer_arp_at_once(link)
            place.netlink.set_up(link)
            place.netlink.add_route(link, address, 32)
            undo.pop_all()
        return PodNetwork(node, address, network, uts, ipc, link)

    def detach(self, pod: PodNetwork) -> None:
        """Takes a Pod off the network and gives its address back; its processes have ended."""
        place = self._nodes[pod.node]
        with contextlib.suppress(OSError):
            place.netlink.delete_link(pod.link)
        for descriptor in (pod.network, pod.uts, pod.ipc):
            os.close(descriptor)
        place.addresses.release(pod.ip)

    def socket_in(self, network: int) -> socket.socket:
        """A TCP socket that belongs to a network namespace, whoever uses it."""
        with self._inside(network):
            return socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    def listen(self, node: str, ip: str, port: int) -> socket.socket:
        """A listening TCP socket on a node; it may be handed to a process that is elsewhere."""
        listener = self.socket_in(self._nodes[node].machine.network)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ip, port))
        listener.listen(512)
        return listener

    async def dial(self, place: str, ip: str, port: int) -> socket.socket:
        """A TCP connection from a node or from outside. Raises OSError."""
        end = self.socket_in(self.machine(place).network)
        end.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(end, (ip, port))
        except BaseException:
            end.close()
            raise
        return end

    def balance(self, address: str, nodes: Sequence[str]) -> None:
        """Lets the outside machine send connections to an address to these nodes in turn, or to nobody.

        An address that is none of the node network's is not the outside machine's business.
        """
        if ipaddress.ip_address(address) not in ipaddress.ip_network(self._config.node_cidr):
            return
        if nodes:
            self._outside_netlink.spread_route(self._bridge, address, nodes)
            return
        with contextlib.suppress(ProcessLookupError):  # ESRCH: there was no route.
            self._outside_netlink.delete_route(address)

    async def restore(self, node: str, text: str) -> None:
        """Applies one iptables-restore input. Raises EngineError with iptables' own words."""
        await self.command(node, [self._restore_program, *RESTORE_WAIT, "--noflush", "--counters"], input=text)

    async def save(self, node: str, table: str = "", *, counters: bool = False) -> str:
        """`iptables-save` of a node."""
        # Without root the list of tables can't be read, so that iptables-legacy-save has to be told each.
        tables = [table] if table or "legacy" not in self._save_program else ["mangle", "filter", "nat"]
        options = ["-c"] if counters else []
        saved = [
            await self.command(node, [self._save_program, *(["-t", name] if name else []), *options]) for name in tables
        ]
        return "".join(saved)

    async def generation(self, node: str) -> int | None:
        """The generation of a node's nf_tables; None where iptables is the older one, which is none of them."""
        if "legacy" in self._save_program:
            return None
        place = self._nodes[node]
        try:
            with self._inside(place.machine.network):
                return place.netlink.rules_generation()
        except OSError:
            return None

    async def command(self, node: str, argv: Sequence[str], *, input: str = "") -> str:
        """Runs an administration command on a node. Raises EngineError with its own words."""
        environment = {
            "PATH": linux.ADMIN_PATH,
            "LC_ALL": "C",
            "XTABLES_LOCKFILE": str(self._lock_dir / f"{node}.xtables"),
        }
        network = self._nodes[node].machine.network
        try:
            done = await self._template.command(argv, environment, network=network, input=input)
        except SpawnError as error:
            raise EngineError(str(error)) from error
        if done.status.exit_code:
            said = done.stderr.strip() or done.stdout.strip()
            raise EngineError(said or f"{argv[0]} ended with exit status {done.status.exit_code}")
        return done.stdout

    async def udp_flows(self, node: str) -> list[Flow]:
        """The UDP connections that a node keeps track of. Raises EngineError."""
        return self._with_conntrack(node, flows.udp_flows)

    async def forget_flows(self, node: str, stale: Sequence[Flow]) -> None:
        """Makes a node forget connections. Raises EngineError."""
        self._with_conntrack(node, lambda: flows.forget(stale))

    def _with_conntrack(self, node: str, act: Callable[[], _T]) -> _T:
        try:
            with self._inside(self._nodes[node].machine.network):
                return act()
        except OSError as error:
            raise EngineError(str(error)) from error

    def _make_outside(self) -> Machine:
        self._lock_dir.mkdir()
        netlink = Netlink()
        _write_settings(_COMMON_SETTINGS | _OUTSIDE_SETTINGS)
        netlink.set_up(LOOPBACK)
        self._bridge = netlink.add_bridge("br0")
        self._outside_netlink = netlink
        prefix = ipaddress.ip_network(self._config.node_cidr).prefixlen
        netlink.add_address(self._bridge, self._config.outside_ip, prefix)
        netlink.set_up(self._bridge)
        with self._new_namespaces(Namespace.UTS):
            linux.sethostname(OUTSIDE)
            uts = linux.open_namespace("uts")
        return Machine(OUTSIDE, self._config.outside_ip, self._base, uts)

    def _add_node(self, index: int) -> None:
        config = self._config
        name, ip = config.node_name(index), config.node_ip(index)
        with self._new_namespaces(Namespace.NET | Namespace.UTS):
            linux.sethostname(name)
            machine = Machine(name, ip, linux.open_namespace("net"), linux.open_namespace("uts"))
            netlink = Netlink()
            _write_settings(_COMMON_SETTINGS | _NODE_SETTINGS)
            port = self._outside_netlink.add_veth(f"node{index}", "eth0", machine.network, master=self._bridge)
            _write_settings(_POD_LINK_SETTINGS)
        self._outside_netlink.set_up(port)
        subnet = ipaddress.IPv4Network(config.node_cidr)
        eth0 = netlink.index("eth0")
        netlink.set_up(LOOPBACK)
        netlink.add_address(eth0, ip, subnet.prefixlen, broadcast=str(subnet.broadcast_address))
        netlink.set_up(eth0)
        netlink.add_route(eth0, "0.0.0.0", 0, via=config.outside_ip)
        for other in range(config.nodes):
            if other != index:
                pods = ipaddress.IPv4Network(config.node_pod_cidr(other))
                netlink.add_route(eth0, str(pods[0]), pods.prefixlen, via=config.node_ip(other))
        self._nodes[name] = _Node(machine, netlink, PodAddresses(config.node_pod_cidr(index)))

    async def _find_accounting(self) -> None:
        """Makes the nfacct objects on every node; they count only if iptables can match on them, too."""
        try:
            for node in self._nodes.values():
                with self._inside(node.machine.network):
                    for name in NFACCT_COUNTERS:
                        node.netlink.add_accounting(name)
        except OSError:
            return
        rules = "".join(f"-A POCKETKUBE-PROBE -m nfacct --nfacct-name {name} -j RETURN\n" for name in NFACCT_COUNTERS)
        first = next(iter(self._nodes))
        with contextlib.suppress(EngineError):
            await self.restore(first, f"*filter\n:POCKETKUBE-PROBE - [0:0]\n{rules}COMMIT\n")
            await self.restore(first, "*filter\n:POCKETKUBE-PROBE - [0:0]\n-X POCKETKUBE-PROBE\nCOMMIT\n")
            self.nfacct = NFACCT_COUNTERS

    @contextlib.contextmanager
    def _inside(self, network: int) -> Iterator[None]:
        """For a moment this thread is in another network namespace; nothing may be awaited meanwhile."""
        linux.setns(network, Namespace.NET)
        try:
            yield
        finally:
            linux.setns(self._base, Namespace.NET)

    @contextlib.contextmanager
    def _new_namespaces(self, kinds: Namespace) -> Iterator[None]:
        """For a moment this thread is in new namespaces, which vanish unless a descriptor is opened."""
        linux.unshare(kinds)
        try:
            yield
        finally:
            if Namespace.NET in kinds:
                linux.setns(self._base, Namespace.NET)
            for kind, descriptor in self._base_names.items():
                if kind in kinds:
                    linux.setns(descriptor, kind)


def _configure_pod(netlink: Netlink, address: str) -> None:
    """The Pod's own end: every packet, even to its neighbours, goes through the node and its rules."""
    eth0 = netlink.index("eth0")
    netlink.set_up(LOOPBACK)
    netlink.add_address(eth0, address, 32)
    netlink.set_up(eth0)
    netlink.add_route(eth0, LINK_LOCAL_GATEWAY, 32)
    netlink.add_route(eth0, "0.0.0.0", 0, via=LINK_LOCAL_GATEWAY)
    netlink.close()


def _write_settings(settings: Mapping[str, str]) -> None:
    """Writes sysctls of the network namespace that this thread is in; a setting that the kernel lacks is left out."""
    for name, value in settings.items():
        with contextlib.suppress(FileNotFoundError):
            Path("/proc/sys/net", name).write_text(value)
