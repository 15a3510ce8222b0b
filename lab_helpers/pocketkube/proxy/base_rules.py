"""The rules that every node has, whatever Services there are: base chains, the jumps to them, and what stands in them.

Kubelet's chains are among them: in this cluster nobody else writes rules on a node.
Models iptablesJumpChains, iptablesKubeletJumpChains and the fixed parts of syncProxyRules in
pkg/proxy/iptables/proxier.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...iptables import Condition, Match, Option, Rule, Ruleset, Target, canonical_rule
from ..network.engine import INVALID_DROPPED_COUNTER
from .naming import is_service_chain
from .options import NodeInfo, ProxyOptions
from .service_rules import EXTERNAL_SERVICES, MARK_MASQ, NODE_PORTS, PROXY_FIREWALL, SERVICES, comment

FIREWALL = "KUBE-FIREWALL"
FORWARD = "KUBE-FORWARD"
POSTROUTING = "KUBE-POSTROUTING"
PROXY_CANARY = "KUBE-PROXY-CANARY"
KUBELET_CANARY = "KUBE-KUBELET-CANARY"
IPTABLES_HINT = "KUBE-IPTABLES-HINT"

# Written once: their being there says that nobody flushed the table, and that kubelet looks after it.
BASE_CHAINS = {
    "mangle": (IPTABLES_HINT, KUBELET_CANARY, PROXY_CANARY),
    "filter": (KUBELET_CANARY, PROXY_CANARY),
    "nat": (KUBELET_CANARY, PROXY_CANARY),
}
# Written with every sync.
SHARED_CHAINS = {
    "filter": (SERVICES, EXTERNAL_SERVICES, FORWARD, NODE_PORTS, PROXY_FIREWALL, FIREWALL),
    "nat": (SERVICES, NODE_PORTS, POSTROUTING, MARK_MASQ),
}


def _conntrack(states: str, *, negated: bool = False) -> Match:
    return Match("conntrack", (Option("--ctstate", (states,), negated),))


@dataclass(frozen=True)
class Jump:
    """One rule in a built-in chain that leads to a chain of kube-proxy's."""

    table: str
    chain: str
    rule: Rule


def _jump(table: str, chain: str, to: str, text: str = "", *, only_new: bool = False) -> Jump:
    matches = (_conntrack("NEW"),) if only_new else ()
    return Jump(table, chain, Rule(matches=(*matches, comment(text)) if text else matches, target=Target(to)))


_PORTALS = "kubernetes service portals"
_EXTERNAL_PORTALS = "kubernetes externally-visible service portals"
_LOAD_BALANCER_FIREWALL = "kubernetes load balancer firewall"

# Each goes to the top of its chain, so the last one here is the first that a packet meets. Kubelet comes first.
JUMPS = (
    _jump("filter", "INPUT", FIREWALL),
    _jump("filter", "OUTPUT", FIREWALL),
    _jump("filter", "INPUT", EXTERNAL_SERVICES, _EXTERNAL_PORTALS, only_new=True),
    _jump("filter", "FORWARD", EXTERNAL_SERVICES, _EXTERNAL_PORTALS, only_new=True),
    _jump("filter", "INPUT", NODE_PORTS, "kubernetes health check service ports"),
    _jump("filter", "FORWARD", SERVICES, _PORTALS, only_new=True),
    _jump("filter", "OUTPUT", SERVICES, _PORTALS, only_new=True),
    _jump("filter", "FORWARD", FORWARD, "kubernetes forwarding rules"),
    _jump("filter", "INPUT", PROXY_FIREWALL, _LOAD_BALANCER_FIREWALL, only_new=True),
    _jump("filter", "OUTPUT", PROXY_FIREWALL, _LOAD_BALANCER_FIREWALL, only_new=True),
    _jump("filter", "FORWARD", PROXY_FIREWALL, _LOAD_BALANCER_FIREWALL, only_new=True),
    _jump("nat", "OUTPUT", SERVICES, _PORTALS),
    _jump("nat", "PREROUTING", SERVICES, _PORTALS),
    _jump("nat", "POSTROUTING", POSTROUTING, "kubernetes postrouting rules"),
)


def missing_jumps(saved: Ruleset) -> list[Jump]:
    """The jumps that a node's rules lack, in the order in which they have to be put in."""
    present = {
        (table, chain): {canonical_rule(rule) for rule in saved.rules(table, chain)}
        for table, chain in {(jump.table, jump.chain) for jump in JUMPS}
    }
    return [jump for jump in JUMPS if jump.rule not in present[jump.table, jump.chain]]


def service_chains(saved: str) -> set[str]:
    """The chains of Services and endpoints that a node's rules have, by the output of iptables-save."""
    names = (line[1:].partition(" ")[0] for line in saved.splitlines() if line.startswith(":KUBE-"))
    return {name for name in names if is_service_chain(name)}


def _mark_rule(options: ProxyOptions, option: str) -> Rule:
    return Rule(target=Target("MARK", (Option(option, (options.mark,)),)))


def mark_masq_rules(options: ProxyOptions) -> Iterator[Rule]:
    """Marks packets that POSTROUTING shall masquerade."""
    yield _mark_rule(options, "--or-mark")


def _marked(options: ProxyOptions, *, negated: bool = False) -> Match:
    return Match("mark", (Option("--mark", (f"{options.mark}/{options.mark}",), negated),))


def postrouting_rules(options: ProxyOptions) -> Iterator[Rule]:
    """Masquerades what was marked."""
    yield Rule(matches=(_marked(options, negated=True),), target=Target("RETURN"))
    # Takes the mark off again, lest the packet be masqueraded twice on its way.
    yield _mark_rule(options, "--xor-mark")
    random = (Option("--random-fully"),) if options.random_fully else ()
    named = comment("kubernetes service traffic requiring SNAT")
    yield Rule(matches=(named,), target=Target("MASQUERADE", random))


def firewall_rules(options: ProxyOptions) -> Iterator[Rule]:
    """Keeps others from reaching 127.0.0.0/8, which node ports on localhost open up."""
    if not options.localhost_node_ports:
        return
    yield Rule(
        source=Condition("127.0.0.0/8", negated=True),
        destination=Condition("127.0.0.0/8"),
        matches=(
            comment("block incoming localnet connections"),
            _conntrack("RELATED,ESTABLISHED,DNAT", negated=True),
        ),
        target=Target("DROP"),
    )


def forward_rules(options: ProxyOptions) -> Iterator[Rule]:
    """Lets the connections of Services through, whatever the policy of FORWARD is."""
    if not options.conntrack_tcp_be_liberal:
        matches = [_conntrack("INVALID")]
        if INVALID_DROPPED_COUNTER in options.nfacct_counters:
            matches.append(Match("nfacct", (Option("--nfacct-name", (INVALID_DROPPED_COUNTER,)),)))
        yield Rule(matches=tuple(matches), target=Target("DROP"))
    yield Rule(matches=(comment("kubernetes forwarding rules"), _marked(options)), target=Target("ACCEPT"))
    named = comment("kubernetes forwarding conntrack rule")
    yield Rule(matches=(named, _conntrack("RELATED,ESTABLISHED")), target=Target("ACCEPT"))


def node_port_rules(options: ProxyOptions, node: NodeInfo) -> Iterator[Rule]:
    """The last rules of KUBE-SERVICES: what is meant for no Service's address may be for a node port."""
    named = comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain")
    limited = options.node_port_destinations(node)
    if limited is not None:
        for ip in limited:
            yield Rule(destination=Condition(f"{ip}/32"), matches=(named,), target=Target(NODE_PORTS))
        return
    beyond = None if options.localhost_node_ports else Condition("127.0.0.0/8", negated=True)
    to_node = Match("addrtype", (Option("--dst-type", ("LOCAL",)),))
    yield Rule(destination=beyond, matches=(named, to_node), target=Target(NODE_PORTS))
